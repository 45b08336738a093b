"""Messages without a wish of their own: corrections, answers to a question, follow-ups."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Any

from assistant.brains.guided import references, talk
from assistant.brains.guided.runs import named_jobs
from assistant.brains.guided.slots import (
    Args,
    find_path,
    named_paths,
    only_offered,
    relative_values,
    training_values,
)
from assistant.brains.guided.steps import Offered, Plan, plan_start, plan_wish
from assistant.brains.guided.understand import (
    Understanding,
    Wish,
    is_question,
)
from assistant.brains.guided.view import Done, View

_YES = re.compile(
    r"^(?:(?:yes|yep|yeah|yup|sure|ok|okay|fine|good|great|perfect|right|correct|exactly|please|do|indeed|y)[,.! ]*)+$"
)
_STRONG = re.compile(
    r"\b(?:let's (?:do|go|try|start|use|take)|do (?:it|that|so|this)|go ahead|go (?:for|with) (?:it|that|this|your)|make it so|"
    r"(?:use|take|try) (?:it|that|this|your \w+)|i'll (?:take|use|do|go with) (?:it|that|this)|proceed|as you (?:say|suggest|recommend)|"
    r"(?:start|go|take|use|do|try|choose)\b.{0,14}\b(?:first|1st|top|recommended|suggested|best)(?: one| option| plan| suggestion| method)\b|"
    r"your (?:suggestion|recommendation|advice|pick|choice|proposal)|follow (?:that|your)|sounds (?:good|great|right), (?:start|train|go))\b"
)
_NO = re.compile(
    r"^(?:(?:no|nope|nah|never mind|nevermind|forget it|leave it|not now|not yet|stop|cancel|don't|skip it|drop it|let it be|rather not|"
    r"no thanks|i changed my mind|forget about it)[,.! ]*)+(?: thanks| thank you)?[.!]*$"
)
_FOLLOW_UP = re.compile(
    r"^(?:and|what about|how about|now|then|or|also|same for|same with|ok and|next|what if)\b"
)
_INSTEAD = re.compile(
    r"\b(?:meant|mean|instead|rather|sorry|wrong|no|not|oops|actually|other|correct(?:ion)?|should be|is it|it's|use|take|with|switch|change|replace|swap|have|do|run|on|want|prefer)\b"
)
_BUDGET = re.compile(
    r"\b(?:within|under|at most|at|cap\w*|tops|no more|all i have|is all|half|for|more than|longer than|only|max|maximum|budget|limit|less than|up to|we have|i have|take|in|end|stop|finish)\b"
)
_EITHER = re.compile(r"\b(?:or|versus|rather than)\b")
_AWAY = re.compile(
    r"\b(?:i'll|i will|i'm|i am|be|come|give me|wait|meeting|call|call you|back|lunch|brb)\b"
)
_TRAINING_ONLY = frozenset(
    {
        "rank", "alpha", "dropout", "epochs", "max_steps", "learning_rate", "batch_size", "seed",
        "gradient_accumulation", "max_length", "weight_decay", "method", "template", "device",
        "input_column", "output_column", "eval_fraction", "dedupe", "minutes", "model",
    }
)  # fmt: skip
_FIGURE_ONLY = re.compile(
    r"(?:no,? |sorry,? |same,? |again,? |but,? |and,? |with |all |everything |the same,? |i (?:meant|mean|said|want) |make (?:it|that) |rather |better |let's say |only |just |use |take |ok,? |then |actually,? )+"
    r"(?P<n>\d*\.?\d+(?:e-\d+)?)(?: instead| then| please| rather| though)?[.! ]*"
)
_BETTER = re.compile(
    r"(?:\w+,? ){0,2}?(?P<n>\d*\.?\d+(?:e-\d+)?) (?:would|will|is|are|seems?|looks?|sounds?|should|might|could)(?: be| do)?"
    r"(?: \w+)? ?(?:better|enough|fine|ok|okay|good|plenty|nicer|right|more sensible|do)?[.! ]*"
)
_MOVE_IT = re.compile(
    r"\b(?:lower|raise|reduce|increase|set|change|bring|put|make|drop|bump|turn|move) (?:it|that|this)(?: down| up)? (?:to |at )?(?P<n>\d*\.?\d+(?:e-\d+)?)\b"
)
_FIGURES = (
    "epochs", "rank", "alpha", "batch_size", "gradient_accumulation", "max_steps", "max_length",
    "learning_rate", "dropout", "weight_decay", "minutes",
)  # fmt: skip
_REPEATABLE = {
    "recommend_method": "recommend",
    "estimate_resources": "estimate",
    "list_models": "models",
}


def plan_fragment(view: View, said: Understanding, offered: Offered) -> Plan | None:
    """Return what a message without a wish of its own leads to, or None where it says nothing."""
    need = view.memo.get("need")
    plain = view.said.plain
    if need and (plan := _answer_need(view, need, offered)):
        return plan
    if _NO.match(plain):
        return Plan(reply=after_no(view))
    if plan := follow_offer(view, offered):
        return plan
    if plan := _follow_up(view, said, offered):
        return plan
    if plan := _asks_about_settings(view, offered):
        return plan
    if re.search(r"\bwhat if\b|\bwould it (?:help|be better)\b", plain) and training_values(view):
        return plan_wish(view, Wish("estimate", 3, plain), offered)
    if plan := correct_plan(view, offered):
        return plan
    if plan := _named_only(view, offered):
        return plan
    if _YES.match(plain):
        return Plan(reply=_after_yes(view))
    return None


def _asks_about_settings(view: View, offered: Offered) -> Plan | None:
    """`rank 8 or 16 for reviews.csv?`, `is ten minutes enough?`: a question starts nothing."""
    plain = view.said.plain
    if view.plans or not plain.endswith("?") or not (is_question(plain) or _EITHER.search(plain)):
        return None
    if not training_values(view):
        return None
    intent = "recommend" if _EITHER.search(plain) or not find_path(view) else "estimate"
    return plan_wish(view, Wish(intent, 3, plain, True), offered)


def correct_plan(view: View, offered: Offered) -> Plan | None:
    """Ask for the last plan again with what the message changes."""
    base = last_plan(view)
    if base is None:
        return _draft(view, offered)
    values: Args = {k: v for k, v in training_values(view).items() if k in _TRAINING_ONLY}
    if set(values) == {"minutes"} and not _is_budget(view.said.plain):
        values = {}
    values |= {k: v for k, v in relative_values(view, base).items() if k not in values}
    if not values and (figure := _bare_figure(view, base)):
        values = figure
    path = _other_path(view, base)
    if not values and path is None:
        return None
    if path is not None:
        of_the_file = ("input_column", "output_column", "template")
        base = {k: v for k, v in base.items() if k not in of_the_file}
    if values.get("max_steps") and "epochs" not in values:
        base.pop("epochs", None)
    if values.get("epochs") and "max_steps" not in values:
        base.pop("max_steps", None)
    if values.get("method") == "full":
        base = {k: v for k, v in base.items() if k not in ("rank", "alpha", "dropout")}
    return plan_start(view, offered, {**base, **values}, path or base.get("path"))


def _is_budget(plain: str) -> bool:
    """Return whether a length of time is meant for the training, not for the person's own day."""
    return bool(_BUDGET.search(plain)) and not _AWAY.search(plain)


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
    values = {k: v for k, v in training_values(view).items() if k in _TRAINING_ONLY}
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
    if is_question(view.said.plain) and not named_paths(view):
        return None
    path = find_path(view)
    for_the_data = {"eval_fraction", "dedupe", "input_column", "output_column", "template"}
    if path and set(values) <= for_the_data and "offer" not in view.memo:
        return plan_wish(view, Wish("prepare", 3, view.said.plain), offered)
    if path and (wants or named_paths(view)) and (advised or named_paths(view)):
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


