"""An exported model run with onnxruntime-genai: logits, greedy answers, speed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime_genai as og

from tools.errors import BadInput
from tools.work.answers import Answer, until_stop

og.disable_telemetry_events()

ADAPTERS = "adapters"
"""Folder beside a model of several adapters: one `<name>.onnx_adapter` for each."""


class OnnxModel:
    """One exported folder, loaded.

    Args:
        adapter: Which of the adapters beside the model answers; without one, the model itself.

    Attributes:
        stops: Token ids that end an answer, from the folder's configuration.
        context: Tokens that prompt and answer may have together.
    """

    def __init__(self, folder: Path, adapter: str | None = None) -> None:
        self._adapter = adapter
        try:
            config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
            self._model = og.Model(str(folder))
            if adapter:
                self._adapters = og.Adapters(self._model)
                self._adapters.load(str(folder / ADAPTERS / f"{adapter}.onnx_adapter"), adapter)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise BadInput(
                f"{folder} is not an ONNX model that onnxruntime-genai can load: {error}.",
                hint="Export the model again.",
            ) from error
        ends = config["eos_token_id"]
        self.stops: tuple[int, ...] = tuple(ends) if isinstance(ends, list) else (int(ends),)
        self.context = int(config["context_length"])
        self.tokenizer = og.Tokenizer(self._model)

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the logits after every token: (tokens, vocabulary)."""
        generator = self._generator(len(ids) + 1)
        generator.append_tokens(np.array(ids, dtype=np.int32))
        return np.asarray(generator.get_output("logits"), dtype=np.float32)[0]

    def answer(self, prompt: Sequence[int], max_new_tokens: int) -> Answer:
        """Return the most likely continuation, cut at its stop token."""
        return until_stop(list(self.stream(prompt, max_new_tokens)), self.stops)

    def stream(
        self,
        prompt: Sequence[int],
        max_new_tokens: int,
        *,
        temperature: float = 0.0,
        seed: int = 17,
        ignore_stops: bool = False,
    ) -> Iterator[int]:
        """Give new tokens one by one, the stop token included.

        Args:
            temperature: 0 takes the likeliest token each time.
            ignore_stops: Go on to the last token; for measuring speed.
        """
        room = self.context - len(prompt)
        if room < 1:
            return
        length = len(prompt) + min(max_new_tokens, room)
        options: dict[str, Any] = {"min_length": length} if ignore_stops else {}
        if temperature > 0:
            options |= {"do_sample": True, "temperature": temperature, "random_seed": seed}
        generator = self._generator(length, **options)
        generator.append_tokens(np.array(prompt, dtype=np.int32))
        while not generator.is_done():
            generator.generate_next_token()
            yield int(generator.get_next_tokens()[0])

    def tokens_per_second(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> float:
        """Return generated tokens per second, one prompt after the other, after a warm-up."""
        list(self.stream(prompts[0], 4, ignore_stops=True))
        began, made = time.perf_counter(), 0
        for prompt in prompts:
            made += sum(1 for _ in self.stream(prompt, new_tokens, ignore_stops=True))
        return made / (time.perf_counter() - began)

    def _generator(self, max_length: int, **options: Any) -> Any:
        params = og.GeneratorParams(self._model)
        params.set_search_options(
            **{"do_sample": False, "max_length": min(max_length, self.context), **options}
        )
        generator = og.Generator(self._model, params)
        if self._adapter:
            generator.set_active_adapter(self._adapters, self._adapter)
        return generator
