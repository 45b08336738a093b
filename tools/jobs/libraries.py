"""Which costly libraries the process of a job leaves out, and which jobs can be prepared for."""

from __future__ import annotations

from tools.history.spec import AdaptersSpec, AnySpec, SearchSpec, TrainingSpec, run_of
from tools.history.store import Store
from tools.methods import quantisation_of


def left_out(store: Store, spec: AnySpec) -> tuple[str, ...]:
    """Return the libraries that a job does not use but its own libraries would import."""
    unused = []
    # PEFT imports it wherever it is installed, with torch's compiler behind it: two seconds.
    if not _needs_bitsandbytes(store, spec):
        unused.append("bitsandbytes")
    # The trainer imports it wherever it is installed.
    if not _needs_deepspeed(spec):
        unused.append("deepspeed")
    return tuple(unused)


def can_load_ahead(store: Store, spec: AnySpec) -> bool:
    """Return whether a process may load a training's libraries before it has the training.

    On a GPU bitsandbytes and DeepSpeed ask the driver when they are imported: a process that only
    waits would hold memory of the GPU, and one that forks could not hand it on.
    """
    run = run_of(spec)
    if not isinstance(run, TrainingSpec):
        return False
    return run.device == "cpu" or not (_needs_bitsandbytes(store, run) or _needs_deepspeed(run))


def _needs_deepspeed(spec: AnySpec) -> bool:
    return isinstance(spec, TrainingSpec) and spec.engine.startswith("zero")


def _needs_bitsandbytes(store: Store, spec: AnySpec) -> bool:
    if isinstance(spec, SearchSpec | AdaptersSpec):
        return False
    training = spec if isinstance(spec, TrainingSpec) else store.jobs.get(spec.job).training
    return (
        quantisation_of(training.method, training.quantization) != "none"
        or "8bit" in training.optimizer
    )
