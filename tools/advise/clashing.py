"""What of the compatibility table holds for one way to run a training."""

from __future__ import annotations

from tools import methods
from tools.advise.compatibility import Clash, clashes
from tools.advise.evidence import facts_of_method
from tools.advise.workload import Workload


def clashes_of(
    work: Workload,
    *,
    target: str = "hf",
    packing: bool = False,
    attention: str = "sdpa",
    loss: str = "cross_entropy",
) -> list[Clash]:
    """Return the pairs, refused and risky, that hold for a step and where its model will run."""
    return clashes(
        method=work.method,
        engine=work.engine,
        device=work.device,
        target=target.partition("-")[0],
        quantized="no" if work.quantized == "none" else "yes",
        quantization=work.quantized,
        optimizer=work.optimizer,
        merges="yes" if facts_of_method(work.method).merges else "no",
        checkpointing="yes" if work.checkpointing else "no",
        packing="yes" if packing else "no",
        attention=attention,
        precision=work.precision,
        objective=work.objective,
        kind=methods.method(work.method).kind,
        experts="yes" if work.shape.is_mixture else "no",
        loss=loss,
    )


def refusal_of(work: Workload, *, target: str = "hf") -> Clash | None:
    """Return the first pair that forbids a step, or None where it may be run."""
    found = clashes_of(work, target=target)
    return next((clash for clash in found if clash.level == "refuse"), None)
