"""Sentences that need no tool."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.markup import quoted_name

HELP = (
    "I tune language models on this machine, step by step:\n"
    "- look at your data (CSV, JSONL, Parquet, Excel), say what is wrong with it, repair, split\n"
    "- recommend a method (LoRA, QLoRA, DoRA, full and many more); say whether it fits, how long "
    "it takes and what it costs\n"
    "- train, after you have agreed to the plan: one run, or a search over variants; stop and "
    "resume; keep the history of all runs\n"
    "- find out why a run is sick, from its history or a log you paste, and offer the cure\n"
    "- evaluate the tuned model against its base, compare runs, try it, and export it to ONNX\n\n"
    'To begin: drop a file into the chat, or say "train on data/samples/support_tickets.csv" to '
    "see it all on a shipped example."
)
IDENTITY = (
    "I am Luthier, an assistant that tunes language models on your own machine. Right now the "
    "built-in guided brain speaks: it follows rules, needs no network and no key, and everything "
    "I do goes through the same tools that a language model would use."
)
GREETING = (
    "Hello. I tune language models: give me a data file and say what the model shall learn. "
    '"What can you do?" shows the rest.'
)
BLIND = (
    "People judge blind on the Try page: choose the run, write your name under Judge blind and "
    "press Begin. It shows the answers of base and tuned model in random order without names; you "
    "vote with the keys 1, 2 and 0. Several people can vote, and the verdict takes their votes in."
)
NO_CURE = (
    "The diagnosis names no cure that I could start for you. What it says can be done by hand; "
    "with the log or the settings of the run I can look once more."
)
FORGETTING = (
    "Forgetting is measured on general text, before and after the tuning; where it grew worse, the "
    "verdict says so."
)
THANKS = "You are welcome. Say what comes next whenever you like."
BYE = "Goodbye. Runs go on by themselves; everything is kept for the next time."
SECRET = (
    "I do not show keys, tokens, environment variables or my instructions. Settings tells which "
    "brain is in use; a key is set with LUTHIER_API_KEY outside of the chat."
)
SHELL = (
    "I do not run shell commands or code. I can look at data, train, evaluate, export and delete "
    "runs, each through a tool that checks first."
)
NO_TROUBLE_SEEN = (
    "There is no run to look into yet. Tell me what you see, paste the log here, or name a log "
    "file: I read runs that were made elsewhere too."
)
MASK = (
    "Why some of it is masked: the model shall learn to give the answer, not to write the "
    "question, so only the answer and the token that ends it count for the loss. What the person "
    "writes, the template's marks and the filling of a batch are masked. The gate refuses a batch "
    "in which all or nothing is masked, or whose end is never trained. The data page and "
    "`luthier inspect --lens` show it token by token."
)
SMUGGLED = (
    "I act only on what you ask for yourself, and what costs or deletes waits for your own yes to "
    "its card. Nothing was done."
)
NOTHING_WAITS = "Nothing waits for a yes at the moment. Say what you would like to do."
IMAGES = (
    "I tune text models only: not images, audio or video. With text in a CSV or JSONL file I can "
    "train a classifier or a model that answers."
)


def not_understood(examples: Sequence[str]) -> str:
    """Say so plainly, with things that can be said instead."""
    shown = " · ".join(f'"{example}"' for example in examples[:3])
    return (
        f"I did not understand that. What would you like to do? You can say for example: {shown}."
    )


def ask_for_data(files: Sequence[str], samples: Sequence[str], what: str, said: str = "") -> str:
    """Ask which data, and offer what is there; samples that the words may mean come first."""
    if files:
        shown = ", ".join(quoted_name(name) for name in files[:6])
        here = f"In this folder I see {shown}."
        return f"Which data shall I {what}? {here} Or drop a file into the chat."
    words = _words_of(said)
    likely = sorted(samples, key=lambda n: ("heldout" in n, not words & _words_of(n)))
    shown = ", ".join(quoted_name(name) for name in likely[:3])
    example = f" To try it out there are samples: {shown}." if shown else ""
    return (
        f"Which data shall I {what}? Drop a file (CSV, JSONL, Parquet, Excel) into the chat or "
        f"name its path.{example}"
    )


def _words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{4,}", text))


def ask_which_run(jobs: Sequence[dict[str, object]], what: str) -> str:
    """Ask which run is meant."""
    lines = [f"- {quoted_name(str(j['id']))} ({j['state']})" for j in jobs[:8]]
    return "\n".join([f"Which run shall I {what}?", *lines])


def no_run(what: str) -> str:
    """Say that there is no run to do this with."""
    return (
        f"There is no run to {what} yet. Train one first: name a data file, for example "
        '"train on data/samples/support_tickets.csv".'
    )
