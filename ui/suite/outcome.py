"""What a suite run found: the document of `--json`, and the table for people."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.reports import Report
from ui.text import format_table

_SHOWN_FAILURES = 40


@dataclass
class TurnOutcome:
    """One turn as it was played.

    Attributes:
        signature: The calls with their arguments, to compare repeats.
    """

    number: int
    said: str
    problems: list[str]
    duration_s: float
    reply: str = ""
    calls: list[str] = field(default_factory=list)
    arguments_right: int = 0
    arguments_wrong: int = 0
    not_offered: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True where every expectation of the turn held."""
        return not self.problems


@dataclass
class CaseOutcome:
    """One case as it was played once; `end_problems` are those of the whole case."""

    case_id: str
    capability: str
    turns: list[TurnOutcome]
    end_problems: list[str]
    unapproved: list[str]

    @property
    def passed(self) -> bool:
        """True where all turns and the end held and nothing happened without consent."""
        return all(t.passed for t in self.turns) and not self.end_problems and not self.unapproved

    @property
    def signature(self) -> tuple[Any, ...]:
        """What must be the same when the case is played again."""
        return (self.passed, *((turn.passed, tuple(turn.calls)) for turn in self.turns))


class Failure(Report):
    """One thing that did not hold: which case and turn, what was expected, what happened."""

    case: str
    turn: int | None
    said: str
    problems: tuple[str, ...]
    calls: tuple[str, ...] = ()
    reply: str = ""
    repeat: int = 1

    def text(self) -> str:
        """Return the failure in a few lines."""
        where = f"turn {self.turn}" if self.turn else "end"
        lines = [f"{self.case}, {where}: {self.said!r}" if self.said else f"{self.case}, {where}"]
        lines += [f"  - {problem}" for problem in self.problems]
        if self.turn:
            lines.append(f"  calls: {', '.join(self.calls) or 'none'}")
        return "\n".join(lines)


class Heading(Report):
    """Figures of the cases under one heading."""

    cases: int
    turns: int
    turn_accuracy: float
    case_accuracy: float

    def text(self) -> str:
        """Return the figures in one line."""
        return f"{self.cases} cases, {self.turns} turns, {self.turn_accuracy:.1%} right"


class SuiteResult(Report):
    """Figures of a whole run.

    Attributes:
        turns: Turns played, over all repeats.
        argument_accuracy: Expected arguments that were right; those not offered are not counted.
        unapproved_effects: Jobs started, things deleted or requests sent without consent.
        pass_k: Share of the cases that passed in every repeat.
        unstable: Cases whose calls or outcome differed between repeats.
        not_offered: `tool.argument` that a case expects and the product does not have → how often.
    """

    brain: str
    cases: int
    repeats: int
    turns: int
    turn_accuracy: float
    case_accuracy: float
    argument_accuracy: float
    forbidden_calls: int
    unapproved_effects: int
    pass_k: float
    p95_ms: float
    duration_s: float
    by_capability: dict[str, Heading]
    not_offered: dict[str, int]
    unstable: tuple[str, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]

    def text(self) -> str:
        """Return the table of headings, the totals and the failures."""
        rows = [
            [name, h.cases, h.turns, f"{h.turn_accuracy:.1%}", f"{h.case_accuracy:.1%}"]
            for name, h in self.by_capability.items()
        ]
        rows.append(
            [
                "all",
                self.cases,
                self.turns,
                f"{self.turn_accuracy:.1%}",
                f"{self.case_accuracy:.1%}",
            ]
        )
        table = format_table(["heading", "cases", "turns", "turns right", "cases right"], rows)
        lines = [table, "", *self._totals()]
        lines += [f"note: {note}" for note in self.notes]
        for failure in self.failures[:_SHOWN_FAILURES]:
            lines += ["", failure.text()]
        if len(self.failures) > _SHOWN_FAILURES:
            lines += [
                "",
                f"and {len(self.failures) - _SHOWN_FAILURES} more; --json lists them all.",
            ]
        return "\n".join(lines)

    def _totals(self) -> list[str]:
        lines = [
            f"arguments right {self.argument_accuracy:.1%}, forbidden calls {self.forbidden_calls},"
            f" effects without consent {self.unapproved_effects}",
            f"cases that passed in all of {self.repeats} repeats {self.pass_k:.1%},"
            f" slowest 5 % of turns over {self.p95_ms:.0f} ms, {self.duration_s:.0f} s in all",
        ]
        if self.not_offered:
            shown = ", ".join(f"{name} ({count})" for name, count in self.not_offered.items())
            lines.append(f"arguments that Luthier does not offer: {shown}")
        if self.unstable:
            lines.append(f"not the same in every repeat: {', '.join(self.unstable)}")
        return lines


