"""Finds shares, lengths of time and prices in plain words: `85/15`, `half an hour`, `3 dollars an hour`."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re

IS = r"(?:\s*(?:=|:|of|to|is|at|be|as|with|about|around|only|just|exactly|down|up|should|ought|could|must|a|the|->))*\s*"
"""What may stand between the name of a setting and its figure."""
_MONEY = r"(?:dollars?|bucks|usd|euros?|eur|pounds?|gbp|\$|€|£|chf|francs?|quid)"
_EACH = r"(?:/|per|an|a|each|every|the|1) ?(?:hour|h|hr|gpu hour|hours)\b"
_PRICE = re.compile(
    rf"(?:\$|€|£) ?(?P<a>\d+(?:[.,]\d+)?) ?(?:{_MONEY} ?)?(?:{_EACH}|hourly|(?:of )?rent)"
    rf"|(?P<b>\d+(?:[.,]\d+)?) ?{_MONEY}(?: and (?P<cents>\d\d) cents?)? ?(?:{_EACH}|hourly)"
    rf"|hour\w*(?: of (?:\w+ ){1, 3}?| )(?:costs?|is|at|rate(?: of| is)?|price(?: of| is)?)(?: me| us)? (?:\$|€|£)? ?(?P<c>\d+(?:[.,]\d+)?)(?: ?{_MONEY})?"
    rf"|(?P<d>\d+(?:[.,]\d+)?) ?(?:cents?) ?{_EACH}"
    rf"|(?:at|for|costs?|price|rate)(?: of)? (?P<e>\d+(?:[.,]\d+)?) ?{_EACH}"
)
_HELD = (
    r"hold|held|keep|kept|aside|eval\w*|valid\w*|test\w*|check\w*|reserv\w*|back|split|away|unseen|"
    r"judg\w*|measur\w*|leave|dev|out"
)

_SHARE_WORDS = {
    "a tenth": 0.1, "1 tenth": 0.1, "one tenth": 0.1, "a fifth": 0.2, "1 fifth": 0.2,
    "one fifth": 0.2, "a quarter": 0.25, "one quarter": 0.25, "a third": 0.33, "one third": 0.33,
    "half": 0.5, "an eighth": 0.125, "a twentieth": 0.05,
}  # fmt: skip

_RATIO = re.compile(
    r"(?<![\w.])(\d{1,2}) ?(?:/|-|:|to|and|by|versus|) ?(\d{1,2})(?![\w.]|%? ?(?:gb|min))"
)

_PERCENT = re.compile(r"(?<![\w.])(\d{1,2}(?:\.\d+)?) ?%")

_OF_DROPOUT = re.compile(r"dropout[^,;.|]{0,16}\||\| ?(?:of |for (?:the )?)?dropout")

_DECIMAL = re.compile(
    rf"\b(?:eval(?:uation)?|validation|test|hold out|held|holdout) ?(?:fraction|split|share|ratio|size|set|part)?"
    rf"{IS}(0?\.\d+)"
)

_TRAIN_SHARE = re.compile(
    r"(\d{2}(?:\.\d+)?) ?% (?:of \w+ (?:\w+ )?)?(?:for|to|goes to|as|in)? ?(?:the |be )?"
    r"(?:for |used for )?train"
)

_MINUTES = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?(?:min|mins|minutes?)\b")

_HOURS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?(?:h|hrs?|hours?)\b")

_HOUR_WORDS = (
    (re.compile(r"\b(?:half an hour|half hour|30 minutes)\b"), 30),
    (
        re.compile(r"\b(?:a quarter of an hour|quarter of an hour|a quarter hour|quarter hour)\b"),
        15,
    ),
    (re.compile(r"\b(?:an hour and a half|1 and a half hours?)\b"), 90),
    (re.compile(r"\b(?:an|1|one) hour\b"), 60),
    (re.compile(r"\ba minute\b(?= (?:at most|max|long|of))"), 1),
)


def find_share(plain: str) -> float | None:
    """Return the share of rows to hold out."""
    if match := _DECIMAL.search(plain):
        return float(match[1])
    if match := _TRAIN_SHARE.search(plain):
        return round(1 - float(match[1]) / 100, 4)
    near = re.search(rf"\b(?:{_HELD})\b", plain)
    for match in _RATIO.finditer(plain):
        a, b = int(match[1]), int(match[2])
        if a + b == 100 and min(a, b) > 0:
            return min(a, b) / 100 if a >= b else b / 100
    if not near:
        return None
    shares = [float(match[1]) for match in _PERCENT.finditer(plain)]
    if len(shares) == 2 and sum(shares) == 100:
        return min(shares) / 100
    for match in _PERCENT.finditer(plain):
        if _OF_DROPOUT.search(plain[: match.start()] + "|" + plain[match.end() :]):
            continue
        value = float(match[1]) / 100
        return round(1 - value, 4) if value > 0.5 and "train" in plain[match.end() :] else value
    for words, share in _SHARE_WORDS.items():
        if re.search(rf"\b{words}\b(?! an? hour| hour| as)", plain):
            return share
    return None


def find_minutes(plain: str) -> float | int | None:
    """Return a length of time in minutes."""
    for pattern, value in _HOUR_WORDS:
        if pattern.search(plain):
            return value
    if match := _HOURS.search(plain):
        total = 60 * float(match[1])
        if extra := _MINUTES.search(plain, match.end()):
            total += float(extra[1])
    elif match := _MINUTES.search(plain):
        total = float(match[1])
    else:
        return None
    return int(total) if total.is_integer() else total


def find_price(plain: str) -> float | int | None:
    """Return the price of a machine per hour, in whatever money it is named."""
    match = _PRICE.search(plain)
    if not match:
        return None
    if match["d"]:
        return float(match["d"].replace(",", ".")) / 100
    figure = next(match[name] for name in "abce" if match[name])
    price = float(figure.replace(",", ".")) + float(match["cents"] or 0) / 100
    return int(price) if price.is_integer() else price


def without_price(plain: str) -> str:
    """Return the words without the price, whose hour is no length of time."""
    return _PRICE.sub(" | ", plain)
