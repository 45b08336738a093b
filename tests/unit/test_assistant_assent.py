"""Which typed words are consent. Everything else is not."""

# ruff: noqa: E501
from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from assistant.assent import read_answer
from assistant.policy import read_typed_answer
from tools.context import Context
from tools.history.approvals import Approval

YES = """yes|Yes!|YES|yes.|y|yep|yeah|yess|ok|OK.|okay|sure|yes, start|yes start it|start it|start|start!|Start the training.
ok go ahead|go ahead|Go ahead, please|do it please|please do it|do it|yes, do it now|ok, start the run please|proceed|yes, proceed
approved|I approve|confirm|go|let's go|lets do it|sounds good, yes|looks good, start|yes, that's fine|launch it|run it|begin|yes - start
yes please start it now|go ahead and start|fine, start it|ok then start|yes yes|alright, go|please start the training now|kick it off
yes, go ahead and start the training, thanks|I agree|sure, go for it|permission granted|yes thanks|👍"""
OTHER = """yes?|sounds good|looks good|fine|why not|that works|yes, but with 2 epochs|yes but first show me the data|yes if it fits|yes and delete the old runs|maybe|hmm|start?
should I start?|can you start it tomorrow?|ok thanks|thanks|great|interesting|"yes"|'yes'|> yes|yes\\nyes|[system] yes|yes: 2|the row says yes
he said yes|say yes|is it yes or no|yes or no|type yes|yes to rank 8|start with 2 epochs|start it when I am back|start over|restart
start tickets-7|train on reviews.csv|train it|run it on reviews.csv|go on|go on with the other run|ok so what is rank|yesterday|okra
I would say yes if it were cheaper|yes, I agree to everything you will ever ask and more of it, always, for all time, no limits
approval granted for the waiting plan yes|`yes`|<b>yes</b>|yes (conditionally)|да|oui|no yes|yes no|ja|start the export|delete it
yes, delete it|please wait and start|not yes|don't start|do not start it|never|stop|cancel|ok stop|yes stop|start to think|launch missiles"""
NO = "no|No.|nope|no thanks|not now|not yet|don't|do not start|don't start it|never mind|leave it|no, leave it|later|hold on"


@pytest.mark.parametrize("text", [t for line in YES.splitlines() for t in line.split("|")])
def test_whole_message_assent_is_yes(text: str) -> None:
    assert read_answer(text, "start_training") == "yes"


@pytest.mark.parametrize("text", [t for line in OTHER.splitlines() for t in line.split("|")])
def test_anything_more_is_not_yes(text: str) -> None:
    assert read_answer(text.replace("\\n", "\n"), "start_training") != "yes"


@pytest.mark.parametrize("text", NO.split("|"))
def test_a_typed_no_is_a_no(text: str) -> None:
    assert read_answer(text, "start_training") == "no"


@pytest.mark.parametrize(
    "text", ["delete it", "yes, delete it", "yes", "remove the run", "go ahead"]
)
def test_deleting_is_agreed_to_in_its_own_words(text: str) -> None:
    assert read_answer(text, "forget") == "yes"


@pytest.mark.parametrize("text", ["start it", "forget it", "looks good", "delete the other one"])
def test_words_for_something_else_do_not_agree_to_delete(text: str) -> None:
    assert read_answer(text, "forget") != "yes"


def plan(action: str, approval_id: str) -> Approval:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Approval(
        id=approval_id,
        action=action,
        state="waiting",
        subject="A plan.",
        plan={},
        predicted={},
        plan_hash="h",
        card={},
        thread_id="t",
        call_id=None,
        created_at=now,
        expires_at=now,
        decided_at=None,
        granted_by=None,
        outcome=None,
    )


def test_one_waiting_plan_is_granted_by_yes() -> None:
    answer = read_typed_answer("yes", [plan("start_training", "a")])
    assert answer is not None
    assert (answer.kind, answer.approval and answer.approval.id) == ("grant", "a")


def test_with_two_waiting_plans_a_bare_yes_is_asked_back() -> None:
    two = [plan("start_training", "a"), plan("forget", "b")]
    bare = read_typed_answer("yes", two)
    assert bare is not None
    assert bare.kind == "which"
    named = read_typed_answer("yes, delete it", two)
    assert named is not None
    assert named.approval is not None
    assert named.approval.id == "b"


@pytest.mark.parametrize("text", ["what is rank?", "yes, but smaller", "rank 8"])
def test_other_messages_answer_no_plan(text: str) -> None:
    assert read_typed_answer(text, [plan("start_training", "a")]) is None


def test_without_a_waiting_plan_nothing_is_an_answer() -> None:
    assert read_typed_answer("yes", []) is None


@pytest.fixture
def asked(ctx: Context) -> Callable[[], Approval]:
    """Store a plan of a conversation."""
    return lambda: ctx.store.approvals.request(
        "start_training", subject="s", plan={"a": 1}, card={}, thread_id="t"
    )


def test_a_plan_of_another_conversation_is_not_seen(
    ctx: Context, asked: Callable[[], Approval]
) -> None:
    asked()
    assert read_typed_answer("yes", ctx.store.approvals.waiting("u")) is None
