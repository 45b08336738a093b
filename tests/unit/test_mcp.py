"""The capabilities over MCP: the same schema, the same consent, errors as results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client

from tools.catalog import load_catalog
from tools.context import Context
from ui.mcp import APPROVE, build_server

ROWS = "text,label\n" + "".join(f"message number {i} about it,{'ab'[i % 2]}\n" for i in range(60))


@pytest.fixture
def agent(ctx: Context) -> Context:
    """A context as the MCP face has it, with a data file at hand."""
    (ctx.settings.work_dir / "rows.csv").write_text(ROWS)
    return Context(ctx.settings, actor="mcp")


def _call(ctx: Context, name: str, **arguments: Any) -> Any:
    async def go() -> Any:
        async with Client(build_server(ctx)) as client:
            return await client.call_tool(name, arguments)

    return anyio.run(go)


def test_every_capability_is_a_tool_with_its_own_schema(agent: Context) -> None:
    async def go() -> Any:
        async with Client(build_server(agent)) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in anyio.run(go)}
    catalog = load_catalog()
    assert set(tools) == {*catalog, APPROVE}
    for name, capability in catalog.items():
        assert tools[name].input_schema == capability.arguments.model_json_schema()
        assert tools[name].annotations.read_only_hint == (capability.effect == "read")


def test_looking_at_data_answers_with_text_and_a_document(agent: Context) -> None:
    result = _call(agent, "inspect_dataset", path="rows.csv")
    assert not result.is_error
    assert "60 rows" in result.content[0].text
    assert result.structured_content["report"]["rows"] == 60


def test_a_mistake_is_a_result_with_the_next_step(agent: Context) -> None:
    result = _call(agent, "inspect_dataset", path="nowhere.csv")
    assert result.is_error
    assert result.structured_content["error"]["hint"]


def test_a_path_outside_the_allowed_folders_is_refused(agent: Context, tmp_path: Path) -> None:
    result = _call(agent, "inspect_dataset", path="/etc/passwd")
    assert result.is_error
    assert result.structured_content["error"]["code"] == "not_allowed"


def test_training_waits_for_the_second_call_and_its_hash(agent: Context) -> None:
    plan = _call(agent, "start_training", path="rows.csv").structured_content["report"]
    assert plan["state"] == "waiting"
    assert agent.store.jobs.find() == []
    wrong = _call(agent, APPROVE, approval_id=plan["approval_id"], plan_hash="0" * 64)
    assert wrong.is_error
    assert agent.store.approvals.get(plan["approval_id"]).state == "waiting"
    assert agent.store.jobs.find() == []


def test_a_model_on_the_hub_is_not_contacted_without_the_network(agent: Context) -> None:
    result = _call(agent, "start_training", path="rows.csv", model="acme/model")
    assert result.is_error
    assert "acme/model" in result.content[0].text
