"""What a training run tells while it runs, and when it must stop."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback

from tools.diagnose.watch import Watch
from tools.errors import Refused
from tools.history.events import Progress, StepMetrics
from tools.history.spec import TrainingSpec
from tools.jobs.ending import CANCEL_FILE
from tools.work.alarm import raise_alarm
from tools.work.engines import agree
from tools.work.memory import memory_limit_gib, memory_now_gib, memory_reserved_gib, usage
from tools.work.report import Job
from tools.work.tensorboard import ScalarLog

_CONSTANT_STEPS = 20
_NEARLY_ZERO = 0.05
TENSORBOARD = "tensorboard"
"""Folder of a job with its logs for `tensorboard --logdir`."""
_MEASURED_ON = {"loss": "train/loss", "eval_loss": "eval/loss", "eval_accuracy": "eval/accuracy"}


@dataclass(frozen=True)
class Mark:
    """Where the run stood at a moment: time, step, real tokens, and places for tokens."""

    at: float
    step: int = 0
    tokens: int = 0
    slots: int = 0


@dataclass(frozen=True)
class RunFacts:
    """What a run knew at its end. `best_loss` is the lowest validation loss, at `best_step`."""

    first_loss: float | None = None
    last_loss: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    last_step: int = 0
    last_eval_loss: float | None = None
    stopped_because: str = ""


class Monitor(TrainerCallback):
    """Listens to the trainer: events, cancelling, budget, early stopping, broken losses.

    Attributes:
        cancelled: The person asked to stop; the run ended at a checkpoint.
        stopped_because: Why the run ended before its last step, in plain words.
        best_step, best_loss: The checkpoint with the lowest validation loss.
        data_wait_s, eval_s: Time that this attempt waited for batches, and evaluated.
        elapsed_before_s: Time that earlier attempts of this job trained.

    Args:
        memory: What `memory()` returned when the checkpoint that is resumed was saved.
    """

    def __init__(self, job: Job, spec: TrainingSpec, *, memory: dict[str, float]) -> None:
        self._job = job
        self._spec = spec
        self.elapsed_before_s = memory.get("elapsed_s", 0.0)
        self.trainer: Any = None
        self.cancelled = False
        self.stopped_because = ""
        self.best_step = int(memory.get("best_step", 0))
        self.best_loss = memory.get("best_loss", math.inf)
        self.last_eval_loss: float | None = None
        self.first_loss: float | None = None
        self.last_loss: float | None = None
        self._worse = int(memory.get("worse", 0))
        self._same = 0
        self._began = time.monotonic()
        self._began_step = 0
        self._last = Mark(self._began)
        self._idle_since = self._began
        self._waited_s = 0.0
        self.data_wait_s = 0.0
        self.eval_s = 0.0
        self._scalars = ScalarLog(job.folder / TENSORBOARD) if job.tells else None
        self._watch = Watch(
            spec, limit_gib=memory_limit_gib(spec.device, job.settings.memory_limit_gib)
        )

    @property
    def elapsed_s(self) -> float:
        """Seconds trained, earlier attempts of this job included."""
        return self.elapsed_before_s + self.elapsed_now_s

    @property
    def elapsed_now_s(self) -> float:
        """Seconds trained in this attempt."""
        return time.monotonic() - self._began

    def memory(self) -> dict[str, float]:
        """Return what a resumed run must know, to be kept in a checkpoint."""
        kept = {"elapsed_s": round(self.elapsed_s, 1), "worse": float(self._worse)}
        if math.isfinite(self.best_loss):
            kept |= {"best_step": float(self.best_step), "best_loss": self.best_loss}
        return kept

    def facts(self, step: int) -> RunFacts:
        """Return what is known at the run's end."""
        return RunFacts(
            first_loss=self.first_loss,
            last_loss=self.last_loss,
            best_loss=self.best_loss if math.isfinite(self.best_loss) else None,
            best_step=self.best_step,
            last_step=step,
            last_eval_loss=self.last_eval_loss,
            stopped_because=self.stopped_because,
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clocks."""
        self._began = time.monotonic()
        self._began_step = state.global_step
        self._last = self._mark(state)
        self._idle_since = self._began

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The batches of this step are there: what came before was waiting for them."""
        waited = time.monotonic() - self._idle_since
        self._waited_s += waited
        self.data_wait_s += waited

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Saving is no waiting for data."""
        self._idle_since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Tell progress; stop where a person or the budget says so."""
        self._idle_since = time.monotonic()
        step, total = state.global_step, state.max_steps
        pace = (time.monotonic() - self._began) / max(1, step - self._began_step)
        self._job.emit(
            Progress(phase="train", done=step, total=total, eta_s=round(pace * (total - step), 1))
        )
        minutes = self._spec.max_minutes
        asked, over = agree(
            (self._job.folder / CANCEL_FILE).exists(),
            minutes is not None and self.elapsed_s > minutes * 60 and step < total,
        )
        if asked:
            self.cancelled = True
            control.should_training_stop = True
            control.should_save = True
            return control
        if over and minutes is not None:
            self.stopped_because = f"its {minutes:g} minutes were used up at step {step}"
            control.should_training_stop = True
        if step >= total or control.should_training_stop:
            control.should_log = control.should_evaluate = control.should_save = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Pass on what was measured; a loss that cannot be right ends the run."""
        values = logs or {}
        if "eval_loss" in values:
            took = time.monotonic() - self._idle_since
            self.eval_s += took
            self._tell(state, eval_loss=values["eval_loss"], eval_s=round(took, 3))
            self._last = self._mark(state)
        elif "loss" in values:
            self._tell_step(state, values)
            self._check_loss(values["loss"], state.global_step)
        self._idle_since = time.monotonic()

    def _tell_step(self, state: Any, values: dict[str, Any]) -> None:
        before, now = self._last, self._mark(state)
        self._last = now
        seconds = max(1e-9, now.at - before.at)
        tokens, slots = now.tokens - before.tokens, now.slots - before.slots
        waited, self._waited_s = self._waited_s, 0.0
        self._tell(
            state,
            loss=values["loss"],
            learning_rate=values.get("learning_rate"),
            grad_norm=values.get("grad_norm"),
            tokens_per_s=round(tokens / seconds, 1),
            memory_gib=round(memory_now_gib(self._spec.device), 3),
            memory_reserved_gib=memory_reserved_gib(self._spec.device),
            step_s=round(seconds / max(1, now.step - before.step), 4),
            padding_share=round(1 - tokens / slots, 4) if slots else None,
            data_wait_share=round(min(1.0, waited / seconds), 4),
            **usage(self._spec.device),
        )

    def _mark(self, state: Any) -> Mark:
        trainer = self.trainer
        return Mark(time.monotonic(), state.global_step, trainer.tokens_seen, trainer.slots_seen)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> Any:
        """Remember the best checkpoint, and stop early where the plan says so."""
        loss = float((metrics or {}).get("eval_loss", math.inf))
        self.last_eval_loss = loss
        if loss < self.best_loss:
            self.best_loss, self.best_step, self._worse = loss, state.global_step, 0
            control.should_save = True
        else:
            self._worse += 1
        patience = self._spec.early_stopping_patience
        if patience is not None and self._worse >= patience:
            self.stopped_because = (
                f"validation loss had not fallen for {patience} evaluations at step "
                f"{state.global_step}"
            )
            control.should_training_stop = True
            control.should_save = True
        return control

    def _tell(self, state: Any, **values: float | None) -> None:
        known = {name: float(value) for name, value in values.items() if value is not None}
        finite = {name: value for name, value in known.items() if math.isfinite(value)}
        broken = tuple(name for name in known if name not in finite)
        epoch = round(float(state.epoch or 0.0), 4)
        event = StepMetrics(
            step=state.global_step,
            epoch=epoch,
            not_finite=broken,
            **finite,
        )
        if self._scalars is None:
            return
        self._job.emit(event)
        self._scalars.add(event.step, {_tag(name): value for name, value in finite.items()})
        for alarm in self._watch.see(event):
            raise_alarm(self._job, alarm)

    def _check_loss(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise Refused(
                f"The loss became {loss} at step {step}: the run diverged.",
                hint="Lower the learning rate, or use float32, and start again.",
                refused_by="probe",
            )
        # A model that knows its rows by heart comes near enough to round to 0.0: not suddenly.
        if loss == 0.0 and (self.last_loss is None or self.last_loss > _NEARLY_ZERO):
            raise Refused(
                f"The loss is exactly 0.0 at step {step}: nothing is being learned.",
                hint="Check that the answers are not empty and that labels are not all masked.",
                refused_by="probe",
            )
        self._same = self._same + 1 if loss == self.last_loss and loss else 0
        if self._same >= _CONSTANT_STEPS:
            raise Refused(
                f"The loss has not moved at all for {_CONSTANT_STEPS} steps.",
                hint="Raise the learning rate, and check that the method trains any weights.",
                refused_by="probe",
            )
        self.first_loss = loss if self.first_loss is None else self.first_loss
        self.last_loss = loss


def _tag(name: str) -> str:
    """Return what TensorBoard calls a quantity: training, validation or the machine."""
    return _MEASURED_ON.get(name, f"run/{name}")
