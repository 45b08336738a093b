"""How long `import gradio`, `import ui.web.app` and `luthier --help` take, in fresh processes.

The page may cost at most half a second more than Gradio itself: the agent, the tools and their
libraries are imported after it is served. `luthier --help` should answer within half a second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

_IMPORT = """
import sys, time
start = time.perf_counter()
__import__(sys.argv[1])
took = time.perf_counter() - start
heavy = ("torch", "transformers", "peft", "trl", "onnxruntime", "sklearn", "langchain", "langgraph")
print(took, ",".join(name for name in heavy if name in sys.modules))
"""
_HELP = "import sys; from ui.cli import run; sys.exit(run(['--help']))"
REPEATS = 5


def measure_import(module: str) -> tuple[float, str]:
    """Return the seconds one import takes in a new process, and which heavy modules it brought."""
    command = [sys.executable, "-c", _IMPORT, module]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    took, _, heavy = done.stdout.strip().partition(" ")
    return float(took), heavy


def measure_help() -> float:
    """Return the seconds from starting a process for `luthier --help` to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", _HELP], capture_output=True, check=True, timeout=300)
    return time.perf_counter() - start


def main() -> str:
    """Measure all in turn, so that a busy moment slows all; return a Markdown table."""
    measure_import("ui.web.app")  # fills the caches
    measure_help()
    gradio, app, help_ = [], [], []
    heavy = ""
    for _ in range(REPEATS):
        gradio.append(measure_import("gradio")[0])
        took, heavy = measure_import("ui.web.app")
        app.append(took)
        help_.append(measure_help())
    rows = [("import gradio", gradio), ("import ui.web.app", app), ("luthier --help", help_)]
    lines = [f"| what, {REPEATS} fresh processes each | fastest, s | median, s |", "|---|---|---|"]
    lines += [f"| {n} | {min(v):.3f} | {statistics.median(v):.3f} |" for n, v in rows]
    over = min(app) - min(gradio), statistics.median(app) - statistics.median(gradio)
    lines.append(f"| ui.web.app over gradio (bar: 0.5) | {over[0]:.3f} | {over[1]:.3f} |")
    brought = heavy or "none"
    table = "\n".join([*lines, "", f"Heavy libraries that `ui.web.app` imports: {brought}."])
    print(table)
    return table
