"""The page on a run for others, and its model card: from the history, and harmless to read."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.jobs_factory import NoWorkers, make_spec_alone
from tools.catalog import find_capability
from tools.context import Context
from tools.errors import Conflict
from tools.history.events import AttemptChanged, StepMetrics
from tools.jobs.launch import submit

METRICS: dict[str, Any] = {
    "accuracy": 0.91, "accuracy_low": 0.86, "accuracy_high": 0.94, "base_accuracy": 0.2,
    "n": 210, "verdict": "ship", "verdict_text": "Worth it: 0.20 to 0.91.",
    "majority_share": 0.22, "tfidf_accuracy": 0.5,
}  # fmt: skip


@pytest.fixture
def still(ctx: Context) -> Context:
    """A context whose jobs start and stay as they are."""
    return ctx.with_(settings=ctx.settings.model_copy(update={"workers": NoWorkers()}))


def _run(ctx: Context, state: str = "succeeded", **changes: Any) -> str:
    record = submit(ctx, make_spec_alone(**changes), name="run")
    ctx.store.jobs.record(record.id, metrics=METRICS, measured={"duration_s": 65.0})
    steps = [StepMetrics(step=s, epoch=0.1, loss=2 / s, eval_loss=1 / s) for s in (1, 2, 3)]
    change = AttemptChanged(number=2, changes={"batch_size": [8, 4]}, reason="It did not fit.")
    ctx.store.jobs.append(record.id, [*steps, change])
    ctx.store.jobs.set_state(record.id, state)  # type: ignore[arg-type]
    return record.id


def test_the_page_says_what_it_was_worth_what_it_took_and_what_to_keep_in_mind(
    still: Context,
) -> None:
    job = _run(still, goal="Sort tickets")
    report = find_capability("write_report").call(still, {"job": job}).model_dump()
    for said in ("Sort tickets", "Worth it", "between 0.860 and 0.940", "base 0.200", "210",
                 "1:05", "did not fit", "22%", "50%"):  # fmt: skip
        assert said in report["page"], said
    artifacts = still.store.jobs.get(job).artifacts
    for name in ("report", "report_html", "model_card"):
        assert (still.settings.home / artifacts[name]).is_file()
    html = (still.settings.home / artifacts["report_html"]).read_text()
    assert html.count("<polyline") == 2
    assert html.isascii() or "utf-8" in html


def test_the_model_card_has_a_head_that_the_hub_reads(still: Context) -> None:
    find_capability("write_report").call(still, {"job": _run(still)})
    record = still.store.jobs.find()[0]
    card = (still.settings.home / record.artifacts["model_card"]).read_text()
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head)["base_model"] == "starter"
    assert "learning rate: 0.001" in body
    assert record.plan_hash in body


def test_what_a_person_or_a_file_is_called_never_becomes_markup(still: Context) -> None:
    nasty = "<script>alert(1)</script> ![x](https://evil.example/x)\n---\nbase_model: other"
    job = _run(still, goal=nasty)
    report = find_capability("write_report").call(still, {"job": job}).model_dump()
    record = still.store.jobs.get(job)
    texts = [(still.settings.home / record.artifacts[n]).read_text()
             for n in ("report", "report_html", "model_card")]  # fmt: skip
    for text in [report["page"], *texts]:
        assert "<script" not in text
        assert "](https" not in text
    assert yaml.safe_load(texts[2].split("---\n")[1])["base_model"] == "starter"


def test_a_run_without_a_result_has_no_report(still: Context) -> None:
    with pytest.raises(Conflict, match="failed"):
        find_capability("write_report").call(still, {"job": _run(still, "failed")})
