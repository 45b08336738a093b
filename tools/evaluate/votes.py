"""People judge too: blind comparisons of the base's and the tuned model's answers.

Every judge is shown the same pairs in an order of their own, and on which side the tuned answer
stands is drawn for each judge and pair, stored, and never shown. Votes are kept in the history.
"""

from __future__ import annotations

import random
import secrets
from collections import defaultdict
from typing import Any

from tools.context import Context
from tools.errors import BadInput, Conflict
from tools.evaluate.agreement import krippendorff_alpha, preference, same_choice_share
from tools.evaluate.ballot import Ballot, Preference, Side, Tally
from tools.evaluate.figures import Word
from tools.evaluate.pairs import judged_job, read_pairs
from tools.evaluate.stored import stored_judgement
from tools.evaluate.verdict import MIN_ROWS
from tools.history.ballots import BallotRecord, Choice
from tools.history.jobs import JobRecord
from tools.jobs.find import find_job

MOST_PAIRS = 60
"""Pairs that one judge is asked about at most: about a quarter of an hour."""
MODEL_VOTER = "model:"
"""Votes of a language model carry this before its name; they are told apart from people's."""
_LONGEST_NAME = 80


def open_ballot(ctx: Context, job: str, voter: str) -> Ballot:
    """Return the next pair for a judge; at the first call the judge's ballots are dealt.

    Raises:
        NotFound: There is no such job.
        Conflict: It has no answers that differ.
        BadInput: The judge has no name.
    """
    name = _name_of(voter)
    record = judged_job(ctx, find_job(ctx, job))
    pairs = read_pairs(ctx, record)
    if not pairs:
        raise Conflict(
            f"Both models gave the same answers to all rows of {record.id}.",
            hint="There is nothing to choose between; look at the figures instead.",
        )
    mine = ctx.store.ballots.of(record.id, name)
    if not mine:
        ctx.store.ballots.deal(record.id, name, _dealt(record.id, len(pairs)))
        mine = ctx.store.ballots.of(record.id, name)
    left = [ballot for ballot in mine if ballot.choice is None and ballot.pair < len(pairs)]
    done = sum(ballot.choice is not None for ballot in mine)
    if not left:
        return Ballot(id=None, job=record.id, voter=name, done=done, total=len(mine))
    pair = pairs[left[0].pair]
    answers = (pair.tuned, pair.base) if left[0].tuned_first else (pair.base, pair.tuned)
    return Ballot(
        id=left[0].id,
        job=record.id,
        voter=name,
        done=done,
        total=len(mine),
        prompt=pair.prompt,
        expected=pair.expected,
        first=answers[0],
        second=answers[1],
    )


def cast(ctx: Context, ballot: str, choice: Side, voter: str) -> Ballot:
    """Record what a judge prefers and return the judge's next pair.

    Voting again on the same ballot changes the vote. The job's verdict takes the votes in at once.

    Raises:
        NotFound: There is no such ballot.
        BadInput: It is another judge's, or the choice is none of `first`, `second`, `tie`.
    """
    record = ctx.store.ballots.get(ballot)
    if record.voter != _name_of(voter):
        raise BadInput("This ballot is another judge's.", hint="Open one under your own name.")
    if choice not in ("first", "second", "tie"):
        raise BadInput(f"{choice!r} is no choice.", hint="Choose first, second or tie.")
    ctx.store.ballots.cast(ballot, _choice(record, choice))
    take_in(ctx, record.job_id)
    return open_ballot(ctx, record.job_id, record.voter)


def tally(ctx: Context, job: str) -> Tally:
    """Count the votes on a job's answers.

    Raises:
        NotFound: There is no such job.
        Conflict: It has no answers.
    """
    return count_votes(ctx, judged_job(ctx, find_job(ctx, job)))


def count_votes(ctx: Context, record: JobRecord) -> Tally:
    """Count the votes on the answers that a job keeps; no votes is a tally too."""
    ballots = ctx.store.ballots.of(record.id)
    people = [b for b in ballots if not b.voter.startswith(MODEL_VOTER)]
    model = [b for b in ballots if b.voter.startswith(MODEL_VOTER)]
    return Tally(
        job=record.id,
        total=len({ballot.pair for ballot in ballots}),
        people=_preference(people),
        model=_preference(model),
    )


def with_people(word: Word, text: str, votes: Tally) -> tuple[Word, str]:
    """Return a verdict that has taken the votes in.

    Enough votes surely for the base hold back `ship` and `promising`; enough surely for the tuned
    model lift `no gain` to `promising`. A language model's votes are told and decide nothing.
    """
    if not votes.text:
        return word, text
    people = votes.people
    if people and people.pairs >= MIN_ROWS:
        low, high = people.share.low or 0.0, people.share.high or 1.0
        if high < 0.5:
            lowered: dict[Word, Word] = {"ship": "promising", "promising": "no gain"}
            word = lowered.get(word, word)
        elif low > 0.5 and word == "no gain":
            word = "promising"
    return word, f"{text} {votes.text}"


def take_in(ctx: Context, job_id: str) -> None:
    """Let a job's verdict and metrics hear of the votes."""
    record = ctx.store.jobs.get(job_id)
    votes = count_votes(ctx, record)
    preferred = votes.people.model_dump(mode="json") if votes.people else None
    metrics: dict[str, Any] = {"preference": preferred}
    judgement = stored_judgement(ctx, record)
    if judgement:
        word, text = with_people(judgement.verdict, judgement.verdict_text, votes)
        metrics |= {"verdict": word, "verdict_text": text}
    ctx.store.jobs.record(job_id, metrics=metrics)


def _dealt(job_id: str, pairs: int) -> list[tuple[str, int, bool]]:
    # All judges see the same pairs, or they could not agree on any; sides and order are drawn.
    chosen = random.Random(job_id).sample(range(pairs), min(pairs, MOST_PAIRS))
    drawn = secrets.SystemRandom()
    drawn.shuffle(chosen)
    return [(secrets.token_hex(8), pair, drawn.random() < 0.5) for pair in chosen]


def _choice(record: BallotRecord, side: Side) -> Choice:
    if side == "tie":
        return "tie"
    return "tuned" if (side == "first") == record.tuned_first else "base"


def _name_of(voter: str) -> str:
    name = " ".join(voter.split())
    usable = name.isprintable() and not name.lower().startswith(MODEL_VOTER)
    if not name or len(name) > _LONGEST_NAME or not usable:
        raise BadInput(
            "A judge needs a plain name of at most 80 characters.",
            hint="Any name will do; it keeps your votes apart from those of others.",
        )
    return name


def _preference(ballots: list[BallotRecord]) -> Preference | None:
    by_pair: dict[int, list[str]] = defaultdict(list)
    for ballot in ballots:
        if ballot.choice is not None:
            by_pair[ballot.pair].append(ballot.choice)
    units = list(by_pair.values())
    share = preference(units, wanted="tuned", tie="tie")
    if share is None:
        return None
    cast_ = [choice for choices in units for choice in choices]
    return Preference(
        voters=tuple(sorted({b.voter for b in ballots if b.choice is not None})),
        pairs=len(units),
        tuned=cast_.count("tuned"),
        base=cast_.count("base"),
        ties=cast_.count("tie"),
        share=share,
        agreement=krippendorff_alpha(units),
        same=same_choice_share(units),
    )
