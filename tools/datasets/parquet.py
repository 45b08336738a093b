"""Writes the splits of a version, a batch in memory at a time."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tools.datasets.manifest import Manifest, SplitName

_BATCH = 2000
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_ANSWERED = [("prompt", _MESSAGES), ("completion", _MESSAGES)]
_FIELDS: dict[str, list[tuple[str, pa.DataType]]] = {
    "chat": [("messages", _MESSAGES)],
    "text": [("text", pa.string())],
    "dpo": [("prompt", _MESSAGES), ("chosen", _MESSAGES), ("rejected", _MESSAGES)],
    "kto": [*_ANSWERED, ("label", pa.bool_())],
    "token_classification": [("tokens", pa.list_(pa.string())), ("tags", pa.list_(pa.string()))],
}


def schema_of(manifest: Manifest) -> pa.Schema:
    """Return the columns of a version's splits."""
    fields = [("row", pa.int64()), *_FIELDS.get(manifest.objective, _ANSWERED)]
    if manifest.objective not in _FIELDS and manifest.labels:
        fields.append(("label", pa.string()))
    if manifest.options.get("augment"):
        fields.append(("synthetic", pa.bool_()))
    return pa.schema(fields)


class SplitWriter:
    """Collects rows by split and writes them as Parquet."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._schema = schema_of(manifest)
        self._waiting: dict[SplitName, list[dict[str, Any]]] = {s: [] for s in manifest.splits}
        self._writers = {
            split: pq.ParquetWriter(
                manifest.split_file(folder, split), self._schema, compression="zstd"
            )
            for split in manifest.splits
        }

    def add(self, split: SplitName, record: dict[str, Any]) -> None:
        """Add one row."""
        waiting = self._waiting[split]
        waiting.append(record)
        if len(waiting) >= _BATCH:
            self._flush(split)

    def _flush(self, split: SplitName) -> None:
        if self._waiting[split]:
            table = pa.Table.from_pylist(self._waiting[split], schema=self._schema)
            self._writers[split].write_table(table)
            self._waiting[split].clear()

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for split, writer in self._writers.items():
            if kind is None:
                self._flush(split)
            writer.close()
