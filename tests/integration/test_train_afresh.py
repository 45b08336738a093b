"""Workers that really run out of memory: they go on in a fresh process image, or say what lacks.

In the first image memory is made to run out; the images after it are the worker as it is.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.jobs_here import job_here, small_run
from tools.context import Context
from tools.history.jobs import JobRecord
from tools.history.spec import UNFINISHED, TrainingSpec
from tools.jobs.ending import EXIT_FILE
from tools.jobs.launch import submit
from tools.jobs.reconcile import is_alive, reconcile
from tools.settings import Settings
from tools.work import ladder, train
from tools.work.launching import _read, rank_ending, write_rank_ending
from tools.work.report import Job
from tools.work.shortage import Failure, MemoryShort

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's"),
    # The training libraries warn of their own deprecations.
    pytest.mark.filterwarnings("ignore"),
]

_ENDS_WITHIN_S = 400.0
_MAY_CHANGE = ("batch_size", "gradient_accumulation", "gradient_checkpointing")
_LOWERED = """
import mmap, resource, sys
from tools.work import worker
from tools.work.objectives import supervised

kept = mmap.mmap(-1, 6 * 2**30, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
real, calls = supervised.trained_logits, []

def limited(model, batch, **options):
    calls.append(model.training)
    if sum(calls) == 8:  # two of them are the probe's: the sixth step
        resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
        raise MemoryError
    return real(model, batch, **options)

supervised.trained_logits = limited
sys.exit(worker.main(sys.argv[1:]))
"""
_LITTLE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({mib} * 2**20, {mib} * 2**20))
from tools.work import worker
sys.exit(worker.main(sys.argv[1:]))
"""


class Playing:
    """Starts workers whose first image runs a script. Implements `tools.settings.Workers`."""

    def __init__(self, script: str) -> None:
        self._script = script
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, settings: Settings, job_id: str) -> int | None:
        folder = settings.job_folder(job_id)
        with (folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", self._script, job_id],
                cwd=folder, env=settings.worker_environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return self.process.pid

    def answer(self, settings: Settings, target: str, prompt: str) -> str:
        return ""


def _submitted(ctx: Context, script: str, spec: TrainingSpec) -> tuple[JobRecord, Playing]:
    workers = Playing(script)
    here = Context(ctx.settings.model_copy(update={"workers": workers}))
    return submit(here, spec, name="played"), workers


def _hammered(ctx: Context, record: JobRecord, images: set[str]) -> JobRecord:
    """Reconcile without a pause until the job has ended; it is alive from its lock to its end."""
    folder = ctx.settings.job_folder(record.id)
    deadline, locked = time.monotonic() + _ENDS_WITHIN_S, False
    while (now := ctx.store.jobs.get(record.id)).state in UNFINISHED:
        assert time.monotonic() < deadline, (folder / "log.txt").read_text()[-2000:]
        reconcile(ctx)
        alive = is_alive(folder)
        assert alive or not locked or (folder / EXIT_FILE).exists()
        locked = locked or alive
        with suppress(psutil.Error):  # it may end here
            images.add(" ".join(psutil.Process(now.pid).cmdline()[2:4]))
    return now


def test_a_run_whose_limit_comes_down_below_what_is_mapped_goes_on_in_a_fresh_image(
    ctx: Context, material: Path
) -> None:
    spec = small_run(ctx, material, "prompt_completion", may_change=_MAY_CHANGE)
    record, workers = _submitted(ctx, _LOWERED, spec)
    images = set[str]()
    ended = _hammered(ctx, record, images)
    log = (ctx.settings.job_folder(record.id) / "log.txt").read_text()
    assert ended.state == "succeeded", log[-2000:]
    assert workers.process
    assert workers.process.wait() == 0
    assert ended.pid == workers.process.pid
    assert "-m tools.work.worker" in images
    (attempt,) = ctx.store.jobs.events(record.id, kinds=["attempt"])
    assert attempt.payload["changes"]["batch_size"][1] < 8
    states = [e.payload["state"] for e in ctx.store.jobs.events(record.id, kinds=["state"])]
    assert states == ["queued", "running", "succeeded"]
    phases = [e.payload for e in ctx.store.jobs.events(record.id, kinds=["phase"])]
    assert [p["note"] for p in phases if p["phase"] == "train"] == ["", "goes on from step 4"]
    metrics = ctx.store.jobs.events(record.id, kinds=["metrics"])
    assert {e.payload["step"] for e in metrics if e.payload["loss"] is not None} == set(range(1, 9))
    assert ended.spec == spec


@pytest.mark.parametrize("mib", [250, 600])
def test_where_not_even_the_libraries_fit_the_job_says_so(
    ctx: Context, material: Path, mib: int
) -> None:
    spec = small_run(ctx, material, "prompt_completion", may_change=_MAY_CHANGE)
    record, workers = _submitted(ctx, _LITTLE.format(mib=mib), spec)
    ended = _hammered(ctx, record, set())
    assert ended.state == "failed"
    assert workers.process
    assert workers.process.wait() == 0
    assert ended.error is not None
    assert ended.error["refused_by"] == "memory"
    assert "not enough memory" in ended.error["message"]
    assert "limit" in ended.error["hint"]
    assert ctx.store.jobs.events(record.id, kinds=["attempt"]) == []


@pytest.fixture
def job(ctx: Context, material: Path) -> Callable[..., Job]:
    """Make a job that runs in this process."""
    return lambda **changes: job_here(ctx, small_run(ctx, material, "prompt_completion", **changes))


class _Replaced(Exception):
    """Stands in for the end of a process image."""


def test_a_cheaper_optimiser_gets_an_image_that_has_its_library(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes")
    # Of so small a model the states save next to nothing.
    monkeypatch.setattr(ladder, "_WORTH", 2.0)
    tight = job(
        method="full", batch_size=1, gradient_checkpointing=True, may_change=("optimizer",),
        optimizer="adamw", learning_rate=1e-3,
    )  # fmt: skip
    asked: list[Failure | None] = []

    def replace(failure: Failure | None) -> None:
        asked.append(failure)
        raise _Replaced

    failure = Failure(problem="A batch of 1 rows did not fit.", available_gib=0.5)
    worker = Job(tight.record, tight.settings, tight.store, failure=failure, restart=replace)
    with pytest.raises(_Replaced):
        train.run(worker)
    assert asked == [None]
    (attempt,) = tight.store.jobs.events(tight.id, kinds=["attempt"])
    assert attempt.payload["changes"] == {"optimizer": ["adamw", "adamw_8bit"]}


def test_what_a_worker_leaves_out_of_itself_is_still_known_to_be_installed() -> None:
    pytest.importorskip("bitsandbytes")
    code = (
        "import sys; sys.modules['bitsandbytes'] = None\n"
        "from tools.work.proposals import has_bitsandbytes\nprint(has_bitsandbytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_memory_that_ran_out_in_one_of_several_processes_is_told_whole(
    job: Callable[..., Job],
) -> None:
    spread = job()
    failure: Any = Failure(problem="A batch of 8 rows did not fit.", available_gib=2.5)
    write_rank_ending(spread.folder, 1, rank_ending(MemoryShort(failure)))
    with pytest.raises(MemoryShort) as short:
        _read(spread, 1)
    assert short.value.failure == failure
