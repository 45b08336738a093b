"""Runs whole suites: every case in its own sandbox, as often as asked."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.settings import Settings, read_settings
from ui.suite.cases import Case
from ui.suite.loading import load_cases
from ui.suite.outcome import CaseOutcome, SuiteResult, summarise
from ui.suite.playing import AssistantLike, play_case
from ui.suite.sandbox import sandbox
from ui.suite.shelf import Shelf

_STAND_IN_NOTE = (
    "Plans, consent, admission and the history are real; trainings, evaluations, exports and"
    " model answers are stand-ins that end well at once (--train starts real workers)."
)
_CASES_PER_PROCESS = 12
"""Below this a further process costs more than it saves: it imports for about three seconds."""


@dataclass(frozen=True)
class _Stage:
    """What all cases of a run have in common; it travels to the processes that play them."""

    settings: Settings
    train: bool
    shelf: Path
    make_assistant: Callable[[Settings], AssistantLike] | None

    def play(self, case: Case) -> CaseOutcome:
        """Play one case once."""
        make = self.make_assistant or _product
        shelf = Shelf(self.shelf)
        with sandbox(case, self.settings, train=self.train, shelf=shelf) as world:
            return play_case(world, make(world.settings))


def run_suite(
    files: Sequence[Path | str],
    *,
    brain: str | None = None,
    repeats: int = 1,
    train: bool = False,
    base: Settings | None = None,
    make_assistant: Callable[[Settings], AssistantLike] | None = None,
    on_case: Callable[[str], None] | None = None,
    processes: int | None = None,
) -> SuiteResult:
    """Play every case of the files and return the figures.

    Args:
        files: YAML files, or folders that hold them.
        brain: Brain to measure; the one of the settings where it is left out.
        repeats: How often every case is played.
        train: Let real workers train, evaluate, export and answer.
        base: Settings that give the brain's address and key; read where left out.
        make_assistant: Builds what is measured; the product's own assistant where left out.
        on_case: Called with a line of text after every case.
        processes: How many cases are played at a time; chosen where left out: one for a brain
            that is a service or an assistant that is given, else one per core.

    Raises:
        BadInput: A file is not a usable suite; every problem is named.
        NotFound: A file is not there.
    """
    cases = load_cases([Path(file) for file in files])
    settings = base or read_settings()
    if brain:
        settings = settings.model_copy(update={"brain": brain})
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="luthier-shelf-") as folder:
        stage = _Stage(settings, train, Path(folder) / "versions", make_assistant)
        at_once = processes or _processes_for(stage, len(cases) * repeats)
        outcomes: list[CaseOutcome] = []
        for outcome in _play_all(stage, cases * repeats, at_once):
            outcomes.append(outcome)
            if on_case:
                on_case(f"{'passed' if outcome.passed else 'FAILED'}  {outcome.case_id}")
    rounds = [outcomes[start : start + len(cases)] for start in range(0, len(outcomes), len(cases))]
    return summarise(
        rounds,
        brain=settings.brain,
        duration_s=time.perf_counter() - began,
        notes=[] if train else [_STAND_IN_NOTE],
    )


def _play_all(stage: _Stage, cases: Sequence[Case], processes: int) -> Iterator[CaseOutcome]:
    """Give the outcomes in the order of the cases."""
    if processes == 1:
        yield from map(stage.play, cases)
        return
    # Threads would share the environment that holds the canaries, and the socket watch.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(stage.play, cases)


def _processes_for(stage: _Stage, plays: int) -> int:
    alone = stage.train or stage.make_assistant is not None or stage.settings.brain != "guided"
    if alone:
        return 1
    return max(1, min(os.cpu_count() or 1, plays // _CASES_PER_PROCESS))


def _product(settings: Settings) -> AssistantLike:
    # LangChain takes a second to import; reading and checking a suite needs none of it.
    from assistant.agent import Assistant  # noqa: PLC0415

    assistant: AssistantLike = Assistant(settings, actor="suite")
    return assistant
