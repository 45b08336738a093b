"""Trains the seeded runs and keeps their streams: `python -m tests.sick.record FILE [PART OF]`.

The kept streams are read back by the diagnosis benchmark and by the tests, so that neither has to
train again; this module makes them anew.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

from tests.sick.cases import HEALTHY, SICK
from tests.sick.training import document_of, trained


def main(arguments: list[str]) -> int:
    """Train every `OF`-th case from `PART` on, and append its stream to the file."""
    target = Path(arguments[0])
    part, of = (int(a) for a in arguments[1:3]) if len(arguments) > 2 else (0, 1)
    only = set(arguments[3:])
    cases = [c for c in (*SICK, *HEALTHY) if not only or c.name in only][part::of]
    done = set()
    if target.is_file():
        lines = target.read_text(encoding="utf-8").splitlines()
        done = {json.loads(line)["name"] for line in lines}
    for case in cases:
        if case.name in done:
            continue
        began = time.monotonic()
        with contextlib.redirect_stdout(sys.stderr), trained(case) as (ctx, job_id):
            document = {"name": case.name, "code": case.code, **document_of(ctx, job_id)}
        with target.open("a", encoding="utf-8") as file:
            file.write(json.dumps(document, separators=(",", ":")) + "\n")
        print(f"{case.name}: {document['state']}, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
