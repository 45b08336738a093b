"""Models trained on preferences: do they find the better answer likelier, and by how much?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.evaluate.compare import compare_rows, mean_estimate
from tools.evaluate.metrics import wilson
from tools.work.encode import Encoded, encode_row
from tools.work.facts import Scores
from tools.work.heldout import HeldOut, Row
from tools.work.judging import Exam, Tick
from tools.work.measured import Measured
from tools.work.scorebook import Scorebook
from tools.work.scoring import score_answers

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Leanings:
    """How likely one model finds the answers of every row, as log-probabilities in nats.

    Attributes:
        better, worse: Sums over the preferred and the other answer. Where a row has one answer
            only, it stands in `better` if it was judged good, else in `worse`, and the other is 0.
        better_tokens, worse_tokens: Their lengths; 0 where there is none.
    """

    better: Floats
    worse: Floats
    better_tokens: Floats
    worse_tokens: Floats

    @property
    def margin(self) -> Floats:
        """Per row: log-likelihood per token of the better answer minus that of the worse."""
        good = self.better / np.maximum(self.better_tokens, 1)
        return good - self.worse / np.maximum(self.worse_tokens, 1)

    @property
    def paired(self) -> bool:
        """Whether every row has both answers."""
        return bool((self.better_tokens > 0).all() and (self.worse_tokens > 0).all())


def lean(
    model: Callable[[], Any],
    tokenizer: Any,
    rows: HeldOut,
    exam: Exam,
    *,
    tick: Tick,
    book: Scorebook,
) -> Leanings:
    """Score both answers of every row."""
    columns: list[Floats] = []
    for number, window in enumerate(rows.windows()):
        entry = book.get(f"pairs {number}")
        if entry is None:
            entry = book.add(f"pairs {number}", _window(model(), tokenizer, window, exam))
        tick(len(window))
        columns.append(np.array(entry["scores"], dtype=float))
    return Leanings(*np.concatenate(columns, axis=1))


def _window(
    model: Any, tokenizer: Any, window: Sequence[Row], exam: Exam
) -> dict[str, list[list[float]]]:
    found = np.zeros((4, len(window)))
    for side in (0, 1):
        answers = [_answer(row, side) for row in window]
        places = [i for i, answer in enumerate(answers) if answer]
        encoded = [_encoded(tokenizer, window[i], answers[i], exam) for i in places]
        if not encoded:
            continue
        likely = score_answers(
            model, encoded, pad=exam.pad, batch=exam.batch, tick=lambda done: None
        )
        found[side, places], found[2 + side, places] = likely.sums, likely.tokens
    return {"scores": found.tolist()}


def _answer(row: Row, side: int) -> list[Any]:
    if "chosen" in row:
        return list(row["rejected" if side else "chosen"])
    return list(row["completion"]) if bool(row["label"]) != bool(side) else []


def _encoded(tokenizer: Any, row: Row, answer: list[Any], exam: Exam) -> Encoded:
    said = {"prompt": row["prompt"], "completion": answer}
    found = encode_row(tokenizer, said, stops=exam.stops, max_tokens=exam.max_tokens)
    return found or Encoded([exam.pad], [exam.stops[0] if exam.stops else exam.pad])


def measure_preferences(base: Leanings, tuned: Leanings, *, seed: int) -> Measured:
    """Compare how two models lean.

    `preference_win_rate` is the share of rows whose better answer is likelier per token than the
    worse; `preference_margin` by how much, in nats per token; `reward_margin` is the margin of
    DPO's implicit rewards, tuned against base (arXiv 2305.18290), without its factor beta. Rows
    with one judged answer have no pair to win; there the margin alone is compared.
    """
    both = {"base": base, "tuned": tuned}
    metrics = {
        name: {"preference_margin": mean_estimate(found.margin, seed=seed)}
        for name, found in both.items()
    }
    margin = compare_rows("preference_margin", base.margin, tuned.margin, seed=seed)
    reward = (tuned.better - base.better) - (tuned.worse - base.worse)
    metrics["tuned"]["reward_margin"] = mean_estimate(reward, seed=seed)
    metrics["tuned"]["reward_accuracy"] = wilson(int((reward > 0).sum()), reward.size)
    if not base.paired:
        scores = Scores("preference_margin", base.margin, tuned.margin)
        return Measured(metrics, [margin], scores)
    wins = {name: (found.margin > 0).astype(float) for name, found in both.items()}
    for name, won in wins.items():
        metrics[name]["preference_win_rate"] = wilson(int(won.sum()), won.size)
    difference = compare_rows("preference_win_rate", wins["base"], wins["tuned"], seed=seed)
    scores = Scores("preference_win_rate", wins["base"], wins["tuned"], share=True)
    likelier = margin.low > 0 and margin.p <= 0.05
    return Measured(metrics, [difference, margin], scores, likelier=likelier)
