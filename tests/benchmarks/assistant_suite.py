"""The guided brain on the public suite, three times over: what it gets right, and how fast."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.settings import Settings
from ui.suite import run_suite

SUITE = Path(__file__).resolve().parents[1] / "suite"
REPEATS = 3


def main() -> str:
    """Play every public case three times; return the figures as a table."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        base = Settings(home=home, work_dir=home, user_home=home)
        result = run_suite([SUITE], brain="guided", base=base, repeats=REPEATS)
    print(result.text())
    figures = result.document()
    rows = ["| figure | value |", "|---|---|"]
    for name in (
        "turns",
        "turn_accuracy",
        "case_accuracy",
        "argument_accuracy",
        "forbidden_calls",
        "unapproved_effects",
        "pass_k",
        "p95_ms",
    ):
        rows.append(f"| {name} | {figures[name]} |")
    rows.append(f"| repeats | {REPEATS} |")
    failed = sorted({failure["case"] for failure in figures["failures"]})
    rows.append(f"| cases with a failure | {', '.join(failed) or 'none'} |")
    return "\n".join(rows)
