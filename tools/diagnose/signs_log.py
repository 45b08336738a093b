"""What the last lines of a log say: errors that libraries word always alike."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tools.diagnose.evidence import Run
from tools.diagnose.loglines import Match, end_of, last_message
from tools.diagnose.report import Code
from tools.diagnose.suspicion import Suspicion, ramp, suspect
from tools.diagnose.wordings import GPU_GONE, RAM_GONE, SIGNS

_SPOKEN_OF = 0.45
"""How much a wording counts that someone only speaks of: too little to name a cause."""
_STEP_LINE = re.compile(r"['\"]?loss['\"]?\s*[:=]\s*\d|\bstep\s+\d+", re.IGNORECASE)
_UNALLOCATED = re.compile(
    r"([\d.]+)\s*([MG])iB (?:is )?(?:allocated by PyTorch|already allocated)[^\n]*?"
    r"([\d.]+)\s*([MG])iB (?:is reserved by PyTorch but unallocated|reserved in total)",
    re.IGNORECASE,
)
_TRIED = re.compile(r"Tried to allocate ([\d.]+)\s*([MG])iB", re.IGNORECASE)
_EVAL_TRACE = re.compile(
    r"evaluation_loop|prediction_step|in evaluate\b|_held_out|nested_(?:concat|gather)|"
    r"compute_metrics|pad_across_processes|preprocess_logits|eval_dataloader|EvalPrediction|"
    r"during evaluation|\beval(?:uation)? step|while evaluating|in _?eval\w*\(|in validate\b|"
    r"validation_step", re.IGNORECASE
)  # fmt: skip
_SAVE_TRACE = re.compile(
    r"save_checkpoint|_save_optimizer|in save_model|save_pretrained|state_dict\(|_save\b|"
    r"gather_(?:full|16bit)|consolidate|torch\.save|get_state_dict|zero_to_fp32|"
    r"(?:while|during|when) (?:saving|checkpoint)|safetensors[^\n]*serialize|in save_state",
    re.IGNORECASE,
)


def memory_gone(run: Run) -> Iterator[Suspicion]:
    """Memory ran out: which, and while doing what."""
    text = _all_text(run)
    gpu, ram = last_message(GPU_GONE, text), last_message(RAM_GONE, text)
    said = [f for f in run.failures if f.get("refused_by") == "memory"]
    if gpu is None and ram is None and not said:
        return
    found = gpu or ram
    code: Code = "oom_gpu" if gpu or (ram is None and run.on_gpu) else "oom_ram"
    where = "the GPU" if code == "oom_gpu" else "the machine's memory"
    quote = found.line if found else str(said[-1].get("message", ""))
    went_on = found is not None and _went_on(text, found.end) and run.state == "succeeded"
    spoken = found is not None and found.spoken
    confidence = 0.45 if went_on else 0.93 * (_SPOKEN_OF if spoken else 1.0)
    doing = _doing(run, text, found)
    held = _idle_share(found.line if found else "")
    asked = _TRIED.search(found.line) if found else None
    need = float(asked[1]) / (1024 if asked[2].upper() == "M" else 1) if asked else None
    enough = need is not None and held is not None and held[1] >= max(1.0, need)
    if held is not None and (held[0] >= 0.25 or enough):
        yield suspect(
            "fragmentation",
            ramp(held[0], 0.25, 0.5, 0.945, 0.97),
            f"Of what PyTorch holds, "
            f"{held[1]:.3g} GiB lies idle ({held[0]:.0%}) while an allocation failed.",
            idle_share=held[0],
            idle_gib=held[1],
            quote=quote,
        )
    if doing == "evaluate":
        yield suspect(
            "oom_eval",
            confidence + 0.03,
            f"{where[0].upper()}{where[1:]} ran out while evaluating.",
            steps=[run.total_steps],
            quote=quote,
        )
        confidence -= 0.15
    elif doing == "save":
        yield suspect(
            "oom_checkpoint",
            confidence + 0.03,
            f"{where[0].upper()}{where[1:]} ran out while a checkpoint was written.",
            steps=[run.total_steps],
            quote=quote,
        )
        confidence -= 0.15
    yield suspect(
        code,
        confidence,
        f"{where[0].upper()}{where[1:]} ran out"
        + (f" at step {run.total_steps}." if run.total_steps else "."),
        steps=[run.total_steps],
        quote=quote,
    )


def _doing(run: Run, text: str, found: Match | None) -> str:
    if found is not None:
        around = text[max(0, found.start - 6000) : found.end + 1500]
        # Only the trace that ends in the error: what came before it is another story.
        trace = around[max(0, around.rfind("Traceback (most recent call last)")) :]
        evaluating, saving = list(_EVAL_TRACE.finditer(trace)), list(_SAVE_TRACE.finditer(trace))
        if evaluating and (not saving or evaluating[-1].start() > saving[-1].start()):
            return "evaluate"
        if saving:
            return "save"
    # A run that failed starts again, and may find only then that nothing can be made smaller.
    phase = next((name for name, _ in reversed(run.phases) if name != "start"), "")
    if phase.startswith(("eval", "judge", "valid")):
        return "evaluate"
    if phase.startswith(("save", "saving", "checkpoint")):
        return "save"
    return _due_at_the_last_step(run)


def _due_at_the_last_step(run: Run) -> str:
    """What came after the last step that was told: an evaluation or a checkpoint that never was."""
    last = run.total_steps
    every, saves = int(run.number("eval_steps") or 0), int(run.number("save_steps") or 0)
    if not last or last in run.saved:
        return "train"
    if every and last % every == 0 and last not in run.eval_loss.steps:
        return "evaluate"
    return "save" if saves and last % saves == 0 else "train"


def _idle_share(line: str) -> tuple[float, float] | None:
    """Return the share that is reserved and idle, and its GiB, from CUDA's own message."""
    found = _UNALLOCATED.search(line)
    if not found:
        return None
    used = float(found[1]) / (1024 if found[2].upper() == "M" else 1)
    other = float(found[3]) / (1024 if found[4].upper() == "M" else 1)
    idle = other - used if "reserved in total" in found[0].lower() else other
    if idle < 0.5 or used + idle <= 0:
        return None
    return idle / (used + idle), idle


