"""The Chat page: conversations on the left, the conversation, and the running job beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from tools.errors import ToolError
from ui.web import turns
from ui.web.cards import approval_card, problem_card
from ui.web.desk import Desk
from ui.web.live import Lives, job_to_show, parent_of
from ui.web.messages import EXPORT_OPTION, REPORT_OPTION, TRY_OPTION, Transcript
from ui.web.panel import EMPTY, log_tail, run_panel
from ui.web.playground import TryPage
from ui.web.security import DATA_ENDINGS
from ui.web.threads import CLICKS, thread_list
from ui.web.turns import Mark
from ui.web.welcome import EXAMPLES, WELCOME

TICK_S = 1.0
_OPTIONS = {
    EXPORT_OPTION: "Export {job} to int4 ONNX",
    REPORT_OPTION: "Write a report on {job}",
}
"""What a button under a verdict says for the person."""
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
TURN: dict[str, Any] = {**PRIVATE, "concurrency_limit": 16}


class ChatPage:
    """Builds the page inside the present Blocks and wires it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.lives = Lives()
        self.thread = gr.Textbox(visible="hidden", elem_id="thread", container=False)
        self.drawn = gr.State(None)
        self.job = gr.State(None)
        self.plan = gr.State(None)
        with gr.Row(elem_id="chat-page", equal_height=False):
            self._build_threads()
            self._build_conversation()
            self._build_panel()
        self.timer = gr.Timer(TICK_S)

    def _build_threads(self) -> None:
        with gr.Column(elem_id="threads", min_width=0, scale=0):
            self.new = gr.Button("New conversation", elem_id="new-thread", size="sm")
            self.list = gr.HTML(
                "", elem_id="thread-list", js_on_load=CLICKS, apply_default_css=False
            )

    def _build_conversation(self) -> None:
        with gr.Column(elem_id="conversation", min_width=0, scale=1):
            gr.HTML(
                '<button type="button" class="fold" data-fold="threads" aria-expanded="false">'
                "Conversations</button>",
                elem_id="threads-fold",
                apply_default_css=False,
            )
            self.bot = gr.Chatbot(
                elem_id="bot",
                show_label=False,
                container=False,
                height="100%",
                layout="panel",
                buttons=["copy"],
                feedback_options=None,
                latex_delimiters=[],
                allow_tags=False,
                placeholder=WELCOME,
                examples=[{"text": text, "display_text": shown} for shown, text in EXAMPLES],
            )
            with gr.Column(visible=False, elem_id="approval", min_width=0) as self.approval:
                self.card = gr.HTML("", elem_id="approval-card", apply_default_css=False)
                with gr.Row(elem_id="approval-buttons"):
                    self.start = gr.Button("Start", variant="primary", elem_id="start", min_width=0)
                    self.change = gr.Button("Change something", elem_id="change", min_width=0)
                    self.not_now = gr.Button("Not now", elem_id="not-now", min_width=0)
            self.ask = gr.MultimodalTextbox(
                elem_id="ask",
                show_label=False,
                container=False,
                placeholder="Ask, or drop a file",
                file_types=list(DATA_ENDINGS),
                file_count="multiple",
                max_plain_text_length=20000,
                submit_btn="Send",
                lines=1,
                max_lines=8,
                label="Message",
            )

    def _build_panel(self) -> None:
        with gr.Column(elem_id="run-column", min_width=0, scale=0):
            gr.HTML(
                '<button type="button" class="fold" data-fold="run-column" aria-expanded="false">'
                "Details</button>",
                elem_id="run-fold",
                apply_default_css=False,
            )
            self.panel = gr.HTML(EMPTY, elem_id="run-panel", apply_default_css=False)
            with gr.Row(visible=False, elem_id="run-buttons") as self.run_buttons:
                self.stop = gr.Button("Stop", elem_id="stop", size="sm", min_width=0)
                self.log_button = gr.Button("Log", elem_id="log", size="sm", min_width=0)
            self.log = gr.HTML("", elem_id="run-log", visible=False, apply_default_css=False)

    # ------------------------------------------------------------------ wiring

    @property
    def side(self) -> list[Any]:
        """What is drawn beside the conversation."""
        return [
            self.list,
            self.approval,
            self.card,
            self.plan,
            self.panel,
            self.run_buttons,
            self.stop,
            self.job,
            self.drawn,
        ]

    def wire(self, page: gr.Blocks, tabs: gr.Tabs, trying: TryPage) -> None:
        """Connect everything that can happen on this page."""
        talk = [self.bot, self.ask, self.thread, *self.side]
        here = [self.thread]
        page.load(self.on_open, here, talk, js="() => luthier.thread()", **PRIVATE)
        self.thread.change(None, here, js="(id) => luthier.arrive(id)", **PRIVATE)
        at_once = "(said, id) => [said, luthier.thread()]"  # also before the page has loaded
        answering: list[Any] = [
            self.ask.submit(self.on_say, [self.ask, self.thread], talk, js=at_once, **TURN),
            self.bot.example_select(
                self.on_example, here, talk, js="() => luthier.thread()", **TURN
            ),
            self.bot.option_select(self.on_option, here, talk, **TURN),
            self.start.click(self.on_start, [self.plan, self.thread], talk, **TURN),
            self.not_now.click(self.on_not_now, [self.plan, self.thread], talk, **TURN),
        ]
        # A turn goes on in the assistant; only its drawing ends when another page is opened.
        self.list.open(self.on_pick, None, talk, cancels=answering, **PRIVATE)
        self.new.click(
            self.on_open, here, talk, js="() => luthier.fresh()", cancels=answering, **PRIVATE
        )
        self.change.click(
            lambda: gr.update(placeholder="What should change? For example: use 2 epochs, rank 8"),
            None,
            [self.ask],
            **PRIVATE,
        ).then(None, js="() => luthier.focusInput()", **PRIVATE)
        self.bot.option_select(self.on_try_option, None, [tabs, trying.job], **PRIVATE)
        self.timer.tick(
            self.on_tick,
            [self.thread, self.drawn],
            [self.bot, *self.side],
            queue=False,
            **PRIVATE,
        )
        self.stop.click(self.on_stop, [self.job], [self.panel], **PRIVATE)
        self.log_button.click(
            self.on_log, [self.job, self.log_button], [self.log, self.log_button], **PRIVATE
        )

    # ------------------------------------------------------------------ what is drawn

    def draw_side(self, thread_id: str, drawn: Mark) -> list[Any]:
        """Return values for `side`; `drawn` is the mark taken before what is drawn was read."""
        plan = turns.waiting_plan(self.desk, thread_id)
        job = job_to_show(self.desk.store, thread_id)
        life = self.lives.of(self.desk.store, job.id) if job else None
        return [
            thread_list(self.desk.ctx, thread_id),
            gr.update(visible=plan is not None),
            approval_card(plan) if plan else "",
            plan.id if plan else None,
            run_panel(job, life, parent_of(self.desk.store, job)),
            gr.update(visible=job is not None),
            gr.update(visible=job is not None and job.state in ("running", "queued")),
            job.id if job else None,
            drawn,
        ]

    def on_open(self, thread_id: str) -> list[Any]:
        """Show a conversation as it is stored, or a new one."""
        chosen = turns.known_thread(thread_id)
        seen = turns.mark(self.desk, chosen)
        turns.collect_notices(self.desk, chosen)
        try:
            messages = turns.read_back(self.desk, chosen).messages
        except ToolError as error:
            messages = _only_problem(error)
        return [messages, self._empty_input(), chosen, *self.draw_side(chosen, seen)]

    def on_pick(self, event: gr.EventData) -> list[Any]:
        """Open the conversation that was clicked."""
        return self.on_open(event.thread)

    def on_say(self, said: dict[str, Any], thread_id: str) -> Iterator[list[Any]]:
        """Answer what was typed and dropped."""
        thread_id = turns.known_thread(thread_id)
        text, files = said.get("text") or "", said.get("files") or []
        if not text.strip() and not files:
            yield self._unchanged()
        else:
            yield from self._turn(turns.say(self.desk, thread_id, text, files), thread_id)

    def on_example(self, thread_id: str, event: gr.SelectData) -> Iterator[list[Any]]:
        """Answer an example request."""
        yield from self._turn(turns.say(self.desk, thread_id, event.value["text"]), thread_id)

    def on_option(self, thread_id: str, event: gr.SelectData) -> Iterator[list[Any]]:
        """Ask for the export or the report that a button under a verdict offers."""
        wanted, _, job_id = str(event.value).partition(":")
        request = _OPTIONS.get(wanted)
        if request is None:
            yield self._unchanged()
        else:
            said = request.format(job=job_id)
            yield from self._turn(turns.say(self.desk, thread_id, said), thread_id)

    def on_try_option(self, event: gr.SelectData) -> list[Any]:
        """Open the Try page with the model that the button names."""
        wanted, _, job_id = str(event.value).partition(":")
        if wanted != TRY_OPTION:
            return [gr.skip(), gr.skip()]
        return [gr.update(selected="try"), gr.update(choices=[job_id], value=job_id)]

    def on_start(self, plan: str | None, thread_id: str) -> Iterator[list[Any]]:
        """Grant exactly the plan that is shown."""
        yield from self._decide(plan, thread_id, granted=True)

    def on_not_now(self, plan: str | None, thread_id: str) -> Iterator[list[Any]]:
        """Decline it."""
        yield from self._decide(plan, thread_id, granted=False)

    def _decide(self, plan: str | None, thread_id: str, *, granted: bool) -> Iterator[list[Any]]:
        if not plan:
            yield self._unchanged()
        else:
            yield from self._turn(turns.decide(self.desk, thread_id, plan, granted), thread_id)

    def _turn(self, views: Iterator[Transcript], thread_id: str) -> Iterator[list[Any]]:
        hidden = [gr.skip(), gr.update(visible=False), *[gr.skip()] * 7]
        view = None
        for count, view in enumerate(views):
            box = self._empty_input() if count == 0 else gr.skip()
            yield [list(view.messages), box, gr.skip(), *hidden]
        seen = turns.mark(self.desk, thread_id)
        if view is None:
            yield self._unchanged()
            return
        for told in turns.collect_notices(self.desk, thread_id):  # what ended during the turn
            view.add(told)
        yield [list(view.messages), gr.skip(), thread_id, *self.draw_side(thread_id, seen)]

    def _unchanged(self) -> list[Any]:
        """Return values that change nothing: Gradio empties everything where none are yielded."""
        return [gr.skip()] * (3 + len(self.side))

    @staticmethod
    def _empty_input() -> Any:
        return gr.update(value={"text": "", "files": []}, placeholder="Ask, or drop a file")

    def on_tick(self, thread_id: str, drawn: Mark | None) -> list[Any]:
        """Draw what changed since; nothing where nothing did."""
        nothing = [gr.skip()] * (1 + len(self.side))
        if not thread_id or self.desk.is_busy(thread_id):
            return nothing
        before = drawn or Mark(thread_id, (0, 0, 0, 0), ())
        if replace(turns.mark(self.desk, thread_id), events=before.events) == before:
            return nothing
        now, view = turns.look_again(self.desk, replace(before, thread_id=thread_id))
        return [view.messages if view else gr.skip(), *self.draw_side(thread_id, now)]

    def on_stop(self, job_id: str | None) -> Any:
        """Ask the running job to stop."""
        try:
            self.desk.call("cancel_job", job=job_id)
        except ToolError as error:
            return problem_card(error.problem, error.hint)
        return gr.skip()

    def on_log(self, job_id: str | None, label: str) -> list[Any]:
        """Show or hide the end of the job's log."""
        if label == "Hide log" or not job_id:
            return [gr.update(visible=False), "Log"]
        tail = log_tail(self.desk.settings, job_id)
        return [gr.update(value=tail, visible=True), "Hide log"]


def _only_problem(error: ToolError) -> list[gr.ChatMessage]:
    card = gr.HTML(problem_card(error.problem, error.hint), apply_default_css=False)
    return [gr.ChatMessage(role="assistant", content=card)]
