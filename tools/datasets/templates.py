"""Chat templates in the light half: a model's own template, in a sandbox, without transformers.

Rendering follows transformers' `apply_chat_template`: the same block trimming, filters and
globals, and the `{% generation %}` marks that tell which characters the assistant wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from tools.datasets.example import Message
from tools.errors import BadInput

FALLBACK_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{ '### Assistant:\\n' }}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{%- else -%}"
    "{{ '### ' + message['role'] | capitalize + ':\\n' + message['content'] + '\\n' }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '### Assistant:\\n' }}{%- endif -%}"
)
"""Used where a model brings no chat template; the run says so."""
TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|eom_id|>", "</s>")
_BEGIN, _END = "\ufdd0", "\ufdd1"
"""Characters that Unicode keeps out of text; they mark what the assistant wrote."""


@dataclass(frozen=True)
class ModelText:
    """How a model reads text: its tokenizer, its template and the tokens that end an answer.

    Attributes:
        special: Names such as `bos_token` → the token, as templates use them.
        stops: Ids that end an answer.
        own_template: False where the fallback is used.
    """

    name: str
    tokenizer: Any
    template: str
    own_template: bool
    special: dict[str, str]
    stops: tuple[int, ...]
    context: int | None = None
    _compiled: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def id_of(self, name: str) -> int | None:
        """Return the id of a special token, such as `bos_token`."""
        token = self.special.get(name)
        number: int | None = self.tokenizer.token_to_id(token) if token else None
        return number

    @property
    def marks_answers(self) -> bool:
        """True where the template says what the assistant wrote."""
        return "{% generation" in self.template.replace("{%-", "{%")

    def control_tokens(self) -> tuple[str, ...]:
        """Return the special tokens that text must not hold, the longest first."""
        added = [t.content for t in added_tokens(self.tokenizer).values() if t.special]
        marked = {token for token in added if len(token) >= 3 and not token.isalnum()}
        return tuple(sorted(marked, key=lambda token: (-len(token), token)))

    def render(self, messages: Sequence[Message], *, waits: bool = False) -> str:
        """Return a conversation as the model reads it.

        Args:
            waits: End with the opening of the assistant's turn.
        """
        return self.render_marked(messages, waits=waits)[0]

    def render_marked(
        self, messages: Sequence[Message], *, waits: bool = False
    ) -> tuple[str, list[tuple[int, int]]]:
        """Return the rendered text and the character ranges that the assistant wrote.

        Raises:
            BadInput: The template refuses this conversation, or is broken.
        """
        if "template" not in self._compiled:
            self._compiled["template"] = _compile(self.template, self.name)
        clean = [{key: _unmarked(text) for key, text in m.items()} for m in messages]
        try:
            marked = self._compiled["template"].render(
                messages=clean, add_generation_prompt=waits, tools=None, documents=None,
                **self.special,
            )  # fmt: skip
        except Exception as error:  # the template is foreign code: it may raise anything
            said = " ".join(str(error).split())[:160]
            raise BadInput(
                f"The chat template of {self.name} refuses this conversation: {said}.",
                hint="Change the order of the turns or leave out the system message, or choose "
                "another model.",
            ) from error
        return _ranges(marked)

    def encode(self, text: str) -> Any:
        """Return the tokens of rendered text; the template already wrote the special ones."""
        return self.tokenizer.encode(text, add_special_tokens=False)


def _unmarked(text: str) -> str:
    return text.replace(_BEGIN, "").replace(_END, "")


def _ranges(marked: str) -> tuple[str, list[tuple[int, int]]]:
    plain: list[str] = []
    ranges: list[tuple[int, int]] = []
    at = start = 0
    for piece in _pieces(marked):
        if piece == _BEGIN:
            start = at
        elif piece == _END:
            ranges.append((start, at))
        else:
            plain.append(piece)
            at += len(piece)
    return "".join(plain), ranges


def _pieces(marked: str) -> list[str]:
    pieces: list[str] = []
    for part in (
        marked.replace(_BEGIN, f"\x00{_BEGIN}\x00").replace(_END, f"\x00{_END}\x00").split("\x00")
    ):
        pieces.append(part)
    return pieces


def _compile(template: str, name: str) -> Any:
    import jinja2  # noqa: PLC0415 - only where templates are rendered
    from jinja2 import nodes  # noqa: PLC0415 - as above
    from jinja2.ext import Extension, loopcontrols  # noqa: PLC0415 - as above
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 - as above

    class GenerationMarks(Extension):
        """`{% generation %}…{% endgeneration %}` round what the assistant wrote."""

        tags = {"generation"}  # noqa: RUF012 - jinja's own way to declare tags

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

        def _mark(self, caller: Callable[[], str]) -> str:
            return f"{_BEGIN}{caller()}{_END}"

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationMarks, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        return environment.from_string(template)
    except jinja2.TemplateError as error:
        raise BadInput(
            f"The chat template of {name} is broken: {error}.",
            hint="Repair `chat_template` in its tokenizer_config.json, or choose another model.",
        ) from error


def _raise(message: str) -> NoReturn:
    raise ValueError(message)


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def added_tokens(tokenizer: Any) -> dict[int, Any]:
    """Return the tokens that were added to a vocabulary, by their ids."""
    added: dict[int, Any] = tokenizer.get_added_tokens_decoder()
    return added
