"""How long `import gradio`, `import ui.web.app` and `luthier --help` take, in fresh processes.

The page may cost at most half a second more than Gradio itself: the agent, the tools and their
libraries are imported after it is served. Both are measured in one process, one after the other,
since a busy moment between two processes is longer than the difference. `luthier --help` should
answer within half a second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

_IMPORT = """
import sys, time
start = time.perf_counter()
import gradio
then = time.perf_counter()
import ui.web.app
end = time.perf_counter()
heavy = ("torch", "transformers", "peft", "trl", "onnxruntime", "sklearn", "langchain", "langgraph")
print(then - start, end - then, ",".join(name for name in heavy if name in sys.modules))
"""
_HELP = "import sys; from ui.cli import run; sys.exit(run(['--help']))"
REPEATS = 5


def measure_imports() -> tuple[float, float, str]:
    """Return the seconds for Gradio, those the page adds, and the heavy modules it brought."""
    command = [sys.executable, "-c", _IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    gradio, page, *heavy = done.stdout.split()
    return float(gradio), float(page), " ".join(heavy)


def measure_help() -> float:
    """Return the seconds from starting a process for `luthier --help` to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", _HELP], capture_output=True, check=True, timeout=300)
    return time.perf_counter() - start


def main() -> str:
    """Measure in turn, so that a busy moment slows all; return a Markdown table."""
    measure_imports()  # fills the caches
    measure_help()
    imports = [measure_imports() for _ in range(REPEATS)]
    rows = [
        ("import gradio", [gradio for gradio, _, _ in imports]),
        ("import ui.web.app adds (bar: 0.5)", [page for _, page, _ in imports]),
        ("luthier --help (bar: 0.5)", [measure_help() for _ in range(REPEATS)]),
    ]
    lines = [f"| what, {REPEATS} fresh processes each | fastest, s | median, s |", "|---|---|---|"]
    lines += [f"| {n} | {min(v):.3f} | {statistics.median(v):.3f} |" for n, v in rows]
    brought = imports[-1][2] or "none"
    table = "\n".join([*lines, "", f"Heavy libraries that `ui.web.app` imports: {brought}."])
    print(table)
    return table