def _answer_need(view: View, need: dict[str, Any], offered: Offered) -> Plan | None:
    """Fill what was asked for."""
    intent, slot, args = need["intent"], need["slot"], dict(need.get("args", {}))
    plain = view.said.plain
    if slot == "prompt":
        return _answer_prompt(view, args, offered)
    if slot == "job":
        jobs = named_jobs(view)
        if not jobs:
            return None
        return plan_wish(view, Wish(intent, 3, plain), offered)
    had_path = "path" in args
    path = find_path(view, fallback=False)
    if had_path and not named_paths(view) and not view.files:
        return None
    suggested = view.memo.get("near")
    if path is None and suggested and _YES.match(plain):
        path = str(suggested)
    if path is None and (choice := _ordinal(view)):
        path = choice
    if path is None:
        return None
    values = {**args, **training_values(view), "path": path}
    if intent == "start":
        return plan_start(view, offered, values, path)
    if intent == "prepare":
        return Plan(calls=[("prepare_dataset", only_offered(values, offered["prepare_dataset"]))])
    return Plan(calls=[("inspect_dataset", {"path": path})], memo={"path": path})


def _answer_prompt(view: View, args: Args, offered: Offered) -> Plan | None:
    if _NO.match(view.said.plain) or not view.typed.strip():
        return None
    prompt = view.typed.strip().strip('"“”')
    args = only_offered({**args, "prompt": prompt}, offered["try_model"])
    return Plan(calls=[("try_model", args)])


