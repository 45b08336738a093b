"""How each tuning method turns a base model into one that learns: one row of the table each."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.pytorch_utils import Conv1D

from tools.errors import Refused
from tools.history.spec import TrainingSpec
from tools.methods import Method, method, quantisation_of
from tools.work.engines import cuts_weights
from tools.work.low_rank import compute_in_one

_TASKS = {"sequence_classification": "SEQ_CLS", "token_classification": "TOKEN_CLS"}
_HEADS = {"score", "classifier"}
_LARGEST_BLOCK = 32
_CHANGES_THE_BASE = ("pissa", "olora", "orthogonal")
INITIAL = "initial_adapter"


def make_trainable(
    model: Any, spec: TrainingSpec, *, tokenizer: Any = None, steps: int = 1000
) -> Any:
    """Return the model with the weights that the method trains, and only those, unfrozen.

    Args:
        tokenizer: For methods that train the tokens of its chat template.
        steps: Optimiser steps of the whole run, for methods that keep a budget over time.

    Raises:
        Refused: The library does not know how to put this adapter on this model.
    """
    row = method(spec.method)
    if spec.modules_to_save and row.kind == "prompt":
        raise Refused(
            f"{row.title.capitalize()} cannot train whole modules beside it.",
            hint="Use LoRA, which can, or leave modules_to_save out.",
            refused_by="preflight",
        )
    _check_whole(model, spec)
    if not row.peft:
        model.requires_grad_(True)
        return model
    from peft import get_peft_model  # noqa: PLC0415

    if quantisation_of(spec.method, spec.quantization) != "none":
        model = _frozen(model, spec)
    facts = _facts(model, spec, tokenizer, steps)
    try:
        adapted = get_peft_model(model, peft_config(row, spec, facts, model))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise Refused(
            f"{row.title} cannot be put on this model: {str(error).splitlines()[0]}",
            hint="Choose other target modules or another rank, or use LoRA.",
            refused_by="preflight",
        ) from error
    # An engine that cuts matrices up brings them together only for a module's own forward pass.
    return adapted if cuts_weights(spec) else compute_in_one(adapted)


def _check_whole(model: Any, spec: TrainingSpec) -> None:
    """Refuse modules to train whole that are not there: the library would leave them out unsaid."""
    names = [name for name, _ in model.named_modules() if name]
    missing = [one for one in spec.modules_to_save if not any(n.endswith(one) for n in names)]
    if missing:
        there = dict.fromkeys(name.rsplit(".", 1)[-1] for name in names)
        known = ", ".join(name for name in there if not name.isdigit())
        raise Refused(
            f"This model has no module called {' or '.join(missing)}.",
            hint=f"Leave it out, or choose among: {known}.",
            refused_by="preflight",
        )


def _frozen(model: Any, spec: TrainingSpec) -> Any:
    """Freeze a quantised base.

    PEFT would raise what is not quantised to float32, and every product with a 4-bit matrix then
    comes back in float32: on a card QLoRA took more memory than LoRA. In 16 bits it stays as it is;
    the norms compute in float32 by themselves.
    """
    if spec.precision != "float32":
        return model.requires_grad_(False)
    from peft import prepare_model_for_kbit_training  # noqa: PLC0415 - few runs need it

    return prepare_model_for_kbit_training(
        model, use_gradient_checkpointing=spec.gradient_checkpointing
    )


def peft_config(row: Method, spec: TrainingSpec, facts: dict[str, Any], model: Any) -> Any:
    """Return the library's configuration of a method, as its row and the plan say."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING  # noqa: PLC0415

    options = {name: _value(value, facts) for name, value in row.config.items()}
    options["task_type"] = _TASKS.get(spec.objective, "CAUSAL_LM")
    if row.targets != "none":
        options |= _targets(row, spec, model)
    if spec.modules_to_save and row.kind != "prompt":
        options["modules_to_save"] = list(spec.modules_to_save)
    if spec.initialisation != "default":
        name = "init_weights" if row.peft == "MISS" else "init_lora_weights"
        options[name] = spec.initialisation
    config_class: Callable[..., Any] = PEFT_TYPE_TO_CONFIG_MAPPING[row.peft]
    return config_class(**options)


