"""Conversations in any of the usual shapes, as messages of system, user and assistant.

Tool calls and their results are written into the text in the Hermes convention
(`<tool_call>{…}</tool_call>`, `<tool_response>…</tool_response>`), which every chat template can
carry; no template needs to know a role for tools.
"""

from __future__ import annotations

import json
from typing import Any

from tools.datasets.example import BAD_ROLE, NO_ANSWER, NO_MESSAGES, Example, Message
from tools.datasets.profile import decoded, is_blank, text_of

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "customer": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "ai": "assistant",
    "agent": "assistant",
    "function_call": "call",
    "tool_call": "call",
    "tool": "result",
    "function": "result",
    "observation": "result",
    "function_response": "result",
    "tool_response": "result",
    "ipython": "result",
}


def conversation(value: Any, tools: Any = None, system: str = "") -> Example | str:
    """Return the conversation as an example, or why it is none.

    The last turn must be the assistant's: what follows its last answer is cut off, since nothing
    there could be learnt.
    """
    turns = decoded(value)
    if not isinstance(turns, list) or not turns:
        return NO_MESSAGES
    messages: list[Message] = []
    for turn in turns:
        message = turn_of(turn)
        if message is None:
            return BAD_ROLE
        if message["content"]:
            _append(messages, message)
    opening = "\n\n".join(filter(None, [system, _tools(tools)]))
    if opening:
        if messages and messages[0]["role"] == "system":
            first = messages.pop(0)
            opening = f"{first['content']}\n\n{opening}"
        messages.insert(0, {"role": "system", "content": opening})
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    if not messages:
        return NO_ANSWER
    said = [m["content"] for m in messages if m["role"] == "assistant"]
    heard = [f"{m['role']}: {m['content']}" for m in messages if m["role"] != "assistant"]
    gist = "\n".join(m["content"] for m in messages if m["role"] == "user")
    return Example(asked="\n".join(heard), answer="\n".join(said), messages=messages, gist=gist)


def conversation_texts(value: Any) -> list[str]:
    """Return what was said in a list of messages; nothing where it is none."""
    turns = decoded(value)
    messages = [turn_of(turn) for turn in turns] if isinstance(turns, list) else []
    return [message["content"] for message in messages if message and message["content"]]


def _append(messages: list[Message], message: Message) -> None:
    """Add a turn; two in a row by one side are one turn, as templates demand."""
    if messages and messages[-1]["role"] == message["role"]:
        joined = f"{messages[-1]['content']}\n{message['content']}"
        messages[-1] = {"role": message["role"], "content": joined}
    else:
        messages.append(message)


def turn_of(turn: Any) -> Message | None:
    """Return one message in canonical form, or None where its role is not known."""
    if not isinstance(turn, dict):
        return None
    said = turn.get("role", turn.get("from"))
    role = ROLES.get(str(said).strip().lower())
    if role is None:
        return None
    content = _content(turn.get("content", turn.get("value", turn.get("text"))))
    if role == "call":
        return {"role": "assistant", "content": _wrapped("tool_call", content)}
    if role == "result":
        return {"role": "user", "content": _wrapped("tool_response", content)}
    calls = turn.get("tool_calls") or ([turn["function_call"]] if turn.get("function_call") else [])
    if role == "assistant" and isinstance(calls, list):
        written = [_wrapped("tool_call", _call(call)) for call in calls]
        content = "\n".join(filter(None, [content, *written]))
    return {"role": role, "content": content}


def _content(value: Any) -> str:
    """Return a message's text; of a list of parts, the text parts."""
    if is_blank(value):
        return ""
    if isinstance(value, list):
        parts = [p.get("text") if isinstance(p, dict) else p for p in value]
        return "\n".join(text_of(part) for part in parts if not is_blank(part)).strip()
    return text_of(value).strip()


def _call(call: Any) -> str:
    inner = call.get("function", call) if isinstance(call, dict) else call
    if not isinstance(inner, dict):
        return text_of(inner)
    arguments = inner.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = inner.get("arguments")
    return json.dumps({"name": inner.get("name"), "arguments": arguments}, ensure_ascii=False)


def _wrapped(tag: str, content: str) -> str:
    return f"<{tag}>\n{content}\n</{tag}>"


def _tools(value: Any) -> str:
    if is_blank(value) or value in ("[]", "{}"):
        return ""
    return f"You can call these tools:\n<tools>\n{text_of(value)}\n</tools>"
