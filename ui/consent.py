"""What the command line does after a capability answered: consent, and waiting for jobs."""

from __future__ import annotations

import sys
from typing import Any

from tools.catalog import Capability, find_capability
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED
from tools.jobs import consent
from tools.reports import Report
from ui.progress import wait_with_progress

EXIT_FIXABLE = 1
_ABOUT_THE_JOB = frozenset({"start_training", "resume_job"})
"""Their result is the job itself; other waiting capabilities give theirs when called again."""
_ONLY_LOOKS = frozenset({"show_job", "diagnose_run"})
"""They tell of a job that runs; only `--follow` waits for its end."""
_ENDED_BADLY = frozenset({"failed", "lost", "interrupted", "cancelled"})


def finish(
    ctx: Context,
    capability: Capability,
    arguments: dict[str, Any],
    report: Report,
    *,
    yes: bool,
    detach: bool,
    quiet: bool,
) -> tuple[int, Report]:
    """Give consent where `--yes` said so, wait for the job unless detached.

    Returns:
        The exit code and the report to show.
    """
    state, approval_id = getattr(report, "state", None), getattr(report, "approval_id", None)
    if state == "waiting" and approval_id:
        if not yes:
            verb = capability.verb
            print(f"Nothing was started. Run `luthier {verb} … --yes` to consent.", file=sys.stderr)
            return EXIT_FIXABLE, report
        if not quiet:
            print(report.text(), file=sys.stderr)
        report = consent.grant(ctx, approval_id, by="cli")
    job_id = getattr(report, "job", None)
    if (
        detach
        or not job_id
        or capability.name in _ONLY_LOOKS
        or getattr(report, "state", None) not in UNFINISHED
    ):
        return 0, report
    ended = wait_with_progress(ctx, job_id, quiet=quiet)
    code = EXIT_FIXABLE if ended.state in _ENDED_BADLY else 0
    return code, _result(ctx, capability, arguments, report, ended)


def _result(
    ctx: Context,
    capability: Capability,
    arguments: dict[str, Any],
    report: Report,
    ended: JobRecord,
) -> Report:
    if capability.name not in _ABOUT_THE_JOB and ended.state == "succeeded":
        return capability.call(ctx, arguments)
    shown = find_capability("show_job").call(ctx, {"job": ended.id})
    if capability.name not in _ABOUT_THE_JOB:
        return shown
    return report.model_copy(update={"state": ended.state, "message": shown.text()})


def follow_job(ctx: Context, capability: Capability, report: Report, *, quiet: bool) -> Report:
    """Show a job until it ends, then report it again."""
    job_id: str = report.job  # type: ignore[attr-defined]
    wait_with_progress(ctx, job_id, quiet=quiet)
    return capability.call(ctx, {"job": job_id})
