"""Write every sample file from the phrase banks beside this script.

Run it from anywhere: ``python data/samples/make/build_samples.py``. Output is the same each time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conversations import build_faq, build_preferences, build_tones
from tickets import build_tickets

OUT = Path(__file__).resolve().parents[1]


def _write_csv(name: str, rows: list[dict[str, str]]) -> None:
    with (OUT / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_jsonl(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (OUT / name).write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Build and write all files."""
    training, heldout = build_tickets()
    _write_csv("support_tickets.csv", training)
    _write_csv("support_tickets_heldout.csv", heldout)
    _write_jsonl("product_faq.jsonl", build_faq())
    _write_jsonl("phrase_tone.jsonl", build_tones())
    _write_jsonl("preferences.jsonl", build_preferences())


if __name__ == "__main__":
    main()
