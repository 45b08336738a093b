"""Finds figures in plain words: rank 8, two epochs, lr 2e-4, hold out a fifth, 24 GB, 10 minutes."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable

from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.spans import IS, find_minutes, find_price, find_share, without_price

Values = dict[str, object]

_N = r"(\d+(?:[.,]\d+)?)"
_INT = r"(\d{1,7})(?![\d.]*\d|%| %|e-)"
_FRACTION = r"(\d*[.,]\d+|\d+ ?%|\d+)"
_LR = (
    r"(\d+(?:\.\d+)?\s?e\s?-\s?\d+|\d*\.\d+|(?:\d+\s?[*x]\s?)?10\s?(?:\^|\*\*)\s?\(?-\s?\d+\)?|\d+)"
)


_RUNS = re.compile(r"(?<![\w.-])(\d{1,3}) (?:\w+ )?runs\b")
_USUAL_PATIENCE = 3
_NEVER = 1000
"""The most evaluations without a gain that a plan can wait for: no run has as many."""
_SHARES = {
    "half": "0.5",
    "third": "0.33",
    "quarter": "0.25",
    "fifth": "0.2",
    "tenth": "0.1",
    "twentieth": "0.05",
    "hundredth": "0.01",
}
_A_SHARE = re.compile(
    rf"\b((?:beta|dropout|smoothing|margin|warm ?up|weight decay){IS})(?:an?|1|one) ({'|'.join(_SHARES)})\b"
)
_MAY_BE_NONE = (
    ("dropout", "dropout"),
    ("warmup_ratio", r"warm ?up(?: phase| steps)?"),
    ("weight_decay", "weight decay"),
)
"""Settings of which one may want none."""
_WANTS = (
    r"i want|i'd say|i'd go for|i would say|i'd like|i'd prefer|i need|make (?:it|that|them)|use|take|let's say|say|better|rather|go for|go with|"
    r"put|set|i meant|i mean|needs|wants"
)
_SUFFICES = r"(?:will|would|should|is|are|seems?) (?:do|be|enough|plenty|fine|ok|better|sufficient)|suffices?|please"


def _int(text: str) -> object:
    return int(text)


def _number(text: str) -> object:
    value = float(text.replace(",", "."))
    return int(value) if value.is_integer() else value


def _share(text: str) -> object:
    if "%" in text:
        return float(text.strip(" %").replace(",", ".")) / 100
    value = float(text.replace(",", "."))
    return value / 100 if value >= 1 and value.is_integer() and value > 1 else value


def _strength(text: str) -> object:
    return float(text.strip(" %").replace(",", ".")) / (100 if "%" in text else 1)


def _rate(text: str) -> object:
    power = re.fullmatch(r"(?:(\d+)\s?[*x]\s?)?10\s?(?:\^|\*\*)\s?\(?-\s?(\d+)\)?", text)
    if power:
        return float(f"{power[1] or 1}e-{power[2]}")
    return float(re.sub(r"\s", "", text))


def _either(name: str, value: str) -> str:
    """The figure behind its name (`rank of 8`) or before it (`8 epochs`)."""
    return (
        rf"\b(?:{name})(?![a-z])(?:-(?=\d)|{IS}){value}|(?<![\w.-]){value} ?(?:as |for )?(?:the |my |a )?(?:{name})\b"
        rf"|\b(?:{name})(?:,| -|;)? (?:{_WANTS}) (?:just |only |about )?{value}"
        rf"|\b(?:{name}), {value} (?:{_SUFFICES})\b"
        rf"|\b(?:{name}) (?:is|are|seems?|looks?) (?:way |far |a bit |much )?too \w+[,;:-]? {value}(?= (?:please|instead|is|would|will|then)\b|[.!]|$)"
    )


_RULES: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    (
        "gradient_accumulation",
        _either(
            r"(?:gradient |grad )?accum\w*(?: steps?)?(?: over| across| for)?|grad acc|ga", _INT
        )
        + rf"|accum\w* (?:\w+ ){{0,3}}?{_INT} (?:steps?|batches|times)",
        _int,
    ),
    (
        "eval_steps",
        rf"\b(?:eval\w*|valid\w*|check|judge)\b (?:\w+ ){{0,3}}?(?:every|each|per){IS}{_INT}(?: (?:optimi[sz]er |training )?steps?)?"
        rf"|\beval steps{IS}{_INT}|\b(?:every|each) {_INT} steps?\b",
        _int,
    ),
    (
        "early_stopping_patience",
        rf"\bpatience{IS}{_INT}|(?<![\w.-]){_INT} (?:eval\w*|validations?|checks?|rounds|tries)? ?(?:of )?(?:early stopping )?patience\b"
        rf"|(?<![\w.-]){_INT} (?:eval\w*|validations?|checks?) (?:\w+ ){{0,4}}?(?:without|with no|in a row|not improv\w*|no gain|no better)\b"
        rf"|\bearly stopping (?:after|with|of|at){IS}{_INT}",
        _int,
    ),
    (
        "max_steps",
        rf"\bmax(?:imum)? steps?{IS}{_INT}|\bsteps? max(?:imum)?{IS}{_INT}|(?<![\w.-]){_INT} (?:\w+ )?(?:optimi[sz]er |training |update |max )?"
        rf"steps?\b|\bsteps{IS}{_INT}",
        _int,
    ),
    (
        "max_length",
        rf"\b(?:max(?:imum)? (?:sequence |seq )?(?:length|len|tokens|seq(?:uence)?)|sequence length|"
        rf"seq ?len(?:gth)?|context(?: length| window)?|token limit|cutoff(?: length)?)(?![a-z]){IS}{_INT}"
        rf"|\b(?:cut|truncate|crop|trim|clip|limit)\w* (?:\w+ ){{0,4}}?(?:at|to|after){IS}{_INT}(?: tokens?)?"
        rf"|(?<![\w.-]){_INT} tokens?\b(?! (?:per|a|/|each) ?(?:s\b|sec|min|hour|day))|\blength{IS}{_INT}",
        _int,
    ),
    (
        "batch_size",
        _either(r"(?:micro[- ]?)?batch(?:es)?(?: size)?|bs|mini[- ]?batch(?:es)?(?: size)?", _INT)
        + rf"|(?<![\w.-]){_INT} (?:rows|examples|samples|items|at a time)(?: at a time| at once| per batch| per step)",
        _int,
    ),
    ("rank", _either(r"rank|lora r", _INT) + rf"|\br\s?[=:]?\s?{_INT}", _int),
    ("alpha", _either("alpha", _INT) + rf"|(?:\br\s?=?\s?\d+|\|)[, ]+a\s?=?\s?{_INT}", _int),
    ("dropout", rf"\bdropout{IS}{_FRACTION}|(?<![\w.-]){_FRACTION} dropout", _share),
    (
        "weight_decay",
        rf"\b(?:weight decay|wd){IS}(\d*\.?\d+(?:e-\d+)?)|(\d*\.\d+) weight decay",
        _rate,
    ),
    (
        "learning_rate",
        rf"\b(?:learning rate|lr|rate){IS}{_LR}(?!\d|\.\d| ?(?:x|times|fold)\b)|(?<![\w.-]){_LR} (?:as |for )?(?:the |a )?(?:learning rate|lr)\b"
        r"|(?<![\w.-])(\d+(?:\.\d+)?e-\d+)(?![\w.])",
        _rate,
    ),
    (
        "epochs",
        rf"(?<![\w.-]){_N} ?(?:full |complete |whole |more |training )?(?:epochs?|passes|pass|ep|rounds?)\b"
        rf"|\b(?:epochs?|passes|rounds)(?:,| -|;)? (?:{_WANTS}) (?:just |only |about )?{_N}(?! ?(?:%|min|hour|gb|steps|tokens))"
        rf"|\b(?:epochs?|passes|rounds), {_N} (?:{_SUFFICES})\b"
        rf"|\b(?:epochs?|passes|rounds){IS}{_N}(?! ?(?:%|min|hour|gb|steps|tokens))"
        rf"|(?:go |pass )(?:through|over) (?:\w+ ){{0,3}}?{_N} times",
        _number,
    ),
    (
        "trials",
        rf"(?<![\w.-]){_INT} (?:(?:different|quick|short|small|random|other|more|possible|parameter|hyperparameter|training|test|search) )*"
        r"(?:trials?|tries|attempts|combinations|combos|variants|variations|versions|configurations|configs?|setups|settings|experiments)\b"
        rf"|\b(?:trials|n_trials|number of trials|budget){IS}{_INT}(?: trials)?(?! ?(?:min|hour|gb|%|gigs?|h\b))"
        rf"|\b(?:search|optuna|sweep)\b(?: \w+){{0,3}}? {_INT} times",
        _int,
    ),
    (
        "warmup_ratio",
        rf"\bwarm ?up(?: ratio| share| steps)?(?: over| for| during| in)?(?: the)?(?: first)?{IS}(\d+(?:\.\d+)? ?%|0?\.\d+)|(\d+(?:\.\d+)? ?%|0?\.\d+) (?:of )?warm ?up",
        _share,
    ),
    (
        "loss_weight",
        rf"\bsmooth\w* (?:the )?labels?(?: (?:a|little|bit|slightly|by|with|of|only|just))*,? {_FRACTION}"
        rf"|\b(?:gamma|margin|label smoothing|smoothing(?: factor| strength)?|smooth\w* (?:the )?labels?|loss weight){IS}{_FRACTION}"
        rf"|(?<![\w.-]){_FRACTION} (?:label smoothing|smoothing|gamma|margin)\b",
        _strength,
    ),
    ("beta", rf"\bbeta{IS}(\d*\.?\d+)", _rate),
    ("memory_gb", rf"(?<![\w.-]){_N} ?-?(?:gb|gib|gigs?|gigabytes?|g)\b", _number),
    (
        "seed",
        rf"\b(?:random )?seed{IS}{_INT}|\bseed,? (?:say|maybe|perhaps|like|for example) {_INT}"
        rf"|(?<![\w.-]){_INT} as (?:the |a |my )?(?:random )?seed\b",
        _int,
    ),
)
_COMPILED = [(name, re.compile(pattern), convert) for name, pattern, convert in _RULES]


def find_quantities(plain: str) -> Values:
    """Return argument → value for every figure that is clear from its words."""
    values: Values = {}
    plain = _A_SHARE.sub(lambda m: f"{m[1]}{_SHARES[m[2]]}", plain)
    if price := find_price(plain):
        values["price_per_hour"] = price
        plain = without_price(plain)
    share = find_share(plain)
    if share is not None:
        values["eval_fraction"] = share
    minutes = find_minutes(plain)
    if minutes is not None:
        values["minutes"] = minutes
    rest = plain
    for name, pattern, convert in _COMPILED:
        match = _last(pattern, rest)
        if match is None:
            if instead := _instead(pattern, rest):
                values[name] = convert(instead)
            continue
        figure = next(group for group in match.groups() if group)
        values[name] = convert(figure)
        rest = rest[: match.start()] + " | " + rest[match.end() :]
    if phrase("NEVER_EARLY").search(plain):
        values["early_stopping_patience"] = _NEVER
    elif "early_stopping_patience" not in values and phrase("STOPS_EARLY").search(plain):
        values["early_stopping_patience"] = _USUAL_PATIENCE
    for name, words in _MAY_BE_NONE:
        if name not in values and any(
            phrase("TAKEN_BACK").search(plain[: match.start()])
            or phrase("SWITCHED_OFF").match(plain[match.end() :])
            or re.search(r"\b(?:zero|0) $", plain[: match.start()])
            for match in re.finditer(rf"\b{words}\b", plain)
        ):
            values[name] = 0
    if "trials" not in values and phrase("SEARCH").search(plain) and (runs := _RUNS.search(plain)):
        values["trials"] = int(runs[1])
    return values


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Return the last figure that is not crossed out: in "not 8, rank 16" it is 16."""
    found = [m for m in pattern.finditer(text) if not _crossed_out(text, m)]
    return found[-1] if found else None


def _instead(pattern: re.Pattern[str], text: str) -> str | None:
    """Return the bare figure that replaces a crossed out one: `not rank 64 but 16`."""
    crossed = [m for m in pattern.finditer(text) if _crossed_out(text, m)]
    if not crossed:
        return None
    bare = re.search(r"(?<![\w.])(\d+(?:\.\d+)?(?:e-\d+)?)(?![\w.]*\w)", text[crossed[-1].end() :])
    return bare[1] if bare else None


def _crossed_out(text: str, match: re.Match[str]) -> bool:
    before, after = text[: match.start()], text[match.end() :]
    return bool(
        re.search(
            r"(?:\bnot|\binstead of|\brather than|\bno longer|n't (?:use|take|want))\s+(?:an? |the )?$",
            before,
        )
        or re.match(r"\s*(?:is|are|was|seems?|looks?) (?:way |far |much |a bit )?too\b", after)
    )
