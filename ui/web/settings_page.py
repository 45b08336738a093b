"""The Settings page: brain, network, folders. Saved for the next start; keys are never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from tools.errors import BadInput, ToolError
from tools.settings import Settings, save_settings
from ui.web.cards import problem_card
from ui.web.desk import Desk
from ui.web.escape import h
from ui.web.topbar import top_bar

_NETWORK = [
    ("Ask before contacting another machine", "ask"),
    ("Never: stay offline", "never"),
    ("Go ahead without asking", "allow"),
]


class SettingsPage:
    """Builds the page inside the present Blocks and wires it."""

    def __init__(self, desk: Desk, private: dict[str, Any]) -> None:
        self.desk = desk
        self._private = private
        now = desk.settings
        with gr.Column(elem_classes=["page", "narrow"], elem_id="settings-page"):
            gr.HTML("<h2>Settings</h2>", apply_default_css=False)
            self.brain = gr.Textbox(
                now.brain,
                label="Brain",
                info="guided needs no key and no network. Or a provider and model, such as"
                " openai:gpt-5-mini, anthropic:claude-sonnet-5, ollama:qwen3.",
                elem_id="set-brain",
            )
            self.base_url = gr.Textbox(
                now.base_url or "",
                label="Server address",
                info="For an OpenAI-compatible server of your own. Its key comes from"
                " LUTHIER_API_KEY and is never written to a file.",
                placeholder="http://127.0.0.1:8000/v1",
                elem_id="set-base-url",
            )
            self.network = gr.Radio(
                _NETWORK, value=now.network, label="Network", elem_id="set-network"
            )
            self.folders = gr.Textbox(
                "\n".join(map(str, now.allowed_folders)),
                label="Folders the chat may read",
                info="One a line. The working folder, your uploads and the samples are always"
                " readable.",
                lines=3,
                elem_id="set-folders",
            )
            self.memory = gr.Textbox(
                "" if now.memory_limit_gib is None else f"{now.memory_limit_gib:g}",
                label="Memory limit in GiB",
                info="Leave it empty to use what is free.",
                elem_id="set-memory",
            )
            self.save = gr.Button("Save", variant="primary", elem_id="save", min_width=0)
            self.said = gr.HTML("", elem_id="saved", apply_default_css=False)
            gr.HTML(_where(now), apply_default_css=False)

    def wire(self, bar: gr.HTML) -> None:
        """Connect the button."""
        fields = [self.brain, self.base_url, self.network, self.folders, self.memory]
        self.save.click(self.on_save, fields, [self.said, bar], **self._private)

    def on_save(
        self, brain: str, base_url: str, network: str, folders: str, memory: str
    ) -> list[Any]:
        """Check, save, and go on with the new settings."""
        try:
            changed = changed_settings(
                self.desk.settings,
                brain=brain.strip() or "guided",
                base_url=base_url.strip() or None,
                network=network,
                allowed_folders=_folders(folders),
                memory_limit_gib=memory.strip() or None,
            )
            save_settings(changed)
        except ToolError as error:
            return [problem_card(error.problem, error.hint, "Not saved"), gr.skip()]
        self.desk.replace_settings(changed)
        said = '<p class="done" role="status">Saved. The next message uses these settings.</p>'
        return [said, top_bar(changed)]


def changed_settings(settings: Settings, **values: Any) -> Settings:
    """Return checked settings with other values.

    Raises:
        BadInput: A value is not allowed.
    """
    try:
        return Settings.model_validate({**dict(settings), **values})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]).replace("_", " ")
        raise BadInput(
            f"The {field} is not usable: {first['msg']}.", hint="Correct it and save again."
        ) from error


def _folders(text: str) -> tuple[Path, ...]:
    folders = tuple(Path(line.strip()) for line in text.splitlines() if line.strip())
    for folder in folders:
        if not folder.expanduser().is_dir():
            raise BadInput(
                f"{folder} is not a folder on this machine.",
                hint="Correct the path, or create the folder first.",
            )
    return folders


def _where(settings: Settings) -> str:
    return (
        f'<p class="quiet">Jobs, datasets and conversations are kept in'
        f" <code>{h(settings.home)}</code>.</p>"
    )
