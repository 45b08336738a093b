"""Answers questions from the guide and the scenario matrix, with the place cited.

A small retrieval: words of the question against words of each section, rare words counting more.
It quotes, it does not compose; where nothing matches it says so.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

from tools.advise.matrix import TITLES, Scenario, load_matrix
from tools.shipped import shipped

_WORD = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
_STOP_WORDS = """
a an and are as at be been but by can could do does did for from get give good had has
have how i if in into is it its just like made make me mean means might most much must
my need not of on one or our out please should so some tell than that the their them
then there these they thing this to too us use used using want was we well were what
when where which who why will with would you your about explain difference between vs
versus better best say says happen happens really work works many
"""
_STOP = frozenset(_STOP_WORDS.split())
_SAME = {
    "finetune": "tune", "finetuning": "tune", "fine-tune": "tune", "fine-tuning": "tune",
    "tuning": "tune", "tuned": "tune", "training": "train", "trained": "train", "trains": "train",
    "vram": "memory", "ram": "memory", "oom": "memory", "gpus": "gpu", "cards": "gpu",
    "card": "gpu", "models": "model", "licenses": "licence", "license": "licence",
    "licences": "licence", "licensing": "licence", "overfit": "overfitting", "ranks": "rank",
    "templates": "template", "epoch": "epochs", "lr": "learning-rate", "zero-3": "zero3",
    "zero-2": "zero2", "zero-1": "zero1", "stage3": "zero3", "batches": "batch",
    "checkpoint": "checkpointing", "checkpoints": "checkpointing", "quantized": "quantisation",
    "quantised": "quantisation", "quantization": "quantisation", "evaluate": "evaluation",
    "evaluated": "evaluation", "metric": "metrics", "exported": "export", "exporting": "export",
    "datasets": "data", "dataset": "data", "rows": "data", "examples": "data", "k8s": "kubernetes",
    "merging": "merge", "merged": "merge", "adapters": "adapter", "losses": "loss",
}  # fmt: skip


@dataclass(frozen=True)
class Section:
    """One section of the guide."""

    id: str
    title: str
    words: frozenset[str]
    body: str
    source: str

    @property
    def place(self) -> str:
        """Where an answer can be looked up."""
        return f"guide: {self.id}"


@dataclass(frozen=True)
class Passage:
    """A part of an answer: text with its place and its source."""

    title: str
    text: str
    place: str
    source: str


@cache
def sections() -> tuple[Section, ...]:
    """Read `data/guide/*.md`: `## Title {#id}`, a line `words:`, text, a line `Source:`."""
    found = []
    for file in sorted(shipped("guide").glob("*.md")):
        for part in re.split(r"(?m)^## ", file.read_text(encoding="utf-8"))[1:]:
            found.append(_section(part, file.stem))
    return tuple(found)


def answer(question: str) -> list[Passage]:
    """Return the passages that answer a question, the best first; empty where none does."""
    asked = _words(question)
    if not asked:
        return []
    passages = _matrix_passages(question, asked)
    scored = [(_score(asked, section), section) for section in sections()]
    scored.sort(key=lambda pair: -pair[0])
    found = [
        Passage(s.title, s.body, s.place, s.source)
        for points, s in scored[:2]
        if points >= max(0.7 * scored[0][0], _threshold(asked, s))
    ]
    passages = passages + found if _about_matrix(question) else found + passages[:1]
    return passages[:3]


def topics() -> list[str]:
    """Return the titles of all sections."""
    return [section.title for section in sections()]


def _section(part: str, stem: str) -> Section:
    head, _, rest = part.partition("\n")
    title, _, identity = head.partition("{#")
    lines = rest.strip().splitlines()
    words = [line for line in lines if line.startswith("words:")]
    source = [line for line in lines if line.startswith("Source:")]
    body = "\n".join(line for line in lines if line not in words and line not in source).strip()
    return Section(
        id=identity.rstrip("} ") or f"{stem}-{title.strip().lower()}",
        title=title.strip(),
        words=frozenset(_words(" ".join(w.removeprefix("words:") for w in words))),
        body=body,
        source=" ".join(s.removeprefix("Source:").strip() for s in source),
    )


def _words(text: str) -> list[str]:
    raw = _WORD.findall(text.lower().replace("fine tun", "fine-tun").replace("zero ", "zero-"))
    words = [_SAME.get(word, word) for word in raw]
    return [word for word in dict.fromkeys(words) if word not in _STOP]


@cache
def _rarity() -> dict[str, float]:
    everywhere = Counter(
        word for s in sections() for word in {*_words(s.body), *_words(s.title), *s.words}
    )
    total = len(sections()) or 1
    return {word: math.log(1 + total / count) for word, count in everywhere.items()}


def _score(asked: list[str], section: Section) -> float:
    title, body = set(_words(section.title)), set(_words(section.body))
    points = 0.0
    for word in asked:
        weight = _rarity().get(word, 0.0)
        if word in section.words or word in title:
            points += 2.0 * weight
        elif word in body:
            points += 0.6 * weight
    covered = sum(word in section.words or word in title or word in body for word in asked)
    return points * (0.5 + 0.5 * covered / len(asked))


def _threshold(asked: list[str], section: Section) -> float:
    """An answer must rest on a telling word, or on words that all name the section."""
    named = section.words | set(_words(section.title))
    if all(word in named for word in asked):
        return 1.0
    return 2.2 if len(asked) < 4 else 3.0


def _about_matrix(question: str) -> bool:
    return bool(re.search(r"\b(matrix|scenarios?|revisions?|editions?)\b", question.lower()))


def _matrix_passages(question: str, asked: list[str]) -> list[Passage]:
    """Rows and cells of the matrix that the question names."""
    if not _about_matrix(question):
        return []
    matrix = load_matrix()
    named = [row for row in matrix.scenarios if row.id in question.lower().replace(" ", "-")]
    rows = named or [row for row in matrix.scenarios if row.words & set(asked)]
    if rows and len(rows) <= 4:
        return [_row_passage(row, matrix.source) for row in rows[:3]]
    text = matrix_table()
    changed = ", ".join(f"{row}/{TITLES[name]} ({cell})" for row, name, cell in matrix.changed())
    note = f"{text}\nCells the revision changed: {changed}.\n{matrix.note.strip()}"
    return [Passage("The scenario matrix", note, "matrix", matrix.source)]


def _row_passage(row: Scenario, source: str) -> Passage:
    cells = ", ".join(f"{TITLES[name]} {cell}" for name, cell in row.cells.items())
    changed = [TITLES[name] for name, cell in row.cells.items() if cell.changed]
    note = f" The revisions differ on {', '.join(changed)} (original → revised)." if changed else ""
    return Passage(row.title, f"{cells}.{note}", f"matrix row {row.id}", source)


def matrix_table() -> str:
    """Return the whole matrix as plain text, changed cells as `original → revised`."""
    matrix = load_matrix()
    head = ["scenario", *(TITLES[name] for name in matrix.techniques)]
    lines = [head] + [
        [row.id, *(str(row.cells[name]) for name in matrix.techniques)] for row in matrix.scenarios
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
