"""Product questions in chat format, phrases with a tone, and preferred answers."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

from grammar import expand, read_bank

BANKS = Path(__file__).parent / "banks"
SYSTEM = "You answer questions about the shop in one or two short sentences."
TONE_ROWS = {"formal": 90, "casual": 90, "angry": 80, "grateful": 80, "worried": 70}
PREFERENCE_ROWS = 110
FAQ_OPENERS = ["", "", "", "Hi, ", "Hello! ", "Quick question: "]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _opened(question: str, opener: str) -> str:
    if opener.endswith((", ", ": ")) and not question.startswith("I "):
        question = question[0].lower() + question[1:]
    return opener + question


def build_faq(seed: int = 21) -> list[dict[str, Any]]:
    """Build chats of one or two questions; about a quarter start with a system message."""
    rng = random.Random(seed)
    rows = []
    for lines in read_bank(BANKS / "faq.txt").values():
        answers = [line[2:] for line in lines if line.startswith("+ ")]
        follow_ups = [line[2:].split(" => ") for line in lines if line.startswith("? ")]
        questions = [line for line in lines if line[:2] not in ("+ ", "? ")]
        turns: list[list[list[str]]] = [[[q, a]] for q in questions for a in answers]
        turns += [[[rng.choice(questions), answers[0]], more] for more in follow_ups]
        for pairs in turns:
            for opener in rng.sample(FAQ_OPENERS[2:], 2):
                messages = [_message("system", SYSTEM)] if rng.random() < 0.25 else []
                for i, (question, answer) in enumerate(pairs):
                    text = question if i else _opened(question, opener)
                    messages += [_message("user", text), _message("assistant", answer)]
                rows.append({"messages": messages})
    rng.shuffle(rows)
    return rows


def build_tones(seed: int = 22) -> list[dict[str, str]]:
    """Build distinct phrases, each with the tone of its section."""
    rng = random.Random(seed)
    slots = read_bank(BANKS / "slots.txt")
    rows = []
    for tone, phrases in read_bank(BANKS / "tones.txt").items():
        found: dict[str, None] = {}
        while len(found) < TONE_ROWS[tone]:
            text = expand(phrases[rng.randrange(len(phrases))], slots, rng)
            found.setdefault(text)
        rows += [{"phrase": text, "tone": tone} for text in found]
    rng.shuffle(rows)
    return rows


def build_preferences(seed: int = 23) -> list[dict[str, str]]:
    """Build prompts with a good and a poor answer; slots agree within a row."""
    rng = random.Random(seed)
    slots = read_bank(BANKS / "slots.txt")
    pairs = read_bank(BANKS / "preferences.txt")["pairs"]
    rows: dict[str, dict[str, str]] = {}
    for line in itertools.cycle(pairs):
        if len(rows) == PREFERENCE_ROWS:
            break
        picked = {name: [rng.choice(values)] for name, values in slots.items()}
        prompt, chosen, rejected = expand(line, picked, rng).split(" => ")
        prompt = rng.choice(FAQ_OPENERS) + prompt
        key = f"{prompt} {chosen}"
        if key not in rows:
            rows[key] = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    found = list(rows.values())
    rng.shuffle(found)
    return found
