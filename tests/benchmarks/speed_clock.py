"""What every timed trainer has in common, in its own environment: the clock and the yardstick.

Only torch and transformers are imported, so that it runs beside a peer as it was installed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

MASKED = -100
_ROWS_AT_ONCE = 50
Row = tuple[list[int], list[int]]
"""Token ids of a row, and which of them are judged: the others are masked."""


class Clock:
    """CPU seconds of training, and the validation loss at some of them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.curve: list[tuple[int, float, float]] = []
        self._began: float | None = None

    def start(self) -> None:
        """Let it run."""
        self._began = time.process_time()

    def stop(self) -> None:
        """Let it stand still."""
        if self._began is not None:
            self.seconds += time.process_time() - self._began
            self._began = None

    def note(self, step: int, loss: float) -> None:
        """Keep a validation loss with the seconds that it took to get there."""
        self.curve.append((step, self.seconds, loss))


class Told(TrainerCallback):
    """Validates now and then with the clock stopped, in a trainer built on transformers'."""

    def __init__(self, clock: Clock, rows: list[Row], every: int) -> None:
        self._clock = clock
        self._rows = rows
        self._every = every

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Note the loss of every so many steps."""
        if state.global_step % self._every == 0:
            self._clock.stop()
            self._clock.note(state.global_step, held_out_loss(given["model"], self._rows))
            self._clock.start()


def held_out_loss(model: Any, rows: list[Row]) -> float:
    """Return the mean loss per judged token, in nats, whatever type the model computes in."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            batch = _padded(rows[start : start + _ROWS_AT_ONCE])
            labels = batch.pop("labels")[:, 1:]
            logits = model(**batch, use_cache=False).logits[:, :-1].float()
            total += float(
                torch.nn.functional.cross_entropy(
                    logits.transpose(1, 2), labels, ignore_index=MASKED, reduction="sum"
                )
            )
            count += int((labels != MASKED).sum())
    model.train(was_training)
    return total / count


def _padded(rows: list[Row]) -> dict[str, torch.Tensor]:
    longest = max(len(ids) for ids, _ in rows)

    def tensor(of: list[list[int]], filler: int) -> torch.Tensor:
        return torch.tensor([row + [filler] * (longest - len(row)) for row in of])

    ids = [row[0] for row in rows]
    return {
        "input_ids": tensor(ids, 0),
        "attention_mask": tensor([[1] * len(row) for row in ids], 0),
        "labels": tensor([row[1] for row in rows], MASKED),
    }


def figures(case: dict[str, Any], clock: Clock, tokens: float, loss: float) -> dict[str, Any]:
    """Return what a run came to.

    Args:
        case: Holds `train_rows` and `epochs`.
        tokens: Trained and read, padding apart.
    """
    return {
        "seconds": round(clock.seconds, 3),
        "loss": round(loss, 4),
        "samples_per_s": round(case["train_rows"] * case["epochs"] / clock.seconds, 1),
        "tokens_per_s": round(tokens / clock.seconds, 1),
        "memory_gib": round(_peak_gib(), 3),
        "curve": [(step, round(s, 3), round(value, 4)) for step, s, value in clock.curve],
    }


def _peak_gib() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 2**20
