"""Packs recorded streams into one small file: `python -m tests.sick.pack FILE…`."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from tests.sick.cases import HEALTHY, SICK

TARGET = Path(__file__).parent / "recorded.jsonl.gz"


def main(names: list[str]) -> int:
    """Write every case once, in the order of the cases, with figures rounded."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        for line in Path(name).read_text(encoding="utf-8").splitlines():
            document = json.loads(line)
            found[document["name"]] = document
    with TARGET.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
        for case in (*SICK, *HEALTHY):
            if case.name in found:
                document = _rounded(found[case.name] | {"code": case.code})
                model = Path(document["spec"]["model"]).name
                document["spec"]["model"] = model
                for event in document["events"]:
                    if event["kind"] == "setup":
                        event["model"] = model
                    event.pop("note", None)
                file.write((json.dumps(document, separators=(",", ":")) + "\n").encode())
    left = [case.name for case in (*SICK, *HEALTHY) if case.name not in found]
    print(f"{len(found)} runs, {TARGET.stat().st_size} bytes; not recorded: {left or 'none'}")
    return 0


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
