"""The gate before a run: does it make sense, is it compatible, does it fit."""

from __future__ import annotations

from tools import methods
from tools.advise.adapter_wishes import adapter_problems
from tools.advise.compatibility import Clash, reaches_target
from tools.advise.figures import MemoryEstimate
from tools.advise.hardware import Machine, disk_free_gib
from tools.advise.memory import Workload, quantised_linears
from tools.advise.models import ModelInfo, catalogue, from_catalogue
from tools.advise.solver import what_fits
from tools.advise.spreading import INSTALL_DEEPSPEED, lacks_deepspeed
from tools.advise.trained import trained_parameters
from tools.advise.wishes import PlanRequest
from tools.errors import Refused
from tools.history.spec import TrainingSpec
from tools.settings import Settings


def check_wishes(request: PlanRequest, model: ModelInfo, machine: Machine) -> None:
    """Refuse wishes that cannot all be honoured, before any data is read.

    Raises:
        BadInput: An unknown method.
        Refused: Contradictory wishes (`preflight`).
    """
    if request.method is not None:
        methods.method(request.method)
    problems = [found for found in _contradictions(request, model, machine) if found]
    if problems:
        raise Refused(
            " ".join(problem for problem, _ in problems),
            hint=" ".join(hint for _, hint in problems),
            refused_by="preflight",
        )


def _contradictions(
    request: PlanRequest, model: ModelInfo, machine: Machine
) -> list[tuple[str, str] | None]:
    return [
        *adapter_problems(request, model),
        _too_long(request, model),
        _no_gpu(request, machine),
        _processes(request, machine),
        _without_deepspeed(request),
        _quantisation(request, model, machine),
        _unreachable(request, model),
    ]


def _processes(request: PlanRequest, machine: Machine) -> tuple[str, str] | None:
    """Several processes need an engine for several, and on cards a card each."""
    count = request.processes or 1
    if count > 1 and request.engine == "single":
        return (
            f"The engine single is one process, not {count}.",
            "Choose ddp, zero1, zero2, zero3 or fsdp, or leave the processes out.",
        )
    cards = len(machine.gpus)
    if choose_device(request, machine) == "cuda" and count > cards > 0:
        return f"There are {cards} cards for {count} processes.", f"Use at most {cards}."
    if (
        request.engine not in (None, "single")
        and count < 2
        and cards < 2
        and (request.processes == 1 or choose_device(request, machine) == "cuda")
    ):
        return (
            f"The engine {request.engine} shares the work over several processes; here is one.",
            "Leave the engine out, or name at least two processes.",
        )
    return None


def _without_deepspeed(request: PlanRequest) -> tuple[str, str] | None:
    problem = lacks_deepspeed(request.engine)
    return (problem, INSTALL_DEEPSPEED) if problem else None


def _too_long(request: PlanRequest, model: ModelInfo) -> tuple[str, str] | None:
    if request.max_length is None or request.max_length <= model.context_length:
        return None
    return (
        f"{model.name} reads at most {model.context_length} tokens, "
        f"not the {request.max_length} asked for.",
        f"Use max_length {model.context_length} or less, or a model with a longer context.",
    )


def _no_gpu(request: PlanRequest, machine: Machine) -> tuple[str, str] | None:
    if request.device != "cuda" or machine.gpus:
        return None
    return "There is no NVIDIA GPU on this machine.", "Leave the device out to train on the CPU."


def _quantisation(
    request: PlanRequest, model: ModelInfo, machine: Machine
) -> tuple[str, str] | None:
    kind = request.quantization
    if kind == "none" or (kind is None and request.method != "qlora"):
        return None
    problem = quantisation_problem(model, choose_device(request, machine))
    return (problem, "Use the method lora; it needs no quantised base.") if problem else None


def quantisation_problem(model: ModelInfo, device: str) -> str | None:
    """Say why bitsandbytes can quantise nothing of this model on this device, or None.

    Matrices that its CPU kernels cannot take stay in full precision (see `quantised_linears`).
    """
    if device == "cuda" or quantised_linears(model.shape, device):
        return None
    first = model.shape.linears[0]
    return (
        "QLoRA on a CPU needs matrices with inputs in multiples of 64 and outputs in multiples "
        f"of 32; {model.name} has none ({first.name} is {first.inputs} × {first.outputs})."
    )


def _unreachable(request: PlanRequest, model: ModelInfo) -> tuple[str, str] | None:
    """A run must not end in an architecture that its deploy target does not know."""
    problem = reaches_target(model.architecture, request.target or "hf")
    if problem is None:
        return None
    near = [
        other
        for other in map(from_catalogue, catalogue())
        if reaches_target(other.architecture, str(request.target)) is None
    ]
    nearest = min(near, key=lambda m: abs(m.parameters - model.parameters))
    return (
        f"{model.name} cannot be brought to {request.target}: {problem}.",
        f"The nearest in size that can is {nearest.name}.",
    )


def choose_device(request: PlanRequest, machine: Machine) -> str:
    """Return the wished device, else the GPU where there is one."""
    return request.device or ("cuda" if machine.gpus else "cpu")


def refuse_clash(clash: Clash) -> Refused:
    """Return the refusal of what the compatibility table forbids."""
    reason = f"{clash.reason[0].upper()}{clash.reason[1:]}"
    return Refused(
        f"This does not go together: {reason} ({clash.source}; {clash.versions}).",
        hint=f"What works: {clash.instead}.",
        refused_by="preflight",
    )


def refuse_memory(work: Workload, memory: MemoryEstimate, available_gib: float) -> Refused:
    """Return the refusal of a run that does not fit, naming the nearest one that does."""
    place = "GPU memory" if work.device == "cuda" else "memory"
    largest = max(memory.parts, key=lambda name: memory.parts[name])
    several = work.gpus > 1 and work.device == "cpu"
    who = f"The {work.gpus} processes of this run together" if several else "This run"
    problem = (
        f"{who} may need {memory.high_gib:.1f} GiB of {place} "
        f"(expected {memory.expected_gib:.1f}), and {available_gib:.1f} GiB can be used; "
        f"most goes to {largest}."
    )
    return Refused(problem, hint=what_fits(work, available_gib), refused_by="memory")


def disk_need(spec: TrainingSpec, model: ModelInfo) -> float:
    """Return GiB of disk a run needs: download, checkpoints with optimiser state, the result."""
    gib = 2**30
    trained = trained_parameters(model.shape, spec.method, spec.rank, spec.target_modules)
    kept = 3 * trained * (4 + 8) + trained * 4
    download = 0 if model.path else 2 * model.parameters
    return (kept + download) / gib + 0.05


def check_disk(need_gib: float, settings: Settings) -> None:
    """Refuse a run whose files would fill the disk.

    Raises:
        Refused: By the gate `disk`.
    """
    free = disk_free_gib(settings.home)
    if free is None or free >= need_gib + 0.1:
        return
    raise Refused(
        f"The run needs about {need_gib:.2f} GiB of disk, and {free:.2f} GiB are free "
        f"in {settings.home}.",
        hint="Free some space, or point LUTHIER_HOME at a larger disk.",
        refused_by="disk",
    )
