"""From a wish to the calls that meet it, or to the question that must be answered first."""

from __future__ import annotations

from collections.abc import Callable

from assistant.brains.guided import advice, after, talk
from assistant.brains.guided.plan import Offered, Plan
from assistant.brains.guided.starting import start
from assistant.brains.guided.trouble import diagnose
from assistant.brains.guided.view import View
from assistant.brains.guided.wishes import Wish


def plan_wish(view: View, wish: Wish, offered: Offered) -> Plan:
    """Return the plan for one wish."""
    builder = _BUILDERS.get(wish.intent)
    return builder(view, wish, offered) if builder else Plan(reply=_SAID[wish.intent])


_BUILDERS: dict[str, Callable[[View, Wish, Offered], Plan]] = {
    "inspect": advice.inspect,
    "prepare": advice.prepare,
    "recommend": advice.recommend,
    "estimate": advice.estimate,
    "models": advice.models,
    "hardware": advice.hardware,
    "explain": advice.explain,
    "start": start,
    "jobs": after.jobs,
    "show": after.show,
    "diagnose": diagnose,
    "compare": after.compare,
    "report": after.report,
    "cancel": after.with_job("cancel", "cancel_job", "stop"),
    "resume": after.with_job("resume", "resume_job", "resume"),
    "evaluate": after.evaluate,
    "export": after.export,
    "try": after.try_it,
    "forget": after.forget,
}


_SAID = {
    "help": talk.HELP,
    "identity": talk.IDENTITY,
    "greet": talk.GREETING,
    "thanks": talk.THANKS,
    "bye": talk.BYE,
    "blind": talk.BLIND,
    "secret": talk.SECRET,
    "shell": talk.SHELL,
}
