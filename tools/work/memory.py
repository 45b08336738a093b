"""Measured memory of this process."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch

_GIB = 2**30
_GIVEN_DATA = resource.getrlimit(resource.RLIMIT_DATA)
"""Soft and hard limit of private data that this process began with."""
_TAKEN_AT_MOST = 0.97
"""Share of what there is that may be taken: stacks and what is reserved grow without asking."""
_CGROUP_FILES = {
    "v1": (
        Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes",
        "total_inactive_file",
    ),
    "v2": (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
}  # fmt: skip
CONTEXT_GIB = 0.74
"""GPU memory of a process that PyTorch's allocator does not count: CUDA's context, kernels and
libraries. 0.73 to 0.77 in 14 runs on an H200 (driver 580, CUDA 13.0)."""


def memory_now_gib(device: str) -> float:
    """Return what this process uses now: GPU memory it allocated, or its resident size."""
    if device == "cuda":
        return torch.cuda.memory_allocated() / _GIB
    return float(psutil.Process().memory_info().rss) / _GIB


def memory_reserved_gib(device: str) -> float | None:
    """Return what CUDA's allocator holds, in use or not; None where there is no such allocator."""
    return round(torch.cuda.memory_reserved() / _GIB, 3) if device == "cuda" else None


def memory_limit_gib(device: str, allowed_gib: float | None) -> float:
    """Return the most this process may use on the device: the machine's, or what was allowed."""
    if device == "cuda":
        there = torch.cuda.get_device_properties(0).total_memory / _GIB
    else:
        there = float(psutil.virtual_memory().total) / _GIB
    return min(there, allowed_gib) if allowed_gib else there


def allow_gpu_memory(limit_gib: float) -> None:
    """Let this process take no more of the GPU than so much; then it runs out of memory."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit_gib * _GIB / total))


def usage(device: str) -> dict[str, float]:
    """Return how busy the machine is: shares of its cores, and of the GPU beside this process."""
    this = _process(os.getpid())
    cores = psutil.cpu_count() or 1
    found = {"cpu_utilization": round(this.cpu_percent() / 100 / cores, 3)}
    if device == "cuda":
        found["host_memory_gib"] = round(this.memory_info().rss / _GIB, 3)
        # Some cards and containers do not tell.
        with suppress(RuntimeError, ImportError):
            found["gpu_utilization"] = torch.cuda.utilization() / 100
    return found


@cache
def _process(pid: int) -> psutil.Process:
    """Return one object for a process, which knows when it was last asked; a fork is another."""
    return psutil.Process(pid)


def memory_room_gib(device: str) -> float:
    """Return the most that this process can come to hold: what the machine or a limit lets it.

    A limit on address space (RLIMIT_AS) also counts what is mapped but never touched; that part
    is taken off, so that the figure compares with resident sizes.
    """
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        allowed = torch.cuda.get_per_process_memory_fraction() * total
        return min(free + torch.cuda.memory_reserved(), allowed) / _GIB
    held = psutil.Process().memory_info()
    rooms = [float(psutil.virtual_memory().available) + held.rss]
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if space != resource.RLIM_INFINITY:
        rooms.append(float(space - (held.vms - held.rss)))
    rooms += [room + held.rss for room in _cgroup_rooms()]
    return min(rooms) / _GIB


def fail_before_being_killed() -> None:
    """Let an allocation fail at the limit where the kernel would kill this process without a word.

    Linux gives out memory that it does not have. A limit on private data at what there is now
    turns running out of it into an error, which the ladder can answer. Other systems are left.
    """
    if sys.platform != "linux":
        return
    status = _lines(Path("/proc/self/status"))
    data = next(int(line.split()[1]) for line in status if line.startswith("VmData:")) * 1024
    more = memory_room_gib("cpu") * _GIB - psutil.Process().memory_info().rss
    given = [limit for limit in _GIVEN_DATA if limit != resource.RLIM_INFINITY]
    wanted = min([int(data + _TAKEN_AT_MOST * max(0.0, more)), *given])
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, _GIVEN_DATA[1]))


def lift_limit() -> None:
    """Take back the limit above, to load a model: files that are read count as private data."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, _GIVEN_DATA)


def _cgroup_rooms() -> list[float]:
    """Return what each limited control group of this process still has to give, in bytes."""
    found = []
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        version = "v1" if controllers else "v2"
        root, limit, used, cache = _CGROUP_FILES[version]
        here = root / path.lstrip("/")
        # A limit holds for all groups below it; in a container only the root may be seen.
        for folder in (here, *here.parents):
            if folder != root and root not in folder.parents:
                break
            limits, usage = _lines(folder / limit), _lines(folder / used)
            if limits and usage and limits[0].isdigit():
                stat = dict(s.split(" ", 1) for s in _lines(folder / "memory.stat"))
                found.append(float(limits[0]) - float(usage[0]) + float(stat.get(cache, 0)))
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def forget_peak(device: str) -> None:
    """Start measuring the peak anew, where the system can."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return
    give_back()
    # Linux: writing 5 sets the peak resident size back to the present one (proc(5)).
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        with suppress(OSError):
            clear.write_text("5")


def give_back() -> None:
    """Hand freed memory back to the system: glibc keeps what earlier work needed otherwise."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library has no such call
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def memory_peak_gib(device: str) -> float:
    """Return the most this process has used so far; of a GPU all that is gone for others."""
    if device == "cuda":
        return CONTEXT_GIB + torch.cuda.max_memory_reserved() / _GIB
    # What getrusage tells starts at the size of the process that launched this one.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024 / _GIB
    # Bytes on macOS, KiB elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _GIB


def recompute_activations(model: Any) -> None:
    """Switch activation checkpointing on; a frozen embedding must hand a gradient through then."""
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if hasattr(model, "peft_config"):
        model.enable_input_require_grads()
