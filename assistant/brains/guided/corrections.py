"""Changes of the plan that is spoken of: another figure, another file, back to before."""

# Patterns are easier to check in one line than wrapped.

from __future__ import annotations

import re

from assistant.brains.guided.dropped import find_dropped
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.rules import is_question
from assistant.brains.guided.runs import named_jobs
from assistant.brains.guided.slots import (
    Args,
    find_path,
    named_paths,
    only_offered,
    relative_values,
    told_path,
    training_values,
)
from assistant.brains.guided.starting import plan_start, run_again
from assistant.brains.guided.steps import plan_wish
from assistant.brains.guided.view import View
from assistant.brains.guided.wishes import Wish

OF_TRAINING = frozenset(
    {
        "rank", "alpha", "dropout", "epochs", "max_steps", "learning_rate", "batch_size", "seed",
        "gradient_accumulation", "max_length", "weight_decay", "method", "template", "device",
        "input_column", "output_column", "eval_fraction", "dedupe", "minutes", "model", "trials",
        "engine", "objective", "batching", "quantization", "initialisation", "optimizer", "loss",
        "probe", "gradient_checkpointing", "activation_offload", "offload", "lr_scheduler",
        "sampler", "attention", "target_modules", "modules_to_save", "processes", "nodes",
        "warmup_ratio", "beta", "target", "loss_weight", "early_stopping_patience", "eval_steps",
        "rewards", "vary",
    }
)  # fmt: skip


_WHAT_KIND = frozenset({"method", "engine", "objective", "trials"})
_FIGURES = (
    "trials", "epochs", "rank", "alpha", "batch_size", "gradient_accumulation", "max_steps",
    "max_length", "learning_rate", "dropout", "weight_decay", "minutes",
)  # fmt: skip


def correct_plan(view: View, offered: Offered) -> Plan | None:
    """Ask for the last plan again with what the message changes."""
    base = last_plan(view)
    if base is None:
        return run_again(view, offered) or _draft(view, offered)
    values: Args = {k: v for k, v in training_values(view).items() if k in OF_TRAINING}
    if set(values) == {"minutes"} and not _is_budget(view.said.plain):
        values = {}
    values |= {k: v for k, v in relative_values(view, base).items() if k not in values}
    if not values and (figure := _bare_figure(view, base)):
        values = figure
    path = _other_path(view, base)
    dropped = find_dropped(view.said.plain, base) - values.keys()
    base = {name: value for name, value in base.items() if name not in dropped}
    if not values and path is None and not dropped:
        return None
    if path is not None:
        of_the_file = ("input_column", "output_column", "template")
        base = {k: v for k, v in base.items() if k not in of_the_file}
    if values.get("max_steps") and "epochs" not in values:
        base.pop("epochs", None)
    if values.get("epochs") and "max_steps" not in values:
        base.pop("max_steps", None)
    if values.get("engine") == "single":
        base = {k: v for k, v in base.items() if k not in ("processes", "nodes", "offload")}
    if values.get("method") == "full":
        base = {k: v for k, v in base.items() if k not in ("rank", "alpha", "dropout")}
    return plan_start(view, offered, {**base, **values}, path or base.get("path"))


def takes_back(view: View) -> bool:
    """Return whether the message takes back a setting of the plan that is spoken of."""
    plan = last_plan(view)
    return bool(plan and not named_jobs(view) and find_dropped(view.said.plain, plan))


def _is_budget(plain: str) -> bool:
    """Return whether a length of time is meant for the training, not for the person's own day."""
    return bool(phrase("BUDGET").search(plain)) and not phrase("AWAY").search(plain)


def undo(view: View, offered: Offered) -> Plan:
    """Ask for the plan before the last change."""
    plans = view.plans
    if len(plans) < 2:
        return Plan(reply="There is no earlier plan to go back to. Say what shall be different.")
    back_to_first = re.search(r"\b(?:first|original|beginning|very first)\b", view.said.plain)
    earlier = plans[0] if back_to_first else plans[-2]
    return plan_start(view, offered, dict(earlier), earlier.get("path"))


