"""One model's pass over the held-out rows: likelihoods, labels and a sample of real answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tools.answering import ANSWERS_AT_ONCE
from tools.work.answers import greedy_answers
from tools.work.encode import (
    Encoded,
    encode_answers,
    encode_prompt,
    encode_row,
    fit,
    messages_of,
)
from tools.work.heldout import HeldOut, Row
from tools.work.scorebook import Scorebook
from tools.work.scoring import Likelihoods, score_answers, score_choices

Tick = Callable[[int], None]
_CHECKED_ROWS = 8


@dataclass(frozen=True)
class Exam:
    """How both models are asked.

    Attributes:
        labels: Possible labels; those after `known` were never trained on and are never chosen.
        answers: What the model says for each label.
        sample: Rows that are also answered by generation, drawn from all.
        max_new_tokens: Longest generated answer; 0 where there is nothing to answer.
        share_prompt: A prompt may be encoded once for all labels.
        patience_s: No further batch of answers is begun after this many seconds.
    """

    stops: tuple[int, ...]
    pad: int
    max_tokens: int
    batch: int
    labels: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    known: int = 0
    sample: int = 64
    max_new_tokens: int = 0
    patience_s: float = 90.0
    share_prompt: bool = True


@dataclass
class Marks:
    """What one model did, per row in the order of the rows.

    Attributes:
        sums, tokens: Log-probability of the expected answer in nats, and its tokens.
        labels: The label that the model finds likeliest, for label tasks.
        said: Generated answers of the sampled rows.
        stopped: Of these, how many ended by themselves.
        cut: Rows that did not fit into the model's context whole.
    """

    sums: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.float64]
    labels: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    stopped: int = 0
    cut: int = 0

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood per answer token, in nats."""
        return float(-self.sums.sum() / self.tokens.sum())


def sit(
    model: Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    rows: HeldOut,
    exam: Exam,
    *,
    tick: Tick,
    book: Scorebook,
    sample: int | None = None,
) -> Marks:
    """Let one model answer. Deterministic.

    Args:
        model: Gives the model; not called where the book holds all scores already.
        tick: Called with the number of rows done since the last call.
        book: Where scores are kept as they are made, and found after a kill.
        sample: Rows to answer by generation; None means as many as the exam says and time allows.
    """
    sums: list[npt.NDArray[np.float64]] = []
    tokens: list[npt.NDArray[np.float64]] = []
    marks = Marks(np.empty(0), np.empty(0))
    choices: list[list[int]] | None = None
    for number, window in enumerate(rows.windows()):
        if number == 0:
            choices = _fixed_choices(tokenizer, window, exam)
        entry = book.get(f"rows {number}")
        if entry is None:
            scored = _window(model(), tokenizer, window, exam, choices, tick)
            entry = book.add(f"rows {number}", scored)
        else:
            tick(len(window))
        sums.append(np.array(entry["sums"]))
        tokens.append(np.array(entry["tokens"]))
        # The same few strings, instead of a copy for every row.
        marks.labels += [exam.labels[i] for i in entry["labels"]]
        marks.cut += entry["cut"]
    marks.sums, marks.tokens = np.concatenate(sums), np.concatenate(tokens)
    if exam.max_new_tokens:
        generate(model, tokenizer, rows.pick(rows.sample(exam.sample))[:sample], exam, marks, book)
    return marks


def _window(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    window: Sequence[Row],
    exam: Exam,
    choices: list[list[int]] | None,
    tick: Tick,
) -> dict[str, Any]:
    labels: list[int] = []
    if exam.labels:
        likely, counts, labels, cut = _label_window(model, tokenizer, window, exam, choices, tick)
    else:
        likely, counts, cut = _answer_window(model, tokenizer, window, exam, tick)
    return {"sums": likely.tolist(), "tokens": counts.tolist(), "labels": labels, "cut": cut}


