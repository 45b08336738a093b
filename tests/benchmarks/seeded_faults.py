"""Planted faults under many chat templates: how many are found, and what cries wolf.

Templates: the project's own, the shared tokenizers', and those of `tokenizer_config.json` files
without a tokenizer, paired with GPT-2's tokenizer to which their special tokens are added.
Recall is the share of planted faults found with the right code at the right row; a false alarm
is an error or warning of the lens, or any content finding, on the clean originals.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tools.datasets.checks import RowChecks
from tools.datasets.example import Example, answered
from tools.datasets.examples import builder
from tools.datasets.labels import MASKED, LensRow, check_rows, check_template, lens_row
from tools.datasets.model_files import read_model_text
from tools.datasets.problems import Problem
from tools.datasets.profile import profile
from tools.datasets.recognise import recognise
from tools.datasets.templates import ModelText
from tools.errors import BadInput
from tools.shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
MATERIAL = Path(os.environ.get("LUTHIER_MATERIAL", ROOT.parent / "shared" / "material"))
BAD = 7
_SYSTEM = "Answer in one word"


@dataclass(frozen=True)
class Outcome:
    """One planted fault."""

    template: str
    fault: str
    found: bool


def models(folder: Path) -> Iterator[ModelText]:
    """Yield every model text there is to try, with a template of its own."""
    starter = shipped("starter-model")
    if (starter / "tokenizer.json").is_file():
        yield read_model_text(starter, "starter")
    if not MATERIAL.is_dir():
        return
    for path in sorted((MATERIAL / "tokenizers").iterdir()):
        yield read_model_text(path, path.name)
    for path in sorted((MATERIAL / "chat_templates" / "tokenizer_configs").glob("*.json")):
        paired = folder / path.name.removesuffix(".tokenizer_config.json")
        paired.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, paired / "tokenizer_config.json")
        shutil.copyfile(
            MATERIAL / "tokenizers" / "gpt-2" / "tokenizer.json", paired / "tokenizer.json"
        )
        model = read_model_text(paired, f"{paired.name} (orphan)")
        if model.own_template:
            yield model


def rows() -> list[dict[str, str]]:
    """Return clean labelled rows."""
    things = ["lamp", "chair", "table", "clock", "phone", "cable", "mirror", "carpet"]
    ways = [("broke on arrival", "damage"), ("has the wrong colour", "colour")]
    return [
        {"text": f"Our new {thing} {way}, what a pity", "label": label}
        for thing in things
        for way, label in ways
    ]


def content_codes_at(data: list[dict[str, str]], special: tuple[str, ...]) -> dict[str, list[int]]:
    """Return code → rows of what the checks of single rows find."""
    columns = profile(data)
    mapping = recognise(columns)[0]
    checks = RowChecks(mapping, columns, special)
    make = builder(mapping)
    for number, row in enumerate(data):
        checks.see(number, row, make(row))
    return dict(checks.rows)


def example(system: str = "") -> Example:
    """Return one clean example."""
    made = answered("The lamp broke on arrival", "damage", system=system, label=True)
    assert isinstance(made, Example)
    return made


_DEAF = "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}"
Breaker = Callable[[LensRow, ModelText], LensRow]


def _masked(row: LensRow, model: ModelText) -> LensRow:
    del model
    return replace(row, labels=(MASKED,) * len(row.ids))


def _open(row: LensRow, model: ModelText) -> LensRow:
    del model
    return replace(row, labels=row.ids)


def _naive_padding(row: LensRow, model: ModelText) -> LensRow:
    pairs = zip(row.ids, row.labels, strict=True)
    labels = tuple(MASKED if number in model.stops else label for number, label in pairs)
    return replace(row, labels=labels)


def _two_bos(row: LensRow, model: ModelText) -> LensRow:
    bos = model.id_of("bos_token")
    assert bos is not None
    ids = (bos, bos, *(row.ids[1:] if row.ids[0] == bos else row.ids))
    labels = (MASKED,) * (len(ids) - len(row.ids)) + row.labels
    return LensRow(row.row, ids, labels, ("",) * len(ids))


LABEL_FAULTS: dict[str, Breaker] = {
    "all_masked": _masked,
    "nothing_masked": _open,
    "stop_not_trained": _naive_padding,
    "double_bos": _two_bos,
}


def plant(model: ModelText) -> Iterator[Outcome]:
    """Plant every fault that this template can have, one at a time."""
    clean = lens_row(model, BAD, example())
    for code, fault in LABEL_FAULTS.items():
        if code == "double_bos" and model.id_of("bos_token") is None:
            continue
        found = {p.code: p.rows for p in check_rows([fault(clean, model)], model)}
        yield Outcome(model.name, code, found.get(code) == (BAD,))
    bare = replace(
        model, _compiled={},
        template=model.template.replace("{% generation %}", "").replace("{% endgeneration %}", ""),
    )  # fmt: skip
    wanted = check_rows([clean], bare, wants_marks=True)
    yield Outcome(model.name, "no_generation_marks", "no_generation_marks" in _codes(wanted))
    if _takes_system(model):
        deaf = replace(
            model, _compiled={},
            template=_DEAF + model.template,
        )  # fmt: skip
        dropped = check_template(deaf, [(BAD, example(_SYSTEM))])
        yield Outcome(model.name, "system_dropped", "system_dropped" in _codes(dropped))
    for token in model.control_tokens()[:4]:
        data = rows()
        data[BAD]["text"] += f" {token} and more"
        found_at = content_codes_at(data, model.control_tokens()).get("control_tokens")
        yield Outcome(model.name, f"control_tokens {token}", found_at == [BAD])


def _takes_system(model: ModelText) -> bool:
    try:
        return not check_template(model, [(0, example(_SYSTEM))])
    except BadInput:
        return False


def _codes(problems: list[Problem]) -> set[str]:
    return {p.code for p in problems}


def false_alarms(model: ModelText) -> list[str]:
    """Return what is reported on clean rows under this template."""
    alarms = list(content_codes_at(rows(), model.control_tokens()))
    clean = [lens_row(model, number, example()) for number in range(3)]
    alarms += [p.code for p in check_rows(clean, model)]
    alarms += [p.code for p in check_template(model, [(0, example())])]
    return alarms


def main() -> str:
    """Plant all faults under all templates; return the table."""
    lines = ["| template | planted | found | missed | false alarms |", "|---|---|---|---|---|"]
    planted: list[Outcome] = []
    alarms = 0
    with tempfile.TemporaryDirectory() as folder:
        for model in models(Path(folder)):
            outcomes = list(plant(model))
            cries = false_alarms(model)
            planted += outcomes
            alarms += len(cries)
            missed = ", ".join(o.fault for o in outcomes if not o.found) or "–"
            lines.append(
                f"| {model.name} | {len(outcomes)} | {sum(o.found for o in outcomes)} "
                f"| `{missed}` | {', '.join(cries) or '–'} |"
            )
    found = sum(o.found for o in planted)
    templates = len({o.template for o in planted})
    lines.append(
        f"\n{len(planted)} faults under {templates} templates: recall "
        f"{found / max(len(planted), 1):.1%}, {alarms} false alarms."
    )
    table = "\n".join(lines)
    print(table)
    return table


if __name__ == "__main__":
    main()
