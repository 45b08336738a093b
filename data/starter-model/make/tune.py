"""Tune a model on the support tickets with LoRA, and score it: the recipe behind the card."""

from __future__ import annotations

import csv
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of a tuning run; the defaults are what the card recommends."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    learning_rate: float = 1e-3
    epochs: int = 3
    micro_batch: int = 16
    warmup_ratio: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    scheduler: str = "cosine"


@dataclass(frozen=True)
class Row:
    """One ticket; ``half`` is empty for training rows."""

    text: str
    label: str
    half: str = ""


def read_rows(name: str) -> list[Row]:
    """Read a ticket file without rows that have no text, and without exact duplicates."""
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        rows = [Row(r["text"].strip(), r["label"], r.get("half", "")) for r in csv.DictReader(file)]
    return list(dict.fromkeys(row for row in rows if row.text))


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of the text as a user turn, up to where the assistant begins."""
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    return tokenizer.encode(prompt, add_special_tokens=False)


def _pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def _batches(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], size: int, rng: random.Random
) -> Iterator[dict[str, torch.Tensor]]:
    """Yield shuffled batches with the loss on the completion (label and end of turn) alone."""
    order = rng.sample(list(rows), len(rows))
    for start in range(0, len(order), size):
        inputs, labels = [], []
        for row in order[start : start + size]:
            prompt = prompt_ids(tokenizer, row.text)
            completion = tokenizer.encode(row.label, add_special_tokens=False)
            completion.append(tokenizer.eos_token_id)
            inputs.append(prompt + completion)
            labels.append([IGNORED] * len(prompt) + completion)
        yield {
            "input_ids": _pad(inputs, tokenizer.pad_token_id),
            "attention_mask": _pad([[1] * len(ids) for ids in inputs], 0),
            "labels": _pad(labels, IGNORED),
        }


def _rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    warmup = max(1, round(steps * recipe.warmup_ratio))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * done)) if recipe.scheduler == "cosine" else 1 - done


def tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    recipe: Recipe,
    seed: int,
) -> tuple[Any, dict[str, float]]:
    """Tune all linear layers with LoRA.

    Returns:
        The adapted model, and the seconds it took: by the clock, and of processor time summed over
        threads (the figure to compare between machines, since others may share this one).
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config).train()
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * math.ceil(len(rows) / recipe.micro_batch)
    clock, processor, step = time.monotonic(), time.process_time(), 0
    for _ in range(recipe.epochs):
        for batch in _batches(tokenizer, rows, recipe.micro_batch, rng):
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * _rate_factor(
                step, steps, recipe
            )
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = adapted(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, recipe.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
    return adapted.eval(), {
        "duration_s": round(time.monotonic() - clock, 1),
        "processor_s": round(time.process_time() - processor, 1),
    }


@torch.no_grad()
def predict(model: Any, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]) -> list[str]:
    """Answer each row with the likeliest label.

    Every label is one token, so its length-normalised log-likelihood is that token's own.

    Raises:
        ValueError: A label is longer than one token.
    """
    names = sorted({row.label for row in rows})
    ids = [tokenizer.encode(name, add_special_tokens=False) for name in names]
    if any(len(tokens) != 1 for tokens in ids):
        raise ValueError("a label is longer than one token")
    columns = torch.tensor([tokens[0] for tokens in ids])
    found: list[str] = []
    for start in range(0, len(rows), 32):
        prompts = [prompt_ids(tokenizer, row.text) for row in rows[start : start + 32]]
        last = torch.tensor([len(prompt) - 1 for prompt in prompts])
        logits = model(
            input_ids=_pad(prompts, tokenizer.pad_token_id),
            attention_mask=_pad([[1] * len(prompt) for prompt in prompts], 0),
        ).logits
        best = logits[torch.arange(len(prompts)), last][:, columns].argmax(dim=-1)
        found += [names[i] for i in best.tolist()]
    return found


def accuracies(rows: Sequence[Row], answers: Sequence[str]) -> dict[str, float]:
    """Share of right answers in all, and in each half."""

    def share(half: str) -> float:
        right = [
            row.label == answer
            for row, answer in zip(rows, answers, strict=True)
            if half in ("", row.half)
        ]
        return round(sum(right) / len(right), 4)

    return {"accuracy": share(""), "seen": share("seen"), "unseen": share("unseen")}
