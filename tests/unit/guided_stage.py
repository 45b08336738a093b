"""A stage for the guided brain: it plays against fakes, so that only its decisions are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from assistant.brains.guided.dialogue import decide
from assistant.brains.guided.view import MEMO, view_of
from assistant.state import state_message

TRAINING = (
    "path goal model method objective rank alpha dropout target_modules modules_to_save"
    " initialisation quantization epochs max_steps learning_rate lr_scheduler warmup_ratio"
    " weight_decay optimizer batch_size gradient_accumulation batching max_length"
    " gradient_checkpointing activation_offload attention loss loss_weight beta rewards"
    " eval_fraction dedupe input_column output_column template minutes trials sampler vary adapters"
    " early_stopping_patience eval_steps device engine processes nodes offload probe target seed"
    " continues cures"
)
OFFERED = {
    "inspect_dataset": "path model template input_column output_column sample_rows lens",
    "prepare_dataset": "path eval_fraction dedupe input_column output_column template fixes seed"
    " augment",
    "recommend_method": "path described goal model memory_gb hardware target licence method engine"
    " max_length minutes",
    "estimate_resources": "path model method max_length batch_size gradient_accumulation rank"
    " target_modules gradient_checkpointing precision optimizer quantization engine epochs"
    " memory_gb hardware solve price_per_hour exact accuracy",
    "list_models": "search licence target memory_gb hardware fits largest_b limit",
    "describe_hardware": "hardware",
    "explain": "question",
    "start_training": TRAINING,
    "list_jobs": "state limit",
    "show_job": "job",
    "cancel_job": "job",
    "resume_job": "job",
    "evaluate_model": "job path slice_column limit against",
    "diagnose_run": "job events spec log data question",
    "compare_jobs": "jobs",
    "export_model": "job format precision device together",
    "try_model": "prompt job model",
    "forget": "job jobs path",
}
SAMPLES = (
    "data/samples/phrase_tone.jsonl",
    "data/samples/preferences.jsonl",
    "data/samples/product_faq.jsonl",
    "data/samples/support_tickets.csv",
)


@dataclass
class Stage:
    """One conversation. `say` returns the calls that were made; `reply` is what was said last."""

    files: Sequence[str] = ()
    jobs: Sequence[dict[str, Any]] = ()
    waiting: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    messages: list[BaseMessage] = field(default_factory=list)
    reply: str = ""

    def say(self, text: str, attached: Sequence[str] = ()) -> list[tuple[str, dict[str, Any]]]:
        extra = {"text": text, "files": list(attached)}
        self.messages.append(HumanMessage(text, additional_kwargs=extra))
        calls: list[tuple[str, dict[str, Any]]] = []
        for _ in range(12):
            decision = decide(view_of([self._state(attached), *self.messages]), _offered())
            noted = {MEMO: decision.memo} if decision.memo else {}
            if not decision.calls:
                self.messages.append(AIMessage(decision.text, additional_kwargs=noted))
                self.reply = decision.text
                return calls
            for name, args in decision.calls:
                call_id = f"call-{len(self.messages)}"
                call = {"name": name, "args": args, "id": call_id, "type": "tool_call"}
                self.messages.append(AIMessage("", tool_calls=[call], additional_kwargs=noted))
                calls.append((name, args))
                self.messages.append(self._result(name, args, call_id))
        raise AssertionError("the turn does not end")

    def _state(self, attached: Sequence[str]) -> SystemMessage:
        state = {
            "waiting": self.waiting,
            "jobs": list(self.jobs),
            "files": list(self.files),
            "samples": list(SAMPLES),
            "attached": list(attached),
            "prepared": [],
        }
        return SystemMessage("prompt\n" + state_message(state))

    def _result(self, name: str, args: dict[str, Any], call_id: str) -> ToolMessage:
        if code := self.errors.get(str(args.get("path"))):
            error = {"code": code, "message": "It is not there.", "hint": "Check the name."}
            return ToolMessage(
                "failed", tool_call_id=call_id, name=name, status="error", artifact={"error": error}
            )
        artifact: dict[str, Any] = {"type": "Report"}
        if name == "recommend_method":
            ranked = [{"method": method, "base_model": "starter"} for method in ("lora", "dora")]
            artifact = {"type": "Report", "plans": ranked}
        if name == "diagnose_run" and args.get("job"):
            cure = {"path": "reviews.csv", "batch_size": 1, "cures": args["job"]}
            cause = {"code": "oom_gpu", "cure": {"capability": "start_training", "arguments": cure}}
            artifact = {"type": "DiagnosisReport", "causes": [cause]}
        if name in ("start_training", "forget"):
            action = name
            artifact = {"state": "waiting", "approval_id": "a1", "subject": "A plan.", "plan": args}
            others = [w for w in self.waiting if w["action"] != action]
            card = {"approval": "a1", "action": action, "subject": "A plan.", "plan": args}
            self.waiting = [*others, card]
        return ToolMessage(f"{name} done", tool_call_id=call_id, name=name, artifact=artifact)


def job(
    job_id: str, state: str = "succeeded", *, kind: str = "train", **values: Any
) -> dict[str, Any]:
    """A run as the state block tells it."""
    plan = {"path": "data/samples/support_tickets.csv", "method": "lora", "rank": 8}
    return {"id": job_id, "kind": kind, "state": state, "metrics": {}, **plan, **values}


def _offered() -> dict[str, frozenset[str]]:
    return {name: frozenset(args.split()) for name, args in OFFERED.items()}
