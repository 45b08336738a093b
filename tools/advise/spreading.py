"""How a run is spread over processes: the engines that come into question, in order."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from tools.history.spec import Offload

CPU_PROCESSES = 2
"""Processes on a CPU where an engine for several was asked for without a number."""
INSTALL_DEEPSPEED = (
    "Install it with `DS_BUILD_OPS=0 pip install 'luthier[deepspeed]'`, or use the engine ddp."
)


def has_deepspeed() -> bool:
    """Return whether the engines zero1 to zero3 can run here."""
    return find_spec("deepspeed") is not None


def lacks_deepspeed(engine: str | None) -> str | None:
    """Say that an engine needs what is not installed, or None."""
    if engine is None or not engine.startswith("zero") or has_deepspeed():
        return None
    return f"ZeRO-{engine[-1]} needs DeepSpeed, which is not installed."


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
    zero: bool = True,
) -> list[Spread]:
    """Return the ways in the order of least communication.

    Args:
        engine, processes, offload: Wishes; None leaves them open.
        zero: Whether DeepSpeed's engines come into question where none was wished.
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
        stage = "zero2" if offload == "optimizer" else "zero3"
        return [Spread(stage if zero else "fsdp", count, offload)]
    names = ("ddp", "zero2", "zero3", "fsdp") if zero else ("ddp", "fsdp")
    order = [Spread(name, count) for name in names]
    last = Spread("zero3" if zero else "fsdp", count, "parameters")
    return [*order, last] if method == "full" else order
