"""The Try page: one prompt, the same question to base, tuned and exported model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from tools.errors import ToolError
from ui.web.blind import BlindPanel
from ui.web.cards import problem_card
from ui.web.desk import Desk
from ui.web.escape import h
from ui.web.tables import empty
from ui.web.trial import Trial, new_trial, stream_answers

_NOTHING = empty(
    "No model to try yet",
    "Tune one in the chat first. Then the base, the tuned and the exported model answer here side"
    " by side.",
)


class TryPage:
    """Builds the page inside the present Blocks and wires it."""

    def __init__(self, desk: Desk, private: dict[str, Any]) -> None:
        self.desk = desk
        self._private = private
        self.trial = gr.State(None)
        with gr.Column(elem_classes="page", elem_id="try-page"):
            with gr.Column(elem_classes="sheet"):
                with gr.Row(elem_classes="askrow"):
                    self.job = gr.Dropdown(
                        [], label="Model", elem_id="try-job", min_width=0, scale=1,
                        interactive=True,
                    )  # fmt: skip
                    self.blind = gr.Checkbox(
                        False, label="Blind: hide which is which", elem_id="blind", scale=0,
                        min_width=240,
                    )  # fmt: skip
                with gr.Row(elem_classes="askrow"):
                    self.prompt = gr.Textbox(
                        show_label=False, container=False, lines=2, max_lines=8, scale=1,
                        placeholder="Write what a user would write, for example: my card was"
                        " charged twice", elem_id="prompt", label="Prompt",
                    )  # fmt: skip
                    self.go = gr.Button(
                        "Try", variant="primary", elem_id="try", min_width=0, scale=0
                    )
            self.answers = gr.HTML("", elem_id="answers", apply_default_css=False)
            with gr.Row(visible=False, elem_id="blind-choice", elem_classes="choices") as self.vote:
                self.votes = [
                    gr.Button(f"{letter} is better", size="sm", min_width=0, visible=False)
                    for letter in "ABC"
                ]
                self.tie = gr.Button("No difference", size="sm", min_width=0)
            self.judging = BlindPanel(desk, private)

    def wire(self, tab: gr.Tab) -> None:
        """Connect everything that can happen on this page."""
        tab.select(self.on_show, [self.job], [self.job, self.answers], **self._private)
        self.judging.wire(self.job)
        drawn = [self.answers, self.trial, self.vote, *self.votes]
        for event in (self.go.click, self.prompt.submit):
            event(
                self.on_try,
                [self.prompt, self.job, self.blind],
                drawn,
                concurrency_limit=8,
                **self._private,
            )
        for index, button in enumerate([*self.votes, self.tie]):
            button.click(
                lambda trial, chosen=index: self.on_vote(trial, chosen),
                [self.trial],
                [self.answers, self.vote],
                **self._private,
            )

    def choices(self) -> list[tuple[str, str]]:
        """Return training runs that left a model behind, newest first."""
        jobs = self.desk.store.jobs.find(states=["succeeded"], kinds=["train"], limit=50)
        return [(f"{job.id} on {job.training.dataset}", job.id) for job in jobs if job.artifacts]

    def on_show(self, chosen: str | None) -> list[Any]:
        """Offer the models there are."""
        choices = self.choices()
        if not choices:
            return [gr.update(choices=[], value=None), _NOTHING]
        known = {value for _, value in choices}
        value = chosen if chosen in known else choices[0][1]
        return [gr.update(choices=choices, value=value), gr.skip()]

    def on_try(self, prompt: str, job_id: str | None, blind: bool) -> Iterator[list[Any]]:
        """Stream the answers of every model, column by column."""
        still = [gr.update(visible=False), *[gr.skip()] * len(self.votes)]
        if not job_id or not prompt.strip():
            yield [gr.skip() if job_id else _NOTHING, None, *still]
            return
        try:
            trial = new_trial(self.desk.ctx, job_id, prompt, blind)
            yield [columns(trial, working=True), trial, *still]
            for _ in stream_answers(self.desk.ctx, trial):
                yield [columns(trial, working=True), trial, *still]
        except ToolError as error:
            yield [problem_card(error.problem, error.hint), None, *still]
            return
        names = [gr.update(visible=blind and i < len(trial.answers)) for i in range(3)]
        yield [columns(trial), trial, gr.update(visible=blind), *names]

    def on_vote(self, trial: Trial | None, chosen: int) -> list[Any]:
        """Lift the blind."""
        if trial is None:
            return [gr.skip(), gr.update(visible=False)]
        trial.blind = False
        if chosen < len(trial.answers):
            said = f"You preferred {trial.answers[chosen].title}."
        else:
            said = "You saw no difference."
        return [columns(trial) + f'<p class="done">{h(said)}</p>', gr.update(visible=False)]


def columns(trial: Trial, *, working: bool = False) -> str:
    """Return the answers side by side, each with its time to first token and speed."""
    parts = []
    for letter, answer in zip("ABC", trial.answers, strict=False):
        title = f"Model {letter}" if trial.blind else answer.title
        waits = working and not answer.ended
        body = h(answer.text.strip() or answer.error or "") or (
            "" if waits else '<span class="quiet">no answer</span>'
        )
        cursor = '<i class="cursor" aria-hidden="true"></i>' if waits else ""
        parts.append(
            f'<article class="card answer" aria-busy="{str(waits).lower()}"><h3>{h(title)}</h3>'
            f'<p class="said">{body}{cursor}</p><p class="num quiet">{h(answer.figures)}</p>'
            "</article>"
        )
    return f'<div class="answers" aria-live="polite">{"".join(parts)}</div>'
