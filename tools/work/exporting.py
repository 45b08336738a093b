"""The steps of one export, with the tuned model held in memory as the reference."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from tools.context import utc_now
from tools.datasets.manifest import SplitName, read_manifest
from tools.errors import Refused
from tools.export.parity import Fidelity, Parity, check_fidelity, check_tuned
from tools.export.targets import builder_version
from tools.history.spec import Device, ExportSpec, OnnxPrecision, TrainingSpec
from tools.work.answers import Answer, greedy_answers
from tools.work.build_onnx import QUANTISATIONS, build
from tools.work.encode import Encoded, encode_row, messages_of
from tools.work.fidelity import (
    Reading,
    agreement_of,
    compare_readings,
    logit_error,
    read_rows,
    torch_reader,
)
from tools.work.heldout import Row, held_out
from tools.work.load import load_model
from tools.work.onnx_model import OnnxModel
from tools.work.report import Job
from tools.work.template import stop_token_ids, template_hash

_MB = 1e6
_MOST_NEW_TOKENS = 48
_SPEED_PROMPTS = 4
_SPEED_TOKENS = 32


class Exporting:
    """Holds the tuned model, its answers, and what every written model was measured at.

    Attributes:
        parity: What the gate has looked at so far.
    """

    def __init__(self, job: Job, training: TrainingSpec, tokenizer: Any, rows: list[Row]) -> None:
        self._job = job
        # Merging needs the base as it was published: whole, and in float32.
        self._spec = training.model_copy(update={"precision": "float32", "device": "cpu"})
        self._tokenizer = tokenizer
        self._raw_rows = rows
        self._rows: list[Encoded] = []
        self._model: Any = None
        self._stops: list[int] = []
        self._context = training.max_length
        self._readings: list[Reading] = []
        self._answers: list[Answer] = []
        self._new_tokens = _MOST_NEW_TOKENS
        self.parity = Parity(prompts=0, base_moved=0.0, base_agreement=0.0, trained=True)

    def load(self, result: Path) -> None:
        """Load the tuned model, read it and its base on the parity rows.

        Raises:
            Refused: Both say exactly the same although the weights were trained.
        """
        model = load_model(self._job, self._spec, adapter=result, quantised=False)
        self._stops = stop_token_ids(self._tokenizer, model)
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._context = int(context or self._context)
        self._encode()
        self._job.progress("check", 0, len(self._rows))
        self._readings = read_rows(torch_reader(model), self._rows)
        self._answers = self._greedy(model)
        trained = _is_trained(model)
        if hasattr(model, "disable_adapter"):
            with model.disable_adapter():
                base, base_answers = read_rows(torch_reader(model), self._rows), self._greedy(model)
        else:
            untouched = load_model(self._job, self._spec, quantised=False)
            base = read_rows(torch_reader(untouched), self._rows)
            base_answers = self._greedy(untouched)
        same = sum(a.ids == b.ids for a, b in zip(self._answers, base_answers, strict=True))
        self._model = model
        self.parity = Parity(
            prompts=len(self._rows),
            base_moved=logit_error(base, self._readings),
            base_agreement=same / len(self._rows),
            trained=trained,
        )
        check_tuned(self.parity)

    def merge(self, result: Path, target: Path, *, half: bool) -> None:
        """Fold the adapter into the base, check it, and save it with tokenizer and template.

        Raises:
            Refused: The merged model strays from the tuned one.
        """
        if hasattr(self._model, "merge_and_unload"):
            self._model = self._model.merge_and_unload(safe_merge=True)
            self._record(self._fidelity("merged", read_rows(torch_reader(self._model), self._rows),
                                        self._greedy(self._model)))  # fmt: skip
        model = self._model
        model.generation_config = GenerationConfig(
            bos_token_id=self._tokenizer.bos_token_id,
            eos_token_id=self._stops,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        if half:
            model = model.to(torch.float16)
        model.save_pretrained(target, safe_serialization=True)
        self._tokenizer.save_pretrained(target)

    def read_copy(self, folder: Path) -> None:
        """Hold an adapter that does not fold into the weights against the tuned model: reloaded.

        Raises:
            Refused: The copy does not say what the tuned model says.
        """
        copy = load_model(self._job, self._spec, adapter=folder, quantised=False)
        readings = read_rows(torch_reader(copy), self._rows)
        self._record(self._fidelity("adapter", readings, self._greedy(copy)))

    def export(self, merged: Path, target: Path, precision: OnnxPrecision, device: Device) -> None:
        """Write one ONNX folder and hold it against the merged model.

        Raises:
            Refused: The builder failed, or the result strays further than its kind may.
        """
        ways = QUANTISATIONS if precision == "int4" else ((precision, ()),)
        for number, (way, options) in enumerate(ways):
            shutil.rmtree(target, ignore_errors=True)
            build(self._job, merged, target, precision, device, options)
            self._job.phase("parity", note=target.name)
            fidelity = self.read_onnx(target)
            if fidelity.passes or number == len(ways) - 1:
                break
            self._job.warn(
                "int4_retry", f"int4 in {way} strays too far; trying {ways[number + 1][0]}."
            )
        self._record(fidelity)

    def hold(self, fidelity: Fidelity) -> None:
        """Enter a comparison that was made outside, and refuse what strays too far.

        Raises:
            Refused: Further than its kind may.
        """
        self._record(fidelity)

    def speeds(self, folders: dict[str, Path], adapter: str | None = None) -> dict[str, float]:
        """Return generated tokens per second of torch and of each folder, on the same prompts."""
        prompts = [row.prompt for row in self._rows[:_SPEED_PROMPTS]]
        new = max(4, min(_SPEED_TOKENS, self._context - max(map(len, prompts))))
        found = {"torch": round(_torch_speed(self._model, prompts, new), 1)}
        for name, folder in folders.items():
            found[name] = round(OnnxModel(folder, adapter).tokens_per_second(prompts, new), 1)
        return found

    def read_onnx(self, folder: Path, adapter: str | None = None) -> Fidelity:
        """Return how close a written model comes, with one of its adapters where it has several."""
        model = OnnxModel(folder, adapter)
        readings = read_rows(lambda ids: model.logits(ids), self._rows)
        answers = [model.answer(row.prompt, self._new_tokens) for row in self._rows]
        self.parity = self.parity.model_copy(update={"tokenizer_same": self._same_tokens(model)})
        if not self.parity.tokenizer_same:
            self._job.warn(
                "tokenizer_differs",
                "onnxruntime-genai splits some of these prompts into other tokens than "
                "transformers does; feed it token ids.",
            )
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / _MB
        return self._fidelity(folder.name, readings, answers).model_copy(
            update={"size_mb": round(size, 2)}
        )

    def _same_tokens(self, model: OnnxModel) -> bool:
        for raw in self._raw_rows:
            prompt = messages_of(raw)[0]
            if not prompt:
                continue
            text = self._tokenizer.apply_chat_template(
                prompt, tokenize=False, add_generation_prompt=True
            )
            ours = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            if list(model.tokenizer.encode(text)) != list(ours):
                return False
        return True

    def _fidelity(
        self, name: str, readings: Sequence[Reading], answers: Sequence[Answer]
    ) -> Fidelity:
        agreement = agreement_of(
            torch_reader(self._model), self._rows, self._answers, answers, self._stops
        )
        return compare_readings(
            name, self._rows, self._readings, readings, agreement,
            answers=answers, reference_answers=self._answers,
        )  # fmt: skip

    def _record(self, fidelity: Fidelity) -> None:
        compared = (*self.parity.compared, fidelity)
        self.parity = self.parity.model_copy(update={"compared": compared})
        self._job.metrics(parity={"passed": False, "measures": self.parity.measures()})
        check_fidelity(fidelity)

    def _encode(self) -> None:
        room = self._context - self._new_tokens
        found = [
            encode_row(self._tokenizer, row, stops=self._stops, max_tokens=room)
            for row in self._raw_rows
        ]
        self._rows = [row for row in found if row is not None]
        if not self._rows:
            raise Refused(
                "There is no held-out row to check the exported model with.",
                hint="Prepare the data again with some rows held out, and train again.",
                refused_by="parity",
            )
        longest = max(len(row.answer) for row in self._rows)
        self._new_tokens = min(_MOST_NEW_TOKENS, longest + 4)

    def _greedy(self, model: Any) -> list[Answer]:
        return greedy_answers(
            model,
            [row.prompt for row in self._rows],
            stops=self._stops,
            pad=int(self._tokenizer.pad_token_id or 0),
            max_new_tokens=self._new_tokens,
        )


def onnx_folder(precision: OnnxPrecision) -> str:
    """Return the folder's name, which is the artefact's name too."""
    return f"onnx_{precision}"


def parity_rows(job: Job, training: TrainingSpec, limit: int) -> list[Row]:
    """Return held-out rows of a run to compare models on."""
    folder = job.settings.dataset_folder(training.dataset)
    manifest = read_manifest(folder)
    split: SplitName = "test" if manifest.splits.get("test") else "validation"
    rows = held_out(
        folder, manifest, split=split, path=None, columns=(), limit=limit, seed=training.seed,
        keep_trained=True,
    )  # fmt: skip
    return list(rows.rows())


def write_manifest(folder: Path, document: dict[str, Any]) -> None:
    """Write what a folder holds, where it comes from and what was measured."""
    files = {
        path.relative_to(folder).as_posix(): {
            "size_bytes": path.stat().st_size,
            "sha256": _sha256(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    text = json.dumps(document | {"files": files}, indent=1)
    (folder / "manifest.json").write_text(text, encoding="utf-8")


def described(spec: ExportSpec, training: TrainingSpec, tokenizer: Any) -> dict[str, Any]:
    """Return where an export comes from, for its manifest."""
    return {
        "schema_version": 1,
        "made_at": utc_now().isoformat(timespec="seconds"),
        "made_with": builder_version(),
        "job": spec.job,
        "spec": spec.model_dump(mode="json"),
        "base_model": training.model,
        "base_revision": training.model_revision,
        "dataset": training.dataset,
        "dataset_fingerprint": training.dataset_fingerprint,
        "chat_template_sha256": template_hash(tokenizer),
    }


def _is_trained(model: Any) -> bool:
    # LoRA begins with B = 0: such an adapter changes nothing and was never trained.
    second = [p for name, p in model.named_parameters() if ".lora_B." in name]
    return not second or any(bool(p.detach().abs().max() > 0) for p in second)


def _torch_speed(model: Any, prompts: Sequence[list[int]], new_tokens: int) -> float:
    def answer(prompt: list[int], count: int) -> int:
        config = GenerationConfig(
            max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0
        )
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
            )
        return int(out.shape[1]) - len(prompt)

    answer(prompts[0], 4)
    began = time.perf_counter()
    made = sum(answer(prompt, new_tokens) for prompt in prompts)
    return made / (time.perf_counter() - began)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
