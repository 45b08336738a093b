"""The instant memory estimate against published measurements on one GPU.

Scored are the measured one-GPU rows of `measured_memory.csv` that state all inputs and a method
Luthier has. Constants are those of `RECIPES` in tools/advise/memory.py, at most three for each
framework, chosen on the rows with an even number within their framework; the others are the report.
Not blind: all rows had been looked at when the formula was shaped.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.advise.architecture import Shape, shape_of
from tools.advise.memory import RECIPES, Workload, estimate_memory
from tools.advise.models import catalogue_entry

SHAPES: dict[str, dict[str, Any]] = {
    name: dict(zip(("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads",
                    "num_key_value_heads", "intermediate_size", "vocab_size"), sizes, strict=True))
    for name, sizes in {
        "qwen-1_8b": ("qwen", 2048, 24, 16, 16, 11008, 151936),
        "qwen-7b": ("qwen", 4096, 32, 32, 32, 22016, 151936),
        "qwen-14b": ("qwen", 5120, 40, 40, 40, 27392, 152064),
        "qwen-72b": ("qwen", 8192, 80, 64, 64, 49152, 152064),
        "yi-6b": ("llama", 4096, 32, 32, 4, 11008, 64000),
        "yi-34b": ("llama", 7168, 60, 56, 8, 20480, 64000),
        "baichuan2-7b": ("llama", 4096, 32, 32, 32, 11008, 125696),
        "baichuan2-13b": ("llama", 5120, 40, 40, 40, 13696, 125696),
        "openbuddy-zephyr-7b": ("mistral", 4096, 32, 32, 8, 14336, 36608),
        "chatglm3-6b": ("llama", 4096, 28, 32, 2, 13696, 65024),
    }.items()
}  # fmt: skip
"""Models of the table that the catalogue lacks; sizes of their published config.json files."""
_EXPLAINED = """Not blind: all rows had been looked at when the formula was shaped; only the
constants were chosen on one half.

Peaks above *high*: qwen-1_8b-chat full at 2,048 tokens lies above the same run at
4,096 tokens, so something else than its stated inputs differed."""
_METHODS = {"lora", "qlora", "full", "dora"}


@dataclass(frozen=True)
class Scored:
    """One row with its estimate."""

    row: dict[str, str]
    framework: str
    number: int
    low: float
    expected: float
    high: float

    @property
    def measured(self) -> float:
        """Measured peak in GiB."""
        return float(self.row["peak_GiB"])

    @property
    def error(self) -> float:
        """Relative error."""
        return (self.expected - self.measured) / self.measured


def rows() -> list[dict[str, str]]:
    """Read the table of published measurements."""
    folder = os.environ.get("LUTHIER_MATERIAL")
    root = Path(folder) if folder else Path(__file__).parents[3] / "shared" / "material"
    with (root / "measured_memory.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def excluded(row: dict[str, str]) -> str | None:
    """Say why a row cannot be scored, or None where it can."""
    if row["kind"] != "measured":
        return f"not measured ({row['kind']})"
    if row["n_gpu"] != "1":
        return "more than one GPU"
    if not row["peak_GiB"]:
        return "no peak stated"
    if row["method"] not in _METHODS:
        return f"method not in Luthier: {row['method']}"
    if not row["seq_len"].isdigit():
        return "length is a cap, a mean or a default, not what was run"
    if not row["batch"].isdigit():
        return "no batch stated"
    if _shape(row["model"]) is None:
        return f"no config at hand: {row['model']}"
    if any(kind in row["quant"].lower() for kind in ("awq", "aqlm")):
        return f"quantisation not in Luthier: {row['quant']}"
    if row["method"] == "full" and "Qwen-1_8B" in row["model"] and row["grad_accum"] == "8":
        return "DeepSpeed with float32 states in one process, not stated as an input"
    return None


def score() -> tuple[list[Scored], Counter[str]]:
    """Estimate every row that can be scored; count the others by reason."""
    scored: list[Scored] = []
    reasons: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for row in rows():
        reason = excluded(row)
        if reason:
            reasons[reason] += 1
            continue
        framework = next((f for f in RECIPES if row["framework"].startswith(f)), "")
        framework = framework or "transformers+peft"
        memory = estimate_memory(workload(row, framework))
        scored.append(
            Scored(row, framework, numbers[framework], memory.low_gib, memory.expected_gib,
                   memory.high_gib)
        )  # fmt: skip
        numbers[framework] += 1
    return scored, reasons


def workload(row: dict[str, str], framework: str) -> Workload:
    """Read a row's inputs."""
    shape = _shape(row["model"])
    assert shape is not None
    quant = row["quant"].lower()
    kind: Any = "none"
    if row["method"] == "qlora":
        kind = "int8" if "int8" in quant or "8bit" in quant else "nf4"
        kind = "gptq" if "int4" in quant and "gptq" in quant else kind
    return Workload(
        shape=shape,
        method=row["method"],
        batch=int(row["batch"]),
        length=int(row["seq_len"]),
        rank=int(row["lora_rank"]) if row["lora_rank"].isdigit() else 64,
        targets=_targets(row["lora_targets"], shape),
        precision="bfloat16",
        quantization=kind,
        checkpointing=row["grad_ckpt"].lower() in {"yes", "true"},
        device="cuda",
        attention=_attention(row, framework),
        accumulates=int(row["grad_accum"] or 1) > 1,
        recipe=framework,
    )


