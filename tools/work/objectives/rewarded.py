"""Learning from rewards: GRPO (arXiv 2402.03300) with the shipped reward functions.

For each prompt the model gives several answers; those better than the others' mean become
likelier. Answers are used for one update, so that no ratio has to be clipped. What is told as the
loss is what the rewards lack to 1, so that it falls as the model gets better.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tools.errors import Refused
from tools.history.spec import TrainingSpec
from tools.rewards import rewards_of, total
from tools.work.encode import messages_of
from tools.work.forward import Batch, trained_logits
from tools.work.objectives.base import Objective, Scores
from tools.work.objectives.preference import as_messages, asked
from tools.work.rows import MASKED, Encoded, read_split
from tools.work.template import stop_token_ids

_ANSWERS = 4
_NEW_TOKENS = 32
_SMALL = 1e-4


class Rewarded(Objective):
    """Prompts, answered by the model itself and judged by reward functions."""

    always_learns = False

    def __init__(self, spec: TrainingSpec, tokenizer: Any, batcher: Any) -> None:
        super().__init__(spec, tokenizer, batcher)
        self.rewards = rewards_of(spec)
        self._rows: list[dict[str, Any]] = []

    def encode(self, file: Path, *, max_length: int, model: Any) -> Encoded:
        """Tokenise the prompts; what stands beside them is for the rewards."""
        found = Encoded(more={"row": []})
        room = max(1, max_length - _NEW_TOKENS)
        for raw in read_split(file, []):
            question, answer = messages_of(raw)
            row = {**raw, "prompt": question, "completion": answer}
            ids = self.tokenizer(asked(self.tokenizer, row["prompt"]), add_special_tokens=False)
            found.cut += len(ids["input_ids"]) > room
            found.input_ids.append(list(ids["input_ids"])[-room:])
            found.labels.append(list(ids["input_ids"])[-room:])
            found.more["row"].append(len(self._rows))
            self._rows.append(row)
        return found

    def check(self, rows: Encoded, model: Any) -> dict[str, Any]:
        """Refuse data without prompts; look at what the rewards give the expected answers."""
        if not len(rows):
            raise Refused(
                "There is no prompt to answer.", hint="Check the columns.", refused_by="labels"
            )
        given = [self._reward(i, self._expected(i)) for i in rows.more["row"][:200]]
        return {
            "rows": len(rows),
            "reward_of_expected": round(sum(given) / len(given), 4),
            "rows_cut": rows.cut,
            "longest_tokens": max(map(len, rows.input_ids)),
        }

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        """Join the prompts to the left of where answers will stand; averaged over prompts."""
        width = max(len(r["input_ids"]) for r in rows)
        ids = torch.full((len(rows), width), int(self.tokenizer.pad_token_id or 0))
        attention = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            size = len(row["input_ids"])
            ids[i, width - size :] = torch.tensor(row["input_ids"])
            attention[i, width - size :] = 1
        numbers = torch.tensor([r["row"] for r in rows])
        return {
            "input_ids": ids,
            "attention_mask": attention,
            "row": numbers,
            "items": torch.tensor(len(rows)),
        }

    def loss(self, model: Any, batch: Batch) -> Scores:
        """Return what the rewards lack, carrying the gradient that raises them."""
        learning = model.training
        count = _ANSWERS if learning else 1
        prompts, answers = self._answers(model, batch, count, sample=learning)
        numbers = batch["row"].repeat_interleave(count).tolist()
        texts = [self.tokenizer.decode(a, skip_special_tokens=True) for a in answers]
        rewards = torch.tensor(
            [self._reward(i, text) for i, text in zip(numbers, texts, strict=True)]
        )
        lacking = (1 - rewards).sum() / count
        items = int(batch["items"])
        measures = {"reward": float(rewards.sum() / count)}
        if not learning:
            return Scores(lacking, items, measures)
        groups = rewards.view(-1, count)
        better = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + _SMALL)
        surrogate = self._surrogate(model, prompts, answers, better.flatten())
        value = surrogate * items
        return Scores(lacking.to(value.device) + value - value.detach(), items, measures)

    def _answers(
        self, model: Any, batch: Batch, count: int, *, sample: bool
    ) -> tuple[list[list[int]], list[list[int]]]:
        stops = stop_token_ids(self.tokenizer, model)
        was_training = model.training
        model.eval()
        with torch.no_grad():
            result = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                do_sample=sample,
                num_return_sequences=count,
                max_new_tokens=_NEW_TOKENS,
                eos_token_id=stops or None,
                pad_token_id=self.tokenizer.pad_token_id,
                **({"temperature": 1.0, "top_k": 0, "top_p": 1.0} if sample else {}),
            )
        model.train(was_training)
        width = batch["input_ids"].shape[1]
        prompts, answers = [], []
        for i, row in enumerate(result.tolist()):
            kept = batch["attention_mask"][i // count].bool()
            prompts.append(batch["input_ids"][i // count][kept].tolist())
            answers.append(_until_stop(row[width:], stops))
        return prompts, answers

    def _surrogate(
        self, model: Any, prompts: list[list[int]], answers: list[list[int]], better: torch.Tensor
    ) -> torch.Tensor:
        """Return minus the mean over tokens of advantage times log-probability."""
        ids = [p + a for p, a in zip(prompts, answers, strict=True)]
        labels = [[MASKED] * len(p) + a for p, a in zip(prompts, answers, strict=True)]
        joined = {k: v.to(model.device) for k, v in self.batcher.join(ids, labels).items()}
        logits, targets, rows = trained_logits(model, joined)
        nats = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        loss = (better.to(nats.device)[rows] * nats).mean()
        if self.spec.beta:
            loss = loss + self.spec.beta * self._moved(model, joined, nats)
        return loss

    def _moved(self, model: Any, joined: Batch, nats: torch.Tensor) -> torch.Tensor:
        """Return the KL estimate to the untouched base (Schulman's k3), mean over tokens."""
        with torch.no_grad(), model.disable_adapter():
            logits, targets, _ = trained_logits(model, joined)
            before = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        ratio = nats - before
        return (torch.exp(ratio) - ratio - 1).mean()

    def _reward(self, number: int, answer: str) -> float:
        row = self._rows[number]
        question = as_messages(row["prompt"], "user")[-1]["content"]
        return total(self.rewards, question, answer, row)

    def _expected(self, number: int) -> str:
        completion = self._rows[number].get("completion") or ""
        return "".join(m["content"] for m in as_messages(completion, "assistant"))

    def prompt(self, file: Path) -> str | None:
        """Return the first prompt as the model would be asked it."""
        return asked(self.tokenizer, messages_of(read_split(file, [])[0])[0])


def _until_stop(ids: list[int], stops: list[int]) -> list[int]:
    for i, token in enumerate(ids):
        if token in stops:
            return ids[: i + 1]
    return ids
