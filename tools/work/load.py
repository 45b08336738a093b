"""Loading models and tokenizers: safetensors only, no remote code. Shared by all workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
)

from tools.errors import BadInput, NotFound, Refused, ToolError, Unavailable
from tools.history.spec import TrainingSpec
from tools.methods import quantisation_of
from tools.settings import Settings
from tools.shipped import shipped
from tools.work.report import Job
from tools.work.shortage import is_about_memory
from tools.work.template import prepare_tokenizer

STARTER = "starter"
HEADS = {
    "sequence_classification": AutoModelForSequenceClassification,
    "token_classification": AutoModelForTokenClassification,
}
_HEAD_MODULES = {"lm_head", "score", "classifier"}
ATTENTION = {"eager": "eager", "sdpa": "sdpa", "flash": "flash_attention_2"}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def model_source(spec: TrainingSpec) -> str:
    """Return what the base model is loaded from: a folder, or a name on the Hub."""
    if spec.model == STARTER:
        return str(shipped("starter-model"))
    return spec.model


def load_tokenizer(
    where: Job | Settings, spec: TrainingSpec, *, adapter: Path | None = None
) -> Any:
    """Load the tokenizer, with a chat template and a padding token decided for all uses alike.

    Args:
        adapter: Folder of a tuned result, whose own tokenizer and template are then taken.

    Raises:
        NotFound, Unavailable, BadInput: See `load_model`.
    """
    source = str(adapter) if adapter and _has_tokenizer(adapter) else model_source(spec)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, **_origin(where, spec, source), trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise _explained(error, source) from error
    return prepare_tokenizer(tokenizer)


def load_model(
    where: Job | Settings,
    spec: TrainingSpec,
    *,
    adapter: Path | None = None,
    quantised: bool | None = None,
    trainable: bool = False,
) -> Any:
    """Load the base model, or a tuned one where `adapter` is given.

    Args:
        adapter: Folder with a PEFT adapter, or with a whole model that full tuning left.
        quantised: False loads the plain weights; None quantises as the plan and its method say.
        trainable: The adapter goes on learning; otherwise the model is ready to be asked.

    Raises:
        NotFound: The model is neither here nor on the Hub.
        Unavailable: The Hub does not answer or the model is gated.
        BadInput: There are no safetensors, or the model needs its own code to run.
    """
    whole = adapter is not None and not (adapter / "adapter_config.json").is_file()
    source = str(adapter) if whole else model_source(spec)
    stored = "none" if quantised is False else quantisation_of(spec.method, spec.quantization)
    # A GPU is filled as the weights are read: the machine's own memory need not hold them all.
    straight = spec.device == "cuda" and spec.engine in ("single", "ddp")
    place = {"": torch.cuda.current_device()} if straight else None
    options: dict[str, Any] = {"dtype": load_dtype(spec), "device_map": place, **_head(spec)}
    if spec.attention != "auto":
        options["attn_implementation"] = ATTENTION[spec.attention]
    if stored != "none":
        options["quantization_config"] = quantisation(where, spec, source)
        options["device_map"] = {"": spec.device}
    try:
        model = _class(spec).from_pretrained(
            source,
            **_origin(where, spec, source),
            **options,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError) as error:
        if is_about_memory(error):
            raise
        raise _explained(error, source) from error
    if spec.objective in HEADS and model.config.pad_token_id is None:
        # A head reads its class at the last token that is not padding.
        model.config.pad_token_id = load_tokenizer(where, spec).pad_token_id
    if stored == "none":
        model.to(spec.device)
    elif spec.device == "cpu":
        _compute_as_trained(model)
    if adapter is not None and not whole:
        model = _with_adapter(model, adapter, trainable=trainable)
    return model.train(trainable)


def load_config(where: Job | Settings, spec: TrainingSpec) -> dict[str, Any]:
    """Return the base model's configuration."""
    source = model_source(spec)
    config = AutoConfig.from_pretrained(
        source, **_origin(where, spec, source), trust_remote_code=False
    )
    document: dict[str, Any] = config.to_dict()
    return document


def load_dtype(spec: TrainingSpec) -> torch.dtype:
    """Return the type the base weights are held in.

    Full tuning keeps float32 weights and computes in the spec's precision: updates smaller than
    what bfloat16 can represent would be lost. Frozen weights need no such care.
    """
    return torch.float32 if spec.method == "full" else DTYPES[spec.precision]


