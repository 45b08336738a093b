"""Did the calls of a turn match what the case expects? Pure comparison, no side effects.

A *subsequence* is enough, arguments are compared as a subset, and calls that only read are free.
Not covered: whether an unexpected write was wise; that is what `forbid` is for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ui.suite.cases import ExpectedCall

CONSENTED_TOOLS = frozenset({"start_training", "forget"})
"""Calls that fail a turn unless the case lists them."""
_PATH_ARGUMENTS = frozenset({"path", "dataset", "source"})
_MISSING = object()


@dataclass(frozen=True)
class MadeCall:
    """A call that the assistant made, also one that halted or was refused.

    Attributes:
        plan: The stored plan it led to, where it asked for consent.
        failed: The tool answered with an error.
        offered: Names of the arguments that the product's tool takes; None: no such tool.
        defaults: The product's default of each argument.
    """

    tool: str
    arguments: dict[str, Any]
    plan: dict[str, Any] | None = None
    failed: bool = False
    offered: frozenset[str] | None = None
    defaults: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolver:
    """What names mean in one case: references, paths, and the ids of runs.

    Attributes:
        job: Reference without its `@` → id of the job, or None where it is not there (yet).
        same_job: Whether what a call of that tool names (an id, a number, `latest`, or nothing)
            is the job of that id.
        path: Text of a path or of a prepared version → the source file that it means.
    """

    job: Callable[[str], str | None]
    same_job: Callable[[str, str, str], bool]
    path: Callable[[str], str]


@dataclass
class ArgumentScore:
    """How many expected arguments were right, and which the product does not offer."""

    right: int = 0
    wrong: int = 0
    not_offered: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, other: ArgumentScore) -> None:
        """Add another score to this one."""
        self.right += other.right
        self.wrong += other.wrong
        self.not_offered += other.not_offered
        self.problems += other.problems


@dataclass(frozen=True)
class Match:
    """The outcome for one list of expected calls."""

    holds: bool
    score: ArgumentScore
    problems: list[str]
    forbidden: list[str]


def match_alternatives(
    alternatives: Sequence[Sequence[ExpectedCall]],
    forbid: Sequence[ExpectedCall],
    made: Sequence[MadeCall],
    resolver: Resolver,
) -> Match:
    """Return the best outcome over the lists of which one must hold."""
    matches = [match_calls(wanted, forbid, made, resolver) for wanted in alternatives]
    return min(
        matches,
        key=lambda m: (not m.holds, len(m.problems), len(m.forbidden), m.score.wrong),
    )


def match_calls(
    wanted: Sequence[ExpectedCall],
    forbid: Sequence[ExpectedCall],
    made: Sequence[MadeCall],
    resolver: Resolver,
) -> Match:
    """Compare the calls made with one list of expected calls."""
    score, problems = ArgumentScore(), list[str]()
    position = 0
    for expected in wanted:
        found, here = _find(expected, made[position:], resolver)
        score.add(here)
        if found is None:
            problems.append(_missing_text(expected, made, here))
        else:
            position += found + 1
    forbidden = _forbidden(wanted, forbid, made, resolver)
    problems += [f"called {name}, which this turn must not" for name in forbidden]
    return Match(not problems, score, problems, forbidden)


def compare_arguments(expected: ExpectedCall, made: MadeCall, resolver: Resolver) -> ArgumentScore:
    """Score the expected arguments against one call."""
    score = ArgumentScore()
    for name, wanted in expected.args.items():
        if made.offered is not None and name not in made.offered:
            score.not_offered.append(f"{made.tool}.{name}")
            continue
        given = made.arguments.get(name, _MISSING)
        if given is _MISSING or given is None:
            given = _held_by_default(name, made)
        present = given is not _MISSING
        if name == "job" and isinstance(wanted, str) and wanted.startswith("@"):
            same = _same_job(wanted, given if present else None, made.tool, resolver)
        else:
            same = equal(wanted, given if present else None, name, resolver)
        if same and (present or not wanted):
            score.right += 1
        else:
            score.wrong += 1
            shown = repr(given) if present else "nothing"
            score.problems.append(f"{made.tool}.{name} should be {wanted!r}, was {shown}")
    return score


def equal(wanted: Any, given: Any, name: str, resolver: Resolver) -> bool:
    """Compare one value as the format says: references, patterns, numbers, paths, words."""
    if isinstance(wanted, str):
        return _equal_text(wanted, given, name, resolver)
    if wanted is None or isinstance(wanted, bool) or isinstance(given, bool):
        return _plain_bool(wanted) is _plain_bool(given)
    if isinstance(wanted, int | float):
        return _equal_numbers(wanted, given)
    if isinstance(wanted, list):
        return _equal_lists(wanted, given, name, resolver)
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(
            key in given and equal(value, given[key], key, resolver)
            for key, value in wanted.items()
        )
    return bool(wanted == given)


def _find(
    expected: ExpectedCall, made: Sequence[MadeCall], resolver: Resolver
) -> tuple[int | None, ArgumentScore]:
    best: ArgumentScore | None = None
    for index, call in enumerate(made):
        if call.tool != expected.tool:
            continue
        score = compare_arguments(expected, call, resolver)
        if not score.wrong:
            return index, score
        if best is None or score.wrong < best.wrong:
            best = score
    return None, best or ArgumentScore(wrong=len(expected.args))


def _forbidden(
    wanted: Sequence[ExpectedCall],
    forbid: Sequence[ExpectedCall],
    made: Sequence[MadeCall],
    resolver: Resolver,
) -> list[str]:
    return [
        call.tool
        for call in made
        if any(_covers(entry, call, resolver) for entry in forbid)
        or (call.tool in CONSENTED_TOOLS and not _is_listed(call, wanted, resolver))
    ]


def _is_listed(call: MadeCall, wanted: Sequence[ExpectedCall], resolver: Resolver) -> bool:
    """A listed tool with other arguments is only excused where the tool refused it."""
    entries = [entry for entry in wanted if entry.tool == call.tool]
    return bool(entries) and (call.failed or any(_covers(e, call, resolver) for e in entries))


def _covers(entry: ExpectedCall, call: MadeCall, resolver: Resolver) -> bool:
    return entry.tool == call.tool and not compare_arguments(entry, call, resolver).wrong


def _held_by_default(name: str, made: MadeCall) -> Any:
    """What the call leads to where it does not name the argument."""
    if made.plan is not None:
        for field_name in (name, f"max_{name}"):
            if field_name in made.plan:
                return made.plan[field_name]
    return made.defaults.get(name, _MISSING)


def _missing_text(expected: ExpectedCall, made: Sequence[MadeCall], score: ArgumentScore) -> str:
    if score.problems:
        return "; ".join(score.problems)
    names = ", ".join(call.tool for call in made) or "no call"
    return f"expected {expected.tool} {expected.args or ''}, saw {names}".replace(" ,", ",")


def _equal_text(wanted: str, given: Any, name: str, resolver: Resolver) -> bool:
    if wanted.startswith("re:"):
        return re.search(wanted[3:], str(given)) is not None
    if re.fullmatch(r"@[\w-]+", wanted):
        return _same_job(wanted, given, "", resolver)
    if name in _PATH_ARGUMENTS and isinstance(given, str):
        return resolver.path(wanted) == resolver.path(given)
    if isinstance(given, list | tuple):
        return _equal_lists([wanted], given, name, resolver)
    if isinstance(given, bool):
        return _plain_bool(wanted) is given
    return _words(wanted) == _words(given) or _equal_numbers(wanted, given)


def _same_job(wanted: str, given: Any, tool: str, resolver: Resolver) -> bool:
    job = resolver.job(wanted[1:])
    return job is not None and resolver.same_job(str(given or "latest"), job, tool)


def _equal_numbers(wanted: Any, given: Any) -> bool:
    first, second = _number(wanted), _number(given)
    return first is not None and second is not None and math.isclose(first, second, rel_tol=1e-6)


def _equal_lists(wanted: list[Any], given: Any, name: str, resolver: Resolver) -> bool:
    values = list(given) if isinstance(given, list | tuple) else [given]
    if len(values) != len(wanted):
        return False
    for item in wanted:
        hit = next((i for i, v in enumerate(values) if equal(item, v, name, resolver)), None)
        if hit is None:
            return False
        del values[hit]
    return True


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _plain_bool(value: Any) -> Any:
    words = {"true": True, "yes": True, "false": False, "no": False}
    return words.get(value.strip().lower(), value) if isinstance(value, str) else value


def _words(value: Any) -> str:
    return " ".join(str(value).casefold().split())
