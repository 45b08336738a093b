"""One timed run of a peer in the peer's own environment: `PEER/bin/python -m … JSON`.

The peer is started by its own entry point with its own defaults; only what the comparison fixes is
told to it. Its call of transformers' `Trainer.train` is what the clock measures: loading, reading
and tokenising stand outside, as for the other trainers.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.benchmarks.speed_clock import Clock, Row, Told, figures, held_out_loss

_TEMPLATE = "same_words"
_ASKED = "### User:\n{{content}}\n### Assistant:\n"


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train with the peer that the case names."""
    held_out: list[Row] = [(ids, labels) for ids, labels in case["held_out"]]
    clock, seen = Clock(), dict[str, Any]()
    real = transformers.Trainer.train

    def timed(self: Any, *arguments: Any, **named: Any) -> Any:
        self.add_callback(Told(clock, held_out, case["eval_steps"]))
        seen["rows"] = [list(row["input_ids"]) for row in self.train_dataset]
        clock.start()
        result = real(self, *arguments, **named)
        clock.stop()
        seen["loss"] = held_out_loss(self.model, held_out)
        seen["steps"] = self.state.global_step
        seen["dtype"] = str(next(self.model.parameters()).dtype).removeprefix("torch.")
        return result

    transformers.Trainer.train = timed
    start = {"llamafactory": _llamafactory, "olive": _olive}[case["trainer"]]
    package = start(case, folder)
    # A peer that read the rows differently would be judged by an unfair yardstick.
    same = sorted(seen["rows"]) == sorted(map(list, case["train_ids"]))
    tokens = sum(map(len, seen["rows"])) * case["epochs"]
    return figures(case, clock, tokens, seen["loss"]) | {
        "version": version(package),
        "steps": seen["steps"],
        "base_in": seen["dtype"],
        "tokens_as_ours": same,
    }


def _warmup(case: dict[str, Any]) -> int:
    return math.ceil(0.05 * math.ceil(case["train_rows"] / case["batch"] * case["epochs"]))


def _llamafactory(case: dict[str, Any], folder: Path) -> str:
    rows = [{"instruction": a, "input": "", "output": b} for a, b in case["texts"]]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    described = {"rows": {"file_name": "rows.json"}}
    (folder / "dataset_info.json").write_text(json.dumps(described), encoding="utf-8")
    template, formatter = (
        import_module(f"llamafactory.data.{name}") for name in ("template", "formatter")
    )
    template.register_template(
        name=_TEMPLATE, format_user=formatter.StringFormatter(slots=[_ASKED])
    )
    options = {
        "stage": "sft", "do_train": True, "finetuning_type": "lora", "use_cpu": True,
        "model_name_or_path": case["model"], "template": _TEMPLATE, "dataset": "rows",
        "dataset_dir": str(folder), "output_dir": str(folder / "out"), "report_to": "none",
        "lora_rank": case["rank"], "lora_alpha": 2 * case["rank"], "lora_target": "all",
        "per_device_train_batch_size": case["batch"], "num_train_epochs": case["epochs"],
        "learning_rate": case["learning_rate"], "lr_scheduler_type": "cosine",
        "warmup_steps": _warmup(case), "seed": case["seed"],
    }  # fmt: skip
    import_module("llamafactory.train.tuner").run_exp(options)
    return "llamafactory"


def _olive(case: dict[str, Any], folder: Path) -> str:
    """Start `olive finetune`, which joins rows end to end: as many of these as hold 16 rows."""
    tokens = sum(map(len, case["train_ids"]))
    joined = max(1, round(case["batch"] * tokens / case["train_rows"] / case["length"]))
    steps = math.ceil(tokens / case["length"] / joined * case["epochs"])
    lines = [json.dumps({"asked": a, "answer": b}) for a, b in case["texts"]]
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    words = _ASKED.replace("{{content}}", "{asked}") + "{answer}</s>"
    import_module("olive.cli.launcher").main(
        [
            "finetune", "--model_name_or_path", case["model"], "--method", "lora",
            "--data_name", "json", "--data_files", str(folder / "rows.jsonl"),
            "--text_template", words.replace("\n", "\\n"), "--max_samples", str(len(lines)),
            "--max_seq_len", str(case["length"]),
            "--lora_r", str(case["rank"]), "--lora_alpha", str(2 * case["rank"]),
            "--target_modules", ",".join(case["targets"]),
            "--output_path", str(folder / "out"),
            "--per_device_train_batch_size", str(joined),
            "--num_train_epochs", str(case["epochs"]),
            "--learning_rate", str(case["learning_rate"]), "--lr_scheduler_type", "cosine",
            "--warmup_steps", str(math.ceil(0.05 * steps)), "--seed", str(case["seed"]),
        ]
    )  # fmt: skip
    return "olive-ai"


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        outcome = run(asked, Path(place))
    print("RESULT " + json.dumps(outcome), flush=True)
