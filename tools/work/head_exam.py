"""Models with a head of classes.

One class per text is compared with the untouched model's likeliest label; one per word with a list
of each word's commonest tag, because an untouched model tags nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tools.datasets.manifest import Manifest
from tools.evaluate.compare import compare_rows, mean_estimate
from tools.evaluate.entities import compare_f1, entity_counts, f1_estimate, has_entities
from tools.evaluate.figures import Estimate
from tools.evaluate.metrics import macro_f1, majority_share, wilson
from tools.work.bench import Bench
from tools.work.contenders import Contenders, key_of
from tools.work.facts import Facts, Floats, Scores
from tools.work.heldout import parquet_rows
from tools.work.judging import sit
from tools.work.load import load_model, load_tokenizer
from tools.work.measured import Measured, label_figures, loss_figures, right
from tools.work.objectives.heads import predict
from tools.work.remarks import notes_on_labels, notes_on_rows, yardstick_note
from tools.work.scorebook import Scorebook
from tools.work.weighing import Beside
from tools.work.yardstick import tfidf_predictions

WORD_LIST = "word_list"
_MOST_SHOWN = 60


def judge_head(bench: Bench, facts: Facts) -> tuple[Measured, Beside]:
    """Compare a model with a head with what stands in for its base."""
    if bench.spec.objective == "token_classification":
        return _judge_words(bench, facts)
    return _judge_texts(bench, facts)


def _judge_texts(bench: Bench, facts: Facts) -> tuple[Measured, Beside]:
    rows, seed = bench.rows, bench.asked.seed
    said = [label for window in _predicted(bench) for label in window if isinstance(label, str)]
    plain = bench.spec.model_copy(update={"objective": "prompt_completion"})
    tokenizer = load_tokenizer(bench.job, plain)
    model = load_model(bench.job, plain)
    exam = bench.exam(plain, tokenizer, model)
    _, book = bench.books(plain, tokenizer, exam, bench.result, "head")
    base = sit(lambda: model, tokenizer, rows, exam, tick=bench.tick, book=book)
    bench.keep(book)
    yardstick = tfidf_predictions(parquet_rows(bench.training), rows.rows(), seed=seed)
    share = majority_share(facts.labels)
    metrics = {
        "base": label_figures(base.labels, facts.labels, seed) | loss_figures(base, seed),
        "tuned": label_figures(said, facts.labels, seed),
        "majority": {"accuracy": wilson(round(share * rows.n), rows.n)},
    }
    if yardstick is not None:
        metrics["tfidf"] = label_figures(yardstick, facts.labels, seed)
    before, after = right(base.labels, facts.labels), right(said, facts.labels)
    found = Measured(
        metrics,
        [compare_rows("accuracy", before, after, seed=seed)],
        Scores("accuracy", before, after, share=True),
    )
    unseen = sum(label not in exam.labels[: exam.known] for label in facts.labels)
    return found, Beside(
        said=said,
        labels=exam.labels,
        answers=lambda place: (base.labels[place], said[place]),
        yardstick=yardstick,
        unseen=unseen,
        reused=book.reused,
        notes=[
            *notes_on_rows(bench.asked.chose_checkpoint, rows),
            *notes_on_labels(unseen, len(exam.labels) - exam.known),
            "The untouched base has no head; it was asked for the likeliest label instead.",
            *yardstick_note(metrics),
        ],
    )


def _judge_words(bench: Bench, facts: Facts) -> tuple[Measured, Beside]:
    rows, seed = bench.rows, bench.asked.seed
    said = [tags for window in _predicted(bench) for tags in window if isinstance(tags, list)]
    words = _WordList(bench.training)
    wanted, simple = [], []
    for row in rows.rows():
        wanted.append([str(tag) for tag in row["tags"]])
        simple.append(words.tags([str(word) for word in row["tokens"]]))
    found = _measure_words(simple, said, wanted, bench.manifest, seed)
    facts.labels.clear()
    every = {tag for tags in wanted for tag in tags}
    new = every - set(bench.manifest.labels)
    unseen = sum(not new.isdisjoint(tags) for tags in wanted)
    return found, Beside(
        answers=lambda place: (_shown(simple[place]), _shown(said[place])),
        unseen=unseen,
        one_label=len(every) < 2,
        notes=[
            *notes_on_rows(bench.asked.chose_checkpoint, rows),
            *notes_on_labels(unseen, len(new)),
            "An untouched model tags nothing, so the comparison is with a list of each word's "
            "commonest tag in the training rows.",
        ],
    )


def _measure_words(
    simple: Sequence[Sequence[str]],
    said: Sequence[Sequence[str]],
    wanted: Sequence[Sequence[str]],
    manifest: Manifest,
    seed: int,
) -> Measured:
    lengths = np.array([len(tags) for tags in wanted], dtype=float)
    both = {WORD_LIST: simple, "tuned": said}
    hits: dict[str, Floats] = {}
    metrics: dict[str, dict[str, Estimate]] = {}
    flat = [tag for tags in wanted for tag in tags]
    for name, tagged in both.items():
        hits[name] = np.array(
            [float(sum(map(str.__eq__, a, b))) for a, b in zip(tagged, wanted, strict=True)]
        )
        metrics[name] = {
            "tag_accuracy": mean_estimate(hits[name], seed=seed, weights=lengths),
            "tag_macro_f1": macro_f1([tag for tags in tagged for tag in tags], flat, seed=seed),
        }
    scores = Scores("tag_accuracy", hits[WORD_LIST], hits["tuned"], lengths)
    differences = [
        compare_rows("tag_accuracy", hits[WORD_LIST], hits["tuned"], seed=seed, weights=lengths)
    ]
    if has_entities(manifest.labels):
        counts = {name: entity_counts(tagged, wanted) for name, tagged in both.items()}
        for name, found in counts.items():
            metrics[name]["entity_f1"] = f1_estimate(found, seed=seed)
        differences.insert(0, compare_f1(counts[WORD_LIST], counts["tuned"], seed=seed))
    return Measured(metrics, differences, scores)


def _predicted(bench: Bench) -> Iterator[Sequence[str | list[str]]]:
    """Give the head's classes window by window; the model is loaded when it is first needed."""
    tokenizer = load_tokenizer(bench.job, bench.spec, adapter=bench.result)
    asked = {"rows": bench.rows.fingerprint}
    key = key_of(bench.spec, tokenizer, asked, bench.result)
    book = Scorebook(bench.job.folder / "scores-tuned.jsonl", key)
    models = Contenders(bench.job, bench.spec, bench.result)
    for number, window in enumerate(bench.rows.windows()):
        entry = book.get(f"classes {number}")
        if entry is None:
            classes = predict(models.tuned(), tokenizer, window, bench.spec)
            entry = book.add(f"classes {number}", {"classes": classes})
        bench.tick(len(window))
        yield entry["classes"]
    models.leave()


class _WordList:
    """Each word's commonest tag in the training rows; other words get the commonest tag of all."""

    def __init__(self, training: Path) -> None:
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        every: Counter[str] = Counter()
        for row in parquet_rows(training):
            for word, tag in zip(row["tokens"], row["tags"], strict=True):
                seen[str(word)][str(tag)] += 1
                every[str(tag)] += 1
        self._tags = {word: tags.most_common(1)[0][0] for word, tags in seen.items()}
        self._other = every.most_common(1)[0][0]

    def tags(self, words: Sequence[str]) -> list[str]:
        """Return a tag for every word."""
        return [self._tags.get(word, self._other) for word in words]


def _shown(tags: Sequence[str]) -> str:
    return " ".join(tags[:_MOST_SHOWN])