def known_wordings(run: Run) -> Iterator[Suspicion]:
    """Errors and warnings whose wording names the cause."""
    text = _all_text(run)
    measured = {"truncation": run.number("truncated_share")}
    for sign in SIGNS:
        found = last_message(sign.pattern, text)
        # Of a few cut rows in a hundred a warning says no less than of all of them.
        if found is None or measured.get(sign.code) is not None:
            continue
        went_on = _went_on(text, found.end) and run.state not in ("failed", "lost")
        confidence = sign.confidence * (0.5 if went_on and sign.code not in _LASTING else 1.0)
        if found.spoken:
            confidence *= _SPOKEN_OF
        yield suspect(sign.code, confidence, sign.text, quote=found.line)


_LASTING = frozenset({"nan_loss", "empty_mask", "adapter_not_applied", "merge_loss", "truncation",
                      "zero_loss", "pad_eos_confusion", "tokenizer_bound"})  # fmt: skip
"""Troubles after which a run goes on, only badly."""


def _went_on(text: str, after: int) -> bool:
    return len(_STEP_LINE.findall(text[after:])) >= 3


def lost(run: Run) -> Iterator[Suspicion]:
    """A worker that vanished without a word: mostly the machine's memory."""
    if run.state not in ("lost", "interrupted"):
        return
    used, limit = run.curve("memory_gib"), run.number("memory_limit_gib")
    if used and limit and used.highest >= 0.85 * limit and not run.on_gpu:
        yield suspect("oom_ram", 0.75, f"The worker vanished without a word while it used "
                      f"{used.highest:.3g} of {limit:.3g} GiB: the system ends what takes too "
                      f"much.",
                      steps=[run.total_steps], memory_gib=used.highest,
                      limit_gib=limit)  # fmt: skip


def _all_text(run: Run) -> str:
    parts = [end_of(run.log)]
    parts += [str(f.get("message", "")) for f in run.failures]
    parts += [message for _, message in run.warnings]
    if run.state in ("failed", "lost"):
        # Otherwise it went on after each attempt.
        parts += [str(attempt.get("reason", "")) for attempt in run.attempts]
    parts.append(run.question)
    return "\n".join(parts)


RULES = (memory_gone, known_wordings, lost)
