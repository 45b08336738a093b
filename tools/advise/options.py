"""Wishes that pass into the spec as they are; each with what it does and where that is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.advise.defaults import PRACTICE
from tools.advise.figures import Reason

if TYPE_CHECKING:
    from tools.advise.draft import Draft

WISH = "your wish"
_DOES: dict[str, dict[str, tuple[str, str]]] = {
    "objective": {
        "dpo": ("the chosen answer is made likelier than the rejected", "DPO, arXiv 2305.18290"),
        "kto": ("single answers marked good or bad are enough", "KTO, arXiv 2402.01306"),
        "orpo": ("tuned and preferred at once, without a reference", "ORPO, arXiv 2403.07691"),
        "grpo": ("answers are sampled and rewarded", "GRPO, arXiv 2402.03300"),
        "sequence_classification": ("a new head chooses the label", "transformers: AutoModelFor…"),
        "token_classification": ("a new head labels every token", "transformers: AutoModelFor…"),
    },
    "loss": {
        "focal": ("rare and hard rows count for more", "focal loss, arXiv 1708.02002"),
        "label_smoothing": ("keeps the model from being over-sure", "arXiv 1512.00567, §7"),
        "contrastive": ("rows of one label are drawn together", "SupCon, arXiv 2004.11362"),
    },
    "batching": {
        "packed": ("rows are laid end to end, so nothing is padded", "TRL: packing, best-fit"),
        "padded": ("rows come in random order, padded to the longest", "measured here"),
        "grouped": ("rows of similar length share a batch: less padding", "measured here"),
    },
    "quantization": {
        "nf4": ("the frozen base in 4 bits", "QLoRA, arXiv 2305.14314, §3"),
        "nf4-dq": ("the frozen base in 4 bits, its constants too", "QLoRA, arXiv 2305.14314, §3"),
        "int8": ("the frozen base in 8 bits", "LLM.int8(), arXiv 2208.07339"),
        "none": ("the frozen base as it is", WISH),
    },
    "optimizer": {
        "adamw_8bit": ("a quarter of AdamW's state", "8-bit optimisers, arXiv 2110.02861"),
        "paged_adamw_8bit": ("its state may move to main memory", "QLoRA, arXiv 2305.14314, §3"),
        "adafactor": ("nearly no optimiser state", "Adafactor, arXiv 1804.04235"),
        "sgd": ("no optimiser state, but rates must be far larger", "torch.optim.SGD"),
    },
    "initialisation": {
        "pissa": ("the adapter starts from the strongest directions", "PiSSA, arXiv 2404.02948"),
        "loftq": ("the adapter starts from what 4 bits lost", "LoftQ, arXiv 2310.08659"),
        "olora": ("the adapter starts orthonormal", "OLoRA, arXiv 2406.01775"),
        "eva": ("the adapter starts from the data's activations", "EVA, arXiv 2410.07170"),
    },
}  # fmt: skip
_PASSED = (
    "loss", "loss_weight", "loss_entry_point", "beta", "rewards", "batching", "quantization",
    "initialisation", "modules_to_save", "optimizer", "attention", "activation_offload",
    "nodes", "probe", "lr_scheduler", "warmup_ratio",
)  # fmt: skip


def passed_on(draft: Draft) -> dict[str, Any]:
    """Return the spec's fields that were wished for, and give the reason for each."""
    values: dict[str, Any] = {}
    for name in _PASSED:
        wished = getattr(draft.request, name)
        if wished is not None:
            values[name] = wished
            draft.because(wish_reason(name, wished))
    if draft.request.lr_scheduler is None and draft.request.warmup_ratio is None:
        why = "the rate rises gently and then falls to zero"
        draft.because(Reason("cosine schedule, 5 % warm-up", why, PRACTICE))
    return values


def wish_reason(name: str, wished: Any) -> Reason:
    """Say what a wish does."""
    shown = ", ".join(map(str, wished)) if isinstance(wished, tuple) else str(wished)
    words = f"{name.replace('_', ' ')} {shown}"
    does, source = _DOES.get(name, {}).get(str(wished), ("", WISH))
    reason = f"you asked for it; {does}" if does else "you asked for it"
    return Reason(words, reason, source)
