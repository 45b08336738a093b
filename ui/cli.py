"""The command line: one command per capability, and a few of its own.

Exit codes: 0 done, 1 something the person can fix, 2 wrong usage, 70 a bug. With `--json` exactly
one JSON document goes to stdout; progress and messages go to stderr.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from tools.catalog import Capability, load_catalog
from tools.context import Context
from tools.errors import ToolError
from tools.reports import Report
from tools.settings import read_settings
from ui.helping import WorkCommand, WorkGroup
from ui.options import given_arguments, parameters_of

EXIT_FIXABLE, EXIT_BUG = 1, 70


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code. A person's mistake never shows a traceback."""
    as_json = "--json" in arguments
    try:
        # In this mode click returns the code of an Exit instead of leaving.
        code = build().main(arguments, prog_name="luthier", standalone_mode=False)
    except ToolError as error:
        return _show_error(error, as_json)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("Stopped here. Jobs that were running go on.", file=sys.stderr)
        return EXIT_FIXABLE
    except BrokenPipeError:
        return 0
    except Exception:  # noqa: BLE001  # the last stop: a bug is shown whole, with its own code
        traceback.print_exc()
        print("This is a bug in Luthier; nothing you did caused it.", file=sys.stderr)
        return EXIT_BUG
    return code if isinstance(code, int) else 0


def build() -> click.Group:
    """Build the command tree from the catalogue."""
    group = WorkGroup(
        "luthier",
        help="Luthier tunes language models: from a request to a verified ONNX model.\n\n"
        "Without a command it opens the app in the browser.",
        invoke_without_command=True,
        callback=_open_app,
        params=[click.Option(["--port"], type=click.IntRange(0, 65535), help="Port of the app.")],
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    for capability in load_catalog().values():
        group.add_command(_command(capability))
    for command in _own_commands():
        group.add_command(command)
    return group


def _command(capability: Capability) -> click.Command:
    parameters = parameters_of(capability)
    parameters.append(_JSON)
    if capability.effect in ("spend", "destroy"):
        parameters.append(click.Option(["--yes"], is_flag=True, help="Consent to the plan."))
    if capability.effect == "spend" or capability.waits:
        parameters.append(click.Option(["--detach"], is_flag=True, help="Do not wait for the end."))
    if capability.verb == "show":
        parameters.append(click.Option(["--follow"], is_flag=True, help="Show it until it ends."))
    return WorkCommand(
        capability.verb,
        params=parameters,
        callback=partial(_run_capability, capability),
        help=capability.description,
        short_help=capability.summary,
    )


_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document.")


def _run_capability(
    capability: Capability,
    *,
    as_json: bool,
    yes: bool = False,
    detach: bool = False,
    follow: bool = False,
    **values: Any,
) -> None:
    # The store imports sqlite-utils, which imports pandas: only when a command really runs.
    from ui.consent import finish, follow_job  # noqa: PLC0415

    ctx = start_face("cli")
    arguments = given_arguments(values)
    report = capability.call(ctx, arguments)
    if follow:
        report = follow_job(ctx, capability, report, quiet=as_json)
    choices = {"yes": yes, "detach": detach, "quiet": as_json}
    code, report = finish(ctx, capability, arguments, report, **choices)
    show(report, as_json=as_json)
    if code:
        raise click.exceptions.Exit(code)


def start_face(actor: Any) -> Context:
    """Read the settings and settle what happened to jobs since the last face was open."""
    from tools.jobs.reconcile import reconcile  # noqa: PLC0415  # opens the store

    ctx = Context(read_settings(), actor=actor)
    reconcile(ctx)
    return ctx


def show(report: Report, *, as_json: bool) -> None:
    """Print a report: its text, or its one JSON document."""
    if as_json:
        print(json.dumps(report.document(), ensure_ascii=False, indent=2))
    else:
        print(report.text())


def _show_error(error: ToolError, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": error.as_dict()}, ensure_ascii=False, indent=2))
    print(f"{error.problem}\n{error.hint}", file=sys.stderr)
    return EXIT_FIXABLE


@click.pass_context
def _open_app(click_ctx: click.Context, port: int | None) -> None:
    if click_ctx.invoked_subcommand is None:
        start_face("web")  # settles what happened to jobs while no face was open
        from ui.web.app import launch  # noqa: PLC0415  # gradio takes seconds to import

        settings = read_settings()
        launch(settings, port=settings.port if port is None else port, open_browser=True)


def _own_commands() -> list[click.Command]:
    def command(
        name: str, callback: Callable[..., None], help_text: str, *parameters: click.Parameter
    ) -> click.Command:
        return click.Command(name, params=list(parameters), callback=callback, help=help_text)

    from ui import commands  # noqa: PLC0415  # commands imports this module's helpers

    return [
        command("chat", commands.chat, "Talk to Luthier in this terminal.", commands.THREAD),
        command(
            "ask",
            commands.ask,
            "Say one thing to Luthier and print the answer.",
            click.Argument(["message"], metavar="MESSAGE"),
            commands.THREAD,
            _JSON,
        ),
        command("demo", commands.demo, "Run the whole main job on a shipped sample.", _JSON),
        command(
            "doctor",
            commands.doctor,
            "Check this machine with a real one-step training and export.",
            _JSON,
        ),
        command(
            "judge",
            commands.judge,
            "Let the configured language model compare a run's answers with its base's.",
            click.Argument(["job"], metavar="JOB"),
            click.Option(
                ["--pairs"], type=click.IntRange(1, 200), default=30, help="Pairs at most."
            ),
            _JSON,
        ),
        command("mcp", commands.mcp, "Serve the capabilities over MCP on standard input."),
        commands.suite_group(_JSON),
    ]
