"""Cures of the data: which of them a person asks for, and how they are called."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Any

from assistant.brains.guided import choices
from assistant.brains.guided.slots import Args
from assistant.brains.guided.view import Done, View

ALL_THAT_WERE_FOUND = "all that were found"
"""Stands for the cures of a report that is not there yet when the calls are planned."""
_EVERYTHING = re.compile(
    r"\b(?:fix|repair|cure|correct|solve|sort out|clean up|clear up|take care of|mend|apply)\b.{0,30}"
    r"\b(?:everything|all|it|them|that|those|these|what(?:ever)? you can|problems?|issues?|errors?|faults?|fixes|mess|what you found|the rest)\b"
    r"|\b(?:one click|all) fixes\b|\bclean (?:it|everything|the \w+)(?: all)? up\b"
)  # fmt: skip


def wanted_fixes(view: View) -> Args:
    """Return the cures that a message asks for as arguments of `prepare_dataset`."""
    plain = view.said.plain
    named = choices.find_fixes(plain)
    if named:
        return {"fixes": [name for name in named if name != "empty_answers"] or None}
    if not _EVERYTHING.search(plain):
        return {}
    seen = [done for done in view.earlier if done.name == "inspect_dataset" and done.ok]
    if seen and seen[-1].args.get("path") == view.path:
        return cures_of(seen[-1].artifact)
    return {"fixes": ALL_THAT_WERE_FOUND}


def cures_of(report: dict[str, Any]) -> Args:
    """Return the arguments that cure what a report found; remarks are left alone."""
    cures: Args = {}
    for problem in report.get("problems", []):
        if problem.get("severity") == "info":
            continue
        for name, value in (problem.get("fix_arguments") or {}).items():
            if name == "fixes":
                cures["fixes"] = list(dict.fromkeys([*cures.get("fixes", []), *value]))
            else:
                cures[name] = value
    return cures


def filled_in(args: Args, before: Done) -> Args:
    """Return a call's arguments with the cures of the report that came right before it."""
    if args.get("fixes") != ALL_THAT_WERE_FOUND:
        return args
    rest = {name: value for name, value in args.items() if name != "fixes"}
    return {**cures_of(before.artifact), **rest}