def quantisation(where: Job | Settings, spec: TrainingSpec, source: str) -> BitsAndBytesConfig:
    """Return how the frozen base is quantised: nf4, nf4 twice (arXiv 2305.14314), or 8 bits.

    Raises:
        Unavailable: bitsandbytes is not installed.
    """
    on_cpu = spec.device == "cpu"
    stored = quantisation_of(spec.method, spec.quantization)
    left = _left_unquantised(where, spec, source) if on_cpu else None
    try:
        if stored == "int8":
            return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=left)
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=stored == "nf4-dq",
            bnb_4bit_compute_dtype=torch.float32 if on_cpu else DTYPES[spec.precision],
            llm_int8_skip_modules=left,
        )
    except ImportError as error:
        raise Unavailable(
            "A quantised base needs bitsandbytes, which is not installed.",
            hint="Install it with `pip install bitsandbytes`, or use LoRA.",
        ) from error


def _compute_as_trained(model: Any) -> None:
    """Let a 4-bit model compute alike whether it learns or is asked.

    Where the processor knows bfloat16, bitsandbytes 0.50 repacks weights for a kernel in that type
    at the first question without gradients (`Linear4bit.forward`): losses then differ by 0.2 to
    0.6 % from those the same weights had in training.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _class(spec: TrainingSpec) -> Any:
    return HEADS.get(spec.objective, AutoModelForCausalLM)


def _head(spec: TrainingSpec) -> dict[str, Any]:
    """Return the classes of a head, by number and by name."""
    if spec.objective not in HEADS:
        return {}
    return {
        "num_labels": len(spec.labels),
        "id2label": dict(enumerate(spec.labels)),
        "label2id": {label: i for i, label in enumerate(spec.labels)},
    }


def _left_unquantised(where: Job | Settings, spec: TrainingSpec, source: str) -> list[str]:
    # On CPU bitsandbytes wants in_features in multiples of 64 and out_features of 32.
    config = AutoConfig.from_pretrained(
        source, **_origin(where, spec, source), trust_remote_code=False
    )
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    unfit = {
        name.rsplit(".", 1)[-1]
        for name, module in empty.named_modules()
        if isinstance(module, torch.nn.Linear)
        and (module.in_features % 64 or module.out_features % 32)
    }
    return sorted(unfit | _HEAD_MODULES)


def _with_adapter(model: Any, adapter: Path, *, trainable: bool) -> Any:
    from peft import PeftModel  # noqa: PLC0415 - two seconds that a base model does not need

    if not (adapter / "adapter_model.safetensors").is_file():
        raise BadInput(
            f"{adapter} holds no adapter in safetensors.", hint="Train it again with Luthier."
        )
    return PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)


def _has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer_config.json").is_file()


def _origin(where: Job | Settings, spec: TrainingSpec, source: str) -> dict[str, Any]:
    settings = where.settings if isinstance(where, Job) else where
    local = Path(source).is_dir()
    origin: dict[str, Any] = {"local_files_only": local or settings.network == "never"}
    if not local and spec.model_revision:
        origin["revision"] = spec.model_revision
    return origin


def _explained(error: Exception, source: str) -> ToolError:
    """Say in one sentence why a model could not be loaded."""
    text = str(error)
    if "trust_remote_code" in text:
        return BadInput(
            f"{source} needs its own code to be run, which Luthier never does.",
            hint="Choose a model whose architecture transformers knows by itself.",
        )
    if "safetensors" in text and "no file named" in text:
        return BadInput(
            f"{source} has no weights in safetensors; Luthier does not open pickled ones.",
            hint="Choose a repository or folder of the model that holds safetensors.",
        )
    if "gated" in text or "401" in text or "403" in text:
        return Unavailable(
            f"{source} may be read only with its owners' permission.",
            hint="Accept its licence on the Hub and set HF_TOKEN, or choose another model.",
        )
    if isinstance(error, OSError):
        return NotFound(
            f"The model {source} cannot be found here or on the Hub.",
            hint="Check its name, the network, and whether it was downloaded before.",
        )
    return Refused(
        f"transformers cannot load {source}: {text.splitlines()[0] if text else type(error)}",
        hint="Choose another base model; `luthier models` lists some.",
        refused_by="preflight",
    )
