"""Words around results. Text from rows stays out: blocks marked untrusted are left away."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from assistant.brains.guided.lexicon import edits
from assistant.brains.guided.view import Done, View
from assistant.markup import quoted_name

_UNTRUSTED = re.compile(r"^--- untrusted text:.*?^--- end of untrusted text ---$\n?", re.M | re.S)
_MOST_LINES = 22
_MOST_REASONS = 4
_MOST_CHANGES = 6
_NAMES = {"path": "data", "eval_fraction": "held-out share", "minutes": "minutes at most"}


def compose(view: View, results: Sequence[Done], notes: Sequence[str]) -> str:
    """Return the answer to a turn whose calls have ended."""
    parts = [_one(view, done, last=done is results[-1]) for done in results]
    parts += notes
    failed = results[-1] if results and not results[-1].ok else None
    if failed is None and view.waiting and not any(done.waits for done in results):
        parts.append("The plan still waits for your answer.")
    return "\n\n".join(part for part in parts if part)


def _one(view: View, done: Done, *, last: bool) -> str:
    if not done.ok:
        return error_text(view, done)
    if done.waits:
        if "plan" not in done.artifact:
            return markdown(done.text)
        return "\n\n".join(
            part for part in (what_changed(view, done), plan_text(done.artifact)) if part
        )
    if not last and done.name in ("inspect_dataset", "recommend_method", "show_job"):
        return _lines(done.text, 2)
    return markdown(done.text)


def error_text(view: View, done: Done) -> str:
    """Return what is wrong and the next step, with a near name where one is meant."""
    error = done.artifact.get("error") or {}
    text = f"{error.get('message', done.text)} {error.get('hint', '')}".strip()
    near = near_name(view, done)
    return f"{text} Did you mean {quoted_name(near)}?" if near else text


def near_name(view: View, done: Done) -> str | None:
    """Return a file at hand whose name is nearly the one that is not there."""
    path = str(done.args.get("path") or "")
    if done.error_code != "not_found" or not path:
        return None
    name = path.rsplit("/", 1)[-1].lower()
    ranked = [
        (edits(name, known.rsplit("/", 1)[-1].lower(), 2), known) for known in view.file_names
    ]
    best = min(ranked, default=(3, ""))
    return best[1] if best[0] <= 2 else None


def plan_text(artifact: dict[str, Any]) -> str:
    """Return what a waiting plan is, why, and how to answer it."""
    lines = [f"{artifact.get('subject', 'A plan is ready.')} Nothing has been done yet."]
    why = [w for w in artifact.get("why", []) if w.get("choice")]
    lines += [f"- {w['choice']}: {w['reason']} ({w['source']})" for w in why[:_MOST_REASONS]]
    lines += [f"Note: {warning}" for warning in artifact.get("warnings", [])]
    if artifact.get("action") == "forget":
        ask = "Say yes to delete exactly this, or Not now on the card to keep it."
    else:
        ask = "Say yes to begin, tell me what to change, or press Not now on the card."
    return "\n".join([*lines, "", ask])


def what_changed(view: View, done: Done) -> str:
    """Return `Changed: rank 8 instead of 16; …` where a plan takes the place of an earlier one."""
    before = next(
        (c for c in reversed(view.earlier) if c.name == "start_training" and c.waits), None
    )
    if done.name != "start_training" or before is None:
        return ""
    old, new = ({**_figures(call.artifact), **call.args} for call in (before, done))
    asked = {name for name in {**before.args, **done.args} if name != "goal"}
    told = [
        _changed(name, old.get(name), new.get(name))
        for name in new
        if name in asked and old.get(name) != new.get(name)
    ]
    return f"Changed: {'; '.join(told)}." if 0 < len(told) <= _MOST_CHANGES else ""


def _figures(artifact: dict[str, Any]) -> dict[str, Any]:
    """The plain figures of a plan; nested parts say nothing that a person asked for."""
    plan = artifact.get("plan", {})
    return {k: v for k, v in plan.items() if isinstance(v, str | int | float)}


def _changed(name: str, old: Any, new: Any) -> str:
    if name == "dedupe":
        return "duplicates are removed" if new else "duplicates are kept"
    words = _NAMES.get(name, name.replace("_", " "))
    shown = [_shown(value) for value in (new, old) if value is not None]
    return f"{words} {' instead of '.join(shown)}"


def _shown(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    parts = value if isinstance(value, list | tuple) else [value]
    return ", ".join(quoted_name(str(part)) for part in parts)


def markdown(text: str) -> str:
    """Return a tool's text without row text, as Markdown lines."""
    return _lines(text, _MOST_LINES)


def _lines(text: str, most: int) -> str:
    kept = [line for line in _UNTRUSTED.sub("", text).splitlines() if line.strip()]
    shown = [
        f"- {line.strip().removeprefix('- ')}" if line.startswith("  ") else line.rstrip()
        for line in kept[:most]
    ]
    more = (
        [f"… and {len(kept) - most} more lines in the step above."] if len(kept) > most > 2 else []
    )
    return "\n".join(_spaced([*shown, *more]))


def _spaced(lines: Sequence[str]) -> list[str]:
    """Put an empty line before prose that follows a list, so that Markdown ends the list."""
    spaced: list[str] = []
    for line in lines:
        if spaced and spaced[-1].startswith("- ") and not line.startswith("- "):
            spaced.append("")
        elif spaced and not spaced[-1].startswith("- ") and not line.startswith("- "):
            spaced[-1] += "  "
        spaced.append(line)
    return spaced
