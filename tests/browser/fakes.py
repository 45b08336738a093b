"""A scripted assistant over the real store: for looking at the page without a training."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence

from assistant.events import (
    ApprovalAsked,
    NoticeTold,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEvent,
    UserSaid,
)
from tools.context import Context
from tools.history.events import PhaseStarted, Progress, StepMetrics
from tools.history.spec import ExportSpec, TrainingSpec, plan_hash
from tools.settings import Settings

SPEC = TrainingSpec(
    goal="sort support tickets",
    path="data/samples/support_tickets.csv",
    dataset="support-tickets@a41f09c2",
    dataset_fingerprint="a41f09c2" * 8,
    task="classification",
    objective="prompt_completion",
    labels=("billing", "delivery", "returns"),
    model="starter",
    method="lora",
    learning_rate=4e-3,
    batch_size=16,
    epochs=4,
)
CARD = {
    "base": "starter, 5.0M parameters",
    "data": "support-tickets@a41f, 904 rows to train on, 160 held out",
    "method": "LoRA, rank 16, alpha 32, all linear layers",
    "training": "4 epochs, batch 16, learning rate 0.004",
    "memory": "0.90 GiB (0.81–1.02)",
    "time": "1:10 (0:52–1:40)",
    "disk": "12 MiB",
}
HOLD = "hold"
"""While a file of this name lies in the home, pretended jobs wait in the middle."""
METRICS = {
    "eval_loss": 0.31, "base_eval_loss": 2.9, "perplexity": 1.36, "base_perplexity": 18.2,
    "accuracy": 0.93, "accuracy_low": 0.90, "accuracy_high": 0.95, "base_accuracy": 0.14,
    "base_accuracy_low": 0.10, "base_accuracy_high": 0.20, "macro_f1": 0.91, "base_macro_f1": 0.05,
    "majority_share": 0.22, "n": 180, "verdict": "ship",
    "verdict_text": "The tuned model is right on 93 of 100 tickets it has never seen; its base on"
    " 14. Even the low end of the interval is far above always guessing the largest class (0.22).",
}  # fmt: skip


class ScriptedAssistant:
    """Answers by keyword and starts a pretended job in a thread."""

    def __init__(self, settings: Settings, *, steps: int = 60, step_s: float = 0.05) -> None:
        self.ctx = Context(settings, actor="web")
        self.steps, self.step_s = steps, step_s
        self.threads: dict[str, list[TurnEvent]] = {}
        self.calls = 0

    def turn(self, thread_id: str, text: str, files: Sequence[str] = ()) -> Iterator[TurnEvent]:
        log = self.threads.setdefault(thread_id, [])
        self.ctx.store.touch_thread(thread_id, text[:60])
        log.append(UserSaid(text=text, files=tuple(files)))
        for event in self._answer(thread_id, text):
            log.append(event)
            yield event

    def decide(
        self, thread_id: str, approval_id: str, granted: bool, by: str
    ) -> Iterator[TurnEvent]:
        log = self.threads.setdefault(thread_id, [])
        store = self.ctx.store
        store.approvals.decide(approval_id, "granted" if granted else "declined", by=by)
        if not granted:
            yield self._log(log, TextDelta(text="Nothing was started. The plan is not kept."))
            return
        job = store.jobs.create(
            SPEC, name="support tickets lora", approval_id=approval_id, thread_id=thread_id,
            predicted={"memory_gib": 0.9, "duration_s": 70.0},
        )  # fmt: skip
        store.approvals.set_outcome(approval_id, job.id)
        threading.Thread(target=self._train, args=(job.id, thread_id), daemon=True).start()
        text = f"Started **{job.id}**. It goes on if you close this page; I will tell you the end."
        yield self._log(log, TextDelta(text=text))

    def history(self, thread_id: str) -> list[TurnEvent]:
        return list(self.threads.get(thread_id, ()))

    def notices(self, thread_id: str) -> list[NoticeTold]:
        claimed = self.ctx.store.claim_notices("web", thread_id=thread_id)
        told = [NoticeTold(job_id=notice.job_id, text=notice.text) for notice in claimed]
        self.threads.setdefault(thread_id, []).extend(told)
        return told

    def _log(self, log: list[TurnEvent], event: TurnEvent) -> TurnEvent:
        log.append(event)
        return event

    def _answer(self, thread_id: str, text: str) -> Iterator[TurnEvent]:
        if "tune" in text.lower():
            yield from self._plan(thread_id)
        elif "onnx" in text.lower():
            yield from self._step("export_model", "exported to int4 ONNX", "parity passed")
            self._export(thread_id)
        elif "evil" in text.lower():
            yield from self._step("inspect_dataset", "looked at evil.csv", EVIL)
            yield TextDelta(text=EVIL)
        else:
            for word in f"You said: {text}. I am scripted; ask me to tune a model.".split():
                time.sleep(0.02)
                yield TextDelta(text=word + " ")

    def _step(self, name: str, title: str, text: str) -> Iterator[TurnEvent]:
        self.calls += 1
        call = f"call-{time.time_ns()}"
        yield ToolStarted(call_id=call, name=name, title=title, arguments={})
        time.sleep(0.3)
        yield ToolFinished(
            call_id=call, name=name, title=title, status="done", duration_s=0.31, text=text
        )

    def _plan(self, thread_id: str) -> Iterator[TurnEvent]:
        looked = "1,064 rows, 7 labels\nbilling 240\ndelivery 201\nreturns 150\n2 problems"
        yield from self._step(
            "inspect_dataset", "looked at support_tickets.csv · 1,064 rows · 7 labels", looked
        )
        yield from self._step("recommend_method", "compared 6 methods", "LoRA first, then DoRA")
        answer = (
            "**LoRA, rank 16, on the starter model.** It fits (0.9 GiB of 22 free) and takes about"
            " a minute.\n\nWhy LoRA: your data is a classification of 1,064 short texts [matrix:"
            " nlp]; few parameters are enough [matrix: few-params, revised]."
        )
        for word in answer.split(" "):
            time.sleep(0.01)
            yield TextDelta(text=word + " ")
        approval = self.ctx.store.approvals.request(
            "start_training", subject="Tune starter on support-tickets@a41f with LoRA",
            plan=SPEC.model_dump(mode="json"), card=CARD, thread_id=thread_id, key=plan_hash(SPEC),
        )  # fmt: skip
        yield ApprovalAsked(approval_id=approval.id)

    def _train(self, job_id: str, thread_id: str) -> None:
        jobs = self.ctx.store.jobs
        jobs.set_state(job_id, "running")
        folder = self.ctx.settings.job_folder(job_id)
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text("loading starter\n<img src=x onerror=alert(1)>\n")
        jobs.append(job_id, [PhaseStarted(phase="load")])
        time.sleep(3 * self.step_s)
        jobs.append(job_id, [PhaseStarted(phase="train")])
        for step in range(1, self.steps + 1):
            time.sleep(self.step_s)
            while step > self.steps / 2 and (self.ctx.settings.home / HOLD).exists():
                time.sleep(0.1)
            loss = 2.6 * math.exp(-step / 18) + 0.25 + 0.06 * math.sin(step * 1.7)
            validation = 2.7 * math.exp(-step / 20) + 0.33 if step % 10 == 0 else None
            jobs.append(
                job_id,
                [
                    Progress(
                        phase="train", done=step, total=self.steps,
                        eta_s=(self.steps - step) * self.step_s,
                    ),
                    StepMetrics(
                        step=step, epoch=4 * step / self.steps, loss=loss, eval_loss=validation,
                        learning_rate=4e-3 * (1 - step / self.steps), grad_norm=1.5 / step,
                        tokens_per_s=1840.0, memory_gib=0.83,
                    ),
                ],
            )  # fmt: skip
        jobs.record(job_id, metrics=METRICS, measured={"memory_gib": 0.83, "duration_s": 64.0})
        jobs.record(job_id, artifacts={"adapter": f"jobs/{job_id}/adapter"})
        jobs.set_state(job_id, "succeeded")
        self.ctx.store.add_notice(job_id, thread_id, "The training ended.")

    def _export(self, thread_id: str) -> None:
        jobs = self.ctx.store.jobs
        parent = jobs.find(kinds=["train"])[0].id
        job = jobs.create(ExportSpec(job=parent), name="export", parent=parent, thread_id=thread_id)
        jobs.record(
            job.id,
            metrics={
                "parity": {"passed": True, "measures": {"same_answers": 0.978, "rows": 64}},
                "tokens_per_second": {"torch": 210.0, "onnx_int4": 905.0},
            },
            artifacts={"onnx_int4": f"exports/{job.id}/onnx_int4"},
            measured={"duration_s": 19.0},
        )
        jobs.set_state(job.id, "succeeded")
        self.ctx.store.add_notice(job.id, thread_id, "The export ended.")


EVIL = (
    "![beacon](http://evil.example/x.png) <img src='http://evil.example/y.png' onerror='alert(1)'>"
    " <script>document.title='owned'</script> [link](http://evil.example) <b>bold</b>"
    "\n\n```\n<img src=http://evil.example/z.png>\n```\n![ref][1]\n\n[1]: http://evil.example/r.png"
)
