"""What the command line does after a capability answered: consent, and waiting for jobs."""

from __future__ import annotations

import sys

from tools.catalog import Capability, find_capability
from tools.context import Context
from tools.jobs import consent
from tools.reports import Report
from ui.progress import wait_with_progress

EXIT_FIXABLE = 1


def finish(
    ctx: Context,
    capability: Capability,
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
    if detach or not job_id or getattr(report, "state", None) not in ("queued", "running"):
        return _code(report), report
    wait_with_progress(ctx, job_id, quiet=quiet)
    final = find_capability("show_job").call(ctx, {"job": job_id})
    return _code(final), final


def follow_job(ctx: Context, capability: Capability, report: Report, *, quiet: bool) -> Report:
    """Show a job until it ends, then report it again."""
    job_id: str = report.job  # type: ignore[attr-defined]
    wait_with_progress(ctx, job_id, quiet=quiet)
    return capability.call(ctx, {"job": job_id})


def _code(report: Report) -> int:
    bad = ("failed", "lost", "interrupted", "cancelled", "waiting")
    return EXIT_FIXABLE if getattr(report, "state", None) in bad else 0