def _answer_window(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    window: Sequence[Row],
    exam: Exam,
    tick: Tick,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
    encoded = [_encoded(tokenizer, row, exam) for row in window]
    likely = score_answers(model, encoded, pad=exam.pad, batch=exam.batch, tick=tick)
    return likely.sums, likely.tokens, sum(row.cut for row in encoded)


def _label_window(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    window: Sequence[Row],
    exam: Exam,
    choices: list[list[int]] | None,
    tick: Tick,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], list[int], int]:
    own = [exam.labels.index(str(row["label"])) for row in window]
    # Where one label begins like another, only the stop tells the two apart.
    stops_count = _one_begins_another(exam.labels)
    if choices is not None:
        room = exam.max_tokens - max(map(len, choices))
        prompts = [encode_prompt(tokenizer, messages_of(row)[0]) for row in window]
        cut = sum(len(p) > room for p in prompts)
        likely = score_choices(
            model, [p[-room:] for p in prompts], choices, own,
            pad=exam.pad, batch=exam.batch, tick=tick, stops_count=stops_count,
        )  # fmt: skip
    else:
        likely, cut = _every_choice(model, tokenizer, window, exam)
        tick(len(window))
    index = np.arange(len(window))
    means = likely.means if stops_count else likely.means_without_stop
    found = means[:, : exam.known].argmax(axis=1).tolist()
    return likely.sums[index, own], likely.tokens[index, own], found, cut


def _one_begins_another(labels: Sequence[str]) -> bool:
    return any(b.startswith(a) for a, b in pairwise(sorted(labels)))


def _every_choice(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    window: Sequence[Row],
    exam: Exam,
) -> tuple[Likelihoods, int]:
    """Score row by choice, for templates whose answers depend on the prompt's last characters."""
    encoded: list[Encoded] = []
    for row in window:
        prompt_messages = messages_of(row)[0]
        for answer in exam.answers:
            said = {**row, "completion": [{"role": "assistant", "content": answer}]}
            one = encode_row(tokenizer, said, stops=exam.stops, max_tokens=exam.max_tokens)
            encoded.append(one or fit(encode_prompt(tokenizer, prompt_messages), [exam.pad], 2))
    likely = score_answers(model, encoded, pad=exam.pad, batch=exam.batch, tick=lambda done: None)
    shape = (len(window), len(exam.answers))
    cut = sum(row.cut for row in encoded) // len(exam.answers)
    parts = (part.reshape(shape) for part in (likely.sums, likely.tokens, likely.ends))
    return Likelihoods(*parts), cut


def _fixed_choices(
    tokenizer: PreTrainedTokenizerBase, window: Sequence[Row], exam: Exam
) -> list[list[int]] | None:
    """Return the ids of every label's answer where they are the same after every prompt."""
    found: list[list[int]] | None = None
    if not exam.labels or not exam.share_prompt:
        return None
    for row in window[:_CHECKED_ROWS]:
        prompt = messages_of(row)[0]
        start = encode_prompt(tokenizer, prompt)
        answers = encode_answers(tokenizer, prompt, exam.answers, stops=exam.stops)
        whole = encode_row(
            tokenizer,
            {**row, "completion": [{"role": "assistant", "content": exam.answers[0]}]},
            stops=exam.stops,
            max_tokens=10**9,
        )
        joined = whole is not None and whole.prompt == start and whole.answer == answers[0]
        if not joined or (found is not None and answers != found):
            return None
        found = answers
    return found


def _encoded(tokenizer: PreTrainedTokenizerBase, row: Row, exam: Exam) -> Encoded:
    encoded = encode_row(tokenizer, row, stops=exam.stops, max_tokens=exam.max_tokens)
    # A row with an empty text has one token at least: the end.
    return encoded or Encoded([exam.pad], [exam.stops[0] if exam.stops else exam.pad])


def generate(
    model: Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    exam: Exam,
    marks: Marks,
    book: Scorebook,
) -> None:
    """Answer rows by greedy generation, as many as there is time for; adds to the marks."""
    began = time.monotonic()
    room = max(1, exam.max_tokens - exam.max_new_tokens)
    for start in range(0, len(rows), ANSWERS_AT_ONCE):
        batch = rows[start : start + ANSWERS_AT_ONCE]
        entry = book.get(f"answers {start}")
        if entry is None or len(entry["said"]) < len(batch):
            if time.monotonic() - began > exam.patience_s:
                return
            prompts = [encode_prompt(tokenizer, messages_of(row)[0])[-room:] for row in batch]
            found = greedy_answers(
                model(), prompts, stops=exam.stops, pad=exam.pad,
                max_new_tokens=exam.max_new_tokens,
            )  # fmt: skip
            said = [str(tokenizer.decode(a.ids, skip_special_tokens=True)).strip() for a in found]
            ended = [int(answer.stopped) for answer in found]
            entry = book.add(f"answers {start}", {"said": said, "stopped": ended})
        marks.said += entry["said"][: len(batch)]
        marks.stopped += sum(entry["stopped"][: len(batch)])
