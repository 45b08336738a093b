"""Turns a message into plain words, with names, quotations and run ids put aside.

What stands in a file name or in a quotation is never read as a wish: before anything is
understood, it is replaced by a mark such as `file0` or `quote1`.
"""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from assistant.brains.guided.lexicon import NUMBERS, is_known, repaired, unstretched

_FENCE_LINES = re.compile(r"^[ \t]*>.*$", re.M)
_FENCE_BLOCK = re.compile(r"```.*?(?:```|\Z)", re.S)
_LOG_LINES = re.compile(
    r"^(?:[ \t]*(?:Traceback \(most recent|File \".*\", line \d|\[?\d{4}-\d\d-\d\d[ T]|\[rank\d|"
    r"\{'(?:loss|eval_loss|train_loss)'|(?:[\w.]+\.)?\w*(?:Error|Exception): |Epoch \d|step[ =:]*\d|"
    r"(?:ERROR|WARNING|INFO|WARN)\b|\d{1,3}%\|).*(?:\n|$))+",
    re.M,
)
_QUOTES = re.compile(
    r"\"([^\"\n]{1,2000})\"|“([^”\n]{1,2000})”|«([^»\n]{1,2000})»|„([^“”\n]{1,2000})[“”]"
    r"|(?<![\w'])'([^'\n]{2,2000})'(?![\w'])|`([^`\n]{1,2000})`|‘([^’\n]{2,2000})’(?!\w)"
)
_EXTENSION = (
    r"csv|tsv|jsonl|ndjson|json|parquet|arrow|feather|xlsx|xls|txt|conll|conllu|md|png|jpe?g|gif|"
    r"pdf|docx?|zip|gz|tar|yaml|yml|xml|html?|bin|safetensors|gguf|pkl|pt|pth|db|sqlite|log|py|sh"
)
_PATH = re.compile(
    rf"(?<![\w@/.~-])(?:~|\.{{1,2}}|[A-Za-z]:)?[/\\]?(?:[\w@.+-]+[/\\])*[\w@.+\-()\[\]]*\w\)?"
    rf"\.(?:{_EXTENSION})(?::[a-z]+(?:\[[^\]]*\])?)?(?![\w/])",
    re.I,
)
_ROOTED = re.compile(r"(?<![\w@.~/])(?:~|\.{1,2}|)/[\w@.+\-/]*[\w@+\-/]")
_HUB = re.compile(
    r"(?<![\w@/.~-])(?=[\w.-]*[A-Za-z])[A-Za-z0-9][\w.-]{1,60}/(?=[\w.-]*[A-Za-z])[\w.-]*[\w]"
    r"(?::\w+(?:\[[^\]\s]*\])?)?(?![\w/])"
)
_NOT_HUB = re.compile(
    r"(?i)[\w.$€£]+/(?:h|hr|hrs|hour|s|sec|min|day|month|epoch|step|it)|and/or|input/output|he/she|s/he|w/o|in/out|yes/no|n/a|his/her|on/off"
)
_JOB = re.compile(r"(?<![\w-])[a-z][a-z0-9_]*(?:-[a-z0-9_]+)*-\d{1,6}(?![\w.-]*\w)", re.I)
_NOT_JOB = re.compile(
    r"(?i)(?:zero|phi|gpt|llama|int|fp|bf|fp|nf|f|gpt|t|top|bert|zephyr|gemma|qwen|mistral|rank|"
    r"lr|alpha|batch|bs|stage|epoch|epochs|r|k|cuda|covid|windows|python|rtx|gtx|version|v|part|"
    r"mid|pre|post|rank|sst|banking|wnut|claude|o|q|bit|e|deepseek|vicuna)-\d+"
)


