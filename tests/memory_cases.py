"""The runs of the benchmark `memory_limits`: each breaks a real limit. Their rows and models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.jobs_factory import TAGS, make_dataset, make_spec
from tools.context import Context
from tools.history.spec import MAY_CHANGE, TrainingSpec


@dataclass(frozen=True)
class Case:
    """A run, and where between the needs of its batch and of one row the limit lies.

    Attributes:
        words: About so many words are in every row that is trained.
        share: 0 is the need of one row, 1 that of the planned batch.
        late: The limit comes down only when some steps and a checkpoint are there, and to less than
            is mapped then.
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
    Case(
        "head for tags, LoRA, 24 rows", "lora", 24, 200, share=0.4, objective="token_classification"
    ),
    Case("AdaLoRA, 16 rows", "adalora", 16, 200),
    Case("prefix tuning, 16 rows", "prefix_tuning", 16, 200, share=0.35),
    Case("LoHa, 12 rows, focal loss", "loha", 12, 200, share=0.4, changes={"loss": "focal"}),
    Case("LoRA, 16 rows, label smoothing, packed", "lora", 16, 200, share=0.3,
         changes={"loss": "label_smoothing", "batching": "packed"}),
    Case("full, accumulating already", "full", 8, 200, share=0.4,
         changes={"gradient_accumulation": 3}),
    Case("full, 8 rows, eager attention", "full", 8, 200, changes={"attention": "eager"}),
    Case("DPO, memory shrinks in mid-run", "lora", 8, 200, objective="dpo", late=True,
         changes={"max_steps": 8}),
    Case("full, ORPO, memory shrinks in mid-run, little room", "full", 6, 200, share=0.3,
         objective="orpo", late=True, changes={"max_steps": 8}),
    Case("GRPO with LoRA, 16 prompts", "lora", 16, 150, objective="grpo",
         changes={"rewards": ("length:25", "one_line")}),
    Case("LoRA, nothing fits", "lora", 16, 200, share=-0.6, saved=False),
    Case("full, nothing may change", "full", 16, 200, saved=False, changes={"may_change": ()}),
    Case("libraries do not fit", "lora", 16, 200, share=-1.5, saved=False),
    Case("one row, many words known", "lora", 1, 700, share=-0.3, saved=False, wide=True),
)  # fmt: skip


def spec_of(ctx: Context, case: Case, **changes: Any) -> TrainingSpec:
    """Return the run of a case, with its rows and its model made."""
    manifest = make_dataset(ctx, case.objective, train=case.batch, validation=4)
    _lengthen(ctx, manifest.id, case.words)
    values: dict[str, Any] = {
        "method": case.method, "batch_size": case.batch, "max_steps": 2, "eval_steps": 2,
        "save_steps": 2, "max_length": 512, "may_change": MAY_CHANGE, "batching": "grouped",
    }  # fmt: skip
    if case.objective in ("sequence_classification", "token_classification"):
        values["labels"] = ("food", "pet", "toy") if "sequence" in case.objective else TAGS
    model = _wide_model(ctx.settings.work_dir / "wide") if case.wide else "starter"
    return make_spec(manifest, model, **values | case.changes | changes)


def _wide_model(folder: Path) -> Path:
    """Make a model with random weights whose scores of the next word are what needs memory."""
    if folder.exists():
        return folder
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tools.shipped import data_folder

    torch.manual_seed(1)
    shape = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 2}
    LlamaForCausalLM(
        LlamaConfig(vocab_size=64_000, num_attention_heads=4, max_position_embeddings=1024, **shape)
    ).save_pretrained(folder)
    AutoTokenizer.from_pretrained(data_folder() / "starter-model").save_pretrained(folder)
    return folder


def _lengthen(ctx: Context, version: str, words: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in ("train", "validation"):
        path = ctx.settings.dataset_folder(version) / f"{split}.parquet"
        rows = pq.read_table(path).to_pylist()
        count = words if split == "train" else 20
        for row in rows:
            if "text" in row:
                row["text"] = _repeated(row["text"], count)
            elif "tokens" in row:
                row |= {name: (row[name] * count)[:count] for name in ("tokens", "tags")}
            else:
                asked = row["prompt"][0]
                asked["content"] = _repeated(asked["content"], count)
        pq.write_table(pa.Table.from_pylist(rows), path)


def _repeated(text: str, words: int) -> str:
    return " ".join((text.split() * words)[:words])