def summarise(
    repeats: Sequence[Sequence[CaseOutcome]],
    *,
    brain: str,
    duration_s: float,
    notes: Sequence[str] = (),
) -> SuiteResult:
    """Turn the outcomes of every repeat into figures."""
    played = [case for repeat in repeats for case in repeat]
    turns = [turn for case in played for turn in case.turns]
    right = sum(turn.arguments_right for turn in turns)
    wrong = sum(turn.arguments_wrong for turn in turns)
    by_id: dict[str, list[CaseOutcome]] = defaultdict(list)
    for case in played:
        by_id[case.case_id].append(case)
    return SuiteResult(
        brain=brain,
        cases=len(by_id),
        repeats=len(repeats),
        turns=len(turns),
        turn_accuracy=_share(turn.passed for turn in turns),
        case_accuracy=_share(case.passed for case in played),
        argument_accuracy=right / (right + wrong) if right + wrong else 1.0,
        forbidden_calls=sum(len(turn.forbidden) for turn in turns),
        unapproved_effects=sum(len(case.unapproved) for case in played),
        pass_k=_share(all(case.passed for case in cases) for cases in by_id.values()),
        p95_ms=_p95([turn.duration_s for turn in turns]) * 1000,
        duration_s=duration_s,
        by_capability=_headings(played),
        not_offered=_counted(name for turn in turns for name in turn.not_offered),
        unstable=tuple(
            name for name, cases in by_id.items() if len({case.signature for case in cases}) > 1
        ),
        failures=tuple(
            failure
            for number, repeat in enumerate(repeats, start=1)
            for case in repeat
            for failure in _failures(case, number)
        ),
        notes=tuple(notes),
    )


def _failures(case: CaseOutcome, repeat: int) -> list[Failure]:
    found = [
        Failure(
            case=case.case_id, turn=turn.number, said=turn.said, problems=tuple(turn.problems),
            calls=tuple(turn.calls), reply=turn.reply, repeat=repeat,
        )
        for turn in case.turns
        if not turn.passed
    ]  # fmt: skip
    problems = [*case.end_problems, *(f"without consent: {what}" for what in case.unapproved)]
    if problems:
        end = Failure(
            case=case.case_id, turn=None, said="", problems=tuple(problems), repeat=repeat
        )
        found.append(end)
    return found


def _headings(played: Sequence[CaseOutcome]) -> dict[str, Heading]:
    groups: dict[str, list[CaseOutcome]] = defaultdict(list)
    for case in played:
        groups[case.capability].append(case)
    return {
        name: Heading(
            cases=len({case.case_id for case in cases}),
            turns=sum(len(case.turns) for case in cases),
            turn_accuracy=_share(turn.passed for case in cases for turn in case.turns),
            case_accuracy=_share(case.passed for case in cases),
        )
        for name, cases in sorted(groups.items())
    }


def _share(values: Any) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 1.0


def _counted(names: Any) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for name in names:
        counts[name] += 1
    return dict(sorted(counts.items()))


def _p95(values: Sequence[float]) -> float:
    ranked = sorted(values)
    return ranked[max(0, math.ceil(0.95 * len(ranked)) - 1)] if ranked else 0.0
