"""Asking models the same thing, with their answers as they come: for the app and `try_model`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.context import Context
from tools.errors import Unavailable
from tools.export.answering import Target, as_asked, targets_for, targets_of, tokens_for
from tools.export.report import ModelAnswer, TryReport
from tools.export.service import connect, receive, send

__all__ = ["Target", "Token", "ask", "generate", "targets_for", "targets_of"]

MAX_NEW_TOKENS = 512


@dataclass(frozen=True)
class Token:
    """A piece of one model's answer; the last piece of a model has `ended`.

    Attributes:
        text: New text; untrusted.
        error: Why this model has no answer.
    """

    target: str
    text: str = ""
    ended: bool = False
    first_token_s: float | None = None
    tokens_per_s: float | None = None
    tokens: int = 0
    stopped: bool = True
    error: str | None = None


def generate(
    ctx: Context,
    targets: Sequence[Target],
    prompt: str,
    *,
    max_new_tokens: int | None = None,
    temperature: float = 0.0,
    seed: int = 17,
) -> Iterator[Token]:
    """Give the answers of the models, one model after the other, as they are generated.

    Closing the iterator stops the generation.

    Raises:
        Unavailable: The worker that runs models does not start, or it ended.
    """
    limit = min(max_new_tokens or tokens_for(ctx, list(targets)), MAX_NEW_TOKENS)
    asked = as_asked(ctx, list(targets), prompt)
    if ctx.settings.workers is not None:
        yield from _stand_in(ctx, targets, asked)
        return
    request = {
        "targets": [target.model_dump(mode="json") for target in targets],
        "prompt": asked,
        "max_new_tokens": limit,
        "temperature": temperature,
        "seed": seed,
    }
    with connect(ctx.settings) as connection:
        try:
            send(connection, request)
            while True:
                document = receive(connection)
                if document.get("done"):
                    return
                yield Token(**document)
        except (EOFError, ConnectionError) as error:
            raise Unavailable(
                "The worker that runs models ended before it had answered.",
                hint="Ask again; if it happens again, the model may be too large for this machine.",
            ) from error


def ask(
    ctx: Context,
    prompt: str,
    *,
    job: str | None = None,
    model: str | None = None,
    max_new_tokens: int | None = None,
    temperature: float = 0.0,
) -> TryReport:
    """Return the answers of all models that were meant."""
    targets = targets_for(ctx, job, model)
    texts = {target.key: "" for target in targets}
    ends: dict[str, Token] = {}
    for token in generate(
        ctx, targets, prompt, max_new_tokens=max_new_tokens, temperature=temperature
    ):
        texts[token.target] += token.text
        if token.ended:
            ends[token.target] = token
    answers = []
    for target in targets:
        end = ends.get(target.key, Token(target.key, error="It did not answer."))
        answers.append(
            ModelAnswer(
                target=target.key,
                model=target.title,
                text=texts[target.key].strip(),
                first_token_s=end.first_token_s,
                tokens_per_s=end.tokens_per_s,
                tokens=end.tokens,
                stopped=end.stopped,
                error=end.error,
            )
        )
    about = next((target.job for target in targets if target.job), None)
    return TryReport(job=about, prompt=prompt, answers=tuple(answers))


def _stand_in(ctx: Context, targets: Sequence[Target], prompt: str) -> Iterator[Token]:
    assert ctx.settings.workers is not None
    for target in targets:
        name = target.key if target.job is None else f"{target.key} of {target.job}"
        text = ctx.settings.workers.answer(ctx.settings, name, prompt)
        yield Token(target.key, text)
        yield Token(target.key, ended=True, tokens=len(text.split()))
