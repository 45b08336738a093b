"""The machine that is meant: this one, or one in words."""

from __future__ import annotations

from tools.advise.hardware import Machine, this_machine
from tools.advise.machines import machine_with_card, parse_machine
from tools.context import Context
from tools.errors import BadInput


def machine_of(ctx: Context, *, hardware: str | None, memory_gb: float | None) -> Machine:
    """Return the described machine, or this one.

    Raises:
        BadInput: The words describe none, or contradict `memory_gb`.
    """
    if hardware:
        machine = parse_machine(hardware)
        if memory_gb and not any(abs(g.memory_gib - memory_gb) < 0.1 * memory_gb
                                 for g in machine.gpus):  # fmt: skip
            raise BadInput(
                f"{hardware!r} and a card of {memory_gb:g} GB do not go together.",
                hint="Give one of the two.",
            )
        return machine
    return machine_with_card(memory_gb) if memory_gb else this_machine(ctx.settings)