def last_plan(view: View) -> Args | None:
    """Return the arguments of the plan that is spoken of."""
    need = view.memo.get("need") or {}
    if need.get("intent") == "start" and need.get("args", {}).get("path"):
        return dict(need["args"])
    if view.plans:
        return dict(view.plans[-1])
    waiting = [w["plan"] for w in view.waiting if w["action"] == "start_training"]
    if waiting:
        return {k: v for k, v in waiting[0].items() if k in ("path", "method", "model", "rank")}
    return None


def _draft(view: View, offered: Offered) -> Plan | None:
    """Settings before any plan: with data and advice at hand they ask for one."""
    values = {k: v for k, v in training_values(view).items() if k in OF_TRAINING}
    if not values or (set(values) == {"minutes"} and not _is_budget(view.said.plain)):
        return None
    wants = re.search(
        r"\b(?:use|take|with|go|want|try|set|make|choose|pick|prefer|apply)\b", view.said.plain
    )
    advised = view.last is not None and view.last.name in (
        "recommend_method",
        "estimate_resources",
        "explain",
        "inspect_dataset",
        "prepare_dataset",
    )
    asks = is_question(view.said.plain) or view.said.plain.endswith("?")
    told = told_path(view)
    asks = asks and not phrase("REQUEST").search(view.said.plain)
    if asks and (told is None or is_question(view.said.plain)):
        return None
    path = find_path(view)
    for_the_data = {"eval_fraction", "dedupe", "input_column", "output_column", "template"}
    if path and set(values) <= for_the_data and "offer" not in view.memo:
        return plan_wish(view, Wish("prepare", 3, view.said.plain), offered)
    decided = _WHAT_KIND & values.keys() and not phrase("UNDECIDED").search(view.said.plain)
    noted_before = view.memo.get("need") or {}
    if noted_before.get("intent") == "start":
        values = {**noted_before.get("args", {}), **values}
    if path and (wants or decided or told) and (advised or told):
        return plan_start(view, offered, values, path)
    noted = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
    args = only_offered(values, offered["start_training"])
    need = {"intent": "start", "slot": "path", "args": args}
    if path:
        args["path"] = path
        return Plan(
            reply=f'Noted: {noted}. Say "train it" and I make a plan with that.',
            memo={"need": need, "path": path},
        )
    return Plan(reply=f"Noted: {noted}. Which data shall I train on?", memo={"need": need})


def _other_path(view: View, base: Args) -> str | None:
    paths = [path for path in named_paths(view) if path != base.get("path")]
    if paths and (phrase("INSTEAD").search(view.said.plain) or len(view.said.plain.split()) <= 3):
        return paths[0]
    return view.files[-1] if view.files else None


def _bare_figure(view: View, base: Args) -> Args | None:
    """`make it 2`, `no, 3`: the figure that was changed last."""
    plain = view.said.plain
    match = (
        phrase("FIGURE_ONLY").fullmatch(plain)
        or phrase("BETTER").fullmatch(plain)
        or phrase("MOVE_IT").search(plain)
    )
    if not match:
        return None
    number = float(match["n"])
    if number <= 0:
        return None
    before = view.plans[-2] if len(view.plans) > 1 else {}
    changed = [name for name in _FIGURES if name in base and base[name] != before.get(name)]
    down, up = (
        re.search(r"\b(?:lower|reduce|drop|decrease|down)\b", plain),
        re.search(r"\b(?:raise|increase|bump|up|higher)\b", plain),
    )
    fitting = [
        name
        for name in changed
        if isinstance(base[name], int) == number.is_integer()
        and not (down and base[name] <= number)
        and not (up and base[name] >= number)
    ]
    if not fitting:
        return None
    changed = fitting
    return {changed[0]: int(number) if number.is_integer() and number >= 1 else number}
