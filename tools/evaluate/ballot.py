"""What a judge is shown, and what all votes come to. No arithmetic, nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tools.evaluate.figures import Estimate

Side = Literal["first", "second", "tie"]


class Ballot(BaseModel):
    """The next pair that a judge has not decided on, or none where all are decided.

    Texts are untrusted. Nothing in here tells which answer is the tuned model's.

    Attributes:
        id: Of this judge's ballot; None where nothing is left to judge.
        job: The job whose answers these are.
        done, total: Pairs that this judge has decided on, and all there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None
    job: str
    voter: str
    done: int
    total: int
    prompt: str = ""
    expected: str = ""
    first: str = ""
    second: str = ""


class Preference(BaseModel):
    """What one kind of judge preferred.

    Attributes:
        pairs: Pairs that at least one of them decided on.
        tuned, base, ties: Votes.
        share: Share of the pairs in which the tuned answer was preferred; a tie is half.
        agreement: Krippendorff's alpha (1 all agree, 0 chance); None where nobody judged twice.
        same: Share of equal choices among all two choices on one pair.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    voters: tuple[str, ...]
    pairs: int
    tuned: int
    base: int
    ties: int
    share: Estimate
    agreement: float | None
    same: float | None


class Tally(BaseModel):
    """All votes on one job's answers: of people, and of a language model where one was asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    total: int
    people: Preference | None
    model: Preference | None

    @property
    def text(self) -> str:
        """What was preferred, in one or two sentences; empty where nobody voted."""
        parts = (_sentence("People", self.people), _sentence("A language model", self.model))
        return " ".join(part for part in parts if part)


def _sentence(who: str, found: Preference | None) -> str:
    if found is None:
        return ""
    judges = f"{len(found.voters)} judges" if len(found.voters) > 1 else "one judge"
    agreed = "" if found.agreement is None else f", agreement {found.agreement:.2f}"
    low, high = found.share.low or 0.0, found.share.high or 1.0
    return (
        f"{who} preferred the tuned answer in {found.share.value:.0%} of {found.pairs} pairs "
        f"({low:.0%} to {high:.0%}; {judges}{agreed})."
    )
