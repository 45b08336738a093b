"""The exact trace of an 8B LoRA step with checkpointing: its time, its memory, its answer."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools.advise.architecture import shape_of
from tools.advise.exact import _request
from tools.advise.memory import RECIPES, Workload, estimate_memory

_MODEL = "meta-llama/Meta-Llama-3-8B-Instruct"


def main() -> str:
    """Trace it in a process of its own and return the table."""
    config = _config()
    work = Workload(
        shape=shape_of(config), method="lora", batch=4, length=2048, precision="bfloat16",
        device="cuda", checkpointing=True,
    )  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tools.work.trace"],
        input=json.dumps(_request(work, config)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer: dict[str, Any] = json.loads(done.stdout)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    instant = estimate_memory(work).expected_gib - RECIPES["luthier"].fixed_gib
    table = "\n".join(
        [
            "| what | figure |",
            "|---|---|",
            f"| step | {_MODEL}, LoRA r16 all-linear, 4 × 2,048 tokens, bfloat16, checkpointing |",
            f"| traced peak, allocated | {answer['peak_gib']:.3f} GiB |",
            f"| arithmetic, allocated | {instant:.3f} GiB |",
            f"| wall time, imports included | {wall:.1f} s |",
            f"| processor time, imports included | {processor:.1f} s |",
            f"| memory of the tracing process | {after.ru_maxrss / 2**20:.2f} GiB |",
            f"| load average meanwhile (2 cores) | {os.getloadavg()[0]:.1f} |",
        ]
    )
    print(table, flush=True)
    return table


def _config() -> dict[str, Any]:
    named = os.environ.get("LUTHIER_MATERIAL")
    root = Path(named) if named else Path(__file__).parents[3] / "shared" / "material"
    models = json.loads((root / "model_configs.json").read_text(encoding="utf-8"))
    config: dict[str, Any] = models[_MODEL]["config"]
    return config


if __name__ == "__main__":
    main()
