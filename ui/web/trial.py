"""One question to several models, and their answers as they stream in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from tools.context import Context
from tools.export.playground import Target, generate, targets_for
from ui.web.cards import model_title, speed


@dataclass
class Answer:
    """What one model has said so far; `text` and `error` are untrusted."""

    target: Target
    text: str = ""
    first_s: float | None = None
    tokens_per_s: float | None = None
    error: str | None = None
    ended: bool = False

    @property
    def title(self) -> str:
        """The model in words, such as `ONNX int4`."""
        return model_title(self.target.key)

    @property
    def figures(self) -> str:
        """Time to the first token and speed, where measured."""
        return speed(self.first_s, self.tokens_per_s)


@dataclass
class Trial:
    """A prompt, the models it goes to, and whether their names are hidden."""

    prompt: str
    blind: bool
    answers: list[Answer] = field(default_factory=list)


def new_trial(ctx: Context, job_id: str, prompt: str, blind: bool) -> Trial:
    """Return a trial of a run's base, tuned and exported model; shuffled where blind.

    Raises:
        ToolError: The run left no model, or it was deleted.
    """
    targets = targets_for(ctx, job_id, None)
    if blind:
        secrets.SystemRandom().shuffle(targets)
    return Trial(prompt, blind, [Answer(target) for target in targets])


def stream_answers(ctx: Context, trial: Trial) -> Iterator[None]:
    """Fill the answers as they are generated; yields whenever there is something new to draw.

    Raises:
        ToolError: The models cannot be run.
    """
    by_key = {answer.target.key: answer for answer in trial.answers}
    for token in generate(ctx, [answer.target for answer in trial.answers], trial.prompt):
        answer = by_key[token.target]
        answer.text += token.text
        if token.ended:
            answer.ended, answer.error = True, token.error
            answer.first_s, answer.tokens_per_s = token.first_token_s, token.tokens_per_s
        yield
