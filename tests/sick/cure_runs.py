"""Applies the proposed cure to trained sick runs and measures: `… cure_runs FILE [PART OF]`."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.sick.cases import SICK
from tests.sick.training import Case, make_context, train_in
from tools.diagnose.compare import figures_of
from tools.diagnose.diagnose import diagnose

MEASURES = {
    "truncation": ("rows cut", "truncated_share", -1),
    "eval_dominates": ("seconds of evaluation a step", "eval_per_step", -1),
    "forgetting": ("loss on general text above the base's", "general_loss_rise", -1),
    "class_collapse": ("macro F1", "macro_f1", 1),
    "padding_waste": ("share of padding", "padding_share", -1),
}
_USUAL = ("last validation loss", "eval_loss", -1)


def try_cure(case: Case) -> dict[str, Any]:
    """Train the sick run, diagnose it, change what its own first fitting cure says, train again."""
    with tempfile.TemporaryDirectory() as folder:
        ctx = make_context(Path(folder))
        sick = train_in(ctx, case)
        report = diagnose(ctx, job=sick)
        found = next((c for c in report.causes if c.code == case.code), None)
        if found is None:
            said = [c.code for c in report.causes]
            return {"name": case.name, "code": case.code, "said": said, "state": report.state}
        changes = {name: new for name, (_, new) in found.cure.changes.items()}
        cured = train_in(ctx, case, **changes, cures=sick)
        words, key, sign = MEASURES.get(case.code, _USUAL)
        before, after = (
            figures_of(ctx.store, ctx.store.jobs.get(job)).get(key, math.nan)
            for job in (sick, cured)
        )
        if ctx.store.jobs.get(sick).state != "succeeded":
            # A run that was refused or died measured nothing: ending is what the cure is for.
            ended = ctx.store.jobs.get(cured).state == "succeeded"
            words, before, after, sign = "reached its end", 0.0, float(ended), 1
        told = diagnose(ctx, job=cured).comparison
        return {
            "name": case.name,
            "code": case.code,
            "place": report.causes.index(found) + 1,
            "changes": {k: [str(a), str(b)] for k, (a, b) in found.cure.changes.items()},
            "measure": words,
            "before": before,
            "after": after,
            "better": sign * (after - before) > 0,
            "told": told.worked if told else None,
        }


def main(arguments: list[str]) -> int:
    """Try every `OF`-th cure from `PART` on, and append what came of it to the file."""
    target = Path(arguments[0])
    part, of = (int(a) for a in arguments[1:3]) if len(arguments) > 2 else (0, 1)
    done = set()
    if target.is_file():
        lines = target.read_text(encoding="utf-8").splitlines()
        done = {json.loads(line)["name"] for line in lines}
    for case in [c for c in SICK if c.cured][part::of]:
        if case.name in done:
            continue
        with contextlib.redirect_stdout(sys.stderr):
            result = try_cure(case)
        with target.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        print(result, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
