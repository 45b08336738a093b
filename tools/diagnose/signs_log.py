"""What the last lines of a log say: errors that libraries word always alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tools.diagnose.evidence import Run
from tools.diagnose.report import Code
from tools.diagnose.suspicion import Suspicion, ramp, suspect

_LOOKED_AT = 400_000
_STEP_LINE = re.compile(r"['\"]?loss['\"]?\s*[:=]\s*\d|\bstep\s+\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Sign:
    """A wording that names its cause."""

    code: Code
    pattern: re.Pattern[str]
    confidence: float
    text: str


def _sign(code: Code, pattern: str, confidence: float, text: str) -> Sign:
    return Sign(code, re.compile(pattern, re.IGNORECASE), confidence, text)


_GPU = (
    r"CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError|CUDA error: out of memory|"
    r"HIP out of memory|CUBLAS_STATUS_ALLOC_FAILED|MPS backend out of memory|"
    r"cudaErrorMemoryAllocation|"
    r"CUDA_ERROR_OUT_OF_MEMORY|XPU out of memory"
)
_RAM = (
    r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory)|\bMemoryError\b|"
    r"std::bad_alloc|oom[-_ ]?kill|Out of memory: Killed process|exit(?:ed)? (?:code|status|with)"
    r"[^\n]{0,20}(?:-9|137)\b|signal 9|SIGKILL|^\s*Killed\s*$|Cannot allocate memory|"
    r"ArrayMemoryError|Unable to allocate [\d.]+ [MGT]iB"
)
SIGNS: tuple[Sign, ...] = (
    _sign("driver_mismatch",
          r"driver (?:version is insufficient|on your system is too old|/library version mismatch)|"
          r"no kernel image is available|forward compatibility was attempted|"
          r"not compiled with CUDA enabled|CUDA driver initialization failed|"
          r"libcud(?:art|nn)[\w.]*: cannot open|undefined symbol: \w*(?:cu|nv)\w+|"
          r"found no NVIDIA driver|nvrtc: error|CUDA error: (?:invalid device function|"
          r"system has unsupported display driver)|cuDNN (?:error: CUDNN_STATUS_NOT_INITIALIZED|"
          r"version mismatch)|CUDA Setup failed|"
          r"detected CUDA version \([\d.]+\) mismatches|PTX was compiled with an unsupported|"
          r"is not compatible with the current PyTorch installation",
          0.95, "The driver, CUDA and PyTorch on this machine do not fit each other."),
    _sign("gated_model",
          r"gated repo|GatedRepoError|is restricted|awaiting a review|"
          r"(?:401|403) (?:Client Error|Forbidden|Unauthorized)[^\n]*|"
          r"must (?:be authenticated|have access to it)|may be read only with its owners|"
          r"accept the (?:licen[cs]e|conditions)|Invalid user(?:name)? (?:token|or password)|"
          r"not a valid model identifier[^\n]*(?:private|token)",
          0.95, "The model's owners let only those download it who accepted its licence."),
    _sign("disk_full",
          r"No space left on device|Errno 28\b|\bENOSPC\b|Disk quota exceeded|\bEDQUOT\b|"
          r"database or disk is full|disk that holds[^\n]*is full|not enough (?:disk|free) space|"
          r"os error 28|There is not enough space on the disk",
          0.96, "The disk is full."),
    _sign("bad_checkpoint",
          r"HeaderTooLarge|SafetensorError|InvalidHeaderDeserialization|MetadataIncompleteBuffer|"
          r"header too (?:large|small)|PytorchStreamReader failed|"
          r"failed finding central directory|unexpected (?:EOF|end of file)[^\n]*|"
          r"checkpoint[^\n]{0,60}\b(?:(?:is|was|are|seems|be) (?:corrupt\w*|damaged|broken|"
          r"incomplete|"
          r"truncated|not valid)|do(?:es)? not match)|digest[^\n]{0,30}does not match|"
          r"(?:corrupt\w*|damaged|broken|truncated) checkpoint|"
          r"trainer_state\.json[^\n]*(?:No such file|not found|JSONDecodeError)|"
          r"Can't find a valid checkpoint|invalid load key|Ran out of input|"
          r"optimizer state[^\n]*(?:doesn't|does not) match|EOFError: Ran out",
          0.93, "A checkpoint cannot be read back."),
    _sign("adapter_not_applied",
          r"Found missing adapter keys|missing adapter keys|"
          r"(?:Target modules|target_modules)[^\n]*not found in the base model|"
          r"No(?:ne of the)? (?:LoRA|adapter) (?:weights|keys)[^\n]*(?:loaded|matched|found)|"
          r"unexpected (?:adapter )?keys?[^\n]*lora|adapter has no effect|"
          r"Some weights of[^\n]*lora[^\n]*newly initialized",
          0.9, "The adapter's weights did not reach the model they were made for."),
    _sign("merge_loss",
          r"Merg(?:e|ing)[^\n]*(?:4|8)-?bit[^\n]*(?:rounding|different generations|loss)|"
          r"merge lora module to (?:4|8)-bit|merged does not say what the tuned",
          0.85, "The adapter was merged into quantised weights, which rounds it away."),
    _sign("quantisation_loss", r"onnx_int4 does not say what the tuned", 0.92,
          "The four-bit model does not say what the tuned one says."),
    _sign("nan_loss",
          r"['\"]?(?:train_|eval_)?loss['\"]?\s*[:=]\s*['\"]?(?:nan|inf)\b|"
          r"loss (?:became|is) (?:nan|inf)|contains? (?:nan|inf)|"
          r"returned nan values|Attempting to unscale FP16 gradients|probability tensor contains",
          0.88, "A loss or gradient is not a number."),
    _sign("empty_mask",
          r"all labels? (?:in (?:your|the) dataset )?(?:are|is|were|will be) (?:-100|masked|"
          r"ignored)|"
          r"Could not find (?:response key|instruction key)[^\n]*|"
          r"will be ignored in loss calculation|every label is masked",
          0.9, "The mask leaves nothing of the answers to train on."),
    _sign("zero_loss", r"loss is exactly 0\.0|['\"]loss['\"]: 0\.0\b[^\n]*['\"]grad_norm['\"]: "
          r"(?:0\.0|nan)",
          0.8, "The loss is exactly zero."),
    _sign("truncation",
          r"sequence length is longer than the specified maximum|"
          r"\d+ rows were longer than the limit|Truncat(?:ed|ing) \d+",
          0.5, "Rows are longer than the model or the limit allows."),
    _sign("loader_bound", r"DataLoader worker[^\n]*(?:slow|bottleneck)|"
          r"input pipeline[^\n]*bottleneck|data loading is the bottleneck", 0.75,
          "Batches come too slowly."),
)  # fmt: skip
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
    gpu, ram = _last(_GPU, text), _last(_RAM, text)
    said = [f for f in run.failures if f.get("refused_by") == "memory"]
    if gpu is None and ram is None and not said:
        return
    found = gpu or ram
    code: Code = "oom_gpu" if gpu or (ram is None and run.on_gpu) else "oom_ram"
    where = "the GPU" if code == "oom_gpu" else "the machine's memory"
    quote = found.line if found else str(said[-1].get("message", ""))
    went_on = found is not None and _went_on(text, found.end) and run.state == "succeeded"
    confidence = 0.45 if went_on else 0.93
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


@dataclass(frozen=True)
class _Match:
    line: str
    start: int
    end: int


def _last(pattern: str, text: str) -> _Match | None:
    found = None
    for found in re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE):  # noqa: B007
        pass
    if found is None:
        return None
    begin = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", found.end())
    end = len(text) if end < 0 else end
    return _Match(text[begin:end].strip()[:600], found.start(), end)


def _doing(run: Run, text: str, found: _Match | None) -> str:
    if found is not None:
        around = text[max(0, found.start - 6000) : found.end + 1500]
        # Only the trace that ends in the error: what came before it is another story.
        trace = around[max(0, around.rfind("Traceback (most recent call last)")) :]
        evaluating, saving = list(_EVAL_TRACE.finditer(trace)), list(_SAVE_TRACE.finditer(trace))
        if evaluating and (not saving or evaluating[-1].start() > saving[-1].start()):
            return "evaluate"
        if saving:
            return "save"
    phase = run.phases[-1][0] if run.phases else ""
    if not phase.startswith(("eval", "judge", "save")):
        return _due_at_the_last_step(run)
    if phase.startswith(("eval", "judge")):
        return "evaluate"
    return "save" if phase.startswith(("save", "checkpoint")) else "train"


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
    for sign in SIGNS:
        found = _last(sign.pattern.pattern, text)
        if found is None:
            continue
        went_on = _went_on(text, found.end) and run.state not in ("failed", "lost")
        confidence = sign.confidence * (0.5 if went_on and sign.code not in _LASTING else 1.0)
        yield suspect(sign.code, confidence, sign.text, quote=found.line)


_LASTING = frozenset({"nan_loss", "empty_mask", "adapter_not_applied", "merge_loss", "truncation",
                      "zero_loss"})  # fmt: skip
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
    parts = [run.log[-_LOOKED_AT:]]
    parts += [str(f.get("message", "")) for f in run.failures]
    parts += [message for _, message in run.warnings]
    parts += [str(attempt.get("reason", "")) for attempt in run.attempts]
    parts.append(run.question)
    return "\n".join(parts)


RULES = (memory_gone, known_wordings, lost)
