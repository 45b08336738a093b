"""What a diagnosis wants to know of a run, told as events: the setting, the rows, the judgement.

Everything here is cheap beside a training run: hashing of rows, and counting of words in at most
two thousand of them.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch

from tools.datasets.manifest import Manifest
from tools.history.events import DataSeen, Judged, RunSetup
from tools.history.spec import TrainingSpec
from tools.work.encode import answer_of, question_of
from tools.work.memory import memory_limit_gib
from tools.work.report import Job
from tools.work.rows import MASKED, Encoded, read_split
from tools.work.template import stop_token_ids, template_hash

_MOST_ROWS = 50_000
_COUNTED_ROWS = 2_000
_FOLDS = 3
_LEAST_ROWS = 24
_MASKS_LOOKED_AT = 300
_SURE, _DENIED = 0.7, 0.12
_WORD = re.compile(r"\w+")


def setup_of(job: Job, spec: TrainingSpec, model: Any, tokenizer: Any) -> RunSetup:
    """Return what is trained, and on what."""
    parameters = list(model.parameters())
    on_gpu = spec.device == "cuda"
    return RunSetup(
        model=spec.model,
        parameters=sum(p.numel() for p in parameters),
        trained_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        context_tokens=getattr(model.config.get_text_config(), "max_position_embeddings", None),
        device=spec.device,
        gpu=torch.cuda.get_device_name(0) if on_gpu else None,
        gpus=torch.cuda.device_count() if on_gpu else 0,
        cpu_cores=torch.get_num_threads(),
        memory_limit_gib=round(memory_limit_gib(spec.device, job.settings.memory_limit_gib), 3),
        bfloat16=torch.cuda.is_bf16_supported() if on_gpu else None,
        cuda=torch.version.cuda if on_gpu else None,
        template_hash=template_hash(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        stop_token_ids=tuple(stop_token_ids(tokenizer, model)),
    )


def data_of(
    spec: TrainingSpec,
    manifest: Manifest,
    folder: Path,
    rows: Encoded,
    held_out: Encoded,
    stops: Sequence[int],
    tokenizer: Any,
    tokenize_s: float | None = None,
) -> DataSeen:
    """Return what the rows look like to the trainer."""
    lengths, held = sorted(rows.lengths), sorted(held_out.lengths)
    known: dict[str, Any] = {
        "rows": len(rows),
        "eval_rows": manifest.splits.get("validation"),
        "tokens_p50": _at(lengths, 0.5),
        "tokens_p95": _at(lengths, 0.95),
        "tokens_longest": max(rows.longest, lengths[-1]) if lengths else None,
        "eval_tokens_p50": _at(held, 0.5),
        "truncated_share": round(rows.cut / max(1, len(rows) + rows.dropped), 4),
        "tokenize_s": tokenize_s,
    }
    if spec.objective in ("prompt_completion", "chat"):
        real = max(1, rows.tokens - len(rows))
        ends = sum(any(t in stops for t in row[-2:] if t != MASKED) for row in rows.labels)
        known["trained_token_share"] = round(rows.trained_tokens / real, 4)
        known["stop_trained_share"] = round(ends / max(1, len(rows)), 4)
    if spec.objective == "prompt_completion":
        known |= _masked_parts(manifest, folder, rows, tokenizer)
        known |= _compared(manifest, folder)
    return DataSeen(**known)


def _at(values: list[int], share: float) -> float | None:
    return float(values[min(len(values) - 1, int(share * len(values)))]) if values else None


def _masked_parts(
    manifest: Manifest, folder: Path, rows: Encoded, tokenizer: Any
) -> dict[str, float]:
    """Return which shares of questions and of answers count in the loss, from where they stand."""
    if rows.dropped or not len(rows):
        return {}
    some = read_split(manifest.split_file(folder, "train"), ["prompt"])[:_MASKS_LOOKED_AT]
    texts = [
        tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        for row in some
    ]
    prompts = tokenizer(texts, add_special_tokens=False)["input_ids"]
    asked = said = asked_trained = said_trained = 0
    for prompt, ids, labels in zip(prompts, rows.input_ids, rows.labels, strict=False):
        place = 0
        while place < min(len(prompt), len(ids)) and prompt[place] == ids[place]:
            place += 1
        # A row that lost its beginning does not show where its answer starts.
        if place < 0.5 * len(prompt):
            continue
        # The last token is the end, which `stop_trained_share` is about.
        head, tail = labels[1:place], labels[max(1, place) : -1] or labels[-1:]
        asked, said = asked + len(head), said + len(tail)
        asked_trained += sum(label != MASKED for label in head)
        said_trained += sum(label != MASKED for label in tail)
    if not asked or not said:
        return {}
    return {
        "prompts_trained_share": round(asked_trained / asked, 4),
        "answers_trained_share": round(said_trained / said, 4),
    }


def _compared(manifest: Manifest, folder: Path) -> dict[str, Any]:
    """Compare training rows with each other and with those held out."""
    columns = ["prompt", "completion", *(["label"] if manifest.labels else [])]
    train, held = (
        read_split(manifest.split_file(folder, name), columns)[:_MOST_ROWS]
        for name in ("train", "validation")
    )
    questions, answers = [question_of(r) for r in train], [answer_of(r).strip() for r in train]
    asked = [question_of(r) for r in held]
    known = _overlaps(questions, answers, asked) | _new_words(questions, asked)
    if manifest.labels:
        labels, due = [str(r["label"]) for r in train], [str(r["label"]) for r in held]
        counts = Counter(labels)
        known["label_counts"] = dict(counts)
        known["eval_label_counts"] = dict(Counter(due))
        known["majority_share"] = round(max(counts.values()) / max(1, len(labels)), 4)
        known["answer_in_input_share"] = _told(questions, labels, list(counts))
        known |= _predictable(questions, labels, asked, due)
    return known


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def _overlaps(questions: list[str], answers: list[str], asked: list[str]) -> dict[str, Any]:
    said: dict[str, set[str]] = defaultdict(set)
    plain = [_plain(q) for q in questions]
    for question, answer in zip(plain, answers, strict=True):
        said[question].add(answer)
    conflicting = {q for q, found in said.items() if len(found) > 1}
    return {
        "overlap_rows": sum(_plain(q) in said for q in asked),
        "conflicting_rows": sum(q in conflicting for q in plain),
    }


def _new_words(questions: list[str], asked: list[str]) -> dict[str, Any]:
    """Return the share of unknown words in held-out inputs, and what chance would give."""
    if len(questions) < _LEAST_ROWS or len(asked) < 8:
        return {}
    order = list(range(len(questions)))
    Random(5).shuffle(order)
    apart = min(len(questions) // 4, len(asked))
    some = [_WORD.findall(questions[i].lower()) for i in order[:apart]]
    rest = {w for i in order[apart:] for w in _WORD.findall(questions[i].lower())}
    every = rest.union(*some)
    held = [w for q in asked for w in _WORD.findall(q.lower())]
    usual = [w for words in some for w in words]
    return {
        "unseen_words_share": round(sum(w not in every for w in held) / max(1, len(held)), 4),
        "expected_unseen_words_share": round(
            sum(w not in rest for w in usual) / max(1, len(usual)), 4
        ),
    }


def _told(questions: list[str], labels: list[str], kinds: list[str]) -> float:
    """Return the share of inputs that hold their own label and no other one."""
    names = {label: _plain(label) for label in kinds}
    hits = 0
    for question, label in zip(questions, labels, strict=True):
        padded = f" {_plain(question)} "
        inside = [kind for kind in kinds if names[kind] and f" {names[kind]} " in padded]
        hits += inside == [label]
    return round(hits / max(1, len(questions)), 4)


def _predictable(
    questions: list[str], labels: list[str], asked: list[str], due: list[str]
) -> dict[str, Any]:
    """Return how well counting words gets the labels, out of fold, and which it doubts."""
    # Half a second that only label tasks pay.
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415

    places = list(range(len(questions)))
    Random(7).shuffle(places)
    places = places[:_COUNTED_ROWS]
    if len(places) < _LEAST_ROWS or len(set(labels)) < 2 or not any(q.strip() for q in questions):
        return {}

    def fit(chosen: list[int]) -> Any:
        # Weak regularisation learns a wrong label by heart; this one follows the many.
        words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
        pipeline = make_pipeline(words, LogisticRegression(C=10, max_iter=300))
        return pipeline.fit([questions[i] for i in chosen], [labels[i] for i in chosen])

    right = doubtful = 0
    for fold in range(_FOLDS):
        test = places[fold::_FOLDS]
        rest = [i for k, i in enumerate(places) if k % _FOLDS != fold]
        if len({labels[i] for i in rest}) < 2:
            return {}
        model = fit(rest)
        kinds = list(model.classes_)
        for i, odds in zip(test, model.predict_proba([questions[i] for i in test]), strict=True):
            best = kinds[odds.argmax()]
            own = odds[kinds.index(labels[i])] if labels[i] in kinds else 0.0
            right += best == labels[i]
            doubtful += bool(best != labels[i] and odds.max() >= _SURE and own <= _DENIED)
    known = {"predictable": round(right / len(places), 4),
             "doubtful_share": round(doubtful / len(places), 4)}  # fmt: skip
    if asked:
        said = fit(places).predict(asked)
        hits = sum(a == b for a, b in zip(said, due, strict=True))
        known["eval_predictable"] = round(hits / len(asked), 4)
    return known


def judged_of(values: dict[str, Any], evaluation: Path, template: str | None) -> Judged:
    """Return the judgement as an event.

    Args:
        values: The flat figures, as a job's `metrics` carry them.
        evaluation: The whole judgement's file, from which the answers by label are counted.
        template: Hash of the chat template it was judged with.
    """
    names = set(Judged.model_fields) - {"kind", "predictions", "expected"}
    known: dict[str, Any] = {
        k: v for k, v in values.items()
        if k in names and isinstance(v, int | float) and not isinstance(v, bool)
    }  # fmt: skip
    lost = values.get("forgetting")
    if isinstance(lost, dict) and isinstance(lost.get("value"), int | float):
        # Signed so that more is better; here a rise of the loss counts upwards.
        known["general_loss_rise"] = -float(lost["value"])
    whole = json.loads(evaluation.read_bytes()) if evaluation.is_file() else {}
    labels, table = whole.get("confusion_labels") or [], whole.get("confusion") or []
    if labels and len(table) == len(labels):
        known["expected"] = {
            label: sum(row) for label, row in zip(labels, table, strict=True) if sum(row)
        }
        columns = [sum(column) for column in zip(*table, strict=True)]
        known["predictions"] = dict(zip(labels, columns, strict=False))
    return Judged(**known, template_hash=template)
