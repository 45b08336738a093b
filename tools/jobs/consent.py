"""Consent: a waiting plan is granted or declined, once, and exactly that plan is done."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tools.catalog import find_capability
from tools.context import Context
from tools.datasets.manifest import Manifest
from tools.errors import Conflict, NotAllowed, NotFound, ToolError
from tools.history.approvals import Approval
from tools.history.spec import (
    AdaptersSpec,
    SearchSpec,
    StartedSpec,
    TrainingSpec,
    plan_hash,
    runs_of,
)
from tools.jobs import forgetting, planning
from tools.jobs.launch import submit, why_it_waits
from tools.jobs.reports import ConsentReport
from tools.shipped import shipped

NETWORK = "network"
_DEMO = "demo"
_NEXT_STEP = {
    "declined": "It was declined.",
    "superseded": "A newer plan replaced it.",
    "expired": "It waited for more than a day.",
    "void": "The data changed after it was made.",
}


def grant(ctx: Context, approval_id: str, *, by: str) -> ConsentReport:
    """Consent to a waiting plan and do exactly what it says, once.

    Consenting again to a plan that was granted starts nothing new and reports the same job.

    Args:
        by: How the person said so: `button`, `typed`, `cli`, `mcp`, `demo`.

    Raises:
        NotFound: There is no such plan.
        Conflict: It was declined, replaced, has expired, or its data changed.
        NotAllowed: The demo consented to something that is not its own.
    """
    approval = ctx.store.approvals.get(approval_id)
    if approval.state == "waiting":
        _check_unchanged(ctx, approval)
        if by == _DEMO:
            _check_demo(ctx, approval)
        approval = _decide(ctx, approval, by=by)
        return _do(ctx, approval)
    if approval.state == "granted":
        return _again(ctx, approval)
    raise _no_longer(approval)


def decline(ctx: Context, approval_id: str, *, by: str) -> ConsentReport:
    """Say no to a waiting plan; nothing is started. Saying no twice is the same as once.

    Raises:
        NotFound: There is no such plan.
        Conflict: It was already granted, replaced or has expired.
    """
    approval = ctx.store.approvals.get(approval_id)
    if approval.state == "waiting":
        approval = ctx.store.approvals.decide(approval_id, "declined", by=by)
    if approval.state != "declined":
        raise _no_longer(approval)
    return _report(approval, "declined", "Left as it is; nothing was started.")


def _decide(ctx: Context, approval: Approval, *, by: str) -> Approval:
    try:
        return ctx.store.approvals.decide(approval.id, "granted", by=by)
    except Conflict:
        # Another face was quicker; if it granted as well, both mean the same.
        current = ctx.store.approvals.get(approval.id)
        if current.state != "granted":
            raise
        return current


def _do(ctx: Context, approval: Approval) -> ConsentReport:
    if approval.action == planning.ACTION:
        return _start(ctx, approval)
    if approval.action == forgetting.ACTION:
        done = forgetting.delete(ctx, approval.plan)
        ctx.store.approvals.set_outcome(approval.id, done)
        return _report(approval, "done", done)
    return _call(ctx, approval)


def _start(ctx: Context, approval: Approval) -> ConsentReport:
    spec = _planned(approval)
    # Submitting is keyed by the approval: after a crash in between it finds its own job.
    record = submit(
        ctx,
        spec,
        name=planning.job_name(spec),
        parent=getattr(spec, "continues", None) or getattr(spec, "cures", None),
        thread_id=approval.thread_id,
        approval_id=approval.id,
        predicted=approval.predicted,
    )
    ctx.store.approvals.set_outcome(approval.id, record.id)
    message = f"{record.id} has started."
    if record.state == "queued":
        running = ctx.store.jobs.find(states=["running"])
        why = why_it_waits(ctx, record, running) or "It starts in a moment."
        message = f"{record.id} is in the queue. {why}"
    elif record.state != "running":
        message = f"{record.id} is {record.state}."
    return _report(approval, record.state, message, job=record.id)


def _call(ctx: Context, approval: Approval) -> ConsentReport:
    """Run the call that waited for consent to reach beyond this machine."""
    capability = find_capability(str(approval.plan["capability"]))
    report = capability.call(ctx.with_(network_granted=True), approval.plan["arguments"])
    ctx.store.approvals.set_outcome(approval.id, "done")
    document = report.document()
    fields = document if isinstance(document, dict) else report.model_dump(mode="json")
    return _report(
        approval,
        "done",
        f"Done: {capability.name}.",
        result={"type": type(report).__name__, **fields},
        result_text=report.text(),
    )


def _again(ctx: Context, approval: Approval) -> ConsentReport:
    if approval.action == planning.ACTION:
        return _start(ctx, approval)
    return _report(approval, "done", f"This was already done. {approval.outcome or ''}".strip())


def _check_unchanged(ctx: Context, approval: Approval) -> None:
    """Void a plan whose data, spec or list is no longer what the person saw."""
    changed = ""
    if approval.action == planning.ACTION:
        changed = _changed_plan(ctx, _planned(approval), approval)
    elif approval.action == forgetting.ACTION and not forgetting.still_the_same(ctx, approval.plan):
        changed = "What lies in those folders changed after the list was made."
    if changed:
        ctx.store.approvals.decide(approval.id, "void", by="check")
        raise Conflict(changed, hint="Ask for the plan again; it will be made from what is there.")


def _planned(approval: Approval) -> StartedSpec:
    if approval.plan["kind"] == "search":
        return SearchSpec.model_validate(approval.plan)
    if approval.plan["kind"] == "adapters":
        return AdaptersSpec.model_validate(approval.plan)
    return TrainingSpec.model_validate(approval.plan)


def _changed_plan(ctx: Context, plan: StartedSpec, approval: Approval) -> str:
    if plan_hash(plan) != approval.plan_hash:
        return "The stored plan is not the one that was shown."
    return next(filter(None, (_changed_data(ctx, run) for run in runs_of(plan))), "")


def _changed_data(ctx: Context, spec: TrainingSpec) -> str:
    try:
        manifest = Manifest.model_validate(ctx.store.dataset(spec.dataset).manifest)
    except NotFound:
        return f"The prepared data {spec.dataset} was deleted after the plan was made."
    if manifest.fingerprint != spec.dataset_fingerprint:
        return f"The prepared data {spec.dataset} changed after the plan was made."
    source = Path(manifest.source_path)
    # A source that is gone changes nothing: the prepared version is what gets trained.
    if source.exists() and _digest(source) != manifest.source_sha256:
        return f"{manifest.source} changed after the plan was made."
    return ""


def _digest(source: Path) -> str:
    if source.is_file():
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    from tools.datasets.opening import open_source  # noqa: PLC0415 - only folders need it

    try:
        return open_source(source).sha256()
    except ToolError:
        return "unreadable"


def _check_demo(ctx: Context, approval: Approval) -> None:
    spec = _planned(approval) if approval.action == planning.ACTION else None
    if isinstance(spec, TrainingSpec) and spec.model == "starter":
        manifest = Manifest.model_validate(ctx.store.dataset(spec.dataset).manifest)
        if Path(manifest.source_path).is_relative_to(shipped("samples")):
            return
    raise NotAllowed(
        "The demo consents only to its own sample data and the starter model.",
        hint="Consent to this plan yourself.",
    )


def _no_longer(approval: Approval) -> Conflict:
    why = _NEXT_STEP.get(approval.state, f"It is {approval.state}.")
    return Conflict(
        f"This plan no longer waits. {why}", hint="Ask for the plan again to get a fresh one."
    )


def _report(
    approval: Approval,
    state: str,
    message: str,
    *,
    job: str | None = None,
    result: dict[str, object] | None = None,
    result_text: str = "",
) -> ConsentReport:
    return ConsentReport(
        approval_id=approval.id,
        approval="declined" if state == "declined" else "granted",
        action=approval.action,
        state=state,
        job=job,
        plan_hash=approval.plan_hash,
        plan=approval.plan,
        message=message,
        result=result,
        result_text=result_text,
    )
