"""Loaded models that answer token by token."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from tools.errors import BadInput
from tools.export.answering import Target
from tools.history.spec import TrainingSpec
from tools.settings import Settings
from tools.work.encode import encode_prompt
from tools.work.load import load_model, load_tokenizer
from tools.work.onnx_model import OnnxModel
from tools.work.template import stop_token_ids

_KEPT_MODELS = 3


class Speakers:
    """Keeps the models that were used last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: OrderedDict[str, _OnnxVoice | _TorchVoice] = OrderedDict()

    def forget_all(self) -> None:
        """Drop every loaded model."""
        self._loaded.clear()

    def speak(
        self,
        target: Target,
        others: Sequence[Target],
        prompt: str,
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int,
    ) -> Iterator[dict[str, Any]]:
        """Give pieces `{text}`, and at the end `{ended, first_token_s, tokens_per_s, …}`.

        Args:
            others: What answers the same question; a base then shares the tuned model's weights.

        Raises:
            ToolError: The model cannot be loaded, or the prompt does not fit.
        """
        shared = next((o for o in others if _shares(target, o)), target)
        voice = self._voice(shared)
        bare = voice.bare() if shared is not target else nullcontext()
        with bare:
            yield from _timed(voice, prompt, max_new_tokens, temperature, seed)

    def _voice(self, target: Target) -> _OnnxVoice | _TorchVoice:
        revision = target.spec.model_revision if target.spec else None
        model = target.spec.model if target.spec else ""
        key = f"{target.kind} {model} {revision} {target.folder} {target.adapter}"
        if key not in self._loaded:
            while len(self._loaded) >= _KEPT_MODELS:
                self._loaded.popitem(last=False)
            self._loaded[key] = self._load(target)
        self._loaded.move_to_end(key)
        return self._loaded[key]

    def _load(self, target: Target) -> _OnnxVoice | _TorchVoice:
        if target.kind == "onnx" and target.folder:
            return _OnnxVoice(Path(target.folder), target.adapter)
        if target.kind == "torch" and target.spec:
            return _TorchVoice(self._settings, target.spec, target.folder)
        raise BadInput(f"{target.key} names no model.", hint="Name a training run.")


def _shares(base: Target, tuned: Target) -> bool:
    """Return whether a tuned model with its adapter switched off is this base."""
    if base.kind != "torch" or base.folder or not base.spec or not tuned.spec:
        return False
    same = (base.spec.model, base.spec.model_revision) == (
        tuned.spec.model,
        tuned.spec.model_revision,
    )
    return same and bool(tuned.folder) and tuned.spec.method != "full"


class _OnnxVoice:
    """An exported model with its own tokenizer and template, as it will be used elsewhere."""

    def __init__(self, folder: Path, adapter: str | None) -> None:
        from transformers import AutoTokenizer  # noqa: PLC0415 - the other voice loads its own

        self._model = OnnxModel(folder, adapter)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.stops = self._model.stops
        self.context = self._model.context

    def bare(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def tokens(
        self, ids: list[int], max_new_tokens: int, temperature: float, seed: int
    ) -> Iterator[int]:
        return self._model.stream(ids, max_new_tokens, temperature=temperature, seed=seed)


class _TorchVoice:
    """A base or tuned model in torch."""

    def __init__(self, settings: Settings, spec: TrainingSpec, folder: str | None) -> None:
        result = Path(folder) if folder else None
        self.tokenizer = load_tokenizer(settings, spec, adapter=result)
        self._model = load_model(settings, spec, adapter=result)
        self.stops = tuple(stop_token_ids(self.tokenizer, self._model))
        config = self._model.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", None) or 2048)

    def bare(self) -> AbstractContextManager[Any]:
        # Switching the adapter off gives the base without loading it a second time.
        off: AbstractContextManager[Any] = self._model.disable_adapter()
        return off

    def tokens(
        self, ids: list[int], max_new_tokens: int, temperature: float, seed: int
    ) -> Iterator[int]:
        generator = torch.Generator(device="cpu").manual_seed(seed)
        fed = torch.tensor([ids], device=self._model.device)
        cache: Any = None
        for _ in range(max_new_tokens):
            with torch.inference_mode():
                out = self._model(input_ids=fed, past_key_values=cache, use_cache=True)
            cache, scores = out.past_key_values, out.logits[0, -1].float().cpu()
            if temperature > 0:
                shares = torch.softmax(scores / temperature, -1)
                token = int(torch.multinomial(shares, 1, generator=generator))
            else:
                token = int(scores.argmax())
            yield token
            fed = torch.tensor([[token]], device=self._model.device)


def _timed(
    voice: _OnnxVoice | _TorchVoice,
    prompt: str,
    max_new_tokens: int,
    temperature: float,
    seed: int,
) -> Iterator[dict[str, Any]]:
    ids = encode_prompt(voice.tokenizer, [{"role": "user", "content": prompt}])
    room = voice.context - len(ids)
    if room < 1:
        raise BadInput(
            f"The prompt has {len(ids)} tokens; this model holds {voice.context}.",
            hint="Shorten it.",
        )
    began = time.perf_counter()
    first_s: float | None = None
    made: list[int] = []
    told, stopped = "", False
    for token in voice.tokens(ids, min(max_new_tokens, room), temperature, seed):
        first_s = first_s if first_s is not None else time.perf_counter() - began
        if token in voice.stops:
            stopped = True
            break
        made.append(token)
        text = str(voice.tokenizer.decode(made, skip_special_tokens=True))
        # Half a character is held back until its other half comes.
        if text.startswith(told) and not text.endswith("\ufffd"):
            if text != told:
                yield {"text": text[len(told) :]}
            told = text
    seconds = time.perf_counter() - began
    yield {
        "ended": True,
        "first_token_s": None if first_s is None else round(first_s, 4),
        "tokens_per_s": round(len(made) / seconds, 1) if made and seconds > 0 else None,
        "tokens": len(made),
        "stopped": stopped,
    }
