"""What a prepared dataset version is: a folder with Parquet splits and this manifest.

    datasets/<id>/train.parquet  validation.parquet  [test.parquet]  manifest.json

Columns of the splits by objective:

- `prompt_completion`: `prompt` and `completion`, each a list of `{role, content}`; `label` (text)
  where the task has a fixed set of answers.
- `chat`: `messages`, a list of `{role, content}`.
- `text`: `text`.
- `dpo`: `prompt`, `chosen` and `rejected`, each a list of `{role, content}`.
- `kto`: `prompt` and `completion`, each a list of `{role, content}`; `label` (true or false).
- `token_classification`: `tokens` and `tags`, lists of texts of one length.

Every split also has `row`, the row's number in the source, counted from 0; where rows were added
by augmentation, `synthetic` is true for those.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tools.errors import NotFound
from tools.history.spec import Objective

SplitName = Literal["train", "validation", "test"]


class Step(BaseModel):
    """One thing that was done to the rows, and how many it touched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows_before: int
    rows_after: int
    note: str = ""


class Manifest(BaseModel):
    """Description of a prepared version. Same source and options give the same `fingerprint`.

    Attributes:
        id: `<name>@<first characters of the fingerprint>`, safe as a folder name.
        source: What the person named; `source_path` is where it was found.
        source_sha256: Digest of the source's bytes, checked before training.
        columns: Source column → role, such as `{"text": "input", "label": "output"}`.
        labels: The answers in order of frequency, for tasks with a fixed set of answers; the tags
            for token classification.
        parent: Id of the prepared version that this one was made from, if it was.
        synthetic: Rows of the training split that augmentation added.
        options: The choices that `prepare` was called with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    id: str
    fingerprint: str
    source: str
    source_path: str
    source_sha256: str
    format: str
    task: str
    objective: Objective
    columns: dict[str, str]
    template: str | None = None
    parent: str | None = None
    synthetic: int = 0
    labels: tuple[str, ...] = ()
    splits: dict[SplitName, int]
    characters_p95: int
    steps: tuple[Step, ...]
    options: dict[str, Any]
    created_at: datetime

    def split_file(self, folder: Path, split: SplitName) -> Path:
        """Return the Parquet file of a split.

        Raises:
            NotFound: This version has no such split.
        """
        if split not in self.splits:
            raise NotFound(
                f"Dataset {self.id} has no {split} split.",
                hint=f"It has: {', '.join(self.splits)}.",
            )
        return folder / f"{split}.parquet"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a prepared version.

    Raises:
        NotFound: The folder holds none.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise NotFound(
            f"There is no prepared dataset in {folder}.", hint="Prepare the source file again."
        )
    return Manifest.model_validate_json(path.read_bytes())
