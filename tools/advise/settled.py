"""Every setting of one plan, each with why it was chosen and where that comes from."""

from __future__ import annotations

from typing import Any

from tools.advise import defaults
from tools.advise.arrange import Arrangement, objective_for
from tools.advise.evidence import facts_of_method
from tools.advise.figures import Reason
from tools.advise.models import ModelInfo
from tools.advise.situation import Situation

WISH = "your wish"
DATA = "the data"
_MIXED = "mixed precision training, arXiv 1710.03740"
_OBJECTIVES = {
    "chat": "the loss counts on the assistant's turns alone",
    "prompt_completion": "the loss counts on the answers alone",
    "text": "plain text: every token counts",
    "dpo": "pairs of a better and a worse answer, and no reward model is needed",
    "kto": "single answers, each marked good or bad",
    "token_classification": "a tag for every word, through a new head",
}


def settle(
    situation: Situation, model: ModelInfo, method: str, found: Arrangement
) -> tuple[dict[str, Any], list[Reason]]:
    """Return every setting of the run, a wish as it was made, with the reasons."""
    work = found.work
    spec: dict[str, Any] = {
        "base_model": model.name,
        "method": method,
        "engine": work.engine,
        "processes": max(1, work.gpus // situation.machine.nodes),
        "nodes": situation.machine.nodes if work.gpus > 1 else 1,
        "offload": work.offload,
        "objective": work.objective,
    }
    why = [_of_model(situation, model), _of_objective(situation)]
    for part in (_rates, _adapter, _batch, _length, _numbers):
        values, reasons = part(situation, model, method, found)
        spec |= values
        why += reasons
    return spec, why


_Part = tuple[dict[str, Any], list[Reason]]


def _of_model(situation: Situation, model: ModelInfo) -> Reason:
    choice = f"base model {model.name}"
    licence = f"licence {model.licence}"
    template = "" if model.has_chat_template else "; it has no chat template of its own"
    if situation.model is not None and situation.model.name == model.name:
        return Reason(choice, f"you named it; {licence}{template}", WISH)
    reason = f"{model.size}, near what this task usually needs, and it fits; {licence}{template}"
    return Reason(choice, reason, "data/models.toml; good practice: base model (guide)")


def _of_objective(situation: Situation) -> Reason:
    objective = objective_for(situation)
    return Reason(f"objective {objective}", _OBJECTIVES[objective], DATA)


def _rates(situation: Situation, model: ModelInfo, method: str, found: Arrangement) -> _Part:
    rows, wish = situation.data.rows, situation.preferences
    advised = model.recommended
    if facts_of_method(method).rate != 1.0:
        advised = {name: value for name, value in advised.items() if name != "learning_rate"}
    decay, decay_why = defaults.weight_decay(method, rows, model)
    rate, rate_why = _choice(
        wish, advised, "learning_rate",
        defaults.learning_rate(method, model, found.work.objective),
    )  # fmt: skip
    objective = found.work.objective
    if not defaults.card_epochs_do(rows, float(advised.get("epochs") or 0), objective):
        advised = {name: value for name, value in advised.items() if name != "epochs"}
    usual = defaults.epochs(rows, model, objective)
    passes, passes_why = _choice(wish, advised, "epochs", usual)
    patience = None if rows < 50 else 3
    if patience:
        stop = "stops when the held-out loss has not improved for three evaluations"
    else:
        stop = "too few rows are held out to stop by"
    optimizer = found.work.optimizer
    values = {
        "learning_rate": rate,
        "lr_scheduler": "cosine",
        "warmup_ratio": 0.05,
        "weight_decay": decay,
        "optimizer": optimizer,
        "epochs": passes,
        "max_steps": wish.get("max_steps"),
        "max_minutes": situation.minutes,
        "early_stopping_patience": patience,
    }
    kept = "the usual choice; its state counts in the estimate"
    source = "decoupled weight decay, arXiv 1711.05101"
    if optimizer == "adamw_8bit":
        kept = "two bytes of state a weight instead of eight, because memory is short"
        source = "8-bit optimisers, arXiv 2110.02861"
    return values, [
        rate_why,
        Reason("cosine schedule", "falls smoothly after 5 % of warm-up", defaults.PRACTICE),
        decay_why,
        Reason(f"optimiser {optimizer}", kept, source),
        passes_why,
        Reason("early stopping" if patience else "no early stopping", stop, defaults.PRACTICE),
    ]


def _adapter(situation: Situation, model: ModelInfo, method: str, found: Arrangement) -> _Part:
    if not facts_of_method(method).takes_rank:
        return {}, []
    rows, wish, rank = situation.data.rows, situation.preferences, found.work.rank
    dropout, dropout_why = _choice(wish, {}, "dropout", defaults.dropout(rows, model))
    alpha = wish.get("alpha") or defaults.alpha(method, rank)
    scale = "the rank, which rank stabilisation divides by its root" if method == "rslora" else (
        "twice the rank: keeps the step the same when the rank changes"
    )  # fmt: skip
    alpha_why = Reason(f"alpha {alpha}", scale, defaults.LORA_PAPER)
    if wish.get("alpha"):
        alpha_why = Reason(f"alpha {alpha}", "you set it", WISH)
    values = {
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "target_modules": "all-linear",
        "use_rslora": method == "rslora",
    }
    everywhere = "an adapter on every linear matrix reaches what full tuning does"
    return values, [
        defaults.rank_reason(method, rank, rows, few="few_params" in situation.aims)
        if not wish.get("rank") else Reason(f"rank {rank}", "you set it", WISH),
        alpha_why,
        dropout_why,
        Reason("target modules all-linear", everywhere, "QLoRA, arXiv 2305.14314, §4"),
    ]  # fmt: skip


def _batch(situation: Situation, model: ModelInfo, method: str, found: Arrangement) -> _Part:
    work, times = found.work, found.accumulation
    rows = work.batch * times * work.gpus
    values = {
        "batch_size": work.batch,
        "gradient_accumulation": times,
        "effective_batch": rows,
        "gradient_checkpointing": work.checkpointing,
    }
    cards = f" × {work.gpus} cards" if work.gpus > 1 else ""
    batch = f"{rows} rows a step: as many at once as fit, the rest accumulated"
    if work.checkpointing and "memory" in situation.aims:
        kept = "recomputes activations instead of keeping them, for the least memory"
    elif work.checkpointing:
        kept = "recomputes activations instead of keeping them, because memory is short"
    else:
        kept = "there is memory to keep the activations, which is faster"
    name = "gradient checkpointing" if work.checkpointing else "no gradient checkpointing"
    return values, [
        Reason(f"batch {work.batch} × {times}{cards}", batch, defaults.PRACTICE),
        Reason(name, kept, defaults.PRACTICE),
    ]


def _length(situation: Situation, model: ModelInfo, method: str, found: Arrangement) -> _Part:
    length, p95 = found.length, situation.data.p95_tokens
    if situation.preferences.get("max_length"):
        reason = Reason(f"max_length {length}", "you set it", WISH)
    elif situation.data.splits and length < p95:
        text = "longer texts are parted into pieces of this length; nothing is cut off"
        reason = Reason(f"max_length {length}", text, "the trainer")
    elif length < p95:
        reason = Reason(f"max_length {length}", f"the longest {model.name} reads", "its config")
    else:
        text = f"19 of 20 rows have at most {p95:,} tokens"
        reason = Reason(f"max_length {length}", text, DATA)
    return {"max_length": length}, [reason]


def _numbers(situation: Situation, model: ModelInfo, method: str, found: Arrangement) -> _Part:
    work = found.work
    quantised = work.quantized if work.quantized != "none" else None
    if work.device == "cpu":
        precision = Reason("float32", "exact, and what processors compute best", "measured here")
    elif work.precision == "float32":
        text = "the card has no bfloat16, and weights that are all trained overflow in float16"
        precision = Reason("float32", text, _MIXED)
    elif work.precision == "bfloat16":
        precision = Reason("bfloat16", "half the memory, and the card computes in it", _MIXED)
    else:
        text = "the card is older than Ampere and has no bfloat16"
        precision = Reason("float16", text, _MIXED)
    reasons = [precision]
    if quantised:
        text = "four bits a weight, its constants quantised too; it is never merged as it is"
        reasons.append(Reason(f"base in {quantised}", text, "QLoRA, arXiv 2305.14314, §3"))
    return {"precision": work.precision, "quantization": quantised}, reasons


def _choice(
    wish: dict[str, Any], advised: dict[str, Any], name: str, default: tuple[Any, Reason]
) -> tuple[Any, Reason]:
    """A wish counts most, then the model's own card, then the default."""
    words = name.replace("_", " ")
    for values, reason, source in (
        (wish, "you set it", WISH),
        (advised, "tried on this very model", defaults.CARD),
    ):
        if values.get(name) is not None:
            return values[name], Reason(f"{words} {values[name]:g}", reason, source)
    return default
