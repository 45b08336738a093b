"""Established benchmarks by lm-evaluation-harness: offline, from a task file and rows on this disk.

A task file is data and stays data: tags that load Python are refused, its templates run in
Jinja's sandbox, and its rows come from local files only.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tools.errors import BadInput, Unavailable
from tools.evaluate.compare import compare_rows, mean_estimate
from tools.evaluate.figures import Estimate
from tools.evaluate.judgement import Judgement
from tools.evaluate.metrics import wilson
from tools.evaluate.verdict import Evidence, judge_evidence
from tools.history.spec import TrainingSpec
from tools.work.contenders import Contenders
from tools.work.facts import Floats
from tools.work.load import load_tokenizer
from tools.work.report import Job

_FORMATS = ("json", "csv", "parquet", "text")
_LESS_IS_BETTER = ("perplexity", "bits_per_byte", "loss", "brier_score", "ter")


def judge_benchmark(
    job: Job, spec: TrainingSpec, result: Path, file: Path, *, limit: int | None, seed: int
) -> Judgement:
    """Compare base and tuned model on a benchmark's rows.

    Raises:
        BadInput: The task file is none, loads code, or reads rows from elsewhere.
        Unavailable: lm-evaluation-harness is not installed.
    """
    began = time.monotonic()
    task = read_task(file)
    harness = _harness()
    tokenizer = load_tokenizer(job, spec, adapter=result)
    models = Contenders(job, spec, result)
    found: dict[str, dict[str, Floats]] = {}
    for number, (name, model) in enumerate((("tuned", models.tuned), ("base", models.base))):
        job.progress("evaluate", number, 2)
        job.check_cancelled()
        found[name] = _asked(harness, model(), tokenizer, task, limit)
    models.leave()
    job.progress("evaluate", 2, 2)
    shared = [name for name in found["tuned"] if name in found["base"]]
    if not shared:
        raise BadInput(
            f"{file.name} measures nothing per row.",
            hint="Use a task with a metric such as acc or exact_match.",
        )
    metrics: dict[str, dict[str, Estimate]] = {"base": {}, "tuned": {}}
    differences = []
    for measure in shared:
        pair = found["base"][measure], found["tuned"][measure]
        for model_name, values in zip(("base", "tuned"), pair, strict=True):
            metrics[model_name][measure] = _estimate(values, seed)
        sign = -1.0 if any(word in measure for word in _LESS_IS_BETTER) else 1.0
        differences.append(compare_rows(measure, sign * pair[0], sign * pair[1], seed=seed))
    primary = differences[0]
    verdict = judge_evidence(
        Evidence(
            difference=primary,
            base=metrics["base"][primary.metric],
            tuned=metrics["tuned"][primary.metric],
        )
    )
    return Judgement(
        task=f"benchmark {task['task']}",
        split=None,
        path=str(file),
        n=primary.n,
        primary=primary.metric,
        metrics=metrics,
        difference=primary,
        differences=tuple(differences),
        notes=("Whether rows of this benchmark were trained on was not looked for.",),
        verdict=verdict.word,
        verdict_text=verdict.text,
        seconds=round(time.monotonic() - began, 1),
    )


def read_task(file: Path) -> dict[str, Any]:
    """Return a task's configuration with the places of its rows made absolute.

    Raises:
        BadInput: It is no task, loads code, or reads rows from elsewhere.
    """
    try:
        # The safe loader knows no tag that loads Python.
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(
            f"{file.name} is not a task file that can be read without running code.",
            hint="Use plain YAML; tags such as !function are not supported.",
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("task"), str):
        raise BadInput(f"{file.name} names no task.", hint="Add a line such as `task: my_task`.")
    if config.get("dataset_path") not in _FORMATS or "include" in config:
        raise BadInput(
            f"{file.name} reads rows from elsewhere.",
            hint=f"Use one of {', '.join(_FORMATS)} as dataset_path, and data_files beside it.",
        )
    options = dict(config.get("dataset_kwargs") or {})
    options["data_files"] = _local(options.get("data_files"), file)
    return {**config, "dataset_kwargs": options}


def _local(files: Any, task: Path) -> Any:
    if isinstance(files, dict):
        return {name: _local(part, task) for name, part in files.items()}
    if isinstance(files, list):
        return [_local(part, task) for part in files]
    found = (task.parent / str(files)).resolve()
    beside = found.is_relative_to(task.parent.resolve())
    if "://" in str(files) or not beside or not found.is_file():
        raise BadInput(
            f"The rows {files} of {task.name} do not lie beside it.",
            hint="Put the file beside the task file and name it under dataset_kwargs: data_files.",
        )
    return str(found)


def _harness() -> Any:
    try:
        evaluator = importlib.import_module("lm_eval.evaluator")
        utils = importlib.import_module("lm_eval.utils")
    except ImportError as error:
        raise Unavailable(
            "Benchmarks need lm-evaluation-harness, which is not installed.",
            hint='Install it with `pip install "luthier[benchmarks]"`, then try again.',
        ) from error
    own: Any = utils.env
    boxed = ImmutableSandboxedEnvironment(
        loader=own.loader,
        undefined=own.undefined,
        keep_trailing_newline=own.keep_trailing_newline,
    )
    boxed.filters.update(own.filters)
    vars(utils)["env"] = boxed
    return evaluator


def _asked(
    harness: Any, model: Any, tokenizer: Any, task: dict[str, Any], limit: int | None
) -> dict[str, Floats]:
    """Return measure → score of every row."""
    wrapper = importlib.import_module("lm_eval.models.huggingface").HFLM
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_defaults=False)
    out = harness.simple_evaluate(
        model=wrapper(pretrained=model, tokenizer=tokenizer, batch_size=16),
        tasks=[task],
        task_manager=manager,
        limit=limit,
        bootstrap_iters=0,
        log_samples=True,
    )
    (rows,) = out["samples"].values()
    ordered = sorted(rows, key=lambda row: int(row["doc_id"]))
    names = [name for name in ordered[0]["metrics"] if _is_number(ordered[0].get(name))]
    return {name: np.array([float(row[name]) for row in ordered]) for name in names}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | complex)


def _estimate(values: Floats, seed: int) -> Estimate:
    if np.isin(values, (0.0, 1.0)).all():
        return wilson(float(values.sum()), values.size)
    return mean_estimate(values, seed=seed)
