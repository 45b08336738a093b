"""Looks at a run while it runs: rules in code, a few numbers of memory, no model asked.

Each alarm is raised once. What it offers is done by a person: stop the run, or start a cure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from tools.diagnose.report import Code
from tools.history.events import StepMetrics
from tools.history.spec import TrainingSpec

_WORSE_EVALUATIONS = 3
_WORSE_BY = 0.03
_FLAT_EVALUATIONS = 5
_FLAT_WITHIN = 0.002
_NEAR_LIMIT = 0.95
_SLOW_SHARE = 0.35
_SLOW_WINDOW = 12
_SPEEDS = 400
"""Measurements of speed that are kept, so that a long run costs no more than a short one."""
_GROWN = 2.0


@dataclass(frozen=True)
class Alarm:
    """Something a person should know now.

    Attributes:
        name: Stable name for programs: `rising_eval_loss`, `nan`, `plateau`, `memory`, `slow`,
            `rising_loss`.
        code: The cause that a diagnosis would look for first.
        offer: What can be done about it.
    """

    name: str
    code: Code
    message: str
    offer: str


class Watch:
    """Follows one run's measurements.

    Args:
        limit_gib: Memory the run may use on its device, if known.
    """

    def __init__(self, spec: TrainingSpec, *, limit_gib: float | None = None) -> None:
        self._spec = spec
        self._limit = limit_gib
        self._evals: list[tuple[int, float]] = []
        self._losses: deque[float] = deque(maxlen=40)
        self._first_losses: list[float] = []
        self._speeds: deque[float] = deque(maxlen=_SPEEDS)
        self._raised: set[str] = set()

    def see(self, event: StepMetrics) -> list[Alarm]:
        """Take in a measurement and return the alarms that it raises, each at most once a run."""
        found = [*self._broken(event), *self._memory(event)]
        if event.eval_loss is not None:
            self._evals.append((event.step, event.eval_loss))
            found += [*self._rising(), *self._plateau()]
        if event.loss is not None:
            found += self._growing(event)
        if event.tokens_per_s:
            found += self._slow(event)
        fresh = [a for a in found if a.name not in self._raised]
        self._raised |= {a.name for a in fresh}
        return fresh

    def _broken(self, event: StepMetrics) -> list[Alarm]:
        names = [n for n in event.not_finite if n in ("loss", "eval_loss", "grad_norm")]
        if not names:
            return []
        what = names[0].replace("_", " ")
        return [
            Alarm(
                "nan",
                "nan_loss",
                f"The {what} is not a number at step {event.step}.",
                "Nothing more is learned: stop the run and start the cure.",
            )
        ]

    def _rising(self) -> list[Alarm]:
        best_step, best = min(self._evals, key=lambda pair: pair[1])
        after = [value for step, value in self._evals if step > best_step]
        risen = len(after) >= _WORSE_EVALUATIONS and after[-1] > best * (1 + _WORSE_BY)
        rising = all(value > best * (1 + _WORSE_BY / 2) for value in after[-_WORSE_EVALUATIONS:])
        far = len(after) >= 2 and after[-1] > 1.25 * best and after[-1] >= after[-2]
        if not (risen and rising) and not far:
            return []
        text = (
            f"The validation loss rises: {best:.3g} at step {best_step}, {after[-1]:.3g} now, at "
            f"step {self._evals[-1][0]}."
        )
        return [
            Alarm(
                "rising_eval_loss",
                "overfitting",
                text,
                "The best state so far is kept; you can stop the run.",
            )
        ]

    def _plateau(self) -> list[Alarm]:
        last = [value for _, value in self._evals[-_FLAT_EVALUATIONS:]]
        if len(last) < _FLAT_EVALUATIONS or max(last) - min(last) > _FLAT_WITHIN * max(last):
            return []
        text = f"The validation loss has stood at {last[-1]:.4g} for {len(last)} evaluations."
        return [
            Alarm(
                "plateau",
                "underfitting",
                text,
                "More steps like these will change little; you can stop the run.",
            )
        ]

    def _growing(self, event: StepMetrics) -> list[Alarm]:
        loss = event.loss or 0.0
        self._losses.append(loss)
        if len(self._first_losses) < 5:
            self._first_losses.append(loss)
            return []
        start, now = median(self._first_losses), median(list(self._losses)[-5:])
        if now < _GROWN * start or now - start < 0.5:
            return []
        text = f"The training loss has grown from {start:.3g} to {now:.3g} by step {event.step}."
        return [
            Alarm(
                "rising_loss",
                "lr_too_high",
                text,
                "Stop the run and start it again with a smaller learning rate.",
            )
        ]

    def _memory(self, event: StepMetrics) -> list[Alarm]:
        used = event.memory_reserved_gib or event.memory_gib
        limit = event.memory_limit_gib or self._limit
        if not used or not limit or used < _NEAR_LIMIT * limit:
            return []
        code: Code = "oom_gpu" if self._spec.device == "cuda" else "oom_ram"
        text = f"Memory is nearly used up at step {event.step}: {used:.3g} of {limit:.3g} GiB."
        return [
            Alarm(
                "memory",
                code,
                text,
                "If it runs out, the run goes on in smaller steps where the plan allows that.",
            )
        ]

    def _slow(self, event: StepMetrics) -> list[Alarm]:
        self._speeds.append(float(event.tokens_per_s or 0.0))
        if len(self._speeds) < 3 * _SLOW_WINDOW:
            return []
        speeds = list(self._speeds)
        usual = median(speeds[_SLOW_WINDOW // 2 : -_SLOW_WINDOW])
        now = median(speeds[-_SLOW_WINDOW:])
        if now >= _SLOW_SHARE * usual:
            return []
        text = f"Training has slowed from {usual:,.0f} to {now:,.0f} tokens a second."
        return [
            Alarm(
                "slow",
                "loader_bound",
                text,
                "See whether something else uses this machine; the run goes on.",
            )
        ]
