"""What counting words would reach on the same rows: TF-IDF and logistic regression."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tools.work.encode import question_of

_MOST_TRAINING_ROWS = 50_000
_MOST_ITERATIONS = 1_000


def tfidf_predictions(
    training: Iterable[dict[str, Any]], asked: Iterable[dict[str, Any]], *, seed: int
) -> list[str] | None:
    """Fit on the training rows and return a label for every row asked.

    Words and pairs of words, logistic regression with C = 10; up to 50,000 training rows.
    None where the training rows carry fewer than two labels.
    """
    texts: list[str] = []
    labels: list[str] = []
    for row in training:
        if len(texts) == _MOST_TRAINING_ROWS:
            break
        texts.append(question_of(row))
        labels.append(str(row["label"]))
    if len(set(labels)) < 2 or not any(text.strip() for text in texts):
        return None
    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
        LogisticRegression(C=10, max_iter=_MOST_ITERATIONS, random_state=seed),
    )
    pipeline.fit(texts, labels)
    return [str(label) for label in pipeline.predict([question_of(row) for row in asked])]