@dataclass(frozen=True)
class Utterance:
    """A message made plain.

    Attributes:
        raw: The message as it was typed.
        plain: Lower-case words, slips repaired, numbers as digits, names as marks.
        paths, quotes, jobs, hubs: What the marks `file0`, `quote0`, `job0`, `hub0` stand for.
        blocks: What was left out: code, quoted lines and lines of a log.
    """

    raw: str
    plain: str
    paths: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    hubs: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()

    def value(self, mark: str) -> str:
        """Return what a mark stands for."""
        kind, number = re.fullmatch(r"([a-z]+)(\d+)", mark).groups()  # type: ignore[union-attr]
        return {"file": self.paths, "quote": self.quotes, "job": self.jobs, "hub": self.hubs}[kind][
            int(number)
        ]


@dataclass
class _Marks:
    paths: list[str] = field(default_factory=list)
    quotes: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    hubs: list[str] = field(default_factory=list)

    def put(self, kind: str, value: str) -> str:
        """Keep a value and return its mark."""
        kept = {"file": self.paths, "quote": self.quotes, "job": self.jobs, "hub": self.hubs}[kind]
        if kind != "quote" and value in kept:
            return f" {kind}{kept.index(value)} "
        kept.append(value)
        return f" {kind}{len(kept) - 1} "


def read(raw: str, *, names: Sequence[str] = (), jobs: Sequence[str] = ()) -> Utterance:
    """Make a message plain.

    Args:
        names: File names that are at hand; they are found also without quotes.
        jobs: Ids of runs that exist.
    """
    marks = _Marks()
    text = raw.replace("’", "'").replace("–", "-").replace("—", " - ").replace("\u00a0", " ")
    blocks: list[str] = []
    unblocked = text
    for pattern in (_FENCE_BLOCK, _FENCE_LINES, _LOG_LINES):
        blocks += [match[0].strip("`> \n\t") for match in pattern.finditer(unblocked)]
        unblocked = pattern.sub(" ", unblocked)
    text = _mark_quotes(unblocked, marks, names, jobs)
    text = _mark_names(text, marks, names, jobs)
    text = _PATH.sub(lambda m: marks.put("file", m[0]), text)
    text = _ROOTED.sub(lambda m: marks.put("file", m[0]), text)
    text = _HUB.sub(lambda m: m[0] if _only_words(m[0]) else marks.put("hub", m[0]), text)
    text = _JOB.sub(
        lambda m: m[0] if _NOT_JOB.fullmatch(m[0]) else marks.put("job", m[0].lower()), text
    )
    return Utterance(
        raw=raw,
        plain=plain_words(text),
        paths=tuple(marks.paths),
        quotes=tuple(marks.quotes),
        jobs=tuple(marks.jobs),
        hubs=tuple(marks.hubs),
        blocks=tuple(blocks),
    )


def _only_words(name: str) -> bool:
    """Return whether `a/b` is two everyday words, such as `up/down`, and no name on the Hub."""
    return bool(_NOT_HUB.fullmatch(name)) or all(is_known(part) for part in name.lower().split("/"))


def _mark_quotes(text: str, marks: _Marks, names: Sequence[str], jobs: Sequence[str]) -> str:
    known = {name.lower(): name for name in names}
    tails = {name.rsplit("/", 1)[-1].lower(): name for name in names}

    def put(match: re.Match[str]) -> str:
        inside = next(group for group in match.groups() if group is not None).strip()
        lowered = inside.lower()
        if lowered in known or lowered in tails:
            return marks.put("file", inside)
        if lowered in jobs:
            return marks.put("job", lowered)
        if re.fullmatch(rf"[^\n]{{1,200}}\.(?:{_EXTENSION})", inside, re.I):
            return marks.put("file", inside)
        if "/" in inside and (_ROOTED.fullmatch(inside) or _PATH.fullmatch(inside)):
            return marks.put("file", inside)
        if _HUB.fullmatch(inside):
            return marks.put("hub", inside)
        return marks.put("quote", inside)

    return _QUOTES.sub(put, text)


