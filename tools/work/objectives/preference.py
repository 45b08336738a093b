"""Learning from preferences: DPO and ORPO from pairs, KTO from single judged answers.

What the untouched base makes of each answer (the reference of DPO and KTO) is computed once, before
the adapter is put on: no second model stays in memory, whatever the method.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from tools.errors import Refused
from tools.work.forward import Batch, trained_logits
from tools.work.objectives.base import Objective, Scores, row_sums
from tools.work.rows import MASKED, Encoded, check_labels, encode_pairs, read_split
from tools.work.template import stop_token_ids

_BETA = 0.1
_REFERENCE_ROWS = 16
Messages = list[dict[str, str]]


class Opposed(Objective):
    """Rows in which each answer stands against another one (`rejected_ids`, `rejected_labels`)."""

    def joined(self, rows: list[dict[str, Any]]) -> Batch:
        """Join the answers and then those they stand against; `items` counts the rows."""
        batch = self.batcher.join(
            [r["input_ids"] for r in rows] + [r["rejected_ids"] for r in rows],
            [r["labels"] for r in rows] + [r["rejected_labels"] for r in rows],
        )
        batch["items"] = torch.tensor(len(rows))
        return batch

    def references(self, model: Any, rows: Encoded) -> tuple[list[float], list[float]]:
        """Return what the base makes of each answer, and of the one it stands against."""
        return (
            reference_of(self, model, rows.input_ids, rows.labels),
            reference_of(self, model, rows.more["rejected_ids"], rows.more["rejected_labels"]),
        )

    def prompt(self, file: Path) -> str | None:
        """Return the first prompt as the model would be asked it."""
        return asked(self.tokenizer, read_split(file, ["prompt"])[0]["prompt"])


class Pairs(Opposed):
    """Rows with a chosen and a rejected answer to the same prompt."""

    def encode(self, file: Path, *, max_length: int, model: Any) -> Encoded:
        """Tokenise both answers of each row; a pair whose answers are the same is dropped."""
        rows = read_split(file, ["prompt", "chosen", "rejected"])
        stops = stop_token_ids(self.tokenizer, model)
        prompts = [as_messages(row["prompt"], "user") for row in rows]
        sides = [
            list(
                encode_pairs(
                    [
                        (prompt, as_messages(row[name], "assistant"))
                        for prompt, row in zip(prompts, rows, strict=True)
                    ],
                    self.tokenizer,
                    stops,
                )
            )
            for name in ("chosen", "rejected")
        ]
        found = Encoded(more={"rejected_ids": [], "rejected_labels": []})
        for (ids, labels), (other, other_labels) in zip(*sides, strict=True):
            before = len(found)
            if ids == other or not any(n != MASKED for n in other_labels[-max_length:][1:]):
                found.dropped += 1
                continue
            found.add(ids, labels, max_length)
            if len(found) > before:
                found.longest = max(found.longest, len(other))
                found.cut += len(other) > max_length >= len(ids)
                found.more["rejected_ids"].append(other[-max_length:])
                found.more["rejected_labels"].append(other_labels[-max_length:])
        return found

    def check(self, rows: Encoded, model: Any) -> dict[str, Any]:
        """Refuse data without pairs that differ, or whose answers never end."""
        _refuse_empty(rows, "No row has two different answers to learn a preference from.")
        both = Encoded(
            rows.input_ids + rows.more["rejected_ids"],
            rows.labels + rows.more["rejected_labels"],
            dropped=rows.dropped,
            cut=rows.cut,
            longest=rows.longest,
        )
        measures = check_labels(both, "prompt_completion", self.tokenizer, model)
        chosen = [sum(n != MASKED for n in row) for row in rows.labels]
        rejected = [sum(n != MASKED for n in row) for row in rows.more["rejected_labels"]]
        longer = sum(a > b for a, b in zip(chosen, rejected, strict=True)) / len(rows)
        return {**measures, "rows": len(rows), "chosen_is_longer": round(longer, 4)}

    def reference(self, model: Any, rows: Encoded) -> None:
        """Keep the base's log-probability of both answers; ORPO needs none."""
        if self.spec.objective == "orpo":
            return
        own, other = self.references(model, rows)
        rows.more |= {"chosen_reference": own, "rejected_reference": other}

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Join chosen rows and then rejected ones; the loss is averaged over pairs."""
        batch = self.joined(rows)
        if "chosen_reference" in rows[0]:
            both = [[r["chosen_reference"], r["rejected_reference"]] for r in rows]
            batch["reference"] = torch.tensor(both)
        return batch

    def loss(self, model: Any, batch: Batch) -> Scores:
        """Return the loss of every pair, summed, with how many pairs are ordered rightly."""
        pairs = int(batch["items"])
        sums, tokens = answer_likelihood(model, batch, 2 * pairs)
        (chosen, rejected), beta = sums.split(pairs), self.spec.beta or _BETA
        if self.spec.objective == "orpo":
            means = sums / tokens
            losses, margins = orpo(means[:pairs], means[pairs:], beta)
        else:
            losses, margins = dpo(chosen, rejected, batch["reference"], beta)
        measures = {"preferred": float((margins > 0).sum()), "margin": float(margins.sum())}
        return Scores(losses.sum(), pairs, measures)


def dpo(
    chosen: torch.Tensor, rejected: torch.Tensor, reference: torch.Tensor, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return losses and reward margins (pairs) of DPO (arXiv 2305.18290, equation 7).

    Args:
        chosen, rejected: Summed log-probabilities of the answers, in nats.
        reference: The same of the untouched base, (pairs × 2).
    """
    margins = beta * ((chosen - reference[:, 0]) - (rejected - reference[:, 1]))
    return -functional.logsigmoid(margins), margins.detach()


