"""The blind comparison on the Try page: pairs one by one, keys, progress, several judges."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from tools.errors import ToolError
from tools.evaluate import votes
from tools.evaluate.ballot import Ballot
from ui.web.ballot_card import INTRO, KEYS, ballot_card, finished_card, tally_part
from ui.web.cards import problem_card
from ui.web.desk import Desk


class BlindPanel:
    """Builds the panel inside the present Blocks and wires it.

    Which side is the tuned model's is never sent to the page.
    """

    def __init__(self, desk: Desk, private: dict[str, Any]) -> None:
        self.desk = desk
        self._private = private
        self.ballot = gr.State(None)
        self.last = gr.State(None)
        with gr.Column(elem_classes="sheet", elem_id="blind-panel"):
            gr.HTML(INTRO, apply_default_css=False)
            with gr.Row(elem_classes="askrow"):
                self.voter = gr.Textbox(
                    label="Your name", elem_id="voter", scale=1, max_lines=1,
                )  # fmt: skip
                self.begin = gr.Button("Begin", elem_id="begin-blind", min_width=0, scale=0)
            self.card = gr.HTML("", elem_id="ballot", js_on_load=KEYS, apply_default_css=False)

    def wire(self, job: gr.Dropdown) -> None:
        """Connect the buttons; `job` is the run that the page is about."""
        drawn = [self.card, self.ballot, self.last]
        for event in (self.begin.click, self.voter.submit):
            event(self.on_begin, [job, self.voter], drawn, **self._private).then(
                None, js="() => luthier.leaveInput()", **self._private
            )
        self.card.open(self.on_act, [self.ballot, self.last], drawn, **self._private)
        job.change(lambda: ["", None, None], None, drawn, **self._private)

    def on_begin(self, job: str | None, voter: str) -> list[Any]:
        """Show a judge the next pair of a run."""
        if not job:
            return [problem_card("There is no run to judge.", "Tune a model first."), None, None]
        try:
            return self._show(votes.open_ballot(self.desk.ctx, job, voter), None)
        except ToolError as error:
            return [problem_card(error.problem, error.hint), None, None]

    def on_act(self, ballot: Ballot | None, last: Ballot | None, event: gr.EventData) -> list[Any]:
        """Take a vote, go back to the last pair, or tell the result so far."""
        act, _, rest = str(event.key).partition(":")
        if ballot is None:
            return [gr.skip()] * 3
        if act == "back" and last is not None:
            return [self._again(last), last, None]
        try:
            if act == "tally":
                told = tally_part(votes.tally(self.desk.ctx, ballot.job))
                return [self._pair(ballot, last) + told, ballot, last]
            side, _, ballot_id = rest.partition(":")
            if act != "vote" or ballot_id != ballot.id:  # a key pressed before the page was drawn
                return [self._pair(ballot, last), ballot, last]
            following = votes.cast(self.desk.ctx, ballot_id, _side(side), ballot.voter)
        except ToolError as error:
            return [
                problem_card(error.problem, error.hint) + self._pair(ballot, last),
                ballot,
                last,
            ]
        return self._show(following, ballot)

    def _show(self, ballot: Ballot, last: Ballot | None) -> list[Any]:
        return [self._pair(ballot, last), ballot, last]

    def _pair(self, ballot: Ballot, last: Ballot | None) -> str:
        # The stamp makes an equal drawing a new one, which frees the buttons.
        stamp = f"<!-- {time.time_ns()} -->"
        if ballot.id is None:
            return stamp + finished_card(ballot, votes.tally(self.desk.ctx, ballot.job))
        return stamp + ballot_card(ballot, can_go_back=last is not None)

    @staticmethod
    def _again(last: Ballot) -> str:
        return ballot_card(last, can_go_back=False)


def _side(text: str) -> Any:
    return text if text in ("first", "second") else "tie"
