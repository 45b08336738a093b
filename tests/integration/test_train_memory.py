"""Memory that runs out elsewhere than in a step: in loading, the base's part, validation, judging.

The failures are injected, but for one that a real limit makes.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.integration.jobs_here import job_here, small_run, told_by
from tests.jobs_factory import make_spec_alone
from tools.context import Context
from tools.errors import Unavailable
from tools.history.events import Warned
from tools.history.spec import TrainingSpec
from tools.jobs.checkpoints import checkpoint_folders
from tools.work import load, memory, outcome, train
from tools.work.keep import Keeper
from tools.work.objectives import preference, supervised
from tools.work.proposals import proposal
from tools.work.report import Job
from tools.work.shortage import OutOfMemory

pytestmark = [
    pytest.mark.integration,
    # The training libraries warn of their own deprecations.
    pytest.mark.filterwarnings("ignore"),
]

MAY_CHANGE = ("batch_size", "gradient_accumulation", "gradient_checkpointing")
_GONE = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."


@pytest.fixture(autouse=True)
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the comparison with the base, which has tests of its own."""
    monkeypatch.setattr(outcome, "judge", lambda *_: {})


@pytest.fixture
def job(ctx: Context, material: Path) -> Callable[..., Job]:
    """Make a job that runs in this process."""

    def make(objective: str = "prompt_completion", **changes: Any) -> Job:
        return job_here(
            ctx, small_run(ctx, material, objective, **{"may_change": MAY_CHANGE} | changes)
        )

    return make


