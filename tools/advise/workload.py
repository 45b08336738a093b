"""One training step whose memory is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tools import methods
from tools.advise.objectives import PAIRED
from tools.advise.programs import RECIPES, Recipe
from tools.advise.shapes import Shape
from tools.advise.trained import trained_parameters
from tools.history.spec import Device, Objective, Offload, Optimizer, Precision

Quantization = Literal["none", "nf4", "nf4-dq", "int8", "gptq"]

PRECISION_BYTES: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Workload:
    """One training step whose memory is asked.

    Attributes:
        batch: Rows of one micro-batch; accumulation does not change the peak.
        length: Tokens of the longest row after truncation.
        trained_share: Share of the tokens whose logits are computed for the loss.
        attention: `eager` keeps every score, `fused` (SDPA, FlashAttention) none.
        engine, gpus: How the state is spread, and over how many cards.
        offload: What lies in the machine's memory instead of the card's.
        dropout: Of the adapter's inputs; any but 0 counts alike, on a processor alone.
        fill: How full the longest batch of packed rows is, of rows × length; on a processor.
        classes: Outputs of a new head in place of the vocabulary's; 0 where there is none.
        whole: Parameters of modules that are trained whole, as copies, beside the adapter.
        accumulates: Gradients of earlier micro-batches lie there while the next one runs.
        recipe: The training program whose habits count, a key of `RECIPES`.
    """

    shape: Shape
    method: str
    batch: int
    length: int
    rank: int = 16
    targets: str | tuple[str, ...] = "all-linear"
    precision: Precision = "float32"
    quantization: Quantization = "none"
    optimizer: Optimizer = "adamw"
    checkpointing: bool = False
    device: Device = "cpu"
    trained_share: float = 1.0
    attention: Literal["fused", "eager"] = "fused"
    engine: str = "single"
    gpus: int = 1
    offload: Offload = "none"
    objective: Objective = "prompt_completion"
    dropout: float = 0.0
    fill: float = 1.0
    classes: int = 0
    whole: int = 0
    accumulates: bool = False
    recipe: str = "luthier"
    program: Recipe | None = None

    @property
    def rows(self) -> int:
        """Sequences of one micro-batch: objectives that compare answers see two for each row."""
        return self.batch * (2 if self.objective in PAIRED else 1)

    @property
    def logits(self) -> float:
        """Numbers that the head puts out for the loss."""
        if self.objective == "sequence_classification":
            return float(self.batch * self.classes)
        if self.objective == "token_classification":
            return float(self.batch * self.length * self.classes)
        return self.trained_share * self.rows * self.length * self.shape.vocab

    @property
    def habits(self) -> Recipe:
        """What the training program spends beyond what the shape says."""
        return self.program or RECIPES[self.recipe]

    @property
    def quantized(self) -> Quantization:
        """QLoRA means double-quantised NF4 where nothing else is said."""
        return "nf4-dq" if self.method == "qlora" and self.quantization == "none" else (
            self.quantization
        )  # fmt: skip

    @property
    def drops(self) -> bool:
        """Whether an adapter drops out part of what it is given, and so keeps masks."""
        lora_like = "lora_dropout" in methods.method(self.method).config
        return self.dropout > 0 and lora_like

    @property
    def raised(self) -> bool:
        """Whether what a 4-bit base leaves unquantised is held, and passed on, in float32."""
        float32 = self.precision == "float32"
        return self.quantized in {"nf4", "nf4-dq"} and (self.habits.raises or float32)

    @property
    def trained_parameters(self) -> int:
        """Parameters that get a gradient."""
        return trained_parameters(self.shape, self.method, self.rank, self.targets)