def keep_initial(model: Any, spec: TrainingSpec, folder: Path) -> None:
    """Keep an adapter whose start moved part of the base into it, to subtract it at the end."""
    if spec.initialisation.startswith(_CHANGES_THE_BASE) and not (folder / INITIAL).exists():
        model.save_pretrained(str(folder / INITIAL), save_embedding_layers=False)


def saving_options(model: Any, folder: Path) -> dict[str, Any]:
    """Return how an adapter is saved, so that it fits the base as it is on the Hub."""
    if not hasattr(model, "peft_config"):
        return {}
    options: dict[str, Any] = {"save_embedding_layers": False}
    if (folder / INITIAL).is_dir():
        options["path_initial_model_for_weight_conversion"] = str(folder / INITIAL)
    return options


def keep_trained_weights_exact(model: Any) -> None:
    """Hold what is trained in float32: bfloat16's steps are larger than many updates."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def extra_loss(model: Any) -> torch.Tensor | None:
    """Return what AdaLoRA adds to every loss: how far its factors are from orthogonal."""
    config = getattr(model, "active_peft_config", None)
    if config is None or config.peft_type != "ADALORA" or not model.training:
        return None
    far = []
    for name, weight in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            square = weight @ weight.T if "lora_A" in name else weight.T @ weight
            far.append(torch.linalg.norm(square - torch.eye(len(square), device=weight.device)))
    weight_of: float = config.orth_reg_weight
    return weight_of * torch.stack(far).mean()


class Allocation(TrainerCallback):
    """Lets AdaLoRA move its rank budget between matrices after every optimiser step."""

    def on_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        """Rank the weights while their gradients are still there."""
        inner = getattr(model, "module", model)
        config = getattr(inner, "active_peft_config", None)
        if getattr(config, "peft_type", None) == "ADALORA":
            inner.base_model.update_and_allocate(state.global_step + 1)


def _facts(model: Any, spec: TrainingSpec, tokenizer: Any, steps: int) -> dict[str, Any]:
    config = model.config.get_text_config()
    return {
        "rank": spec.rank,
        "alpha": spec.alpha,
        "dropout": spec.dropout,
        "steps": max(steps, 10),
        "hidden": int(config.hidden_size),
        "layers": int(config.num_hidden_layers),
        "block": _block(model),
        "special": _special(tokenizer, config),
    }


def _linears(model: Any) -> tuple[str, ...]:
    """Return the names of all matrices but the head's, which is trained whole."""
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
    }
    return tuple(sorted(names - _HEADS))


def _value(value: Any, facts: dict[str, Any]) -> Any:
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    name, _, factor = value[1:].partition("*")
    found = facts[name]
    return max(1, int(found * float(factor))) if factor else found


def _block(model: Any) -> int:
    """Return the largest power of two that divides the sides of every matrix."""
    head = model.get_output_embeddings()
    sides = [
        side
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module is not head
        and name.rpartition(".")[2] not in _HEADS
        for side in (module.in_features, module.out_features)
    ]
    largest = math.gcd(*sides) if sides else 1
    return min(_LARGEST_BLOCK, largest & -largest)


def _special(tokenizer: Any, config: Any) -> list[int]:
    """Return the tokens that a chat template adds, or else the model's own end and start."""
    if tokenizer is None:
        return [0]
    ids = {int(i) for i in tokenizer.all_special_ids}
    ids |= {int(i) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sorted(i for i in ids if i < config.vocab_size) or [0]


def _targets(row: Method, spec: TrainingSpec, model: Any) -> dict[str, Any]:
    plan: str | tuple[str, ...] = spec.target_modules
    if plan == "all-linear" and spec.objective in _TASKS and row.targets == "plan":
        plan = _linears(model)
    if row.targets == "plan" or plan != "all-linear":
        named: Any = plan if isinstance(plan, str) else list(plan)
        return {"target_modules": named} | (
            {"feedforward_modules": []} if row.name == "ia3" else {}
        )
    if row.targets != "library":
        return {"target_modules": row.targets}
    if row.name == "ln_tuning":
        norms = {name for name, part in model.named_modules() if "Norm" in type(part).__name__}
        return {"target_modules": sorted(norms)}
    from peft.utils.constants import (  # noqa: PLC0415
        TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as KNOWN,
    )

    if model.config.model_type in KNOWN:
        return {}
    return {"target_modules": "all-linear", "feedforward_modules": []}
