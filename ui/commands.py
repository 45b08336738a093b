"""Commands that are not the verb of one capability: conversation, demo, doctor, servers, suite."""

# Each command imports what it needs when it runs: LangChain, Gradio and the store take seconds,
# and `luthier --help` must not.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from tools.settings import read_settings

THREAD = click.Option(["--thread"], help="Conversation to go on with; a new one otherwise.")


def ask(message: str, thread: str | None, as_json: bool) -> None:
    """Say one thing and print the answer."""
    from ui.conversation import TerminalConversation

    conversation = TerminalConversation.open(read_settings(), thread, quiet=as_json)
    document = conversation.say(message)
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))


def chat(thread: str | None) -> None:
    """Talk until the end of the input."""
    from tools.jobs.standby import standing_by
    from ui.conversation import TerminalConversation

    with standing_by(read_settings()) as settings:
        TerminalConversation.open(settings, thread).loop()


def demo(as_json: bool) -> None:
    """Run the main job on the shipped sample."""
    from ui.cli import start_face
    from ui.demo import run_demo

    result = run_demo(start_face("demo"), quiet=as_json)
    if as_json:
        print(json.dumps(result.document, ensure_ascii=False, indent=2))
    else:
        print(result.text)
    if not result.passed:
        raise click.exceptions.Exit(1)


def doctor(as_json: bool) -> None:
    """Check this machine."""
    from tools.doctor import diagnose_machine
    from ui.cli import show

    report = diagnose_machine(read_settings())
    show(report, as_json=as_json)
    if not report.healthy:
        raise click.exceptions.Exit(1)


def judge(job: str, pairs: int, as_json: bool) -> None:
    """Let the configured language model compare the answers of a run and its base."""
    from assistant.judging import judge_with_brain
    from ui.cli import start_face

    tally = judge_with_brain(start_face("cli"), job, pairs=pairs)
    print(json.dumps(tally.model_dump(mode="json"), indent=2) if as_json else tally.text)


def mcp() -> None:
    """Serve over MCP until the client leaves."""
    from ui.mcp import serve

    serve(read_settings())


def suite_group(json_option: click.Option) -> click.Group:
    """Return `luthier suite run FILE…`."""
    group = click.Group("suite", help="Measure the assistant with conversations from a file.")
    group.add_command(
        click.Command(
            "run",
            params=[
                click.Argument(["files"], nargs=-1, required=True, type=click.Path(path_type=Path)),
                click.Option(["--brain"], help="Brain to measure; the configured one otherwise."),
                click.Option(
                    ["--repeat"],
                    type=click.IntRange(1, 20),
                    default=1,
                    show_default=True,
                    help="Play every case this many times.",
                ),
                click.Option(["--train"], is_flag=True, help="Really train what a case starts."),
                json_option,
            ],
            callback=_run_suite,
            help="Play every case of FILE (YAML, or a folder of it) and print the figures.",
        )
    )
    return group


def _run_suite(files: tuple[Path, ...], as_json: bool, **choices: Any) -> None:
    from ui.suite import run_suite

    result = run_suite(
        list(files),
        brain=choices["brain"] or read_settings().brain,
        repeats=choices["repeat"],
        train=choices["train"],
        on_case=None if as_json else lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(result.document(), ensure_ascii=False, indent=2) if as_json else result.text())
    if result.failures:
        raise click.exceptions.Exit(1)
