"""The suite compares calls and arguments as its format says; each rule both ways."""

from __future__ import annotations

from typing import Any

import pytest

from ui.suite.cases import ExpectedCall
from ui.suite.matching import MadeCall, Match, Resolver, match_alternatives, match_calls

IDS = {"old": "tickets-1", "new1": "reviews-2"}
RESOLVER = Resolver(
    job=IDS.get,
    same_job=lambda text, job, tool: text == job or (text == "latest" and job == "reviews-2"),
    path=lambda text: text.removeprefix("./").replace("reviews@a1", "reviews.csv"),
)


def wanted(tool: str, **args: Any) -> ExpectedCall:
    return ExpectedCall(tool=tool, args=args)


def made(tool: str, *, failed: bool = False, plan: Any = None, **arguments: Any) -> MadeCall:
    return MadeCall(tool, arguments, plan=plan, failed=failed)


def match(expected: list[ExpectedCall], calls: list[MadeCall], forbid: Any = ()) -> Match:
    return match_calls(expected, forbid, calls, RESOLVER)


def test_a_subsequence_of_the_calls_is_enough() -> None:
    calls = [made("list_models"), made("inspect_dataset"), made("explain"), made("show_job")]
    assert match([wanted("inspect_dataset"), wanted("show_job")], calls).holds


def test_calls_in_the_wrong_order_do_not_match() -> None:
    calls = [made("show_job"), made("inspect_dataset")]
    assert not match([wanted("inspect_dataset"), wanted("show_job")], calls).holds


def test_a_call_that_was_not_made_fails_and_its_arguments_count_as_wrong() -> None:
    found = match([wanted("show_job", job="@old")], [made("list_jobs")])
    assert not found.holds
    assert (found.score.right, found.score.wrong) == (0, 1)


@pytest.mark.parametrize(
    ("name", "expected", "given", "equal"),
    [
        ("rank", 8, 8, True),
        ("rank", 8, 8.0, True),
        ("rank", 8, "8", True),
        ("rank", 8, 16, False),
        ("learning_rate", 0.0002, "2e-4", True),
        ("learning_rate", "1e-4", 0.0001, True),
        ("learning_rate", 0.0002, 0.002, False),
        ("method", "LoRA", "lora", True),
        ("method", "lora", "qlora", False),
        ("dedupe", True, True, True),
        ("dedupe", True, False, False),
        ("dedupe", False, 0, False),
        ("dedupe", "no", False, True),
        ("path", "reviews.csv", "./reviews.csv", True),
        ("path", "reviews.csv", "reviews@a1", True),
        ("path", "reviews.csv", "old.csv", False),
        ("job", "@old", "tickets-1", True),
        ("job", "@old", "reviews-2", False),
        ("job", "@new1", "latest", True),
        ("job", "@new2", "reviews-2", False),
        ("question", "re:(?i)lora", "What is LoRA?", True),
        ("question", "re:(?i)dora", "What is LoRA?", False),
        ("jobs", ["@old", "@new1"], ["reviews-2", "tickets-1"], True),
        ("jobs", ["@old", "@new1"], ["tickets-1"], False),
        ("precision", "int4", ["int4"], True),
        ("template", "a  B", "A b", True),
    ],
)
def test_values_compare_as_the_format_says(
    name: str, expected: Any, given: Any, equal: bool
) -> None:
    found = match([wanted("some_tool", **{name: expected})], [made("some_tool", **{name: given})])
    assert found.holds is equal


def test_arguments_are_a_subset() -> None:
    call = made("prepare_dataset", path="reviews.csv", eval_fraction=0.2)
    assert match([wanted("prepare_dataset", path="reviews.csv")], [call]).holds


def test_an_absent_argument_holds_where_the_resulting_plan_has_it() -> None:
    call = made("start_training", path="reviews.csv", plan={"rank": 16, "max_minutes": 5})
    assert match([wanted("start_training", rank=16, minutes=5)], [call]).holds
    assert not match([wanted("start_training", rank=8)], [call]).holds


def test_an_absent_argument_holds_where_it_is_the_default() -> None:
    call = MadeCall("list_jobs", {}, offered=frozenset({"limit"}), defaults={"limit": 20})
    assert match([wanted("list_jobs", limit=20)], [call]).holds
    assert not match([wanted("list_jobs", limit=3)], [call]).holds


def test_a_job_left_out_is_the_latest() -> None:
    call = MadeCall("try_model", {}, offered=frozenset({"job"}), defaults={"job": None})
    assert match([wanted("try_model", job="@new1")], [call]).holds
    assert not match([wanted("try_model", job="@old")], [call]).holds


def test_an_argument_the_product_lacks_is_counted_apart() -> None:
    call = MadeCall("start_training", {"rank": 8}, offered=frozenset({"rank"}))
    found = match([wanted("start_training", rank=8, trials=20)], [call])
    assert found.holds
    assert found.score.not_offered == ["start_training.trials"]
    assert (found.score.right, found.score.wrong) == (1, 0)


@pytest.mark.parametrize("tool", ["start_training", "forget"])
def test_an_unlisted_costly_call_fails_even_when_it_was_refused(tool: str) -> None:
    found = match([], [made(tool, failed=True)])
    assert not found.holds
    assert found.forbidden == [tool]


def test_other_unlisted_writes_are_neutral_unless_forbidden() -> None:
    assert match([], [made("prepare_dataset")]).holds
    found = match([], [made("prepare_dataset")], forbid=[wanted("prepare_dataset")])
    assert found.forbidden == ["prepare_dataset"]


def test_a_listed_tool_on_another_thing_is_forbidden_unless_it_was_refused() -> None:
    expected = [wanted("forget", job="@old")]
    good = made("forget", job="tickets-1")
    assert match(expected, [made("forget", job="reviews-2"), good]).forbidden == ["forget"]
    assert match(expected, [made("forget", job="nine", failed=True), good]).holds


def test_one_of_several_lists_must_hold() -> None:
    lists = [[wanted("show_job", job="@old")], [wanted("list_jobs")]]
    assert match_alternatives(lists, [], [made("list_jobs")], RESOLVER).holds
    assert not match_alternatives(lists, [], [made("explain")], RESOLVER).holds


def test_an_empty_list_does_not_excuse_a_training() -> None:
    lists = [[], [wanted("show_job")]]
    found = match_alternatives(lists, [], [made("start_training")], RESOLVER)
    assert not found.holds
