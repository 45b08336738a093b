"""Runs whole suites: every case in its own sandbox, as often as asked."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.settings import Settings, read_settings
from ui.suite.loading import load_cases
from ui.suite.outcome import CaseOutcome, SuiteResult, summarise
from ui.suite.playing import AssistantLike, play_case
from ui.suite.sandbox import sandbox
from ui.suite.shelf import Shelf

_STAND_IN_NOTE = (
    "Plans, consent, admission and the history are real; trainings, evaluations, exports and"
    " model answers are stand-ins that end well at once (--train starts real workers)."
)


def run_suite(
    files: Sequence[Path | str],
    *,
    brain: str | None = None,
    repeats: int = 1,
    train: bool = False,
    base: Settings | None = None,
    make_assistant: Callable[[Settings], AssistantLike] | None = None,
    on_case: Callable[[str], None] | None = None,
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

    Raises:
        BadInput: A file is not a usable suite; every problem is named.
        NotFound: A file is not there.
    """
    cases = load_cases([Path(file) for file in files])
    settings = base or read_settings()
    if brain:
        settings = settings.model_copy(update={"brain": brain})
    began = time.perf_counter()
    rounds: list[list[CaseOutcome]] = []
    make = make_assistant or _product
    with tempfile.TemporaryDirectory(prefix="luthier-shelf-") as folder:
        shelf = Shelf(Path(folder))
        for _ in range(repeats):
            played: list[CaseOutcome] = []
            for case in cases:
                with sandbox(case, settings, train=train, shelf=shelf) as world:
                    played.append(play_case(world, make(world.settings)))
                if on_case:
                    word = "passed" if played[-1].passed else "FAILED"
                    on_case(f"{word}  {case.id}")
            rounds.append(played)
    return summarise(
        rounds,
        brain=settings.brain,
        duration_s=time.perf_counter() - began,
        notes=[] if train else [_STAND_IN_NOTE],
    )


def _product(settings: Settings) -> AssistantLike:
    # LangChain takes a second to import; reading and checking a suite needs none of it.
    from assistant.agent import Assistant  # noqa: PLC0415

    assistant: AssistantLike = Assistant(settings, actor="suite")
    return assistant
