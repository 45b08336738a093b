"""Generate the pre-training corpus: everyday English and service-desk talk, all from our banks.

Nothing here names a category, asks for one or answers with one: the corpus teaches words and
meanings, not the sorting task. Documents that share eight words in a row with a sample file are
dropped, so what a tuned model knows about a held-out message it did not read here.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parents[1] / "samples"
sys.path.insert(0, str(SAMPLES / "make"))

from grammar import Bank, expand, read_bank, word_runs  # noqa: E402

RUN_LENGTH = 8
TOPICS = ("delivery", "billing", "returns", "technical", "account", "product", "cancellation")


class Intent:
    """What one group of phrases is about: customers' wordings, restatements and answers."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name = name
        self.about = [line[2:] for line in lines if line.startswith("~ ")]
        self.answers = [line[2:] for line in lines if line.startswith("+ ")]
        self.wordings = [line for line in lines if line[:2] not in ("~ ", "+ ")]


class Corpus:
    """The banks, and one method for each kind of document."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        banks = HERE / "banks"
        self.slots: Bank = read_bank(banks / "slots.txt")
        self.everyday = read_bank(banks / "everyday.txt")
        self.slots |= {k: self.everyday[k] for k in ("noun", "adj", "site", "food", "weather")}
        self.by_topic = {
            topic: [Intent(*item) for item in read_bank(banks / f"{topic}.txt").items()]
            for topic in (*TOPICS, "other")
        }
        self.meanings = [
            (left.split(", "), right)
            for line in (banks / "meanings.txt").read_text(encoding="utf-8").splitlines()
            if " = " in line and not line.startswith("#")
            for left, right in [line.split(" = ")]
        ]
        self.frames = read_bank(banks / "frames.txt")

    def say(self, template: str) -> str:
        """Expand one template with the common slots."""
        return expand(template, self.slots, self.rng)

    def frame(self, section: str, **values: str) -> str:
        """Expand a frame and put finished texts into its ``<name>`` gaps."""
        text = self.say(self.rng.choice(self.frames[section])).replace("\\n", "\n")
        for key, value in values.items():
            text = text.replace(f"<{key}>", value)
        return text

    def intent(self) -> Intent:
        """Pick an intent; most come from the shop's own topics."""
        shop = self.rng.random() < 0.88
        if not shop:
            return self.rng.choice(self.by_topic["other"])
        # Topics evenly, then intents: a topic with few intents is met as often as the others.
        return self.rng.choice(self.by_topic[self.rng.choice(TOPICS)])

    def wording(self, intent: Intent) -> str:
        """One customer's wording, sometimes with an opener or a closer, sometimes untidy."""
        rng = self.rng
        text = self.say(rng.choice(intent.wordings))
        text = text[0].upper() + text[1:]
        if rng.random() < 0.10:
            other = self.say(rng.choice(intent.wordings))
            text += " " + other[0].upper() + other[1:]
        if rng.random() < 0.30:
            opener = self.frame("opener")
            if opener.endswith(", ") and not text.startswith(("I ", "I'")):
                text = text[0].lower() + text[1:]
            text = opener + text
        if rng.random() < 0.25:
            text += " " + self.frame("closer")
        return self._untidy(text)

    def _untidy(self, text: str) -> str:
        roll = self.rng.random()
        if roll < 0.15:
            text = text.lower()
        elif roll < 0.18:
            text = text.upper()
        elif roll < 0.28 and len(text) > 20:
            at = self.rng.randrange(5, len(text) - 5)
            text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        return text

    def dialogue(self) -> str:
        """A customer writes, the desk restates the matter in other words and answers."""
        intent = self.intent()
        about = self.say(self.rng.choice(intent.about))
        lines = [
            self.frame("customer", text=self.wording(intent)),
            self.frame("agent", about=about, answer=self.say(self.rng.choice(intent.answers))),
        ]
        if self.rng.random() < 0.3:
            lines += [self.frame("customer", text=self.frame("thanks"))]
        return "\n".join(lines)

    def note(self) -> str:
        """A clerk's note: the message, then what it is about."""
        intent = self.intent()
        about = self.say(self.rng.choice(intent.about))
        return self.frame("note", text=self.wording(intent), about=about)

    def paraphrase(self) -> str:
        """Two wordings of one matter, or a wording and its short form."""
        intent = self.intent()
        return self.frame(
            "paraphrase",
            text=self.wording(intent),
            other=self.wording(intent),
            about=self.say(self.rng.choice(intent.about)),
        )

    def pile(self) -> str:
        """Several messages about one matter, with a heading first or last."""
        intent = self.intent()
        heading = self.frame("heading", about=self.say(self.rng.choice(intent.about)))
        lines = ["- " + self.wording(intent) for _ in range(self.rng.randint(2, 5))]
        return "\n".join([heading, *lines] if self.rng.random() < 0.5 else [*lines, heading])

    def contrast(self) -> str:
        """Two different matters side by side, each said in other words."""
        first, second = self.intent(), self.intent()
        return self.frame(
            "contrast",
            text=self.wording(first),
            about=self.say(self.rng.choice(first.about)),
            other=self.wording(second),
            otherabout=self.say(self.rng.choice(second.about)),
        )

    def meaning(self) -> str:
        """Synonyms and definitions."""
        rng = self.rng
        parts = []
        for names, text in rng.sample(self.meanings, rng.randint(2, 5)):
            first, second = rng.sample(names, 2)
            parts.append(self.frame("meaning", word=first, same=second, meaning=text))
        return "\n".join(parts)

    def chat(self) -> str:
        """A short exchange in the chat format; a restatement only where it is asked for."""
        roll = self.rng.random()
        if roll < 0.25:
            names, text = self.rng.choice(self.meanings)
            question, answer = self.frame("ask", word=self.rng.choice(names)), text
            answer = answer[0].upper() + answer[1:] + "."
        elif roll < 0.55:
            intent = self.intent()
            question = self.frame("request", text=self.wording(intent))
            answer = self.say(self.rng.choice(intent.about))
            answer = answer[0].upper() + answer[1:] + "."
        elif roll < 0.70:
            intent = self.intent()
            question = self.frame("reword", text=self.wording(intent))
            answer = self.wording(intent)
        else:
            intent = self.intent()
            question, answer = self.wording(intent), self.say(self.rng.choice(intent.answers))
        system = f"<|system|>\n{self.frame('system')}<|end|>\n" if self.rng.random() < 0.2 else ""
        return f"{system}<|user|>\n{question}<|end|>\n<|assistant|>\n{answer}"

    def board(self) -> str:
        """A lower-case notice board of the shop."""
        return "\n".join(self.say(line) for line in self.rng.sample(self.everyday["board"], 4))

    def everyday_text(self) -> str:
        """Stories, letters, shop news and plain facts."""
        kind = self.rng.choice(["story", "story", "letter", "news", "facts"])
        lines = self.rng.sample(self.everyday[kind], min(5, len(self.everyday[kind])))
        texts = [self.say(line) for line in lines]
        return " ".join(text[0].upper() + text[1:] for text in texts)

    def documents(self, count: int) -> Iterator[str]:
        """Yield ``count`` documents of mixed kinds."""
        kinds: list[tuple[Callable[[], str], int]] = [
            (self.dialogue, 24),
            (self.note, 24),
            (self.paraphrase, 12),
            (self.pile, 8),
            (self.contrast, 8),
            (self.meaning, 5),
            (self.everyday_text, 7),
            (self.board, 3),
            (self.chat, 22),
        ]
        makers = [maker for maker, weight in kinds for _ in range(weight)]
        for _ in range(count):
            yield self.rng.choice(makers)()


def sample_runs() -> set[tuple[str, ...]]:
    """Every run of eight words that occurs in a sample file."""
    runs: set[tuple[str, ...]] = set()
    for path in sorted([*SAMPLES.glob("*.csv"), *SAMPLES.glob("*.jsonl")]):
        for line in path.read_text(encoding="utf-8").splitlines():
            runs |= word_runs(line, RUN_LENGTH)
    return runs


def clean_documents(count: int, seed: int = 0) -> Iterator[str]:
    """Yield up to ``count`` documents, without those that share a run with a sample."""
    forbidden = sample_runs()
    for text in Corpus(seed).documents(count):
        if not word_runs(text, RUN_LENGTH) & forbidden:
            yield text
