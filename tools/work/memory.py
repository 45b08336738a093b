"""Measured memory of this process."""

from __future__ import annotations

import resource
import sys

import psutil
import torch

_GIB = 2**30


def memory_now_gib(device: str) -> float:
    """Return what this process uses now: GPU memory it allocated, or its resident size."""
    if device == "cuda":
        return torch.cuda.memory_allocated() / _GIB
    return float(psutil.Process().memory_info().rss) / _GIB


def memory_peak_gib(device: str) -> float:
    """Return the most this process has used so far."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / _GIB
    # Bytes on macOS, KiB elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _GIB
