"""Print how long `import gradio` and `import ui.web.app` take, each in fresh processes.

Run: python -m tests.benchmarks.import_time [REPEATS]. The page may cost at most half a second more
than Gradio itself; the agent, the tools and their libraries are imported after it is served.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

_CODE = """
import sys, time
start = time.perf_counter()
__import__(sys.argv[1])
took = time.perf_counter() - start
heavy = ("torch", "transformers", "peft", "trl", "onnxruntime", "sklearn", "langchain", "langgraph")
print(took, ",".join(name for name in heavy if name in sys.modules))
"""


def measure(module: str) -> tuple[float, str]:
    """Return the seconds one import takes in a new process, and which heavy modules it brought."""
    command = [sys.executable, "-c", _CODE, module]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    took, _, heavy = done.stdout.strip().partition(" ")
    return float(took), heavy


def main(repeats: int) -> dict[str, float | str]:
    """Measure both in turn, so that a busy moment slows both."""
    for module in ("gradio", "ui.web.app"):
        measure(module)  # fills the caches
    gradio, app = [], []
    heavy = ""
    for _ in range(repeats):
        gradio.append(measure("gradio")[0])
        took, heavy = measure("ui.web.app")
        app.append(took)
    best = {"gradio_s": min(gradio), "app_s": min(app)}
    return {
        **{name: round(value, 3) for name, value in best.items()},
        "difference_s": round(best["app_s"] - best["gradio_s"], 3),
        "median_difference_s": round(statistics.median(app) - statistics.median(gradio), 3),
        "heavy": heavy,
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5), indent=2))
