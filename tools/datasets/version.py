"""Reads a prepared version back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.datasets.checks import RowChecks
from tools.datasets.example import Example
from tools.datasets.examples import entities
from tools.datasets.gather import Gathered
from tools.datasets.limits import Deadline
from tools.datasets.manifest import Manifest, SplitName
from tools.datasets.table_rows import arrow_rows


def split_rows_of(folder: Path, manifest: Manifest, split: SplitName) -> Iterator[dict[str, Any]]:
    """Yield the canonical rows of one split, in the order they were written."""
    return arrow_rows(manifest.split_file(folder, split), "parquet")


def example_of(record: dict[str, Any]) -> Example:
    """Return a canonical row as an example."""
    if "messages" in record:
        messages = record["messages"]
        said = [m["content"] for m in messages if m["role"] == "assistant"]
        heard = [f"{m['role']}: {m['content']}" for m in messages if m["role"] != "assistant"]
        return Example("\n".join(heard), "\n".join(said), messages=messages)
    if "text" in record:
        return Example("", record["text"], text=record["text"])
    if "tokens" in record:
        words, tags = record["tokens"], record["tags"]
        return Example(" ".join(words), entities(words, tags), tokens=words, tags=tags)
    prompt, completion = record["prompt"], record["chosen" if "chosen" in record else "completion"]
    label = record.get("label")
    return Example(
        asked="\n".join(m["content"] for m in prompt),
        answer="\n".join(m["content"] for m in completion),
        prompt=prompt,
        completion=completion,
        label=label if isinstance(label, str) else None,
        rejected=record.get("rejected"),
        verdict=label if isinstance(label, bool) else None,
    )


CHECK_SECONDS = 15.0
"""A version's rows are looked at one by one for so long; they were looked at when it was made."""


def gather_version(folder: Path, manifest: Manifest, checks: RowChecks | None = None) -> Gathered:
    """Return the facts about all rows of a version.

    Args:
        checks: Looks at each row, whose columns are `asked` and `answer`.
    """
    found = Gathered()
    deadline = Deadline(CHECK_SECONDS)
    for split in manifest.splits:
        for record in split_rows_of(folder, manifest, split):
            example = example_of(record)
            found.rows += 1
            found.split_rows[split] += 1
            if checks and not deadline.passed:
                shown = {"asked": example.asked, "answer": example.answer}
                checks.see(record["row"], shown, example)
            if not record.get("synthetic"):  # else every one would count as a near duplicate
                found.add(record["row"], split, example)
    return found
