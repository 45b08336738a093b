"""How a source's columns become training examples."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.history.spec import Objective

Format = Literal[
    "chat",
    "sharegpt",
    "alpaca",
    "prompt_completion",
    "classification",
    "token_classification",
    "qa",
    "translation",
    "summarization",
    "preference",
    "kto",
    "text",
    "tool_calls",
    "unknown",
]
Role = Literal[
    "input",
    "output",
    "instruction",
    "context",
    "choices",
    "messages",
    "tools",
    "system",
    "text",
    "tokens",
    "tags",
    "chosen",
    "rejected",
    "verdict",
    "history",
    "id",
    "ignored",
]


class Mapping(BaseModel):
    """A reading of the columns, with how sure it is and why.

    Attributes:
        objective: What can be trained with it; None where nothing can yet.
        columns: Source column → role, every column of the source.
        languages: Names of the two languages of a translation.
        label_names: Names behind numbered labels, where the file tells them.
        confidence: 0 to 1: measured share of sample rows that fit, times how telling the signs are.
        obstacle: Why it cannot be trained as it is; empty where it can.
        advice: What can be done instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format
    task: str
    objective: Objective | None
    columns: dict[str, Role]
    template: str | None = None
    languages: tuple[str, str] | None = None
    label_names: tuple[str, ...] = ()
    confidence: float = Field(ge=0, le=1)
    reason: str
    obstacle: str = ""
    advice: str = ""

    def having(self, role: Role) -> tuple[str, ...]:
        """Return the columns with a role, in the source's order."""
        return tuple(name for name, own in self.columns.items() if own == role)

    def one(self, role: Role) -> str | None:
        """Return the first column with a role."""
        return next(iter(self.having(role)), None)
