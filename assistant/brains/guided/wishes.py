"""What a person wants, as a message says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wish:
    """One thing a person wants.

    Attributes:
        score: Strength of the evidence.
        clause: The words it was found in.
        question: It was put as a question, not as a request.
    """

    intent: str
    score: float
    clause: str
    question: bool = False


@dataclass(frozen=True)
class Understanding:
    """What a message says.

    Attributes:
        wishes: In the order in which they are to be met.
        banned: Intents the person does not want now.
        fragments: Clauses without a wish of their own.
    """

    wishes: tuple[Wish, ...]
    banned: frozenset[str]
    fragments: tuple[str, ...]

    @property
    def first(self) -> str | None:
        """Intent of the first wish."""
        return self.wishes[0].intent if self.wishes else None
