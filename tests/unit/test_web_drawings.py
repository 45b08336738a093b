"""What the pages draw, without a browser: scales, cuts, comparisons, and that text stays text."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.evaluate.ballot import Ballot
from tools.history.jobs import JobRecord
from tools.history.spec import SearchSpec, TrainingSpec
from ui.web.ballot_card import ballot_card
from ui.web.charts import loss_curve
from ui.web.compare import comparison, differing_settings
from ui.web.data_report import dataset_report, made_card
from ui.web.data_shapes import cuts_to_offer, lengths_card
from ui.web.diagnosis import diagnosis_card
from ui.web.lens import lens_card
from ui.web.live import Life
from ui.web.plot import linear, logarithmic, short
from ui.web.search import best_trial, search_card

EVIL = "<img src=x onerror=alert(1)>'\"><script>x</script>"
SPEC = TrainingSpec(
    path="data.csv", dataset="data@1", dataset_fingerprint="0" * 64, task="classification",
    objective="prompt_completion", model="starter", method="lora", learning_rate=1e-3,
)  # fmt: skip
finite = st.floats(-1e6, 1e6, allow_nan=False)


def job(spec: TrainingSpec | SearchSpec = SPEC, name: str = "run", **values: Any) -> JobRecord:
    known: dict[str, Any] = {
        "id": name, "number": 1, "kind": spec.kind, "state": "succeeded",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC), "started_at": None, "finished_at": None,
        "spec": spec, "plan_hash": "0" * 64, "approval_id": None, "parent": None,
        "thread_id": None, "pid": None, "predicted": {}, "measured": {}, "metrics": {},
        "artifacts": {}, "error": None, "forgotten_at": None,
    }  # fmt: skip
    return JobRecord.model_validate(known | values)


@given(st.lists(finite, min_size=1, max_size=30))
def test_a_linear_scale_holds_every_value_between_few_round_ticks(values: list[float]) -> None:
    scale = linear(values)
    slack = 1e-6 * max(1.0, *(abs(v) for v in values))
    assert scale.low - slack <= min(values)
    assert max(values) <= scale.high + slack
    assert 2 <= len(scale.ticks) <= 6
    assert all(0 <= scale.at(value) <= 100 for value in values)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=30))
def test_a_logarithmic_scale_keeps_the_order(values: list[float]) -> None:
    scale = logarithmic(values)
    ordered = sorted(values)
    places = [scale.at(value) for value in ordered]
    assert places == sorted(places)
    assert len(scale.ticks) <= 6


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.25, "0.25"), (5e-5, "5e-5"), (1840, "1,840"), (25000, "25k"), (3.2e6, "3.2M")],
)
def test_numbers_at_an_axis_are_short(value: float, shown: str) -> None:
    assert short(value) == shown


def test_cuts_offered_are_those_that_cut_and_the_first_that_does_not() -> None:
    shares = {"128": 0.2, "256": 0.01, "512": 0.0, "1024": 0.0}
    assert cuts_to_offer(shares) == [(128, 0.2), (256, 0.01), (512, 0.0)]
    assert cuts_to_offer({}) == []


@pytest.mark.parametrize(("cut", "lines"), [(30, 1), (128, 0)])
def test_a_cut_beyond_the_longest_row_draws_no_line(cut: int, lines: int) -> None:
    bins = [{"low": 15, "high": 40, "rows": 9}, {"low": 40, "high": 66, "rows": 3}]
    document = {"length_histogram": bins, "cut_shares": {str(cut): 0.3 if lines else 0.0}}
    card = lengths_card(document)
    assert card.count('<line class="cut') == lines
    assert f'value="{cut}"' in card, "it can still be chosen"


def test_only_settings_that_differ_are_compared() -> None:
    other = job(SPEC.model_copy(update={"rank": 64}), "two")
    differing, same = differing_settings([job(), other])
    assert differing == {"rank": [16, 64]}
    assert same > 20


def test_figures_of_different_rows_are_shown_but_not_ranked() -> None:
    one = job(SPEC, "one", metrics={"accuracy": 0.9}, measured={"duration_s": 60})
    two = job(SPEC, "two", metrics={"accuracy": 0.8}, measured={"duration_s": 50})
    lives = {name: Life() for name in ("one", "two", "other")}
    assert comparison([one, two], lives).count('class="num best"') == 2
    other = job(
        SPEC.model_copy(update={"dataset_fingerprint": "1" * 64}), "other",
        metrics={"accuracy": 0.8}, measured={"duration_s": 50},
    )  # fmt: skip
    assert comparison([one, other], lives).count('class="num best"') == 1, "only the time"


def test_the_best_trial_is_the_one_the_search_names_else_the_lowest_loss() -> None:
    trials = [
        {"number": 0, "job": "a", "state": "finished", "value": 0.5, "values": {}},
        {"number": 1, "job": "b", "state": "finished", "value": 0.3, "values": {}},
        {"number": 2, "job": "c", "state": "failed", "value": None, "values": {}},
    ]
    search = job(SearchSpec(base=SPEC, space={"rank": (8, 64)}), "search")
    assert best_trial(search, trials) is trials[1]
    assert best_trial(search.model_copy(update={"metrics": {"best_job": "a"}}), trials) is trials[0]
    assert best_trial(search, []) is None
    assert "first begins" in search_card(search, [])


def test_a_curve_of_one_point_and_an_empty_one_are_drawn_without_fault() -> None:
    assert loss_curve([], []) == ""
    assert "polyline" in loss_curve([(1, 0.5)], [])


HOSTILE_PAGES = {
    "report": dataset_report(
        EVIL,
        {
            "format": EVIL, "task": EVIL, "reason": EVIL, "rows": 3, "columns": {EVIL: "input"},
            "objective": "text", "format_confidence": 0.4, "languages": [EVIL],
            "alternatives": [{"format": EVIL, "columns": {EVIL: "output"}}],
            "problems": [{"code": EVIL, "severity": EVIL, "count": 2, "rows": [1],
                          "message": EVIL, "fix": f"`{EVIL}`", "fix_arguments": {"dedupe": True}}],
            "preview": [{"row": 1, "asked": EVIL, "answer": EVIL}], "label_counts": {EVIL: 3},
        },
        no_lens=EVIL,
    ),
    "made": made_card({"version": EVIL, "rows": 1, "splits": {EVIL: 1},
                       "steps": [{"name": EVIL, "note": EVIL}]}),
    "lens": lens_card(
        [{"row": 0, "note": EVIL, "tokens": [
            {"text": EVIL, "trained": True, "stop": True},
            {"text": EVIL, "trained": True, "stop": False},
            {"text": EVIL, "trained": False, "stop": False},
        ]}],
        {"model": EVIL, "own_template": True, "trained_share": 0.1},
    ),
    "diagnosis": diagnosis_card(
        {
            "subject": EVIL, "asks": [EVIL], "looked_at": [EVIL],
            "causes": [{"code": EVIL, "title": EVIL, "confidence": 0.9,
                        "evidence": [{"text": EVIL, "quote": EVIL}],
                        "cure": {"changes": {EVIL: [EVIL, EVIL]}, "predicted": EVIL, "why": EVIL,
                                 "todo": EVIL, "arguments": {"path": EVIL}}}],
            "comparison": {"worked": True, "measure": EVIL, "before": 1.0, "after": 0.5,
                           "text": EVIL},
        }
    ),
    "ballot": ballot_card(
        Ballot(id=EVIL, job=EVIL, voter=EVIL, done=0, total=2, prompt=EVIL, expected=EVIL,
               first=EVIL, second=EVIL),
        can_go_back=True,
    ),
    "comparison": comparison(
        [job(SPEC.model_copy(update={"goal": EVIL}), EVIL), job(SPEC, "two")],
        {EVIL: Life(train=[(1, 2.0)]), "two": Life(train=[(1, 2.0)])},
        EVIL,
    ),
    "search": search_card(
        job(SearchSpec(base=SPEC, space={"rank": (8, 64)}), EVIL),
        [{"number": 0, "job": EVIL, "state": EVIL, "value": 0.5, "values": {EVIL: EVIL}}],
    ),
}  # fmt: skip


class Seen(HTMLParser):
    """Notes every element and attribute as a browser would read them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("name", HOSTILE_PAGES)
def test_text_from_rows_models_and_logs_stays_text(name: str) -> None:
    html = HOSTILE_PAGES[name]
    assert "&lt;img" in html, "the hostile text is shown"
    seen = Seen(html)
    assert not seen.elements & {"img", "script"}
    assert not [attribute for attribute in seen.attributes if attribute.startswith("on")]
