"""Whether cures work: really trained sick runs, diagnosed, changed as proposed, trained again.

What came of each is kept in `results/cures.jsonl`; a case that is missing there is trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.sick import cure_runs

KEPT = Path(__file__).parent / "results" / "cures.jsonl"
_REMARKS = """
A sick run that was refused or died measures nothing: there the cure has to reach its end. `place`
is that of the cause in the first diagnosis, and `told` what the product itself said of the cure
afterwards. "not named" means that the diagnosis did not find the fault, so nothing was cured.
"""


def main() -> str:
    """Train the pairs of runs that are not kept yet and return the table; takes some minutes."""
    cure_runs.main([str(KEPT)])
    return table([json.loads(line) for line in KEPT.read_text("utf-8").splitlines()])


def table(rows: list[dict[str, Any]]) -> str:
    """Return what became of each cure."""
    lines = [
        "| sick run | cause | place | change | measure | sick | cured | better | told |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "measure" not in row:
            lines.append(f"| {row['name']} | {row['code']} | not named | | | | | no | |")
            continue
        diff = ", ".join(f"{k} {a} → {b}" for k, (a, b) in row["changes"].items())
        told = {True: "worked", False: "did not help", None: "–"}[row["told"]]
        lines.append(
            f"| {row['name']} | {row['code']} | {row['place']} | {diff} | {row['measure']} | "
            f"{row['before']:.3g} | {row['after']:.3g} | {'yes' if row['better'] else 'no'} | "
            f"{told} |"
        )
    better = sum(bool(row.get("better")) for row in rows)
    named = sum("measure" in row for row in rows)
    codes = {row["code"] for row in rows if row.get("better")}
    said = f"Better in {better} of {len(rows)} ({named} named), of {len(codes)} kinds."
    return "\n".join([*lines, "", said, _REMARKS.rstrip()])
