"""Hub names go through the real loading code, against a local server that speaks its protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub
from tools.catalog import find_capability
from tools.context import Context
from tools.datasets.inspect import inspect_file
from tools.datasets.prepare import prepare
from tools.errors import NotAllowed, NotFound, ToolError
from tools.settings import Settings

pytestmark = pytest.mark.integration

LINES = [
    json.dumps({"text": f"The {n}th letter came too late again", "label": ["late", "soon"][n % 2]})
    for n in range(60)
]
FILES = {
    "README.md": b"---\nlicense: mit\n---\nwords\n",
    "train.jsonl": "\n".join(LINES[:48]).encode(),
    "test.jsonl": "\n".join(LINES[48:]).encode(),
    "evil.py": b"raise SystemExit('remote code ran')\n",
}


@pytest.fixture
def online(settings: Settings, tmp_path: Path) -> Iterator[Context]:
    """A context whose Hub is a server on this machine."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    with Hub(datasets={"someone/letters": folder}) as hub:
        yield Context(
            settings.model_copy(update={"network": "allow", "hub_endpoint": hub.endpoint})
        )


def test_a_hub_name_is_fetched_once_and_inspected(online: Context) -> None:
    report = inspect_file(online, "someone/letters")
    assert (report.format, report.rows) == ("classification", 60)
    assert report.splits == {"train": 48, "test": 12}
    offline = online.with_(settings=online.settings.model_copy(update={"network": "never"}))
    assert inspect_file(offline, "someone/letters").rows == 60


def test_a_slice_of_a_split_is_fetched(online: Context) -> None:
    assert inspect_file(online, "someone/letters:train[:20]").rows == 20
    manifest = prepare(online, "someone/letters:train[:20]")
    assert sum(manifest.splits.values()) <= 20


def test_an_unknown_name_is_not_found(online: Context) -> None:
    with pytest.raises(NotFound, match="has no dataset"):
        inspect_file(online, "someone/nothing")


def test_what_is_reached_is_named_until_it_is_here(online: Context) -> None:
    inspect = find_capability("inspect_dataset")
    arguments = inspect.validate({"path": "someone/letters"})
    where = inspect.destination(arguments, online)
    assert where is not None
    assert where.endswith("/someone/letters")
    assert inspect.effect_of(arguments, online) == "network"
    inspect_file(online, "someone/letters")
    assert inspect.destination(arguments, online) is None


def test_a_chat_must_ask_before_it_leaves_the_machine(online: Context) -> None:
    asking = online.with_(
        settings=online.settings.model_copy(update={"network": "ask"}), actor="chat"
    )
    with pytest.raises(NotAllowed):
        inspect_file(asking, "someone/letters")
    assert inspect_file(asking.with_(network_granted=True), "someone/letters").rows == 60


def test_a_hub_that_is_down_is_said(settings: Settings, tmp_path: Path) -> None:
    down = settings.model_copy(update={"network": "allow", "hub_endpoint": "http://127.0.0.1:9"})
    with pytest.raises(ToolError) as caught:
        inspect_file(Context(down), "someone/letters")
    assert caught.value.hint
    assert not list((settings.home / "datasets" / "hub").glob("*"))
