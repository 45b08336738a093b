"""Names the steps of a turn for people: `looked at support_tickets.csv`."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from assistant.markup import plain_line

_WORDS: dict[str, tuple[str, str]] = {
    "inspect_dataset": ("looking at", "looked at"),
    "prepare_dataset": ("preparing", "prepared"),
    "recommend_method": ("comparing methods", "compared methods"),
    "estimate_resources": ("estimating memory and time", "estimated memory and time"),
    "list_models": ("looking up base models", "looked up base models"),
    "describe_hardware": ("looking at this machine", "looked at this machine"),
    "explain": ("looking it up in the guide", "looked it up in the guide"),
    "start_training": ("making a plan", "made a plan"),
    "list_jobs": ("reading the history", "read the history"),
    "show_job": ("reading", "read"),
    "cancel_job": ("stopping", "stopped"),
    "resume_job": ("resuming", "resumed"),
    "evaluate_model": ("evaluating", "evaluated"),
    "export_model": ("exporting", "exported"),
    "try_model": ("asking the model", "asked the model"),
    "forget": ("preparing to delete", "asked before deleting"),
    "diagnose_run": ("looking into", "looked into"),
    "compare_jobs": ("comparing runs", "compared runs"),
    "write_report": ("writing a report on", "wrote a report on"),
    "consent": ("carrying out the plan", "carried out the plan"),
}
_OBJECT = {
    "inspect_dataset": "path",
    "prepare_dataset": "path",
    "recommend_method": "path",
    "estimate_resources": "path",
    "start_training": "path",
    "show_job": "job",
    "cancel_job": "job",
    "resume_job": "job",
    "evaluate_model": "job",
    "export_model": "job",
    "forget": "job",
    "diagnose_run": "job",
    "write_report": "job",
}
_LINK = {
    "recommend_method": "for",
    "estimate_resources": "for",
    "start_training": "for",
    "forget": "",
}


def step_title(name: str, arguments: dict[str, Any], *, done: bool) -> str:
    """Return the title of a tool call, while it runs or once it is done."""
    doing, did = _WORDS.get(name, (name.replace("_", " "),) * 2)
    words = [did if done else doing]
    subject = arguments.get(_OBJECT.get(name, ""))
    if isinstance(subject, str) and subject:
        shown = PurePath(subject).name if _OBJECT[name] == "path" else subject
        words += [_LINK.get(name, ""), plain_line(shown, 60)]
    return " ".join(word for word in words if word)