def orpo(
    chosen: torch.Tensor, rejected: torch.Tensor, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return losses and log-odds (pairs) of ORPO (arXiv 2403.07691, equations 4 and 6).

    Args:
        chosen, rejected: Mean log-probability per token of the answers, in nats.
    """
    odds = (chosen - rejected) - (
        torch.log1p(-torch.exp(chosen)) - torch.log1p(-torch.exp(rejected))
    )
    return -chosen - beta * functional.logsigmoid(odds), odds.detach()


class Judged(Opposed):
    """KTO: single answers, each wanted or not (arXiv 2402.01306)."""

    def encode(self, file: Path, *, max_length: int, model: Any) -> Encoded:
        """Tokenise each answer, and beside it the next row's answer to the same prompt."""
        rows = read_split(file, ["prompt", "completion", "label"])
        stops = stop_token_ids(self.tokenizer, model)
        prompts = [as_messages(row["prompt"], "user") for row in rows]
        answers = [as_messages(row["completion"], "assistant") for row in rows]
        own = encode_pairs(list(zip(prompts, answers, strict=True)), self.tokenizer, stops)
        others = encode_pairs(
            list(zip(prompts, answers[1:] + answers[:1], strict=True)), self.tokenizer, stops
        )
        found = Encoded(more={"wanted": [], "rejected_ids": [], "rejected_labels": []})
        for row, (ids, labels), (other, other_labels) in zip(rows, own, others, strict=True):
            before = len(found)
            found.add(ids, labels, max_length)
            if len(found) > before:
                found.more["wanted"].append(bool(row["label"]))
                found.more["rejected_ids"].append(other[-max_length:])
                found.more["rejected_labels"].append(other_labels[-max_length:])
        return found

    def check(self, rows: Encoded, model: Any) -> dict[str, Any]:
        """Refuse data in which every answer is wanted, or none is."""
        _refuse_empty(rows, "No row has a judged answer to learn from.")
        wanted = sum(rows.more["wanted"]) / len(rows)
        if wanted in (0.0, 1.0):
            raise Refused(
                f"Every answer is judged {'good' if wanted else 'bad'}: there is nothing to tell "
                "apart.",
                hint="Add rows judged the other way, or train on the good ones as plain answers.",
                refused_by="labels",
            )
        measures = check_labels(rows, "prompt_completion", self.tokenizer, model)
        return {**measures, "wanted_share": round(wanted, 4)}

    def reference(self, model: Any, rows: Encoded) -> None:
        """Keep the base's log-probability of each answer and of the mismatched one."""
        own, other = self.references(model, rows)
        rows.more |= {"own_reference": own, "other_reference": other}

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Join answers and then mismatched ones; the loss is averaged over rows."""
        batch = self.joined(rows)
        batch["wanted"] = torch.tensor([r["wanted"] for r in rows])
        both = [[r["own_reference"], r["other_reference"]] for r in rows]
        batch["reference"] = torch.tensor(both)
        return batch

    def loss(self, model: Any, batch: Batch) -> Scores:
        """Return the loss of every row, summed, with how many are on the right side."""
        rows = int(batch["items"])
        sums, _ = answer_likelihood(model, batch, 2 * rows)
        own, other = sums.split(rows)
        losses, rewards = kto(
            own - batch["reference"][:, 0],
            (other - batch["reference"][:, 1]).detach(),
            batch["wanted"],
            self.spec.beta or _BETA,
        )
        signed = torch.where(batch["wanted"], rewards, -rewards)
        measures = {"preferred": float((signed > 0).sum()), "margin": float(signed.sum())}
        return Scores(losses.sum(), rows, measures)


def kto(
    ratios: torch.Tensor, mismatched: torch.Tensor, wanted: torch.Tensor, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return losses and rewards (rows) of KTO (arXiv 2402.01306, equation 8, both weights 1).

    Args:
        ratios: Log-probability of each answer over that of the base, in nats.
        mismatched: The same of answers to other prompts: how far the model has moved on the whole.
    """
    moved = mismatched.mean().clamp(min=0)
    signs = torch.where(wanted, 1.0, -1.0)
    return 1 - torch.sigmoid(signs * beta * (ratios - moved)), (beta * ratios).detach()


def answer_likelihood(model: Any, batch: Batch, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the summed log-probability of each row's answer, in nats, and its tokens (rows)."""
    logits, targets, row_of = trained_logits(model, batch)
    likely = -functional.cross_entropy(logits, targets, reduction="none")
    counts = row_sums(torch.ones_like(likely), row_of, rows)
    return row_sums(likely, row_of, rows), counts.clamp(min=1)


def reference_of(
    objective: Objective, model: Any, ids: list[list[int]], labels: list[list[int]]
) -> list[float]:
    """Return the log-probability that a model gives each answer now, in nats."""
    was_training = model.training
    model.eval()
    found = [0.0] * len(ids)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    with torch.no_grad():
        # Never more at once than a step holds, whose gradients need more memory than this.
        size = min(_REFERENCE_ROWS, 2 * objective.spec.batch_size)
        for start in range(0, len(order), size):
            places = order[start : start + size]
            batch = objective.batcher.join([ids[i] for i in places], [labels[i] for i in places])
            batch = {name: value.to(model.device) for name, value in batch.items()}
            sums, _ = answer_likelihood(model, batch, len(places))
            for place, value in zip(places, sums.tolist(), strict=True):
                found[place] = value
    model.train(was_training)
    return found


def as_messages(value: Any, role: str) -> Messages:
    """Return a text as one message; a list of messages stays as it is."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    return [{"role": str(m["role"]), "content": str(m["content"] or "")} for m in value]


def asked(tokenizer: Any, prompt: Any) -> str:
    """Return a prompt as the model is asked it."""
    messages = as_messages(prompt, "user")
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _refuse_empty(rows: Encoded, problem: str) -> None:
    if not len(rows):
        hint = "Check the columns, and raise the maximum length if rows are long."
        raise Refused(problem, hint=hint, refused_by="labels")
