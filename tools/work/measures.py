"""What generated answers are worth: measures by task, from the libraries that people compare by.

Every measure gives one score per row, so that two models can be compared row by row; corpus
measures (BLEU, chrF) come besides, with sacrebleu's own bootstrap. Scores of rows lie between 0
and 1; BLEU and chrF between 0 and 100, as sacrebleu prints them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt
import regex
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from tools.errors import BadInput
from tools.evaluate.figures import Estimate
from tools.evaluate.metrics import exact_match, token_f1
from tools.evaluate.request import METRICS_GROUP
from tools.evaluate.schema import parsed, shared_schema

Floats = npt.NDArray[np.float64]
PerRow = Callable[[Sequence[str], Sequence[str]], Floats]
_RESAMPLES = 1000
_PATTERN_TIMEOUT_S = 0.25
_ASCII_WORDS = 0.9
PRIMARY = {"qa": "token_f1", "translation": "sentence_chrf", "summarization": "rougeL"}
"""Task → the measure of generated answers that a verdict rests on; other tasks rest on the loss."""
CORPUS = {"translation": ("bleu", "chrf")}


@dataclass(frozen=True)
class Measures:
    """The measures of a task, in the order they are told.

    Attributes:
        rows: Name → score of each answer against what was expected.
        corpus: Names of the measures of all answers together.
    """

    rows: dict[str, PerRow] = field(default_factory=dict)
    corpus: tuple[str, ...] = ()
    primary: str | None = None


def measures_for(
    task: str,
    expected: Sequence[str],
    learnt: Sequence[str],
    *,
    pattern: str | None = None,
    metric: str | None = None,
) -> Measures:
    """Choose the measures.

    Args:
        expected: Answers of the judged rows (a sample will do).
        learnt: Answers of the training rows: their JSON schema is the one to keep to.
        pattern: Regular expression that a good answer contains.
        metric: Name of an installed entry point in the group `luthier.metrics`.

    Raises:
        BadInput: The pattern or the metric cannot be used.
    """
    rows: dict[str, PerRow] = {}
    if task == "translation":
        rows["sentence_chrf"] = _sentence_chrf
    elif task == "summarization":
        rows |= {name: _rouge(name, expected) for name in ("rougeL", "rouge1", "rouge2")}
    else:
        rows |= {"exact_match": _each(exact_match), "token_f1": _each(token_f1)}
    schema = shared_schema([*learnt, *expected])
    if schema is not None:
        rows |= _json_measures(schema)
    if pattern is not None:
        rows["pattern"] = pattern_measure(pattern)
    if metric is not None:
        rows[f"metric:{metric}"] = installed_metric(metric)
    return Measures(rows, CORPUS.get(task, ()), PRIMARY.get(task))


def corpus_score(name: str, answers: Sequence[str], expected: Sequence[str]) -> Estimate:
    """Return BLEU or chrF of all answers together, with sacrebleu's bootstrap interval."""
    scorer: Any = BLEU() if name == "bleu" else CHRF()
    found = scorer.corpus_score(list(answers), [list(expected)], n_bootstrap=_RESAMPLES)
    value = float(found.score)
    if len(answers) < 2:
        return Estimate(value=value)
    middle, half = float(found._mean), float(found._ci)
    return Estimate(value=value, low=min(value, middle - half), high=max(value, middle + half))


def pattern_measure(pattern: str) -> PerRow:
    """Return a measure: 1 where the answer contains the pattern. No answer is searched for long.

    Raises:
        BadInput: It is no regular expression, or one that takes too long.
    """
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise BadInput(
            f"The pattern is no regular expression: {error}.",
            hint="Correct it, or put a backslash before signs that are meant literally.",
        ) from error

    def found(answer: str, expected: str) -> float:
        try:
            return float(compiled.search(answer, timeout=_PATTERN_TIMEOUT_S) is not None)
        except TimeoutError as error:
            raise BadInput(
                "The pattern takes too long on one of the answers.",
                hint="Avoid repeats within repeats, such as (a+)+.",
            ) from error

    return _each(found)


def installed_metric(name: str) -> PerRow:
    """Return an installed business metric: a function of answer and expectation, more is better.

    Raises:
        BadInput: There is none of that name, or it fails, or gives no number.
    """
    known = {point.name: point for point in entry_points(group=METRICS_GROUP)}
    if name not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise BadInput(
            f"No metric {name!r} is installed; there is: {listed}.",
            hint=f"Install a package with an entry point of that name in {METRICS_GROUP!r}.",
        )
    function = known[name].load()

    def score(answer: str, expected: str) -> float:
        try:
            value = float(function(answer, expected))
        except Exception as error:
            # The person's own code: whatever it raises is theirs to correct.
            raise BadInput(
                f"The metric {name!r} failed with {type(error).__name__}.",
                hint="Call it by hand with an answer and an expected text to see why.",
            ) from error
        if not math.isfinite(value):
            raise BadInput(
                f"The metric {name!r} gave {value}, which is no number.",
                hint="Let it return a finite number for every answer, also for an empty one.",
            )
        return value

    return _each(score)


def _each(rate: Callable[[str, str], float]) -> PerRow:
    def scores(answers: Sequence[str], expected: Sequence[str]) -> Floats:
        return np.array([rate(a, e) for a, e in zip(answers, expected, strict=True)], dtype=float)

    return scores


def _sentence_chrf(answers: Sequence[str], expected: Sequence[str]) -> Floats:
    scorer: Any = CHRF()
    pairs = zip(answers, expected, strict=True)
    return np.array([scorer.sentence_score(a, [e]).score / 100 for a, e in pairs])


def _rouge(name: str, expected: Sequence[str]) -> PerRow:
    # NLTK comes with it: three seconds that only summaries need to wait for.
    from rouge_score import rouge_scorer  # noqa: PLC0415

    # Its own tokens are runs of a-z and 0-9: in other scripts nothing would ever be equal.
    text = "".join(expected)
    letters = sum(c.isalpha() for c in text)
    plain = sum(c.isascii() and c.isalpha() for c in text)
    own = None if plain >= _ASCII_WORDS * letters else _AnyScript()
    scorer = rouge_scorer.RougeScorer([name], tokenizer=own)

    def f_measure(answer: str, wanted: str) -> float:
        return float(scorer.score(wanted, answer)[name].fmeasure)

    return _each(f_measure)


class _AnyScript:
    """Words of any script; characters where words are not set apart by spaces."""

    def tokenize(self, text: str) -> list[str]:
        return regex.findall(
            r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+", text.lower()
        )


def _json_measures(schema: dict[str, Any]) -> dict[str, PerRow]:
    validator = jsonschema.Draft202012Validator(schema)

    def valid(answer: str, expected: str) -> float:
        return float(parsed(answer) is not None)

    def fits(answer: str, expected: str) -> float:
        value = parsed(answer)
        return float(value is not None and validator.is_valid(value))

    def equal(answer: str, expected: str) -> float:
        value = parsed(answer)
        return float(value is not None and value == parsed(expected))

    return {"json_valid": _each(valid), "json_schema": _each(fits), "json_equal": _each(equal)}
