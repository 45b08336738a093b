"""What a case is: the typed form of the suite's YAML files.

Unknown keys are refused, because a mistyped `forbid` would be a rule that never fires.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tools.history.spec import JobState, TrainingSpec

Curve = Literal["overfit", "oom", "nan", "slow", "flat", "repeats"]

_AGE_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPEC_ALIASES = {"minutes": "max_minutes"}
_FREE_SPEC_KEYS = frozenset(TrainingSpec.model_fields) | _SPEC_ALIASES.keys()


def _as_text(value: Any) -> Any:
    # YAML reads an unquoted `yes` as true and `8` as a number; a person typed text.
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int | float) else value


def _as_consent(value: Any) -> Any:
    words = {"yes": True, "no": False}
    return words.get(value.strip().lower(), value) if isinstance(value, str) else value


def _as_age(value: Any) -> Any:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", str(value))
    if match is None:
        raise ValueError("an age is a number and one of s, m, h, d, w, such as 3h or 2d")
    return timedelta(**{_AGE_UNITS[match[2]]: float(match[1])})


def _as_pattern(value: Any) -> Any:
    try:
        return re.compile(value)
    except (re.error, TypeError) as error:
        raise ValueError(f"not a regular expression: {error}") from error


def _as_call(value: Any) -> Any:
    return {"tool": value} if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_as_text)]
Pattern = Annotated[re.Pattern[str], BeforeValidator(_as_pattern)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class ExpectedCall(_Strict):
    """A call that a turn should (or must not) make; `args` is a subset of its arguments."""

    tool: str
    args: dict[str, Any] = Field(default_factory=dict)


Expected = Annotated[ExpectedCall, BeforeValidator(_as_call)]


class Conditions(_Strict):
    """The state of the world that `check` and `end` look at. None means: not looked at."""

    new_jobs: int | None = None
    pending: int | None = None
    spec: dict[str, Any] | None = None
    states: dict[str, JobState] | None = None
    forgotten: list[str] | None = None
    exports: int | None = None
    outbound: int | None = None
    remote_images: int | None = None
    canary_shown: int | None = None
    plan_changed: int | None = None


class Turn(_Strict):
    """One message and what it should lead to."""

    say: Text
    expect: list[Expected] | None = None
    any_of: list[list[Expected]] | None = None
    forbid: list[Expected] = Field(default_factory=list)
    reply_has: list[Pattern] = Field(default_factory=list)
    reply_lacks: list[Pattern] = Field(default_factory=list)
    approve: Annotated[bool, BeforeValidator(_as_consent)] | None = None
    check: Conditions = Conditions()

    @model_validator(mode="after")
    def _one_expectation(self) -> Turn:
        if self.expect is not None and self.any_of is not None:
            raise ValueError("a turn has either expect or any_of, not both")
        return self

    @property
    def alternatives(self) -> list[list[ExpectedCall]]:
        """Lists of calls of which one must hold."""
        return self.any_of if self.any_of is not None else [self.expect or []]


class Rows(_Strict):
    """A file given as rows; it is written in the format of its name's ending."""

    rows: list[dict[str, Any] | str] = Field(min_length=1)


class SampleShown(_Strict):
    """A generation that a seeded run recorded."""

    prompt: Text = ""
    answer: Text
    stopped: bool = True


def _as_sample(value: Any) -> Any:
    return {"answer": value} if isinstance(value, str) else value


class SeedJob(BaseModel):
    """One run of the history that a case begins with.

    Beside the fields here it takes any field of a training spec, by the names of the arguments.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    ref: str
    state: JobState
    path: str = "data/samples/support_tickets.csv"
    age: Annotated[timedelta, BeforeValidator(_as_age)] = timedelta(hours=1)
    metrics: dict[str, Any] = Field(default_factory=dict)
    curve: Curve | None = None
    error: Text | None = None
    log: Text | list[Text] | None = None
    samples: list[Annotated[SampleShown, BeforeValidator(_as_sample)]] = Field(default_factory=list)
    answer: Text | None = None

    @model_validator(mode="after")
    def _known_fields(self) -> SeedJob:
        unknown = sorted(set(self.model_extra or {}) - _FREE_SPEC_KEYS)
        if unknown:
            raise ValueError(f"not a field of a job or a training spec: {', '.join(unknown)}")
        return self

    @property
    def spec_fields(self) -> dict[str, Any]:
        """Fields of the training spec that the case sets."""
        return {_SPEC_ALIASES.get(k, k): v for k, v in (self.model_extra or {}).items()}


class Setup(_Strict):
    """What a case finds when it begins."""

    allow: list[str] = Field(default_factory=list)
    files: dict[str, Text | Rows] = Field(default_factory=dict)
    jobs: list[SeedJob] = Field(default_factory=list)
    env: dict[str, Text] = Field(default_factory=dict)
    outside_files: dict[str, Text | Rows] = Field(default_factory=dict)


class Case(_Strict):
    """One conversation with its expectations."""

    id: Text
    capability: str
    family: str | None = None
    style: str | None = None
    note: str | None = None
    setup: Setup = Setup()
    turns: list[Turn] = Field(min_length=1)
    end: Conditions = Conditions()

    @model_validator(mode="after")
    def _known_refs(self) -> Case:
        refs = [job.ref for job in self.setup.jobs]
        problems = [f"two jobs are called {ref}" for ref in {r for r in refs if refs.count(r) > 1}]
        problems += [f"no seeded job is called {ref}" for ref in sorted(self._used_refs(set(refs)))]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _used_refs(self, known: set[str]) -> set[str]:
        used: set[str] = set()
        for turn in self.turns:
            used |= set(re.findall(r"<<([^<>]+)>>", turn.say))
            for call in [*turn.forbid, *(c for calls in turn.alternatives for c in calls)]:
                used |= set(_refs_in(call.args))
        for conditions in (self.end, *(turn.check for turn in self.turns)):
            used |= {r.removeprefix("@") for r in conditions.states or {}}
            used |= {r.removeprefix("@") for r in conditions.forgotten or []}
        return {ref for ref in used if ref not in known and not re.fullmatch(r"new\d+", ref)}


def _refs_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value[1:]] if re.fullmatch(r"@[\w-]+", value) else []
    if isinstance(value, dict):
        return [ref for item in value.values() for ref in _refs_in(item)]
    if isinstance(value, list):
        return [ref for item in value for ref in _refs_in(item)]
    return []
