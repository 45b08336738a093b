"""Whether cures work: really trained sick runs, diagnosed, changed as proposed, trained again."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.sick import cure_runs


def main() -> str:
    """Train every pair of runs and return the table; takes some minutes."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "cures.jsonl"
        cure_runs.main([str(target)])
        return table([json.loads(line) for line in target.read_text("utf-8").splitlines()])


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
    return "\n".join([*lines, "", f"Better in {better} of {len(rows)}."])