def _attention(row: dict[str, str], framework: str) -> Any:
    """Read the kind of attention.

    The rows of chatglm3, yi and zephyr in ms-swift's table grow with the square of the length,
    though they say FlashAttention: its switch reached only models with their own attention code.
    """
    plain = ("chatglm", "yi-", "openbuddy")
    if framework == "ms-swift" and row["model"].startswith(plain):
        return "eager"
    return "eager" if row["attn"].startswith(("no ", "eager")) else "fused"


def _targets(text: str, shape: Shape) -> str | tuple[str, ...]:
    if "DEFAULT" in text or "qkv" in text:
        names = {"q_proj", "k_proj", "v_proj", "c_attn", "qkv_proj"}
    else:
        names = {name.strip() for name in text.split(",")}
    known = tuple(dict.fromkeys(li.name for li in shape.linears if li.name in names))
    return known or "all-linear"


def _shape(name: str) -> Shape | None:
    plain = name.lower().rpartition("/")[2].removesuffix("-chat")
    if plain in SHAPES:
        return shape_of(SHAPES[plain])
    entry = catalogue_entry(name)
    return shape_of(entry["config"]) if entry else None


def main() -> str:
    """Score all rows and return the table."""
    scored, reasons = score()
    lines = []
    for framework in RECIPES:
        mine = [s for s in scored if s.framework == framework]
        for half, wanted in (("fitted", 0), ("reported", 1)):
            part = [s for s in mine if s.number % 2 == wanted]
            if part:
                lines.append(_summary(f"{framework}, {half} half", part))
    lines.append(_summary("all reported", [s for s in scored if s.number % 2]))
    lines += [
        "",
        _EXPLAINED,
        "",
        "Left out:",
        *(f"- {n} × {why}" for why, n in reasons.most_common()),
        "",
    ]
    head = ("model", "method", "quant", "length", "batch", "measured", "low", "expected", "high")
    lines += [f"| {' | '.join(head)} | error |", "|---" * (len(head) + 1) + "|"]
    for s in scored:
        mark = " above high" if s.measured > s.high else ""
        lines.append(
            f"| {s.row['model']} | {s.row['method']} | {s.row['quant']} | {s.row['seq_len']} | "
            f"{s.row['batch']} | {s.measured:.1f} | {s.low:.1f} | {s.expected:.1f} | "
            f"{s.high:.1f} | {s.error:+.0%}{mark} |"
        )
    return "\n".join(lines)


def _summary(name: str, part: list[Scored]) -> str:
    mean = sum(abs(s.error) for s in part) / len(part)
    above = sum(s.measured > s.high for s in part)
    return f"- {name}: {len(part)} rows, mean error {mean:.1%}, {above} peaks above *high*"