def _ordinal(view: View) -> str | None:
    """`the first one` of the files that were offered."""
    files = [str(name) for name in view.state.get("files", [])]
    for number, words in enumerate((r"first|1st", r"second|2nd", r"third|3rd")):
        if (
            re.search(rf"\bthe (?:{words})(?: one| file)?\b", view.said.plain)
            and len(files) > number
        ):
            return files[number]
    if len(files) == 1 and re.search(
        r"\b(?:that one|this one|the only one|yes|it|that file|yours|the one)\b", view.said.plain
    ):
        return files[0]
    return None


def follow_offer(view: View, offered: Offered) -> Plan | None:
    """Do what was advised, where the person agrees to it."""
    offer = view.memo.get("offer")
    plain = view.said.plain
    if offer and (choice := option_named(plain)):
        return _take_option(view, offered, choice)
    if not offer or not (_STRONG.search(plain) or (_YES.match(plain) and offer.get("asked"))):
        return None
    values = {k: v for k, v in training_values(view).items() if k in _TRAINING_ONLY}
    path = find_path(view)
    return plan_start(view, offered, {**offer.get("args", {}), **values}, path)


def option_named(plain: str) -> int | None:
    """Return the number of a ranked option that is taken: `the second one`, `number 2`, `option 3`."""
    if is_question(plain) or re.search(r"\b(?:not|don't|neither)\b", plain):
        return None
    places = ("first|1st|top|1|one(?= *\\W*$|,)", "second|2nd|2|runner up", "third|3rd|3")
    for number, word in enumerate(places, 1):
        if re.search(
            rf"\b(?:option|number|no\.?|plan|choice|suggestion|variant) (?:{word})\b(?! epochs?)"
            rf"|(?:^|\b(?:the|your|that) )(?:{word.split('|one')[0]})(?: (?:one|option|plan|choice|suggestion|proposal|idea|recommendation|method|variant))?\b(?! (?:file|run|column|row|epoch|job))",
            plain,
        ):
            return number
    if re.search(r"\bthe (?:recommended|suggested|best|top) (?:one|option|plan|method)\b", plain):
        return 1
    return None


def _take_option(view: View, offered: Offered, number: int) -> Plan:
    """Plan what stood at a place of the last recommendation."""
    values = {k: v for k, v in training_values(view).items() if k in _TRAINING_ONLY}
    advice = next((c for c in reversed(view.earlier) if c.name == "recommend_method"), None)
    plans = list(advice.artifact.get("plans", [])) if advice else []
    if number > max(1, len(plans)):
        many = "one option" if len(plans) < 2 else f"{len(plans)} options"
        return Plan(reply=f"The advice had {many}. Say which method you would like, such as LoRA.")
    taken: Args = {}
    if number > 1:
        taken["method"] = plans[number - 1].get("method")
        base = plans[number - 1].get("base_model")
        if base and base != plans[0].get("base_model"):
            taken["model"] = base
    offer = view.memo.get("offer") or {}
    return plan_start(view, offered, {**offer.get("args", {}), **taken, **values}, find_path(view))


