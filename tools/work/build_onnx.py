"""Runs onnxruntime-genai's model builder as a process of its own, offline."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tools.errors import Refused
from tools.history.spec import Device, OnnxPrecision
from tools.work.report import Cancelled, Job

_LOOK_EVERY_S = 0.2
_LOG_LINES = 3
QUANTISATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("blocks of 32", ()),
    (
        "k-quant, blocks of 16, 8-bit head",
        ("algo_config=k_quant", "block_size=16", "matmul_mixed_precision=last_matmul:int8"),
    ),
)
"""Ways to write int4, the smallest first; the next is tried where parity is missed."""


def build(
    job: Job,
    source: Path,
    target: Path,
    precision: OnnxPrecision,
    device: Device,
    options: tuple[str, ...] = (),
) -> None:
    """Write an ONNX folder from a merged model.

    Raises:
        Refused: The builder failed; its last words are in the message.
        Cancelled: The person asked to stop; the builder is ended.
    """
    cache = job.folder / "builder-cache"
    command = [
        *(sys.executable, "-P", "-m", "onnxruntime_genai.models.builder"),
        *("-i", str(source), "-o", str(target), "-p", precision, "-e", device),
        *("-c", str(cache)),
    ]
    if options:
        command += ["--extra_options", *options]
    environment = job.settings.worker_environment() | {"HF_HUB_OFFLINE": "1"}
    log = job.folder / f"builder-{target.name}.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=job.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                job.check_cancelled()
                time.sleep(_LOOK_EVERY_S)
        except Cancelled:
            process.kill()
            process.wait()
            raise
    if process.returncode or not (target / "genai_config.json").is_file():
        raise Refused(
            f"The ONNX builder could not write {precision}: {_last_words(log)}",
            hint=f"Its whole output is in {log.name} in the job's folder; export merged instead.",
            refused_by="parity",
        )


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " ".join(lines[-_LOG_LINES:])[-400:] or "it said nothing."
