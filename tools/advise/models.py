"""Base models: the shipped starter, a folder on this machine, or a name on the Hub."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tools.advise import hub, naming
from tools.advise.architecture import Shape, shape_of
from tools.advise.compatibility import reaches_target
from tools.context import Context
from tools.errors import BadInput, Unavailable
from tools.paths import locate, resolve_input
from tools.shipped import shipped

STARTER = "starter"
Source = Literal["starter", "local", "hub", "catalogue"]


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a base model.

    Attributes:
        name: `starter`, the folder as the person named it, or the name on the Hub.
        path: Folder with the weights; None where they would come from the Hub.
        revision: Commit on the Hub.
        commercial: What the licence permits, in short; empty where unknown.
        onnx: The installed onnxruntime-genai can export this architecture.
        recommended: Settings that this model's own card recommends for tuning it.
    """

    name: str
    source: Source
    path: Path | None
    config: dict[str, Any]
    shape: Shape
    parameters: int
    architecture: str
    context_length: int
    licence: str
    has_chat_template: bool
    onnx: bool
    gated: bool = False
    commercial: str = ""
    revision: str | None = None
    recommended: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def billions(self) -> float:
        """Parameters in billions."""
        return self.parameters / 1e9

    @property
    def size(self) -> str:
        """Parameters as people say them, such as `5.0M` or `8.03B`."""
        return size_words(self.billions)


def size_words(billions: float) -> str:
    """Return parameters as people say them, such as `4.95M`, `135M` or `8.03B`."""
    if billions >= 0.9995:
        return f"{billions:.3g}B"
    millions = billions * 1000
    return f"{millions:.0f}M" if millions >= 100 else f"{millions:.3g}M"


def resolve_model(ctx: Context, name: str | None, *, needs_weights: bool = True) -> ModelInfo:
    """Find a base model by name, path or a catalogue's short name.

    Args:
        ctx: Decides whether the Hub may be asked.
        name: None or `starter` for the shipped one.
        needs_weights: False accepts a folder with nothing but a config.json, and a catalogue
            entry that is not on this machine.

    Raises:
        NotFound: Nothing of that name is here or on the Hub.
        NotAllowed: It would have to be fetched and that is not allowed.
        BadInput: It is not a causal language model in safetensors that Luthier can tune.
        Unavailable: It is gated, or the Hub does not answer.
    """
    wanted = (name or STARTER).strip()
    if wanted.lower() in {STARTER, "starter-model", "the starter", "starter model"}:
        return _starter(needs_weights)
    if _is_folder(ctx, wanted):
        return _from_folder(ctx, wanted, needs_weights)
    listed = catalogue_entry(wanted)
    full_name = listed["name"] if listed else wanted
    if not hub.HUB_NAME.fullmatch(full_name):
        raise naming.unknown(wanted, catalogue())
    if not needs_weights and listed:
        return from_catalogue(listed)
    if not listed:
        naming.refuse_by_name(full_name, catalogue())
    return _from_hub(ctx, full_name, listed)


def hub_destination(ctx: Context, name: str | None) -> str | None:
    """Return `huggingface.co/org/name` where `name` would be fetched, else None. Offline."""
    if not name or name.strip().lower() == STARTER or _is_folder(ctx, name.strip()):
        return None
    listed = catalogue_entry(name)
    full_name = str(listed["name"]) if listed else name.strip()
    if not hub.HUB_NAME.fullmatch(full_name) or hub.cached_config(full_name):
        return None
    host = ctx.settings.hub_endpoint.partition("://")[2].rstrip("/")
    return f"{host}/{full_name}"


@cache
def catalogue() -> tuple[dict[str, Any], ...]:
    """Return the entries of `data/models.toml`."""
    return tuple(tomllib.loads(shipped("models.toml").read_text(encoding="utf-8"))["model"])


def catalogue_entry(name: str) -> dict[str, Any] | None:
    """Find an entry by its Hub name or by how people call it; case, order, punctuation blind."""
    return naming.find(name, catalogue())


def _is_folder(ctx: Context, name: str) -> bool:
    path = locate(ctx.settings, name)
    return path.is_dir() or name.startswith(("/", "./", "../", "~"))


def _starter(needs_weights: bool) -> ModelInfo:
    folder = shipped("starter-model")
    if not (folder / "config.json").is_file():
        raise Unavailable(
            "The starter model is not part of this installation.",
            hint="Install Luthier again, or name another model.",
        )
    card = _json(folder / "card.json") if (folder / "card.json").is_file() else {}
    config = _json(folder / "config.json")
    return _info(
        STARTER, "starter", folder, config,
        licence=str(card.get("licence") or card.get("license") or "Apache-2.0"),
        template=_has_template(folder),
        recommended=dict(card.get("recommended") or {}),
    )  # fmt: skip


