"""Rules for rows with a label, a tag for every word, or nothing but text."""

from __future__ import annotations

from tools.datasets.mapping import Mapping
from tools.datasets.profile import Column
from tools.datasets.reading import Columns, build, named
from tools.datasets.signs import LABEL_NAMES, TEXT_NAMES

TAG_NAMES = (
    "tags", "ner_tags", "labels", "ner", "entities", "pos_tags", "chunk_tags", "pos", "tag",
    "word_labels", "token_labels", "bio_tags", "label",
)  # fmt: skip

LABEL_SETS = (
    "labels", "label", "tags", "categories", "topics", "genres", "emotions", "classes", "intents",
)  # fmt: skip
WORDS_NAMES = ("tokens", "words", "sentence_words", "token", "text", "sentence")


def tokens(columns: Columns) -> Mapping | None:
    """Words with a tag each, as lists; known by their names, or by lists of equal length."""
    lists = {name: column for name, column in columns.items() if column.sizes}
    words, tags = named(lists, WORDS_NAMES), named(lists, TAG_NAMES)
    sure, why = 0.98, "every token of {} has a tag in {}"
    if not words or not tags or not _as_long(words, tags):
        pairs = [(a, b) for a in lists.values() for b in lists.values() if _tagged(a, b)]
        if not pairs:
            return None
        words, tags = pairs[0]
        sure, why = 0.9, "the lists of {} are as long as those of {}, which hold few values"
    return build(
        columns,
        "token_classification",
        {words.name: "tokens", tags.name: "tags"},
        sure,
        why.format(words.name, tags.name),
        objective="token_classification",
    )


def _tagged(words: Column, tags: Column) -> bool:
    """True where every list of words has a list of as many tags beside it."""
    if not _as_long(words, tags):
        return False
    return max(words.sizes) > 2 and tags.items < words.items / 4 and tags.items <= 200


def _as_long(words: Column, tags: Column) -> bool:
    """True where nearly every list of one column is as long as the other's beside it."""
    if words is tags or len(words.sizes) != len(tags.sizes):
        return False
    same = sum(a == b for a, b in zip(words.sizes, tags.sizes, strict=True))
    return same >= 0.9 * len(words.sizes)


def classification(columns: Columns) -> Mapping | None:
    """Texts with one of a fixed set of labels."""
    texts = [c for c in columns.values() if c.is_text and not c.looks_like_id]
    labels = [c for c in columns.values() if c.filled > 0.5 and _is_label(c, len(texts))]
    if not labels:
        return None
    label = max(labels, key=lambda c: (-_name_rank(c), c.filled, -c.distinct))
    premise = named(columns, ("premise", "sentence1", "question1", "text_a"), "text")
    hypothesis = named(columns, ("hypothesis", "sentence2", "question2", "text_b"), "text")
    label = _spelled_out(label, labels)
    known = label.lower in LABEL_NAMES
    if premise and hypothesis:
        return build(
            columns,
            "classification",
            {premise.name: "input", hypothesis.name: "input", label.name: "output"},
            0.95,
            f"{label.name} judges pairs of {premise.name} and {hypothesis.name}",
            task="pair_classification",
        )
    inputs = [c for c in texts if c is not label and not c.looks_like_labels]
    inputs = inputs or [c for c in texts if c is not label]
    if not inputs:
        return None
    text = named({c.name: c for c in inputs}, TEXT_NAMES) or max(inputs, key=lambda c: c.characters)
    sure = 0.97 if known and label.looks_like_labels else 0.9 if label.looks_like_labels else 0.6
    rivals = [c.name for c in labels if c is not label and _name_rank(c) < len(LABEL_NAMES)]
    if rivals and not known:
        sure -= 0.15
    also = f"; {', '.join(rivals[:3])} could be the label too" if rivals and not known else ""
    few = f"{label.distinct} different values in {label.values:,} rows"
    return build(
        columns,
        "classification",
        {text.name: "input", label.name: "output"},
        sure,
        f"{label.name} has {few}, {text.name} is free text{also}",
    )


def _spelled_out(label: Column, labels: list[Column]) -> Column:
    """Return the column that says in words what a column of numbers stands for, if one does."""
    if label.numeric < 0.9:
        return label
    sizes = sorted(label.counts.values())
    for other in labels:
        same = other.distinct == label.distinct and sorted(other.counts.values()) == sizes
        if other is not label and other.numeric < 0.1 and same:
            return other
    return label


def multi_label(columns: Columns) -> Mapping | None:
    """Texts with a list of labels each."""
    labels = named({n: c for n, c in columns.items() if c.sizes}, LABEL_SETS)
    texts = [c for c in columns.values() if c.is_text and c is not labels and not c.looks_like_id]
    if not labels or not texts or labels.items > 200 or max(labels.sizes) > 30:
        return None
    if labels.items > max(4, sum(labels.sizes) // 3):
        return None
    asked = named({c.name: c for c in texts}, TEXT_NAMES) or max(texts, key=lambda c: c.characters)
    return build(
        columns,
        "classification",
        {asked.name: "input", labels.name: "output"},
        0.9,
        f"{labels.name} holds lists of {labels.items} different labels, {asked.name} is free text",
        task="multi_label_classification",
    )


def _is_label(column: Column, texts: int) -> bool:
    if column.lower in ("id", "idx", "index", "split", "date", "user", "url"):
        return False
    if column.looks_like_labels:
        return True
    if column.lower not in LABEL_NAMES or not texts or column.words > 4 or column.longest > 60:
        return False
    few = column.values < 12 and column.words <= 2.5 and column.longest <= 40
    many = column.shape == "text" and column.repeated > 0.6 and column.distinct <= 400
    return few or many  # dozens of labels in a small file, each there a few times


def _name_rank(column: Column) -> int:
    """Return how far down the list of label names the column's name, or a word of it, stands."""
    names = list(LABEL_NAMES)
    if column.lower in names:
        return names.index(column.lower)
    words = [word for word in column.lower.split("_") if word in names]
    telling = [names.index(word) for word in words if word not in ("text", "name", "y", "code")]
    return min(max(telling, default=2 * len(names)) + 0, len(names) - 1) if telling else len(names)


def text(columns: Columns) -> Mapping | None:
    """Nothing but text."""
    texts = [c for c in columns.values() if c.is_text and not c.looks_like_id]
    useful = [c for c in texts if c.words >= 2 or c.lower in TEXT_NAMES]
    if not useful:
        return None
    known = named({c.name: c for c in useful}, TEXT_NAMES)
    column = known or max(useful, key=lambda c: c.characters * c.filled)
    others = [c for c in columns.values() if c is not column and not c.looks_like_id and c.values]
    alone = not any(c.is_text or c.looks_like_labels for c in others)
    sure = 0.9 if alone and known else 0.8 if alone else 0.35
    return build(
        columns,
        "text",
        {column.name: "text"},
        sure,
        f"{column.name} is {'the only' if alone else 'a'} column of free text",
        task="text",
        objective="text",
    )
