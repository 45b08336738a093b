"""Pasted logs: what programs print is read in many layouts; what people write is no log."""

from __future__ import annotations

import pytest

from tools.context import Context
from tools.diagnose.diagnose import diagnose
from tools.diagnose.loglines import end_of
from tools.diagnose.printed import printed_rows
from tools.diagnose.report import DiagnosisReport

TRAIN = [1.4, 0.7, 0.35, 0.2, 0.1, 0.05]
HELD = [0.98, 0.81, 0.84, 0.97, 1.15, 1.4]


def _codes(report: DiagnosisReport) -> list[str]:
    return [str(cause.code) for cause in report.causes]


def _table(head: str, row: str, between: str = "") -> str:
    rows = [row.format(i=i + 1, a=a, b=b) for i, (a, b) in enumerate(zip(TRAIN, HELD, strict=True))]
    return "\n".join([head, *([between] if between else []), *rows])


LAYOUTS = {
    "markdown": _table("| Epoch | Training Loss | Validation Loss |", "| {i} | {a} | {b} |",
                       "|---|---|---|"),
    "tabs": _table("Step\tTraining Loss\tValidation Loss", "{i}00\t{a}\t{b}"),
    "columns": _table("Epoch   train_loss   val_loss", "{i}   {a}   {b}"),
    "with the time": _table("epoch     train_loss  valid_loss  accuracy  time",
                            "{i}         {a}  {b}  0.81  00:12"),
    "csv": _table("epoch,train_loss,val_loss", "{i},{a},{b}"),
    "bars": _table("starting", "epoch {i} | train loss {a} | val loss {b} | lr 1.0e-4"),
    "dashes": _table("starting", "Epoch {i}/6 - train_loss: {a} - val_loss: {b}"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_are_read_in_every_layout(ctx: Context, layout: str) -> None:
    rows = printed_rows(LAYOUTS[layout])
    assert [row["loss"] for row in rows] == TRAIN
    assert [row["eval_loss"] for row in rows] == HELD
    assert _codes(diagnose(ctx, log=LAYOUTS[layout]))[:1] == ["overfitting"]


def test_a_table_of_losses_is_read_as_events_too(ctx: Context) -> None:
    (ctx.settings.home.parent / "metrics.csv").write_text(LAYOUTS["csv"])
    path = str(ctx.settings.home.parent / "metrics.csv")
    assert _codes(diagnose(ctx, events=path))[:1] == ["overfitting"]


def test_a_log_redirected_on_windows_is_read(ctx: Context) -> None:
    path = ctx.settings.home.parent / "run.log"
    path.write_text("RuntimeError: CUDA out of memory.\n", encoding="utf-16")
    assert _codes(diagnose(ctx, log=str(path))) == ["oom_gpu"]


def test_empty_cells_of_a_table_are_left_out() -> None:
    rows = printed_rows("Step\tTraining Loss\tValidation Loss\n10\tNo log\t1.2\n20\t1.1\t1.0")
    assert rows == [{"step": 10, "eval_loss": 1.2}, {"step": 20, "loss": 1.1, "eval_loss": 1.0}]


@pytest.mark.parametrize(
    "line", ["step 40 | loss nan", "Iter 40: train loss inf, val loss 2.0", "{'loss': nan}"]
)
def test_a_loss_printed_as_no_number_is_seen(ctx: Context, line: str) -> None:
    log = f"step 20 | loss 1.5\nstep 30 | loss 1.4\n{line}\n"
    assert _codes(diagnose(ctx, log=log))[:1] == ["nan_loss"]


def test_the_mean_in_the_last_line_of_transformers_is_no_loss() -> None:
    log = "{'loss': 0.2, 'epoch': 1.0}\n{'train_runtime': 9.0, 'train_loss': 1.6, 'epoch': 1.0}"
    assert printed_rows(log) == [{"loss": 0.2, "epoch": 1.0}]


@pytest.mark.parametrize(
    "text",
    [
        "How to avoid CUDA out of memory: a tutorial. We learn why people see it, and what helps.",
        "My back is full of pain, the driver of the bus was too old, and then, as if that were not "
        "enough for a day, the checkpoint at the border was broken.",
        "def train():\n    loss = 0.0\n    try:\n        step()\n"
        "    except torch.cuda.OutOfMemoryError:\n        print('CUDA out of memory')\n",
        "10:00:01 GET /login 401 31\n10:00:02 GET /admin 403 44\n",
        "wandb: ERROR 401 Client Error: Unauthorized for url https://api.wandb.ai/graphql",
    ],
)
def test_prose_source_and_other_logs_name_no_cause(ctx: Context, text: str) -> None:
    report = diagnose(ctx, log=text)
    assert _codes(report) == []
    assert report.healthy is None


@pytest.mark.parametrize(
    ("log", "code"),
    [
        ("[launch.py:322:sigkill_handler] Killing subprocess 41\nexits with return code = 1", None),
        ("[launch.py:322:sigkill_handler] Killing subprocess 41\nexits with return code = -9",
         "oom_ram"),
        (" exitcode  : -9 (pid: 87)", "oom_ram"),
        ("zsh: killed     python train.py", "oom_ram"),
        ("Failed to initialize NVML: Driver/library version mismatch", "driver_mismatch"),
        ("RuntimeError: PytorchStreamWriter failed writing file data/7: file write failed",
         "disk_full"),
        ("FloatingPointError: Minimum loss scale reached (0.0001).", "nan_loss"),
        ("Tokenizing train dataset:  3%| | 3000/100000 [12:10<6:33:01, 4.1 examples/s]",
         "tokenizer_bound"),
        ("UserWarning: pad_token is eos_token: the model will not learn to stop",
         "pad_eos_confusion"),
        ("Watchdog caught collective operation timeout: WorkNCCL(OpType=ALLREDUCE)", None),
    ],
)  # fmt: skip
def test_wordings_of_libraries(ctx: Context, log: str, code: str | None) -> None:
    assert _codes(diagnose(ctx, log=log))[:1] == ([code] if code else [])


def test_lines_too_long_for_a_log_are_cut_before_rules_read_them(ctx: Context) -> None:
    line = "merge unexpected key checkpoint {loss: " * 20_000
    assert len(end_of(line)) < 5_000
    assert _codes(diagnose(ctx, log=f"{line}\nnothing else")) == []


def test_bars_that_overwrite_their_line_end_lines() -> None:
    assert end_of("10%\r20%\r\nCUDA").split("\n") == ["10%", "20%", "CUDA"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("loss is stuck at 0.0", "zero_loss"),
        ("the loss is stuck at 2.3", "lr_too_low"),
        ("it says 'billing' for everything", "class_collapse"),
        ("my accuracy is 100 %, too good?", "leakage"),
        ("the process was killed", "oom_ram"),
        ("it answers nothing, just blank text", "template_mismatch"),
        ("after int4 export the answers are rubbish", "quantisation_loss"),
        ("my graphics card is idle most of the time", "loader_bound"),
        ("it does great on train but terrible on new tickets", "overfitting"),
        ("answers never come to an end", "untrained_stop"),
        ("whatever I type it replies 'delivery'", "class_collapse"),
        ("hf says I have no access to gemma", "gated_model"),
        ("the model gives the same replies as before tuning", "adapter_not_applied"),
        ("results are poor", None),
        ("no test steps beforehand, go straight in", None),
        ("I forgot to say: keep duplicates", None),
    ],
)
def test_words_of_people_name_a_symptom(ctx: Context, said: str, code: str | None) -> None:
    report = diagnose(ctx, question=said)
    assert _codes(report)[:1] == ([code] if code else [])
    assert report.asks
