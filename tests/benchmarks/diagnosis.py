"""How often the diagnosis names the right cause: seeded sick runs, and healthy ones.

Trained runs are read from `tests/sick/recorded.jsonl.gz`; `python -m tests.sick.record` trains
them anew. Written streams (GPUs, large models, errors) and drawn curves come from seeds. Held out
were the trained runs of `LATE`, the written streams of seed 101 and the drawn curves from 500 on:
nobody looked at them while the rules were made.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.sick import drawn
from tests.sick.cases import LATE
from tests.sick.streams import healthy, sick
from tools.diagnose import streams
from tools.diagnose.diagnose import report_on
from tools.diagnose.evidence import Run
from tools.diagnose.names import read_settings_document
from tools.diagnose.printed import add_log_metrics

RECORDED = Path(__file__).resolve().parents[1] / "sick" / "recorded.jsonl.gz"
DRAWN_SEEN, DRAWN_HELD_OUT = range(40), range(500, 520)
SEEN_SEEDS, HELD_OUT_SEEDS = (1, 2), (101,)


def recorded() -> Iterator[dict[str, Any]]:
    """Give the streams of the runs that were really trained."""
    if RECORDED.is_file():
        with gzip.open(RECORDED, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)


def run_of(document: dict[str, Any]) -> Run:
    """Return a case as the diagnosis sees it: settings, events, log; never its name."""
    run = Run()
    run.spec = read_settings_document(document["spec"])
    streams.add_documents(run, [document] if "state" in document else document["events"])
    run.log = document.get("log", "")
    if not run.steps and run.log:
        add_log_metrics(run, run.log)
    return run


def cases() -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Give every case with its kind and whether it was held out."""
    for document in recorded():
        yield "trained", document["name"] in LATE, document
    for seed in (*SEEN_SEEDS, *HELD_OUT_SEEDS):
        for document in [*sick(seed), *healthy(seed)]:
            yield "written", seed in HELD_OUT_SEEDS, document
    for held_out, seeds in ((False, DRAWN_SEEN), (True, DRAWN_HELD_OUT)):
        for seed in seeds:
            yield "drawn", held_out, drawn.healthy(seed)
            for code in drawn.CODES:
                yield "drawn", held_out, drawn.sick(code, seed)


class Tally:
    """Counts of one group of cases."""

    def __init__(self) -> None:
        self.sick = self.first = self.third = self.healthy = self.alarms = 0

    def add(self, document: dict[str, Any], codes: list[str]) -> None:
        """Count one case."""
        if document["code"]:
            self.sick += 1
            self.first += codes[:1] == [document["code"]]
            self.third += document["code"] in codes[:3]
        else:
            self.healthy += 1
            self.alarms += bool(codes)

    def line(self, name: str) -> str:
        """Return a row of the table."""

        def share(part: int, whole: int) -> str:
            return f"{part} of {whole} ({part / whole:.0%})" if whole else "–"

        return (
            f"| {name} | {share(self.first, self.sick)} | {share(self.third, self.sick)} | "
            f"{share(self.alarms, self.healthy)} |"
        )


def main() -> str:
    """Diagnose every case and return the tables."""
    groups: dict[str, Tally] = defaultdict(Tally)
    causes: dict[str, Tally] = defaultdict(Tally)
    wrong = []
    for kind, held_out, document in cases():
        codes = [str(c.code) for c in report_on(None, run_of(document)).causes]
        when = "held out" if held_out else "seen while making the rules"
        for name in ("all", kind, when, f"{kind}, {when}"):
            groups[name].add(document, codes)
        causes[document["code"] or "(healthy)"].add(document, codes)
        if codes[:1] != ([document["code"]] if document["code"] else []):
            wrong.append(
                f"| {document['name']} | {document['code'] or 'healthy'} | "
                f"{', '.join(codes[:3]) or 'nothing'} |"
            )
    head = ["| cases | first cause right | among the first three | healthy called sick |",
            "|---|---|---|---|"]  # fmt: skip
    lines = [*head, *(tally.line(name) for name, tally in groups.items()), ""]
    lines += ["By cause:", "", *head, *(causes[name].line(name) for name in sorted(causes)), ""]
    lines += [
        "Not first, or a false alarm:",
        "",
        "| case | put in | said |",
        "|---|---|---|",
        *wrong,
    ]
    print("\n".join(lines))
    return "\n".join(lines)
