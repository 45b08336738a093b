"""A prepared version tells what is still wrong with it, so that one fix can follow another."""

from __future__ import annotations

import csv
from pathlib import Path

from tools.context import Context
from tools.datasets.inspect import inspect_file
from tools.datasets.prepare import PrepareOptions, prepare


def test_a_version_tells_the_problems_of_its_text_until_they_are_fixed(
    ctx: Context, tmp_path: Path
) -> None:
    rows = [[f"invoice {n} of month {n * 7} is wrong", "billing"] for n in range(40)]
    rows += [[f"parcel {n} with {n * 3} books has not come", "delivery"] for n in range(40)]
    for number in range(5):
        rows[number][0] = f"<p>{rows[number][0]}</p><br>"
    path = tmp_path / "tickets.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["text", "label"], *rows])

    first = prepare(ctx, str(path), PrepareOptions(dedupe=True))
    found = {p.code: p for p in inspect_file(ctx, first.id).problems}
    assert found["html_debris"].count == 5
    assert found["html_debris"].fix_arguments == {"fixes": ["html_debris"]}

    second = prepare(ctx, first.id, PrepareOptions(fixes=("html_debris",)))
    assert second.parent == first.id
    assert "html_debris" not in {p.code for p in inspect_file(ctx, second.id).problems}
