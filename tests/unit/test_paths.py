"""Where names lead, and which of them a chat may follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.context import Context
from tools.errors import NotAllowed, NotFound
from tools.paths import resolve_input


@pytest.fixture
def chat(ctx: Context) -> Context:
    """A context whose arguments a brain chose, in its own working folder."""
    work = ctx.settings.work_dir / "work"
    work.mkdir()
    settings = ctx.settings.model_copy(update={"work_dir": work})
    return Context(settings, actor="chat")


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,label\na,b\n")
    return path


def test_a_relative_name_starts_at_the_working_folder(chat: Context) -> None:
    path = _write(chat.settings.work_dir / "a.csv")
    assert resolve_input(chat, "a.csv") == path


@pytest.mark.parametrize("name", ["data/samples/support_tickets.csv", "support_tickets.csv"])
def test_a_sample_is_found_from_anywhere(chat: Context, name: str) -> None:
    assert resolve_input(chat, name).name == "support_tickets.csv"


def test_a_file_at_hand_wins_over_the_sample_of_the_same_name(chat: Context) -> None:
    path = _write(chat.settings.work_dir / "support_tickets.csv")
    assert resolve_input(chat, "support_tickets.csv") == path


@pytest.mark.parametrize("name", ["../outside.csv", "~/outside.csv"])
def test_a_chat_cannot_read_outside(chat: Context, name: str) -> None:
    _write(chat.settings.user_home / "outside.csv")
    with pytest.raises(NotAllowed) as caught:
        resolve_input(chat, name)
    assert "Settings" in caught.value.hint


def test_a_person_at_the_command_line_can(chat: Context) -> None:
    path = _write(chat.settings.user_home / "outside.csv")
    assert resolve_input(chat.with_(actor="cli"), "~/outside.csv") == path


def test_an_allowed_folder_opens(chat: Context) -> None:
    path = _write(chat.settings.user_home / "Downloads" / "a.csv")
    settings = chat.settings.model_copy(update={"allowed_folders": (Path("~/Downloads"),)})
    assert resolve_input(Context(settings, actor="chat"), "~/Downloads/a.csv") == path


def test_a_link_does_not_lead_out(chat: Context) -> None:
    secret = _write(chat.settings.user_home / "secret.csv")
    (chat.settings.work_dir / "link.csv").symlink_to(secret)
    with pytest.raises(NotAllowed):
        resolve_input(chat, "link.csv")


def test_hidden_names_stay_hidden(chat: Context) -> None:
    _write(chat.settings.work_dir / ".ssh" / "id.csv")
    with pytest.raises(NotAllowed):
        resolve_input(chat, ".ssh/id.csv")


def test_a_missing_file_is_named_with_the_folder_looked_in(chat: Context) -> None:
    with pytest.raises(NotFound, match=r"nothing\.csv"):
        resolve_input(chat, "nothing.csv")


def test_in_a_sandbox_the_root_is_another_folder(chat: Context, tmp_path: Path) -> None:
    root = tmp_path / "root"
    path = _write(root / "srv" / "a.csv")
    settings = chat.settings.model_copy(
        update={"filesystem_root": root, "allowed_folders": (Path("/srv"),)}
    )
    assert resolve_input(Context(settings, actor="chat"), "/srv/a.csv") == path
