"""Faults that no setting can put in: each patches one thing for the time of a run."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

Patch = Callable[[ExitStack], None]
_GONE = (
    "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried "
    "to allocate 8589934592 bytes. Error code 12 (Cannot allocate memory)"
)


def _swap(stack: ExitStack, target: Any, name: str, new: Any) -> None:
    stack.enter_context(patch.object(target, name, new))


def _unchecked(stack: ExitStack) -> None:
    """Leave out the gate that looks at the labels, as other trainers do."""
    from tools.work.objectives import supervised

    _swap(stack, supervised, "check_labels", lambda *_, **__: {})


def _labels(change: Callable[[list[int], list[int], Any], list[int]]) -> Patch:
    def put_in(stack: ExitStack) -> None:
        from tools.work.objectives import supervised

        real = supervised.encode_split

        def encode(file: Any, objective: Any, tokenizer: Any, **options: Any) -> Any:
            found = real(file, objective, tokenizer, **options)
            found.labels = [
                change(ids, labels, tokenizer)
                for ids, labels in zip(found.input_ids, found.labels, strict=True)
            ]
            return found

        _swap(stack, supervised, "encode_split", encode)
        _unchecked(stack)

    return put_in


def empty_mask() -> Patch:
    """Mask every label."""
    return _labels(lambda ids, labels, tokenizer: [-100] * len(ids))


def no_mask() -> Patch:
    """Train the questions as well."""
    return _labels(lambda ids, labels, tokenizer: list(ids))


def half_answers() -> Patch:
    """Train questions instead of answers."""
    return _labels(
        lambda ids, labels, tokenizer: [
            i if label == -100 else -100 for i, label in zip(ids, labels, strict=True)
        ]
    )


def no_stop() -> Patch:
    """Leave the end of every answer out of the loss."""
    return _labels(lambda ids, labels, tokenizer: [*labels[:-1], -100])


def pad_is_end() -> Patch:
    """Pad with the end token and mask whatever is padding, the end too."""

    def put_in(stack: ExitStack) -> None:
        from tools.work import load

        real = load.prepare_tokenizer

        def prepare(tokenizer: Any) -> Any:
            tokenizer = real(tokenizer)
            tokenizer.pad_token = tokenizer.eos_token
            return tokenizer

        _swap(stack, load, "prepare_tokenizer", prepare)
        _labels(
            lambda ids, labels, tokenizer: [
                -100 if i == tokenizer.pad_token_id else label
                for i, label in zip(ids, labels, strict=True)
            ]
        )(stack)

    return put_in


def other_template() -> Patch:
    """Judge with another template than was trained with."""

    def put_in(stack: ExitStack) -> None:
        from tools.work import asking, outcome

        def changed(real: Any) -> Any:
            def load(*arguments: Any, **options: Any) -> Any:
                tokenizer = real(*arguments, **options)
                tokenizer.chat_template = (
                    "{% for m in messages %}### {{ m['role'] | upper }} ###\n"
                    "{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
                    "{% if add_generation_prompt %}### ASSISTANT ###\n{% endif %}"
                )
                return tokenizer

            return load

        for module in (asking, outcome):
            _swap(stack, module, "load_tokenizer", changed(module.load_tokenizer))

    return put_in


def _loss(change: Callable[[int, Any], Any]) -> Patch:
    def put_in(stack: ExitStack) -> None:
        from tools.work.recipe import Recipe

        real = Recipe.compute_loss

        def compute(self: Any, *arguments: Any, **options: Any) -> Any:
            return change(self.state.global_step, real(self, *arguments, **options))

        _swap(stack, Recipe, "compute_loss", compute)

    return put_in


def nan_from(step: int) -> Patch:
    """Let the loss overflow from a step on."""
    return _loss(lambda now, loss: loss * float("nan") if now >= step else loss)


def zero_from(step: int) -> Patch:
    """Let the loss be exactly zero from a step on."""
    return _loss(lambda now, loss: loss * 0.0 if now >= step else loss)


def ascending_from(step: int) -> Patch:
    """Walk uphill from a step on: the loss diverges though the rate is usual."""
    # The value stays the loss; only its gradient points the other way.
    return _loss(lambda now, loss: 2 * loss.detach() - loss if now >= step else loss)


def nothing_moves() -> Patch:
    """Freeze what should be trained, behind the optimiser's back."""

    def put_in(stack: ExitStack) -> None:
        import torch

        _swap(stack, torch.optim.AdamW, "step", lambda self, closure=None: None)

    return put_in


def no_effect() -> Patch:
    """Save the adapter with its weights lost."""

    def put_in(stack: ExitStack) -> None:
        from tools.work import train

        real = train.save_result

        def save(job: Any, spec: Any, model: Any, *rest: Any) -> Any:
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.data.zero_()
            return real(job, spec, model, *rest)

        _swap(stack, train, "save_result", save)

    return put_in


def slow_batches(seconds: float) -> Patch:
    """Make every row slow to read."""

    def put_in(stack: ExitStack) -> None:
        from tools.work.batching import Examples

        real = Examples.__getitem__

        def slow(self: Any, index: int) -> Any:
            time.sleep(seconds)
            return real(self, index)

        _swap(stack, Examples, "__getitem__", slow)

    return put_in


def slow_tokens(seconds: float) -> Patch:
    """Make tokenising slow."""

    def put_in(stack: ExitStack) -> None:
        from tools.work.objectives import supervised

        real = supervised.encode_split

        def slow(*arguments: Any, **options: Any) -> Any:
            time.sleep(seconds)
            return real(*arguments, **options)

        _swap(stack, supervised, "encode_split", slow)

    return put_in


def leaking(mib: float) -> Patch:
    """Keep some memory of every step."""
    kept: list[bytearray] = []

    def keep(now: int, loss: Any) -> Any:
        kept.append(bytearray(b"x" * int(mib * 2**20)))
        return loss

    def put_in(stack: ExitStack) -> None:
        stack.callback(kept.clear)
        _loss(keep)(stack)

    return put_in


def out_of_memory(where: str) -> Patch:
    """Let torch say what it says when memory is gone: in `train`, `evaluate` or `save`."""

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(_GONE)

    def put_in(stack: ExitStack) -> None:
        from tools.work.recipe import Recipe

        name = {"train": "training_step", "evaluate": "_scored", "save": "_save_checkpoint"}[where]
        _swap(stack, Recipe, name, fail)

    return put_in


def disk_full() -> Patch:
    """Let every write of weights meet a full disk."""

    def put_in(stack: ExitStack) -> None:
        from tools.work import train

        def fail(*_: Any, **__: Any) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

        _swap(stack, train, "save_result", fail)

    return put_in
