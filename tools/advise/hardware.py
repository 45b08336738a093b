"""What this machine has: processor, memory, disk and GPUs, without importing torch."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from tools.advise.calibration import measured_gflops
from tools.advise.figures import GIB
from tools.settings import Settings

_CGROUP = Path("/sys/fs/cgroup")
_GPU_FRESH_S = 5.0
_gpu_cache: tuple[float, tuple[Gpu, ...], str] | None = None


@dataclass(frozen=True)
class Gpu:
    """One graphics card. Memory in GiB; `bfloat16` from compute capability 8.0 on."""

    name: str
    memory_gib: float
    free_gib: float
    capability: tuple[int, int] | None = None

    @property
    def bfloat16(self) -> bool:
        """True where the card computes in bfloat16 natively (Ampere and later)."""
        return self.capability is None or self.capability >= (8, 0)


_BUSY = 2.0


@dataclass(frozen=True)
class Machine:
    """A machine to train on: this one, or one that a person described.

    Attributes:
        described: The words it was described with; empty for this machine.
        nodes: How many such machines; `gpus` lists the cards of all of them.
        notes: What was assumed.
        limited: `memory_gib` is a limit from the settings, to be used to the full.
        crowd: How many processes want each core just now, one more included; at least 1.
        gflops: Measured speed of matrix products on the processor, where it was calibrated.
    """

    name: str
    cpu: str
    cores: int
    memory_gib: float
    free_memory_gib: float
    disk_free_gib: float | None
    gpus: tuple[Gpu, ...] = ()
    described: str = ""
    nodes: int = 1
    notes: tuple[str, ...] = ()
    limited: bool = False
    gflops: float | None = None
    crowd: float = 1.0

    @property
    def best_gpu_gib(self) -> float:
        """Usable memory of the roomiest card; 0 without one."""
        return max((gpu.free_gib for gpu in self.gpus), default=0.0)

    def usable_gib(self, device: str) -> float:
        """Return the memory that one training may use: of the smallest card, or of the machine.

        A gigabyte (or a tenth) of a machine's memory is left to the system, unless the settings
        already name a limit; of a card a small reserve is left to the display and the driver.
        """
        if device == "cuda":
            card = max(0.0, 0.985 * self.gpus[0].memory_gib) if self.gpus else 0.0
            return min(card, self.memory_gib) if self.limited else card
        reserve = 0.0 if self.limited else max(0.75, 0.08 * self.memory_gib)
        return max(0.0, self.memory_gib - reserve)

    def summary(self) -> str:
        """Return the machine in one line."""
        cores = f"{self.cores} CPU {'core' if self.cores == 1 else 'cores'}"
        parts = [cores, f"{self.memory_gib:.0f} GiB memory"]
        kinds = Counter((gpu.name, round(gpu.memory_gib)) for gpu in self.gpus)
        for (name, memory), count in kinds.items():
            several = f"{count} × " if count > 1 else ""
            parts.append(f"{several}{name} with {memory} GiB")
        if not self.gpus:
            parts.append("no GPU")
        return ", ".join(parts)


def with_useful_cards(machine: Machine) -> tuple[Machine, str]:
    """Return the machine with the cards to train on, and a note where some are left out.

    A run over uneven cards has the smallest one's memory on each: as many of the largest are taken
    as have the most memory together.
    """
    ordered = sorted(machine.gpus, key=lambda gpu: -gpu.memory_gib)
    if not ordered or ordered[-1].memory_gib > 0.9 * ordered[0].memory_gib:
        return machine, ""
    count = max(range(1, len(ordered) + 1), key=lambda k: (k * ordered[k - 1].memory_gib, -k))
    used = tuple(ordered[:count])
    what = "the largest alone is" if count == 1 else f"the {count} largest are"
    note = (
        f"The cards differ in memory, and shared work is bound by the smallest: {what} planned "
        f"with, {used[-1].memory_gib:.0f} GiB each."
    )
    return replace(machine, gpus=used), note


def this_machine(settings: Settings) -> Machine:
    """Look at this machine. Read-only; a few milliseconds after the first call."""
    total, free, notes = _memory()
    if settings.memory_limit_gib:
        total, free = (min(value, settings.memory_limit_gib) for value in (total, free))
        notes.append(f"Memory is limited to {settings.memory_limit_gib:g} GiB by the settings.")
    gpus, gpu_note = _gpus()
    if gpu_note:
        notes.append(gpu_note)
    if gpus and not _torch_reaches_gpus():
        notes.append(
            f"There is a {gpus[0].name}, but the installed PyTorch is built for processors only; "
            "install a CUDA build of it to use the card."
        )
        gpus = ()
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return Machine(
        name="this machine",
        cpu=_cpu_name(),
        cores=min(cores, settings.worker_threads or cores),
        memory_gib=total,
        free_memory_gib=free,
        gflops=measured_gflops(settings),
        crowd=_crowd(),
        disk_free_gib=disk_free_gib(settings.home),
        gpus=gpus,
        notes=tuple(notes),
        limited=settings.memory_limit_gib is not None,
    )


def _crowd() -> float:
    """Processes for each core, with the one that is to come; below two they share well enough."""
    each = (psutil.getloadavg()[0] + 1) / (psutil.cpu_count() or 1)
    return each if each >= _BUSY else 1.0


def disk_free_gib(folder: Path) -> float | None:
    """Return free space where `folder` is, or will be made."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free / GIB
    return None


