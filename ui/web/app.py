"""The app: pages round one store, served on this machine only."""

from __future__ import annotations

import time
import webbrowser

import gradio as gr

from tools.jobs.standby import standing_by
from tools.settings import Settings, set_default_environment
from ui.web import security, theme
from ui.web.chat import PRIVATE, ChatPage
from ui.web.data import DataPage
from ui.web.desk import AssistantLike, Desk
from ui.web.library import LibraryPage
from ui.web.playground import TryPage
from ui.web.runs import RunsPage
from ui.web.settings_page import SettingsPage
from ui.web.topbar import top_bar


def build(settings: Settings, *, assistant: AssistantLike | None = None) -> gr.Blocks:
    """Build the page. The agent is warmed in the background once the page is served.

    Args:
        assistant: Use this one instead of the real one; for tests.
    """
    return assemble(settings, assistant)[0]


def assemble(settings: Settings, assistant: AssistantLike | None = None) -> tuple[gr.Blocks, Desk]:
    """Build the page and the desk its pages share."""
    incoming = settings.home / "uploads" / ".incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    set_default_environment(GRADIO_TEMP_DIR=str(incoming))
    desk = Desk(settings, assistant)
    with gr.Blocks(title="Luthier", fill_width=True, fill_height=True) as page:
        bar = gr.HTML(lambda: top_bar(desk.settings), elem_id="top", apply_default_css=False)
        tabs = gr.Tabs(elem_id="pages")
        with tabs:
            _build_pages(page, tabs, desk, bar)
        gr.Timer(15).tick(lambda: top_bar(desk.settings), None, bar, queue=False, **PRIVATE)
    page.queue(default_concurrency_limit=16, max_size=128, api_open=False)
    return page, desk


def _build_pages(page: gr.Blocks, tabs: gr.Tabs, desk: Desk, bar: gr.HTML) -> None:
    with gr.Tab("Chat", id="chat", elem_id="tab-chat"):
        chat = ChatPage(desk)
    with gr.Tab("Data", id="data", elem_id="tab-data") as data_tab:
        data = DataPage(desk, PRIVATE)
    with gr.Tab("Runs", id="runs", elem_id="tab-runs") as runs_tab:
        runs = RunsPage(desk, chat.lives, PRIVATE)
    with gr.Tab("Try", id="try", elem_id="tab-try") as try_tab:
        trying = TryPage(desk, PRIVATE)
    with gr.Tab("Library", id="library", elem_id="tab-library") as library_tab:
        library = LibraryPage(desk, PRIVATE)
    with gr.Tab("Settings", id="settings", elem_id="tab-settings"):
        settings_page = SettingsPage(desk, PRIVATE)
    chat.wire(page, tabs, trying)
    data.wire(data_tab, tabs, chat.ask)
    runs.wire(runs_tab, tabs, trying.job)
    trying.wire(try_tab)
    library.wire(library_tab)
    settings_page.wire(bar)


def launch(settings: Settings, *, port: int, open_browser: bool) -> None:
    """Serve the app on 127.0.0.1 until it is interrupted.

    Raises:
        Unavailable: The port is taken.
    """
    chosen = security.require_free_port(port)
    with standing_by(settings) as ready:
        _serve_until_interrupted(ready, chosen, open_browser=open_browser)


def _serve_until_interrupted(settings: Settings, chosen: int, *, open_browser: bool) -> None:
    page, desk = assemble(settings)
    serve(page, chosen)
    desk.warm()
    address = f"http://{security.HOST}:{chosen}"
    print(f"Luthier is open at {address}. Stop it with Ctrl-C; running jobs go on.", flush=True)
    if open_browser:
        webbrowser.open(address)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        page.close(verbose=False)


def serve(page: gr.Blocks, port: int) -> None:
    """Start serving in the background, with every door to the outside shut."""
    page.launch(
        server_name=security.HOST,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        inbrowser=False,
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        footer_links=[],
        allowed_paths=[],
        max_file_size=f"{security.MAX_UPLOAD_MB}mb",
        app_kwargs={"middleware": security.middleware(port), "docs_url": None, "redoc_url": None},
        theme=theme.theme(),
        css=theme.css(),
        head=theme.head(),
    )
