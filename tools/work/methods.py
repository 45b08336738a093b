"""How each tuning method turns a base model into one that learns."""

from __future__ import annotations

from typing import Any

from tools.history.spec import TrainingSpec


def make_trainable(model: Any, spec: TrainingSpec) -> Any:
    """Return the model with the weights that the method trains, and only those, unfrozen."""
    if spec.method == "full":
        model.requires_grad_(True)
        return model
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training  # noqa: PLC0415

    if spec.method == "qlora":
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=spec.gradient_checkpointing
        )
    targets = spec.target_modules
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_dora=spec.method == "dora",
        bias="none",
    )
    return get_peft_model(model, config)


def keep_trained_weights_exact(model: Any) -> None:
    """Hold what is trained in float32.

    TRL turns the adapters of a quantised model into bfloat16, whose steps are larger than many
    updates; these weights are few, so that precision costs next to nothing.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