def _memory() -> tuple[float, float, list[str]]:
    """Return total and available memory in GiB; a container's limit counts, not the host's."""
    memory = psutil.virtual_memory()
    total, free = float(memory.total), float(memory.available)
    for limit_file, used_file in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit, used = _number(_CGROUP / limit_file), _number(_CGROUP / used_file)
        if limit is not None and used is not None and limit < total:
            room = limit - used + _reclaimable(limit_file)
            total, free = limit, max(0.0, min(free, room))
            return total / GIB, free / GIB, ["Memory is limited by the container."]
    return total / GIB, free / GIB, []


def _reclaimable(limit_file: str) -> float:
    """Page cache of the container that the kernel gives back under pressure."""
    stat = (_CGROUP / limit_file).parent / "memory.stat"
    if not stat.is_file():
        return 0.0
    for line in stat.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(" ")
        if name in {"inactive_file", "total_inactive_file"} and value.isdigit():
            return float(value)
    return 0.0


def _number(path: Path) -> float | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return float(text) if text.isdigit() else None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "CPU"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "CPU"


def _torch_reaches_gpus() -> bool:
    """Read from the installed version, such as `2.13.0+cpu`, without importing torch."""
    try:
        return not metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False


def _gpus() -> tuple[tuple[Gpu, ...], str]:
    """Ask the NVIDIA driver. Returns the cards and, where it fails, a note for the person."""
    global _gpu_cache
    now = time.monotonic()
    if _gpu_cache and now - _gpu_cache[0] < _GPU_FRESH_S:
        return _gpu_cache[1], _gpu_cache[2]
    cards, note = _ask_driver()
    _gpu_cache = (now, cards, note)
    return cards, note


def _ask_driver() -> tuple[tuple[Gpu, ...], str]:
    import pynvml  # noqa: PLC0415  loads the driver's library

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        absent = isinstance(
            error, pynvml.NVMLError_LibraryNotFound | pynvml.NVMLError_DriverNotLoaded
        )
        return (), "" if absent else f"The NVIDIA driver does not answer: {error}."
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_card(pynvml, handle) for handle in handles), ""
    except pynvml.NVMLError as error:
        return (), f"The NVIDIA driver does not answer: {error}."
    finally:
        pynvml.nvmlShutdown()


def _card(nvml: Any, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    name = nvml.nvmlDeviceGetName(handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    text = name.decode() if isinstance(name, bytes) else str(name)
    return Gpu(text, memory.total / GIB, memory.free / GIB, (int(major), int(minor)))