def _from_folder(ctx: Context, name: str, needs_weights: bool) -> ModelInfo:
    folder = resolve_input(ctx, name)
    if not folder.is_dir():
        raise BadInput(
            f"{name} is a file, not a model folder.",
            hint="Name the folder that holds the model's config.json and safetensors files.",
        )
    if not (folder / "config.json").is_file():
        raise BadInput(
            f"{name} holds no config.json, so it is not a model.",
            hint="Name the folder that holds the model's config.json and safetensors files.",
        )
    if needs_weights and not any(folder.glob("*.safetensors")):
        unsafe = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        raise BadInput(
            f"{name} holds {'only pickled weights' if unsafe else 'no weights'}; "
            "Luthier reads safetensors alone.",
            hint="Save the model with safetensors and name that folder.",
        )
    config = _json(folder / "config.json")
    return _info(name, "local", folder, config, licence="unknown", template=_has_template(folder))


def _from_hub(ctx: Context, name: str, listed: dict[str, Any] | None) -> ModelInfo:
    files = hub.fetch(ctx, name)
    if files.files and not any(file.endswith(".safetensors") for file in files.files):
        raise BadInput(
            f"{name} has no safetensors files; Luthier does not open pickled weights.",
            hint="Choose a repository of the model that holds safetensors.",
        )
    template = "chat_template.jinja" in files.files
    if files.tokenizer_config:
        template = template or bool(_json(files.tokenizer_config).get("chat_template"))
    facts = listed or {}
    return _info(
        name, "hub", None, _json(files.config),
        licence=files.licence or str(facts.get("licence", "unknown")),
        template=template or bool(facts.get("chat_template", False)),
        gated=files.gated or bool(facts.get("gated", False)),
        commercial=str(facts.get("commercial", "")),
        revision=files.revision,
    )  # fmt: skip


def from_catalogue(entry: dict[str, Any]) -> ModelInfo:
    """Return a catalogue entry as a model, from its facts alone."""
    return _info(
        entry["name"], "catalogue", None, dict(entry["config"]),
        licence=entry["licence"], template=bool(entry["chat_template"]),
        gated=bool(entry["gated"]), commercial=entry["commercial"],
            )  # fmt: skip


def _info(
    name: str,
    source: Source,
    path: Path | None,
    config: dict[str, Any],
    *,
    licence: str,
    template: bool,
    gated: bool = False,
    commercial: str = "",
    revision: str | None = None,
    recommended: dict[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> ModelInfo:
    _refuse_foreign_code(name, config)
    shape = shape_of(config)
    architecture = str((config.get("architectures") or [_architecture_of(shape.family)])[0])
    return ModelInfo(
        name=name,
        source=source,
        path=path,
        config=config,
        shape=shape,
        parameters=shape.parameters,
        architecture=architecture,
        context_length=shape.context,
        licence=licence,
        has_chat_template=template,
        onnx=reaches_target(architecture, "onnx-cpu") is None,
        gated=gated,
        commercial=commercial,
        revision=revision,
        recommended=recommended or {},
        notes=notes,
    )


def _refuse_foreign_code(name: str, config: dict[str, Any]) -> None:
    family = str(config.get("model_type") or "")
    if config.get("is_encoder_decoder"):
        raise BadInput(
            f"{name} is an encoder-decoder model; Luthier tunes causal language models.",
            hint="Choose a causal model such as Qwen/Qwen2.5-0.5B-Instruct.",
        )
    rounded = config.get("quantization_config")
    if rounded:
        method = rounded.get("quant_method") if isinstance(rounded, dict) else None
        raise naming.quantised_copy(name, str(method or "quantization_config"))
    names = [str(a) for a in config.get("architectures") or []]
    if names and not any(a.endswith(("ForCausalLM", "LMHeadModel")) for a in names):
        raise BadInput(
            f"{name} is a {names[0]}, not a causal language model that Luthier can tune.",
            hint="Choose a text model whose architecture ends in ForCausalLM.",
        )
    if config.get("auto_map") and family not in _NATIVE_DESPITE_AUTO_MAP:
        raise BadInput(
            f"{name} needs its own code to be run (auto_map), which Luthier never does.",
            hint="Choose a model whose architecture transformers knows by itself.",
        )


_NATIVE_DESPITE_AUTO_MAP = frozenset({"phi3", "phi", "qwen2", "llama", "starcoder2"})
"""Families that ship old code beside their weights though transformers has them built in."""


def _architecture_of(family: str) -> str:
    special = {"gpt2": "GPT2LMHeadModel", "gpt_neox": "GPTNeoXForCausalLM", "opt": "OPTForCausalLM"}
    plain = "".join(part.title() for part in family.replace("_text", "").split("_"))
    return special.get(family, f"{plain}ForCausalLM")


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(_json(path).get("chat_template"))


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path.name} of the model is not readable JSON.", hint="Get the model's files again."
        ) from error
    if not isinstance(value, dict):
        raise BadInput(f"{path.name} of the model is not a JSON object.", hint="Get it again.")
    return value