def test_validation_that_needs_more_than_a_step_is_done_in_smaller_parts(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = supervised.trained_logits, list[int]()

    def limited(model: Any, batch: Any, **options: Any) -> Any:
        if not model.training:
            seen.append(int(batch["input_ids"].numel()))
            if seen[-1] > 300:
                raise RuntimeError(_GONE)
        return real(model, batch, **options)

    monkeypatch.setattr(supervised, "trained_logits", limited)
    late = job(batch_size=4)
    train.run(late)
    attempts, losses = told_by(late)
    assert len(attempts) == 1
    assert sorted(losses) == list(range(1, 9))
    assert max(seen) > 300 >= seen[-1]


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_what_the_base_makes_of_the_answers_comes_down_with_the_batch(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    real = preference.trained_logits

    def limited(model: Any, batch: Any, **options: Any) -> Any:
        if len(batch["row_lengths"] if "row_lengths" in batch else batch["input_ids"]) > 8:
            raise MemoryError
        return real(model, batch, **options)

    monkeypatch.setattr(preference, "trained_logits", limited)
    tight = job(objective, max_steps=2, eval_steps=2, save_steps=2)
    train.run(tight)
    attempts, losses = told_by(tight)
    assert len(attempts) == 1
    assert attempts[0]["changes"]["batch_size"] == [8, 4]
    assert sorted(losses) == [1, 2]


def test_a_model_that_does_not_fit_ends_with_what_to_ask_for(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(load.AutoModelForCausalLM, "from_pretrained", full)
    stuck = job(method="full", learning_rate=1e-3)
    with pytest.raises(OutOfMemory, match=r"The model .* did not fit") as refused:
        train.run(stuck)
    assert "smaller model" in refused.value.hint
    assert told_by(stuck) == ([], {})


def test_only_protected_changes_that_need_less_are_proposed_with_their_prediction() -> None:
    def predicted(spec: TrainingSpec, length: int) -> float:
        return length / 512 + (1.0 if spec.method == "full" else 0.25) + spec.rank / 1600

    spec = make_spec_alone(method="full", rank=16)
    told = proposal(spec, predicted, 512)
    assert "rows of at most 256 tokens (`--max-length 256`) (predicted 1.51 instead of 2.01" in told
    assert "`--method lora` (predicted 1.26 instead of 2.01 GiB)" in told
    assert "--rank" not in told
    assert proposal(spec, lambda *_: 1.0, 512).startswith("Make a new plan with a smaller model")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives out what it does not have")
def test_memory_runs_out_as_an_error_before_the_kernel_kills() -> None:
    code = """
from tools.work import memory
from tools.work.shortage import is_about_memory
memory.memory_room_gib = lambda device: memory.memory_now_gib(device) + 0.25
memory.fail_before_being_killed()
kept = []
try:
    while sum(map(len, kept)) < 2**30:
        kept.append(b"x" * 2**24)
except MemoryError as error:
    print(is_about_memory(error), sum(map(len, kept)) < 0.3 * 2**30)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.split() == ["True", "True"], done.stderr[-500:]


@pytest.mark.parametrize(
    ("code", "kept"), [(sqlite3.SQLITE_IOERR_SHMMAP, False), (sqlite3.SQLITE_BUSY, True)]
)
def test_no_checkpoint_is_ahead_of_a_history_that_there_is_no_memory_to_open(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, code: int, kept: bool
) -> None:
    """A fresh image would go on from it, and what was told of the steps before would be lost."""
    cause = sqlite3.OperationalError("disk I/O error")
    cause.sqlite_errorcode = code

    def closed() -> None:
        raise Unavailable("Cannot open it.", hint="Look at it.") from cause

    run = job()
    keeper = Keeper(run, run.record.training)
    half = run.folder / "checkpoints" / "half" / "checkpoint-4"
    half.mkdir(parents=True)
    (half / "adapter_model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(run, "flush", closed)
    with nullcontext() if kept else pytest.raises(Unavailable):
        keeper.checkpoint_written(half)
    assert [folder.name for folder in checkpoint_folders(run.folder)] == ["checkpoint-4"] * kept


@pytest.mark.parametrize("room", [8, 0])
def test_a_judgement_that_does_not_fit_is_made_in_parts_or_left_out_and_said(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    asked: list[int] = []

    def judge(job: Job, spec: Any, result: Path, batch: int) -> dict[str, Any]:
        asked.append(batch)
        if batch > room:
            raise MemoryError
        return {"verdict": "better"}

    monkeypatch.setattr(outcome, "judge", judge)
    monkeypatch.setattr(outcome, "judged_of", lambda *_: Warned(code="judged", message=""))
    done = job(max_steps=2, eval_steps=2, save_steps=2)
    told = train.run(done)["notice"]
    done.flush()
    warned = {e.payload["code"] for e in done.store.jobs.events(done.id, kinds=["warning"])}
    assert asked == ([32, 8] if room else [32, 8, 1])
    assert ("not_judged" in warned) == (room == 0)
    assert ("better" in told) == (room == 8)


@pytest.mark.parametrize(
    ("group", "root", "limit", "used", "stat"),
    [
        ("4:memory:/a/b", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
         "memory.usage_in_bytes", "total_inactive_file"),
        ("0::/a/b", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ],
    ids=["v1", "v2"],
)  # fmt: skip
def test_the_room_in_a_control_group_is_its_limit_less_what_is_used_and_not_given_back(
    monkeypatch: pytest.MonkeyPatch, group: str, root: str, limit: str, used: str, stat: str
) -> None:
    files = {
        "/proc/self/cgroup": ["7:pids:/a/b", group],
        f"{root}/a/{limit}": ["1000"],
        f"{root}/a/{used}": ["400"],
        f"{root}/a/memory.stat": ["active_file 7", f"{stat} 100"],
        f"{root}/a/b/{limit}": ["max"],
        f"{root}/a/b/{used}": ["400"],
    }
    monkeypatch.setattr(memory, "_lines", lambda path: files.get(path.as_posix(), []))
    assert memory._cgroup_rooms() == [700.0]


_FORKED = """
import os, time
from tools.work.memory import usage

usage("cpu")
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
usage("cpu")
until = time.process_time() + 0.3
while time.process_time() < until:
    pass
os._exit(0 if usage("cpu")["cpu_utilization"] > 0 else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_worker_that_was_forked_measures_itself_not_its_parent() -> None:
    assert subprocess.run([sys.executable, "-c", _FORKED], check=False).returncode == 0