def _follow_up(view: View, said: Understanding, offered: Offered) -> Plan | None:
    """`and with 24 GB?`, `what about DoRA?`, `and now messy.csv`: the last thing once more."""
    plain, last = view.said.plain, view.last
    asks = plain.endswith("?") or _FOLLOW_UP.match(plain)
    if last is None or not asks:
        return None
    if last.name in _REPEATABLE and not (view.waiting and not plain.endswith("?")):
        again = plan_wish(view, Wish(_REPEATABLE[last.name], 3, plain), offered)
        name, args = again.calls[0]
        changed = {k: v for k, v in args.items() if last.args.get(k) != v and k != "goal"}
        if changed:
            again.calls[0] = (name, {**last.args, **changed})
            return again
    if plan := _the_other(view, last):
        return plan
    if last.name in ("inspect_dataset", "prepare_dataset") and named_paths(view) and not view.plans:
        path = named_paths(view)[0]
        return Plan(calls=[(last.name, {**last.args, "path": path})], memo={"path": path})
    if last.name == "export_model" and (values := references.find_format(plain)):
        keep = {"job": last.args.get("job")}
        args = only_offered({**keep, **values}, offered["export_model"])
        return Plan(calls=[("export_model", args)])
    if (
        last.name == "explain"
        and not view.waiting
        and re.match(r"^(?:and|what about|how about)\b", plain)
    ):
        topic = re.sub(r"(?i)^\W*(?:and|what about|how about)\s+", "", view.typed.strip()).rstrip(
            "?. "
        )
        return Plan(calls=[("explain", {"question": f"What is {topic}?"})]) if topic else None
    if last.name in ("show_job", "evaluate_model", "list_jobs") and (jobs := named_jobs(view)):
        tool = "show_job" if last.name == "list_jobs" else last.name
        return Plan(calls=[(tool, {"job": jobs[0]})], memo={"job": jobs[0]})
    return None


def _the_other(view: View, last: Done) -> Plan | None:
    """`and the other one?`: the only other file or run there is."""
    named = named_paths(view) or named_jobs(view)
    if named or not re.search(r"\bthe other(?: one| file| run)?\b", view.said.plain):
        return None
    if last.name in ("inspect_dataset", "prepare_dataset"):
        shown = {str(c.args.get("path")) for c in view.earlier if c.name == last.name}
        others = [str(f) for f in view.state.get("files", []) if f not in shown]
        if len(others) == 1:
            args = {**last.args, "path": others[0]}
            return Plan(calls=[(last.name, args)], memo={"path": others[0]})
        if others:
            return Plan(reply=talk.ask_for_data(others, [], "look at"))
    if last.name in ("show_job", "evaluate_model") and last.args.get("job"):
        runs = [j["id"] for j in view.trainings if j["id"] != last.args["job"]]
        if runs:
            return Plan(calls=[(last.name, {"job": runs[0]})], memo={"job": runs[0]})
    return None


def _named_only(view: View, offered: Offered) -> Plan | None:
    """A file or a run and nothing else: look at it."""
    if paths := named_paths(view):
        return Plan(calls=[("inspect_dataset", {"path": paths[0]})], memo={"path": paths[0]})
    if view.files and len(view.said.plain.split()) < 8:
        path = view.files[-1]
        return Plan(calls=[("inspect_dataset", {"path": path})], memo={"path": path})
    if (jobs := named_jobs(view)) and "show_job" in offered:
        return Plan(calls=[("show_job", {"job": jobs[0]})], memo={"job": jobs[0]})
    return None


def _other_path(view: View, base: Args) -> str | None:
    paths = [path for path in named_paths(view) if path != base.get("path")]
    if paths and (_INSTEAD.search(view.said.plain) or len(view.said.plain.split()) <= 3):
        return paths[0]
    return view.files[-1] if view.files else None


def _bare_figure(view: View, base: Args) -> Args | None:
    """`make it 2`, `no, 3`: the figure that was changed last."""
    plain = view.said.plain
    match = _FIGURE_ONLY.fullmatch(plain) or _BETTER.fullmatch(plain) or _MOVE_IT.search(plain)
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


def after_no(view: View) -> str:
    """Say that nothing happens, and how to drop what waits."""
    if view.waiting:
        return "Nothing was started. The plan still waits: press Not now on its card to drop it, or say what to change."
    return "All right, nothing was done. Say what you would like instead."


def _after_yes(view: View) -> str:
    if view.path and not view.plans:
        return 'Nothing waits for a yes. Say "train it" for a plan, or "recommend a method" for advice.'
    return talk.NOTHING_WAITS
