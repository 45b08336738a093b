"""The runs of the benchmark `memory_limits`: each breaks a real limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """A run, and where between the needs of its batch and of one row the limit lies.

    Attributes:
        words: About so many words are in every row that is trained.
        share: 0 is the need of one row, 1 that of the planned batch.
        late: The limit comes down only when some steps and a checkpoint are there.
        saved: Whether the ladder can save it at all.
        group: The limit is a control group's, at which the kernel kills; otherwise it is one of
            address space, at which allocations fail.
        wide: With a model whose 32,000 words need most of the memory, whatever the batch.
    """

    name: str
    method: str
    batch: int
    words: int
    share: float = 0.5
    objective: str = "text"
    late: bool = False
    saved: bool = True
    group: bool = False
    wide: bool = False
    changes: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("LoRA, 16 long rows", "lora", 16, 200),
    Case("LoRA, 16 long rows, little room", "lora", 16, 200, share=0.25),
    Case("LoRA, 24 rows (not a power of two)", "lora", 24, 200, share=0.4),
    Case("LoRA, 16 rows, packed", "lora", 16, 200, share=0.35, changes={"batching": "packed"}),
    Case("LoRA, 32 shorter rows", "lora", 32, 100),
    Case("LoRA, accumulating already", "lora", 8, 200, changes={"gradient_accumulation": 2}),
    Case("LoRA, label smoothing", "lora", 16, 200, changes={"loss": "label_smoothing"}),
    Case("LoRA, memory shrinks in mid-run", "lora", 16, 200, late=True, changes={"max_steps": 8}),
    Case("DoRA, 16 long rows", "dora", 16, 200),
    Case("rsLoRA, rank 64", "rslora", 16, 200, changes={"rank": 64, "alpha": 64}),
    Case("QLoRA, 16 long rows", "qlora", 16, 200),
    Case("IA3, 16 long rows", "ia3", 16, 200),
    Case("full, 16 long rows", "full", 16, 200, changes={"learning_rate": 1e-3}),
    Case("full, 12 rows, little room", "full", 12, 200, share=0.25),
    Case("full, memory shrinks in mid-run", "full", 12, 200, late=True, changes={"max_steps": 8}),
    Case(
        "DPO with LoRA, 8 pairs", "lora", 8, 200, objective="dpo", changes={"learning_rate": 1e-3}
    ),
    Case("ORPO with LoRA, 8 pairs", "lora", 8, 200, objective="orpo"),
    Case("KTO with DoRA, 8 rows", "dora", 8, 200, objective="kto", changes={"learning_rate": 1e-3}),
    Case("head for classes, LoRA", "lora", 16, 200, objective="sequence_classification"),
    Case("LoRA, 16 long rows, control group", "lora", 16, 200, group=True),
    Case("full, 12 rows, control group", "full", 12, 200, share=0.35, group=True),
    Case("LoRA, nothing fits", "lora", 16, 200, share=-0.6, saved=False),
    Case("full, nothing may change", "full", 16, 200, saved=False, changes={"may_change": ()}),
    Case("one row, many words known", "lora", 1, 700, share=-0.3, saved=False, wide=True),
)
