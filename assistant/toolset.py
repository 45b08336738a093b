"""The catalogue as LangChain tools. One call of a tool is one call of a capability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool
from pydantic import BaseModel, create_model

from assistant.policy import call_capability
from tools.catalog import Capability, load_catalog
from tools.context import Context
from tools.reports import Report

MOST_TEXT = 8000
"""Characters of a result that a language model reads."""

_MOST_ITEMS = 200

ContextFor = Callable[[str, str], Context]


def build_tools(context_for: ContextFor) -> list[BaseTool]:
    """Return one tool per capability.

    Args:
        context_for: Gives the context of a conversation and a tool call: `(thread_id, call_id)`.
    """
    return [_tool(capability, context_for) for capability in load_catalog().values()]


def artifact_of(report: Report) -> dict[str, Any]:
    """Return the report as the page and the guided brain read it: plain JSON with its type.

    Every artifact stays in the conversation's checkpoint, so long lists keep only their end.
    """
    document = report.document()
    fields = document if isinstance(document, dict) else report.model_dump(mode="json")
    return {"type": type(report).__name__, **{k: _short(v) for k, v in fields.items()}}


def _short(value: Any) -> Any:
    too_long = isinstance(value, list) and len(value) > _MOST_ITEMS
    return value[-_MOST_ITEMS:] if too_long else value


def bounded(text: str) -> str:
    """Return at most `MOST_TEXT` characters, saying so where something was cut."""
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]}\n[cut: {len(text) - MOST_TEXT} more characters]"


def _tool(capability: Capability, context_for: ContextFor) -> BaseTool:
    def run(
        config: RunnableConfig, tool_call_id: str, **arguments: Any
    ) -> tuple[str, dict[str, Any]]:
        thread_id = str(config.get("configurable", {}).get("thread_id", ""))
        given = {name: value for name, value in arguments.items() if name in known}
        report = call_capability(context_for(thread_id, tool_call_id), capability.name, given)
        return bounded(report.text()), artifact_of(report)

    known = set(capability.arguments.model_fields)
    return StructuredTool.from_function(
        run,
        name=capability.name,
        description=capability.description,
        args_schema=_with_call_id(capability.arguments),
        infer_schema=False,
        response_format="content_and_artifact",
    )


def _with_call_id(arguments: type[BaseModel]) -> type[BaseModel]:
    """Add the tool call's id, which LangChain fills in and no model sees."""
    extra: Any = {"tool_call_id": (Annotated[str, InjectedToolCallId()], ...)}
    return create_model(arguments.__name__, __base__=arguments, **extra)
