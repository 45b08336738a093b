"""How a run is spread over processes: the engines that come into question, in order."""

from __future__ import annotations

from dataclasses import dataclass

from tools.history.spec import Offload

CPU_PROCESSES = 2
"""Processes on a CPU where an engine for several was asked for without a number."""


@dataclass(frozen=True)
class Spread:
    """An engine, how many processes share the work, and what lies in the machine's memory."""

    engine: str
    processes: int = 1
    offload: Offload = "none"


def spreads(
    *,
    method: str,
    quantised: bool,
    device: str,
    cards: int,
    engine: str | None = None,
    processes: int | None = None,
    offload: Offload | None = None,
) -> list[Spread]:
    """Return the ways in the order of least communication.

    Args:
        engine, processes, offload: Wishes; None leaves them open.
        cards: Cards of the machine; none where it trains on the processor.
    """
    count = processes or (cards if device == "cuda" else CPU_PROCESSES)
    if engine is not None:
        return [Spread(engine, 1 if engine == "single" else max(1, count), offload or "none")]
    if (processes or cards if device == "cuda" else processes or 1) < 2:
        return [Spread("single")]
    if device == "cpu":
        return [Spread("ddp", count, offload or "none")]
    if quantised:
        return [Spread("ddp", count), Spread("fsdp", count)]
    if offload and offload != "none":
        return [Spread("zero2" if offload == "optimizer" else "zero3", count, offload)]
    order = [Spread(name, count) for name in ("ddp", "zero2", "zero3", "fsdp")]
    return [*order, Spread("zero3", count, "parameters")] if method == "full" else order
