"""Everything that is known of a run, wherever it was made; what is not known is absent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tools.diagnose.curves import Curve

_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)\s*-?([kmb])(?![a-z])", re.IGNORECASE)
_GLUED_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmb])(?![a-z])", re.IGNORECASE)
_UNITS = {"k": 1e3, "m": 1e6, "b": 1e9}
STARTER_PARAMETERS = 3.5e6


@dataclass
class Run:
    """One run as its evidence shows it.

    Attributes:
        spec: Settings under the names of `TrainingSpec`, as far as they are known.
        setup, data, timing, judged: Fields of the events of those kinds; None fields left out.
        gates: Gate → what it measured.
        steps: Fields of every `metrics` event, in order.
        after: Figures of the job's own record (`metrics` and `measured`).
        failures: Fields of `error` events, and the job's own error.
        saved: Steps of the checkpoints that were written.
        log: The end of the log. Untrusted.
        question: What the person says they saw. Untrusted.
        unread: Lines of a stream that could not be read; `read` those that could.
        done_share: Share of the training steps that were done, where it was told.
    """

    subject: str = "This run"
    state: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    setup: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
    judged: dict[str, Any] = field(default_factory=dict)
    gates: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    phases: list[tuple[str, float | None]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    saved: set[int] = field(default_factory=set)
    log: str = ""
    question: str = ""
    unread: int = 0
    read: int = 0
    done_share: float | None = None
    _curves: dict[str, tuple[int, Curve]] = field(default_factory=dict, repr=False)

    @property
    def loss(self) -> Curve:
        """Training loss by step."""
        return self.curve("loss")

    @property
    def eval_loss(self) -> Curve:
        """Validation loss by step."""
        return self.curve("eval_loss")

    def curve(self, name: str) -> Curve:
        """Return one quantity by step, where it is a number. Read once no more rows come."""
        held = self._curves.get(name)
        if held is not None and held[0] == len(self.steps):
            return held[1]
        found: dict[int, float] = {}
        for row in self.steps:
            value = row.get(name)
            if isinstance(value, int | float):
                found[int(row.get("step", 0))] = float(value)
        steps = sorted(found)
        curve = Curve(tuple(steps), tuple(found[step] for step in steps))
        self._curves[name] = (len(self.steps), curve)
        return curve

    def number(self, *names: str) -> float | None:
        """Return the first of these that is known: of settings, data, judgement or record."""
        for name in names:
            for source in (self.judged, self.data, self.setup, self.timing, self.spec):
                value = source.get(name)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    return float(value)
        return None

    @property
    def not_finite(self) -> dict[str, int]:
        """Quantities that were not a number, and the first step they were seen at."""
        first: dict[str, int] = {}
        for row in self.steps:
            for name in row.get("not_finite") or ():
                first.setdefault(str(name), int(row.get("step", 0)))
        return first

    @property
    def on_gpu(self) -> bool:
        """Whether the run used a GPU, as far as is known."""
        named = str(self.spec.get("device") or self.setup.get("device") or "").lower()
        return named.startswith(("cuda", "gpu")) or (not named and bool(self.setup.get("gpus")))

    @property
    def unfinished(self) -> bool:
        """Whether it was still training when last seen: what was still falling means nothing."""
        if self.state == "succeeded" or self.judged or self.timing:
            return False
        if self.state is not None or self.failures:
            return True
        if self.done_share is not None and self.done_share < 0.9:
            return True
        return self._short_of_its_plan()

    def _short_of_its_plan(self) -> bool:
        """Whether the last step lies well before the planned end, or the rate before its own."""
        steps, epochs = self.number("max_steps"), self.number("epochs")
        if steps and steps > 0:
            return self.total_steps < 0.85 * steps - 1
        passes = self.curve("epoch")
        if epochs and passes and passes.highest > passes.values[0]:
            return passes.highest < 0.6 * epochs
        rates = self.curve("learning_rate")
        if not rates:
            return False
        highest, end = rates.highest, rates.last_value
        fallen_for = len(rates) - 1 - rates.values.index(highest)
        return fallen_for >= 5 and 0.3 * highest < end < 0.98 * highest

    @property
    def total_steps(self) -> int:
        """Last step seen."""
        return max((int(row.get("step", 0)) for row in self.steps), default=0)

    @property
    def batch_rows(self) -> int | None:
        """Rows that one optimiser step sees."""
        batch = self.spec.get("batch_size")
        if not batch:
            return None
        many = self.spec.get("gradient_accumulation") or 1
        return int(batch) * int(many) * int(self.spec.get("processes") or 1)

    @cached_property
    def parameters(self) -> float | None:
        """Weights of the base model: measured, else read from its name."""
        known = self.setup.get("parameters")
        if known:
            return float(known)
        name = str(self.spec.get("model") or self.setup.get("model") or "")
        if name == "starter":
            return STARTER_PARAMETERS
        last = name.rstrip("/").rsplit("/", 1)[-1]
        found = _SIZE.findall(last.replace("-", " ").replace("_", " ")) or _GLUED_SIZE.findall(last)
        return max((float(n) * _UNITS[u.lower()] for n, u in found), default=None)

    @property
    def is_label_task(self) -> bool:
        """Whether the answers are a fixed set of labels."""
        task = str(self.spec.get("task") or "")
        return bool(
            self.spec.get("labels")
            or self.data.get("label_counts")
            or self.judged.get("expected")
            or "classification" in task
        )

    @property
    def empty(self) -> bool:
        """Whether there is nothing to judge by."""
        return not (
            self.steps or self.failures or self.log.strip() or self.question.strip()
            or self.data or self.judged or self.gates or self.samples or self.timing
        )  # fmt: skip

    def looked_at(self) -> tuple[str, ...]:
        """Say what evidence there is."""
        parts = []
        if self.loss:
            parts.append(f"{len(self.loss)} training losses")
        if self.eval_loss:
            parts.append(f"{len(self.eval_loss)} validation losses")
        for name, value in (
            ("the settings", self.spec),
            ("the data's figures", self.data),
            ("the machine", self.setup),
            ("the judgement", self.judged),
            ("the times", self.timing),
            (f"{len(self.gates)} gates", self.gates),
            (f"{len(self.samples)} samples", self.samples),
            (f"{len(self.failures)} errors", self.failures),
            (f"{len(self.log.splitlines())} lines of log", self.log.strip()),
        ):
            if value:
                parts.append(name)
        return tuple(parts)
