"""What a person may be asked for when memory runs out and nothing else is left: protected changes.

None of them is made here; each changes what is learned or from what, and is a plan of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder

from tools.history.spec import TrainingSpec
from tools.methods import method, quantisation_of

_SHORTEST_TOKENS = 64
_WORTH = 0.98
"""A change must bring the prediction below this share of the present one to be named."""


def proposal(
    spec: TrainingSpec, predicted_gib: Callable[[TrainingSpec, int], float], length: int
) -> str:
    """Return a sentence with the changes that would need less, each with its prediction.

    Args:
        predicted_gib: What a run over rows of so many tokens is predicted to need.
        length: Tokens of the longest row.
    """
    now = predicted_gib(spec, length)
    better = []
    for words, wish, rows in _wishes(spec, length):
        needs = predicted_gib(wish, rows)
        if needs < _WORTH * now:
            better.append(f"{words} (predicted {needs:.2f} instead of {now:.2f} GiB)")
    if not better:
        return "Make a new plan with a smaller model, or end what else uses memory here."
    return f"Make a new plan with {', '.join(better)}, or a smaller model."


def _wishes(spec: TrainingSpec, length: int) -> Iterator[tuple[str, TrainingSpec, int]]:
    """Yield protected changes in words, as a spec, and with the longest row they leave."""
    half = length // 2
    if half >= _SHORTEST_TOKENS:
        yield (
            f"rows of at most {half} tokens (`--max-length {half}`)",
            spec.model_copy(update={"max_length": half}), half,
        )  # fmt: skip
    if spec.method == "full":
        yield "`--method lora`", spec.model_copy(update={"method": "lora"}), length
    quantised = quantisation_of(spec.method, spec.quantization) != "none"
    if not quantised and has_bitsandbytes():
        yield "`--method qlora`", spec.model_copy(update={"method": "qlora"}), length
    if method(spec.method).takes("rank") and spec.rank > 1:
        rank = max(1, spec.rank // 4)
        yield f"`--rank {rank}`", spec.model_copy(update={"rank": rank}), length


def has_bitsandbytes() -> bool:
    """Return whether bitsandbytes is installed, even where this process leaves it out."""
    return PathFinder.find_spec("bitsandbytes") is not None
