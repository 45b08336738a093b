"""What is published about the methods and the engines; every figure with its source."""

from __future__ import annotations

from dataclasses import dataclass

PEFT_COMPARISON = (
    "PEFT method comparison: Llama-3.2-3B on MetaMathQA, one L40S, one seed "
    "(gaps under two points are noise)"
)


@dataclass(frozen=True)
class MethodFacts:
    """One training method.

    Attributes:
        accuracy: Of the method comparison, 0 to 1; the yardstick is LoRA's 0.478.
        time: Relative to LoRA.
        trains: What is trained, in words.
        matrix: The matrix's column that speaks of it.
        merges: The result can be merged into the weights, so that it can become ONNX or GGUF.
        quantised: It trains over a quantised base.
    """

    name: str
    title: str
    accuracy: float
    time: float
    trains: str
    matrix: str
    source: str
    merges: bool = True
    quantised: bool = False
    adapter: bool = True


METHODS: dict[str, MethodFacts] = {
    facts.name: facts
    for facts in (
        MethodFacts(
            "lora", "LoRA", 0.478, 1.0, "small matrices beside the weights", "lora",
            f"{PEFT_COMPARISON}: rank 32 reached .478 in 942 s",
        ),
        MethodFacts(
            "rslora", "rank-stabilised LoRA", 0.480, 1.03,
            "LoRA scaled so that high ranks help", "lora",
            f"{PEFT_COMPARISON}: rank 64 reached .513 in 966 s; at ordinary ranks it equals LoRA",
        ),
        MethodFacts(
            "qlora", "QLoRA", 0.474, 1.35, "LoRA beside a 4-bit base", "qlora",
            "QLoRA, arXiv 2305.14314: equals 16-bit LoRA within noise; slower by the unpacking",
            quantised=True,
        ),
        MethodFacts(
            "dora", "DoRA", 0.469, 1.26, "LoRA with a separate magnitude", "dora",
            f"{PEFT_COMPARISON}: rank 32 reached .469 in 1191 s with 22.8 GiB against LoRA's 20.8",
        ),
        MethodFacts(
            "full", "full fine-tuning", 0.472, 2.28, "every weight", "deepspeed",
            f"{PEFT_COMPARISON}: .472 in 2147 s with 36.2 GiB", adapter=False,
        ),
        MethodFacts(
            "adalora", "AdaLoRA", 0.373, 1.2, "LoRA that shares out its rank", "peft",
            f"{PEFT_COMPARISON}: .373",
        ),
        MethodFacts(
            "ia3", "IA3", 0.380, 0.9, "a few scaling vectors", "peft",
            f"{PEFT_COMPARISON}: .311 to .455",
        ),
        MethodFacts(
            "prompt_tuning", "prompt tuning", 0.2, 0.9, "some learned input tokens", "peft",
            f"{PEFT_COMPARISON}: .057 to .343", merges=False,
        ),
        MethodFacts(
            "prefix_tuning", "prefix tuning", 0.2, 0.9, "learned keys and values", "peft",
            f"{PEFT_COMPARISON}: .057 to .343 for prompt methods", merges=False,
        ),
    )
}  # fmt: skip

ENGINE_WORDS: dict[str, str] = {
    "single": "one device",
    "ddp": "a copy of the model on every card",
    "zero1": "ZeRO-1: the optimiser's state is shared out",
    "zero2": "ZeRO-2: optimiser state and gradients are shared out",
    "zero3": "ZeRO-3: weights, gradients and optimiser state are shared out",
    "fsdp": "FSDP: weights, gradients and optimiser state are shared out",
}
ENGINE_SOURCE = "ZeRO, arXiv 1910.02054; PyTorch FSDP, arXiv 2304.11277"
ENGINES: tuple[str, ...] = tuple(ENGINE_WORDS)
TARGETS: tuple[str, ...] = ("onnx-cpu", "onnx-cuda", "gguf", "hf", "hosted")