def _mark_names(text: str, marks: _Marks, names: Sequence[str], jobs: Sequence[str]) -> str:
    """Find the names that are at hand, longest first, so that spaces in them do no harm."""
    for job in sorted(jobs, key=len, reverse=True):
        pattern = rf"(?<![\w-]){re.escape(job)}(?![\w-])"
        text = re.sub(pattern, lambda _, job=job: marks.put("job", job), text, flags=re.I)  # type: ignore[misc]
    tails = [name.rsplit("/", 1)[-1] for name in names]
    for name in sorted({*names, *tails}, key=len, reverse=True):
        if len(name) < 3 or not ("." in name or "@" in name):
            continue
        pattern = rf"(?<![\w/.~-]){re.escape(name)}(?!\w|/|-\w)"
        text = re.sub(pattern, lambda m: marks.put("file", m[0]), text, flags=re.I)
    return text


_REWRITES: tuple[tuple[str, str], ...] = (
    (r"fine[- ]?tun(e|es|ed|ing)\b", r"finetun\1"),
    (r"\bq[- ]lora\b", "qlora"),
    (r"\bde[- ]?dup(?:e|ed|es|ing|licat\w*)?\b", "dedupe"),
    (r"\b(?:held|hold|holding)[- ]?out\b", "hold out"),
    (r"\bset aside\b", "hold out"),
    (r"\bbatch[_-]?size\b", "batch size"),
    (r"\blearning[_-]rate\b", "learning rate"),
    (r"\bweight[_-]decay\b", "weight decay"),
    (r"\bmax[_-](steps?|length|len|seq\w*|tokens)\b", r"max \1"),
    (r"\bgradient[_-]accumulation(?:[_-]steps)?\b", "gradient accumulation"),
    (r"\blora[_-](alpha|dropout|r|rank)\b", r"\1"),
    (r"\bnum[_-](?:train[_-])?epochs\b", "epochs"),
    (r"\beval(?:uation)?[_-](fraction|split|size)\b", r"eval \1"),
    (r"\b(int|fp|bf|nf)[- ](\d+)\b", r"\1\2"),
    (r"\b(\d+)[- ]?bits?\b", r"\1bit"),
    (r"\bzero[- ]?(?:stage[- ]?)?([0-3])\b", r"zero\1"),
    (r"(?<!point )(?<!zero )\bzero[- ](?:stage[- ])?one\b", "zero1"),
    (r"(?<!point )(?<!zero )\bzero[- ](?:stage[- ])?two\b", "zero2"),
    (r"(?<!point )(?<!zero )\bzero[- ](?:stage[- ])?three\b", "zero3"),
    (r"\bcan not\b|\bcannot\b", "can't"),
    (r"\bdo not\b", "don't"),
    (r"\bdoes not\b", "doesn't"),
    (r"\bon-?nx\b", "onnx"),
    (r"\bre[- ]train", "retrain"),
    (r"\bpre[- ]?process(?:ing)?\b", "preprocess"),
    (r"\bhyper[- ]?parameters?\b", "hyperparameters"),
    (r"\bper ?cent\b", "%"),
    (r"\bfrom [\d.]+ (?=to \d)", ""),
    (r"\bkick(?:ing|ed)? (?:it )?off\b", "kickoff"),
    (r"\beli ?5\b", "explain simply"),
    (r"\bdrop[- ]out\b(?= (?:of|rate|at|to|is|=|\d|point|zero))", "dropout"),
)
_REWRITE = [(re.compile(pattern), new) for pattern, new in _REWRITES]
_NUMBER_WORD = re.compile(
    r"\b(" + "|".join(sorted((w for w in NUMBERS if w != "one"), key=len, reverse=True)) + r")\b"
)
_ONE = re.compile(
    r"\b(rank|alpha|batch size|batch|epochs?|size|only|to|just|of|for) (?:one)\b"
    r"(?= *(?:$|[,.;!?]|and\b|then\b|please\b|instead\b|epochs?|pass|hours?|minutes?|steps?|gpus?|cards?|rows?))"
    r"|(?<!is )(?<!what's )(?<!are )(?<!was )(?<!does )\b(?:one|a single|single|an?)\b"
    r"(?= (?:full |more )?(?:epochs?|pass)\b)"
    r"|\b(?:one|a single)\b(?= (?:hours?|minutes?|steps?|gpus?|cards?)\b)"
)


