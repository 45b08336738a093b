"""Support tickets: a training file and a held-out file with a seen and an unseen half."""

from __future__ import annotations

import random
import re
from pathlib import Path

from grammar import Bank, expand, read_bank, words

BANKS = Path(__file__).parent / "banks"
# Shares of the seven categories; uneven, as in a real inbox.
SHARES = {
    "delivery": 0.24,
    "billing": 0.19,
    "returns": 0.17,
    "technical": 0.15,
    "account": 0.11,
    "product": 0.09,
    "cancellation": 0.05,
}
TRAINING_ROWS = 1_130
HALF_ROWS = 200
EXACT_DUPLICATES = 30
NEAR_DUPLICATES = 12
# Kept in the file on purpose: a data check should find them.
FLAWED_ROWS = [
    {"text": "", "label": "billing"},
    {"text": "   ", "label": "delivery"},
]

Row = dict[str, str]


def _misspell(text: str, rng: random.Random) -> str:
    """Swap or drop one letter inside one longer word."""
    spots = list(re.finditer(r"[A-Za-z]{5,}", text))
    if not spots:
        return text
    spot = rng.choice(spots)
    at = rng.randrange(spot.start() + 1, spot.end() - 2)
    if rng.random() < 0.5:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :]


def _roughen(text: str, rng: random.Random) -> str:
    """Apply the small untidiness of typed messages."""
    if rng.random() < 0.10:
        text = _misspell(text, rng)
    roll = rng.random()
    if roll < 0.12:
        text = text.lower()
    elif roll < 0.14:
        text = text.upper()
    if rng.random() < 0.06:
        text = text.replace("'", "")
    if rng.random() < 0.05:
        text = text.rstrip(".?") + rng.choice(["!!", "...", "??", " !"])
    if rng.random() < 0.04:
        text = rng.choice([" " + text, text + "  ", text.replace(" ", "  ", 1), text + "\t"])
    return text


def _message(phrase: str, bank: Bank, slots: Bank, rng: random.Random) -> str:
    """One message: maybe an opener, the phrase, maybe a closer."""
    text = phrase
    if rng.random() < 0.40:
        opener = rng.choice(bank["openers"])
        # After a comma people carry on in lower case, except for "I".
        if opener.rstrip().endswith(",") and not re.match(r"I\b|I'|\[", text):
            text = text[0].lower() + text[1:]
        text = opener + text
    if rng.random() < 0.35:
        text += rng.choice(bank["closers"])
    return _roughen(expand(text, slots, rng), rng)


def _counts(total: int) -> dict[str, int]:
    counts = {label: round(total * share) for label, share in SHARES.items()}
    counts["delivery"] += total - sum(counts.values())
    return counts


def _draw(bank: Bank, slots: Bank, total: int, rng: random.Random, taken: set[str]) -> list[Row]:
    """Draw rows whose normalised wording is new; phrases of a class are used evenly."""
    rows: list[Row] = []
    for label, count in _counts(total).items():
        phrases: list[str] = []
        for _ in range(count):
            while True:
                if not phrases:
                    phrases = rng.sample(bank[label], len(bank[label]))
                text = _message(phrases.pop(), bank, slots, rng)
                key = " ".join(words(text))
                if key not in taken:
                    break
            taken.add(key)
            rows.append({"text": text, "label": label})
    rng.shuffle(rows)
    return rows


def build_tickets(seed: int = 20) -> tuple[list[Row], list[Row]]:
    """Build both files.

    Returns:
        Training rows (``text``, ``label``) and held-out rows (also ``half``). No held-out text,
        compared as lower-case words, is in the training rows.
    """
    rng = random.Random(seed)
    slots = read_bank(BANKS / "slots.txt")
    trained = read_bank(BANKS / "tickets_trained.txt")
    taken: set[str] = set()
    training = _draw(trained, slots, TRAINING_ROWS, rng, taken)
    seen = _draw(trained, slots, HALF_ROWS, rng, taken)
    unseen = _draw(read_bank(BANKS / "tickets_heldout.txt"), slots, HALF_ROWS, rng, taken)
    extra = [dict(row) for row in rng.sample(training, EXACT_DUPLICATES)]
    for row in rng.sample(training, NEAR_DUPLICATES):
        extra.append({"text": row["text"].rstrip(" .!?\t") + "!", "label": row["label"]})
    contradicted = rng.choice([row for row in training if row["label"] == "returns"])
    extra.append({"text": contradicted["text"], "label": "billing"})
    extra += FLAWED_ROWS
    for row in extra:
        training.insert(rng.randrange(len(training) + 1), row)
    heldout = [{**row, "half": "seen"} for row in seen]
    heldout += [{**row, "half": "unseen"} for row in unseen]
    return training, heldout
