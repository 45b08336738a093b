"""What the installed onnxruntime-genai can export, read from its source without importing it."""

from __future__ import annotations

import ast
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from tools.errors import Refused, Unavailable
from tools.history.spec import Device, ExportFormat, OnnxPrecision

_PACKAGES = ("onnxruntime-genai", "onnxruntime-genai-cuda")
_BUILDER = "onnxruntime_genai/models/builder.py"
_HEAD_SIZE_STEP = 16
"""ONNX Runtime's GroupQueryAttention on CPU refuses other head sizes ("multiple of 16")."""
_ON_DEVICE: dict[Device, tuple[OnnxPrecision, ...]] = {
    "cpu": ("fp32", "int4"),
    "cuda": ("fp16", "fp32", "int4"),
}
_MERGED: tuple[OnnxPrecision, ...] = ("fp32", "fp16")


@cache
def onnx_architectures() -> frozenset[str]:
    """Return the architectures that the installed model builder knows by name.

    They are the string constants that its `create_model` compares `config.architectures[0]` with.

    Raises:
        Unavailable: onnxruntime-genai is not installed.
    """
    source = _builder_file().read_text(encoding="utf-8")
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and "architectures" in ast.dump(node.left):
            found |= {
                item.value
                for item in node.comparators
                if isinstance(item, ast.Constant) and isinstance(item.value, str)
            }
    return frozenset(found)


def builder_version() -> str:
    """Return name and version of the installed package, such as `onnxruntime-genai 0.18.0`."""
    package = _package()
    return f"{package.metadata['Name']} {package.version}"


def why_not_onnx(config: dict[str, Any]) -> str | None:
    """Return in one sentence why a model cannot become ONNX here, or None where it can.

    Args:
        config: The model's `config.json`.
    """
    names = config.get("architectures") or ["of an unnamed kind"]
    if names[0] not in onnx_architectures():
        return f"{builder_version()} cannot export {names[0]} models."
    heads, width = config.get("num_attention_heads"), config.get("hidden_size")
    size = config.get("head_dim") or (width // heads if heads and width else None)
    if size and size % _HEAD_SIZE_STEP:
        return (
            f"ONNX Runtime needs attention heads of a multiple of {_HEAD_SIZE_STEP}; "
            f"this model's have {size}."
        )
    return None


def choose_precisions(
    form: ExportFormat, precision: OnnxPrecision | None, device: Device
) -> tuple[OnnxPrecision, ...]:
    """Return the precisions to write: the one asked for, or a sensible choice.

    Raises:
        Refused: That format, precision and device do not go together.
    """
    if form == "adapter":
        return ("fp32",)
    possible = _MERGED if form == "merged" else _ON_DEVICE[device]
    if precision is None:
        if form == "merged":
            return ("fp32",)
        return ("fp32", "int4") if device == "cpu" else ("fp16", "int4")
    if precision not in possible:
        what = "A merged model" if form == "merged" else f"An ONNX model for {device.upper()}"
        raise Refused(
            f"{what} cannot be written in {precision}.",
            hint=f"Choose one of: {', '.join(possible)}.",
            refused_by="preflight",
        )
    return (precision,)


def check_device(device: Device) -> None:
    """Refuse CUDA where the installed package cannot check what it writes.

    Raises:
        Refused: There is no package, or no GPU, to run the exported model with.
    """
    if device == "cpu":
        return
    if _package().metadata["Name"] != "onnxruntime-genai-cuda" or not _gpu_seen():
        raise Refused(
            "A model for CUDA cannot be checked on this machine, so it is not written.",
            hint="Export for the CPU, or run this on a machine with an NVIDIA GPU and "
            "onnxruntime-genai-cuda.",
            refused_by="preflight",
        )


def _gpu_seen() -> bool:
    import pynvml  # noqa: PLC0415 - 40 ms that only CUDA exports need

    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount()) > 0
    except pynvml.NVMLError:
        return False


def _package() -> Any:
    for name in _PACKAGES:
        try:
            return distribution(name)
        except PackageNotFoundError:
            continue
    raise Unavailable(
        "onnxruntime-genai is not installed, so no ONNX model can be written.",
        hint="Install it with `pip install onnxruntime-genai`.",
    )


def _builder_file() -> Path:
    return Path(str(_package().locate_file(_BUILDER)))
