"""A search over variants of one run: Optuna chooses, each trial is a job of its own.

One trial runs at a time, in the place that this job was admitted to. What Optuna knows lies in
`study.db` in the job's folder, so a search that was killed goes on with its next trial.
"""

from __future__ import annotations

import math
import time
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tools.context import Context
from tools.errors import Refused, Unavailable
from tools.history.events import TrialChanged
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, Between, SearchSpec
from tools.jobs.ending import CANCEL_FILE, write_durably
from tools.jobs.reconcile import reconcile
from tools.jobs.space import own_values, vary
from tools.jobs.trial_plot import draw
from tools.jobs.trials import (
    STUDY_FILE,
    final_loss,
    minutes_left,
    trial_rows,
    validation_losses,
)
from tools.work.children import LOOK_EVERY_S, Children
from tools.work.report import Cancelled, Job

_KEPT_EVERY_S = 2.0
_RESERVED_SHARE, _RESERVED_AT_MOST = 0.15, 2.0
"""Share and minutes of the budget kept for saving and judging after a trial's last step."""
_FAILURES_IN_A_ROW = 3
_JUDGED_FROM, _SPARED = 3, 1
"""Trials that end whole, and evaluations of each, before any is compared with the others."""


def run(job: Job) -> dict[str, Any]:
    """Try the variants and name the best.

    Raises:
        Cancelled: The person asked to stop; the running trial stops as well and both can go on.
        Refused: No trial came to a result.
    """
    search = Search(job)
    try:
        return search.run()
    finally:
        search.close()


