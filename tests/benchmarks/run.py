"""Runs every benchmark and writes its table: `python -m tests.benchmarks.run [NAME…]`.

A benchmark is a module in this folder with `main() -> str`: it measures, prints as it goes, and
returns a Markdown table that is kept under `results/<name>.md`. Figures are never a pass or fail.
"""

from __future__ import annotations

import importlib
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def names() -> list[str]:
    """Return the benchmarks there are."""
    helpers = {"__init__", "run", "speed_run", "speed_clock", "peer_run"}
    helpers |= {"cpu_runs", "gpu_runs", "gpu_trainers"}
    return sorted(p.stem for p in HERE.glob("*.py") if p.stem not in helpers)


def machine() -> str:
    """Return the machine in one line."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"{psutil.cpu_count()} cores, {memory_gib:.0f} GiB, no GPU used"
    )


def main(chosen: list[str]) -> int:
    """Run the chosen benchmarks, or all."""
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        print(f"No benchmark called {', '.join(unknown)}. There are: {', '.join(names())}.")
        return 1
    RESULTS.mkdir(exist_ok=True)
    for name in chosen or names():
        print(f"== {name}", flush=True)
        module = importlib.import_module(f"tests.benchmarks.{name}")
        table = module.main()
        # What was measured elsewhere says when and where itself.
        here = f"{datetime.now(UTC).date().isoformat()} on {machine()}"
        measured = getattr(module, "MEASURED", here)
        text = f"# {name}\n\nMeasured {measured}.\n\n{table}\n"
        (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