_TIMES = tuple(
    (re.compile(rf"\b(?:{pattern})\b"), minutes)
    for pattern, minutes in (
        (r"(?:an|one|1) hour and a half|(?:one|1) and a half hours?|(?:one|1) hour and a half", 90),
        (r"(?:three|3) quarters? (?:of )?(?:an |one |1 )?hours?|3/4 (?:of )?(?:an )?hour", 45),
        (r"(?:an? |one |1 )?half (?:of )?(?:an |one |1 |a )?hours?|1/2 (?:an )?hour", 30),
        (r"(?:an? |one |1 )?quarter (?:of )?(?:an |one |1 )?hours?|1/4 (?:of )?(?:an )?hour", 15),
    )
)
_DIGITS = {word: value for word, value in NUMBERS.items() if value < 10 and " " not in word} | {
    "oh": 0,
    "nought": 0,
}
_POINT = re.compile(
    rf"(?:\b(zero|nought|oh|\d+) )?\bpoint ((?:(?:{'|'.join(_DIGITS)}|\d)(?: (?=\w)|\b))+)"
)
_POWER = re.compile(
    r"\b(?:(\d+(?:\.\d+)?|one) (?:times )?)?(?:e|10 to the(?: power of)?) ?(?:minus|-) ?(\d)\b"
)
_HUNDREDS = re.compile(r"\b(?:(\d{1,2}|an?|one) )?hundred\b(?:(?: and)? (\d{1,2})\b(?![.%/]))?")
_THOUSANDS = re.compile(
    r"\b(?:(\d{1,3}(?:\.\d+)?|an?|one) )?thousand\b(?:(?: and)? (\d{1,3})\b(?![.%/]))?"
)


def _times_in_words(text: str) -> str:
    """Write `three quarters of an hour` as minutes, and `point one` as 0.1."""
    for pattern, minutes in _TIMES:
        text = pattern.sub(f"{minutes} minutes", text)
    return _POINT.sub(_decimal, text)


def _decimal(match: re.Match[str]) -> str:
    words = match[2].split()
    whole = _DIGITS.get(match[1], match[1]) if match[1] else 0
    tail = " " if match[2].endswith(" ") else ""
    return f"{whole}.{''.join(str(_DIGITS.get(word, word)) for word in words)}{tail}"


def _figures_in_words(text: str) -> str:
    """Join what number words left apart: `2 hundred and 56`, `1 e minus 4`, `2 and a half`."""
    text = _HUNDREDS.sub(lambda m: str(_many(m[1]) * 100 + int(m[2] or 0)), text)
    text = _THOUSANDS.sub(lambda m: f"{_many(m[1]) * 1000 + int(m[2] or 0):g}", text)
    text = _POWER.sub(lambda m: f"{'1' if m[1] in (None, 'one') else m[1]}e-{m[2]}", text)
    text = re.sub(r"\b(\d+) and a half\b", r"\1.5", text)
    return re.sub(r"\b(\d+) bits?\b", r"\1bit", text)


def _many(word: str | None) -> float:
    return 1 if word in (None, "a", "an", "one") else float(word) if "." in word else int(word)


def plain_words(text: str) -> str:
    """Return lower-case words with slips repaired and number words as digits."""
    lowered = text.lower()
    for pattern, new in _REWRITE:
        lowered = pattern.sub(new, lowered)
    lowered = re.sub(r"[a-z']*([a-z])\1\1[a-z']*", lambda m: unstretched(m[0]), lowered)
    lowered = re.sub(r"[a-z']+(?![a-z0-9'])", lambda m: repaired(m[0]), lowered)
    for pattern, new in _REWRITE[:6]:
        lowered = pattern.sub(new, lowered)
    lowered = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", lowered)
    lowered = _times_in_words(lowered)
    lowered = _NUMBER_WORD.sub(lambda m: str(NUMBERS[m[1]]), lowered)
    lowered = _figures_in_words(lowered)
    lowered = _ONE.sub(lambda m: f"{m[1]} 1" if m[1] else "1", lowered)
    lowered = re.sub(r"\ba couple of\b|\ba couple\b", "2", lowered)
    return " ".join(lowered.split())