class Search:
    """One search, from its first trial or from where it was left."""

    def __init__(self, job: Job) -> None:
        assert isinstance(job.spec, SearchSpec)
        self._job = job
        self._spec = job.spec
        self._ctx = Context(job.settings)
        self._children = Children(job)
        self._began = time.monotonic()
        self._budget_min = minutes_left(job.record)
        self._spent_before_s = float(job.record.measured.get("searched_s", 0.0))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = self._open()
        self._failures: list[str] = []
        self._saved_at = -math.inf

    def run(self) -> dict[str, Any]:
        """Run trials until there are enough of them or the budget is used up."""
        # Loading the libraries takes of the budget too: no trial starts after it is used up.
        self._children.warm_up()
        for frozen in self._study.get_trials(states=[TrialState.RUNNING]):
            self._go_on(Trial(self._study, frozen._trial_id))
        while self._ended() < self._spec.trials and self._left_min() > self._reserve_min():
            self._job.check_cancelled()
            self._job.progress("search", self._ended(), self._spec.trials)
            trial = self._study.ask()
            self._watch(trial, self._launch(trial))
        return self._conclude()

    def close(self) -> None:
        """Leave nothing behind but what was asked for."""
        self._children.close()

    def _open(self) -> optuna.Study:
        url = f"sqlite:///{self._job.folder / STUDY_FILE}"
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(url),
            study_name="search",
            load_if_exists=True,
            direction="minimize",
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_JUDGED_FROM, n_warmup_steps=_SPARED
            ),
        )
        # The same seed would draw the same values again after a resumption.
        seed = self._spec.seed + len(study.trials)
        first = max(2, min(10, self._spec.trials // 3))
        study.sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if self._spec.sampler == "random"
            else optuna.samplers.TPESampler(seed=seed, n_startup_trials=first)
        )
        if not study.trials:
            study.enqueue_trial(own_values(self._spec.base, self._spec.space))
        return study

    def _launch(self, trial: Trial) -> JobRecord:
        values = {name: self._suggest(trial, name) for name in self._spec.space}
        spec = vary(self._spec.base, values)
        if math.isfinite(self._left_min()):
            spec = spec.model_copy(
                update={"max_minutes": max(0.01, self._left_min() - self._reserve_min())}
            )
        record = self._children.start(spec, f"trial {trial.number + 1}")
        trial.set_user_attr("job", record.id)
        trial.set_user_attr("values", values)
        self._tell(trial, record, "running")
        return record

    def _suggest(self, trial: Trial, name: str) -> Any:
        values = self._spec.space[name]
        if isinstance(values, Between):
            return trial.suggest_float(name, values.low, values.high, log=values.log)
        return trial.suggest_categorical(name, list(values))

    def _go_on(self, trial: Trial) -> None:
        """Take up the trial that was running when this search was left."""
        name = trial.user_attrs.get("job")
        if name is None:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        self._watch(trial, self._children.go_on(str(name)))

    def _watch(self, trial: Trial, record: JobRecord) -> None:
        """Follow a trial to its end, or stop it where it falls behind or time is up."""
        stopped = ""
        while (record := self._ctx.store.jobs.get(record.id)).state in UNFINISHED:
            if time.monotonic() - self._saved_at > _KEPT_EVERY_S:
                self._save_time()
                reconcile(self._ctx)
            if (self._job.folder / CANCEL_FILE).exists():
                self._children.stop(record)
                raise Cancelled(self._job.id)
            if self._left_min() <= 0:
                stopped = "out of time"
            elif self._falls_behind(trial, record):
                stopped = "stopped early"
            if stopped:
                self._children.stop(record)
                break
            time.sleep(LOOK_EVERY_S)
        self._end(trial, self._ctx.store.jobs.get(record.id), stopped)

    def _falls_behind(self, trial: Trial, record: JobRecord) -> bool:
        losses = validation_losses(self._ctx.store.jobs.events(record.id, kinds=["metrics"]))
        frozen = self._study.get_trials(deepcopy=False)[trial.number]
        known = len(frozen.intermediate_values)
        # Counted in evaluations: variants with larger batches take fewer steps.
        for number, (_, loss) in enumerate(losses[known:], start=known):
            trial.report(loss, number)
        return len(losses) > known and bool(trial.should_prune())

    def _end(self, trial: Trial, record: JobRecord, stopped: str) -> None:
        self._save_time()
        loss = final_loss(record)
        if record.state == "succeeded" and math.isfinite(loss):
            self._failures.clear()
            self._study.tell(trial, loss)
            self._tell(trial, record, "finished", loss)
        elif stopped or record.state == "cancelled":
            seen = validation_losses(self._ctx.store.jobs.events(record.id, kinds=["metrics"]))
            self._study.tell(trial, state=TrialState.PRUNED if seen else TrialState.FAIL)
            best = min((loss for _, loss in seen), default=None)
            self._tell(trial, record, stopped or "stopped early", best)
        else:
            self._study.tell(trial, state=TrialState.FAIL)
            self._tell(trial, record, "failed")
            self._failed(record)
        self._draw()

    def _failed(self, record: JobRecord) -> None:
        self._failures.append(str((record.error or {}).get("message", record.state)))
        if len(self._failures) >= _FAILURES_IN_A_ROW:
            raise Refused(
                f"{_FAILURES_IN_A_ROW} trials in a row failed: {self._failures[-1]}",
                hint="Correct that, or search a smaller space.",
                refused_by="probe",
            )

    def _conclude(self) -> dict[str, Any]:
        self._save_time()
        finished = self._study.get_trials(states=[TrialState.COMPLETE])
        if not finished:
            raise Refused(
                "No trial came to a result in the time there was.",
                hint="Give it more minutes, fewer epochs, or a smaller space.",
                refused_by="preflight",
            )
        best = min(finished, key=lambda t: t.value if t.value is not None else math.inf)
        winner = self._ctx.store.jobs.get(best.user_attrs["job"])
        self._job.metrics(
            **{k: v for k, v in winner.metrics.items() if k not in ("first_loss", "train_loss")},
            best_job=winner.id,
            best_value=best.value,
            best_values=best.user_attrs["values"],
            trials_done=self._ended(),
            trials_finished=len(finished),
        )
        self._job.measure(duration_s=round(self._spent_s(), 1))
        self._draw(winner.id)
        return {"notice": self._notice(winner, best), "best_job": winner.id}

    def _notice(self, winner: JobRecord, best: FrozenTrial) -> str:
        done, wanted = self._ended(), self._spec.trials
        short = "" if done >= wanted else f" of the {wanted} planned; the time was used up"
        values = ", ".join(
            f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else str(value)
            for name, value in best.user_attrs["values"].items()
        )
        return (
            f"{self._job.id} finished {done} trials{short}. The best is {winner.id} with a "
            f"validation loss of {best.value:.4f} ({values}). Next: try it or export it."
        )

    def _tell(
        self, trial: Trial, record: JobRecord, state: str, value: float | None = None
    ) -> None:
        values = dict(trial.user_attrs["values"])
        event = TrialChanged(
            number=trial.number + 1, job=record.id, state=state, value=value, values=values
        )
        self._job.emit(event)
        self._job.flush()

    def _draw(self, best: str | None = None) -> None:
        events = self._ctx.store.jobs.events(self._job.id, kinds=["trial"])
        rows = trial_rows(self._ctx.store, self._job.record, events)
        axis = "learning_rate" if "learning_rate" in self._spec.space else ""
        path = self._job.folder / "search.svg"
        try:
            write_durably(path, draw(rows, best=best, axis=axis).encode())
        except OSError as error:
            raise Unavailable(
                f"Cannot write to {path}: {error.strerror}.", hint="Free some disk space."
            ) from error
        self._job.artifact("plot", path)

    def _ended(self) -> int:
        return sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))

    def _spent_s(self) -> float:
        return self._spent_before_s + time.monotonic() - self._began

    def _left_min(self) -> float:
        return self._budget_min - (time.monotonic() - self._began) / 60

    def _reserve_min(self) -> float:
        if self._spec.max_minutes is None:
            return 0.0
        return min(_RESERVED_AT_MOST, _RESERVED_SHARE * self._spec.max_minutes)

    def _save_time(self) -> None:
        self._saved_at = time.monotonic()
        self._job.measure(searched_s=round(self._spent_s(), 1))
