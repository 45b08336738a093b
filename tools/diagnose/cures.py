"""A cure for every cause: what to change in the plan, why, and the effect to expect.

The order and choice for the four troubles that the mission names (overfitting, memory, slowness,
poor results) are those of its own table: for overfitting rank, alpha, dropout 0.1, weight decay
0.01, early stopping, more data; for memory checkpointing, accumulation (batch 1 × 16), LoRA or
QLoRA, more devices; for slowness loader workers, mixed precision, batching, more devices, fused
optimiser; for poor results data and format first, then rate and duration, then the base model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tools.diagnose.evidence import Run
from tools.diagnose.rates import rate_of, usual_rate
from tools.diagnose.report import Code, Cure

Changes = dict[str, tuple[Any, Any]]


def cure_of(run: Run, code: Code) -> Cure:
    """Return the cure of a cause for this very run."""
    return _CURES[code](run)


def _set(run: Run, **new: Any) -> Changes:
    """Return the changes that are changes."""
    return {
        name: (run.spec.get(name), value)
        for name, value in new.items()
        if value is not None and run.spec.get(name) != value
    }


def _nice(rate: float) -> float:
    """Round a rate to one or two figures, as people write them."""
    if rate <= 0:
        return rate
    power = 10.0 ** math.floor(math.log10(rate))
    return float(f"{round(rate / power * 2) / 2 * power:.2g}")


def _adapter(run: Run) -> bool:
    return str(run.spec.get("method") or "lora") != "full"


def _overfitting(run: Run) -> Cure:
    rank, epochs = run.number("rank"), run.number("epochs")
    changes: Changes = {}
    if _adapter(run):
        lower = max(4, int(min(rank / 4, 16))) if rank and rank > 4 else None
        if lower:
            changes |= _set(run, rank=lower, alpha=2 * lower)
        changes |= _set(run, dropout=max(0.1, run.number("dropout") or 0.0))
    changes |= _set(run, weight_decay=max(0.01, run.number("weight_decay") or 0.0))
    best, total = _best_step(run), run.total_steps
    if run.spec.get("max_steps") and best and total > 1.3 * best:
        changes |= _set(run, max_steps=max(1, math.ceil(1.15 * best)))
    elif epochs and best and total > 1.3 * best:
        changes |= _set(run, epochs=max(0.5, math.ceil(20 * epochs * best / total * 1.15) / 20))
    changes |= _set(run, early_stopping_patience=run.spec.get("early_stopping_patience") or 3)
    lowest = min(run.eval_loss.values, default=None)
    ends = f"near {lowest:.3g}, its lowest so far, or below" if lowest else "at its lowest"
    return Cure(
        changes=changes,
        predicted=f"The validation loss should end {ends}.",
        why="A smaller adapter with dropout and weight decay can learn less by heart, and the run "
        "ends before it does; more or more varied rows help most of all.",
        todo="Add more, and more varied, rows if you can.",
    )


def _best_step(run: Run) -> int:
    return run.eval_loss.lowest_step if run.eval_loss else 0


def _underfitting(run: Run) -> Cure:
    epochs, steps, rank = run.number("epochs"), run.number("max_steps"), run.number("rank")
    changes: Changes = {}
    rate, usual = rate_of(run).rate, usual_rate(run)
    if rate and rate < 0.5 * usual:
        changes |= _set(run, learning_rate=_nice(usual))
    if steps:
        changes |= _set(run, max_steps=int(steps * (4 if steps < 100 else 3)))
    else:
        changes |= _set(run, epochs=round(max(3.0, 3 * (epochs or 1.0)), 2))
    if _adapter(run) and rank and rank < 8:
        changes |= _set(run, rank=16, alpha=32)
    return Cure(
        changes=changes,
        predicted="The training loss should go on falling, and the validation loss with it.",
        why="It was still learning when it ended: more steps, and an adapter that is large enough.",
    )


def _lower_rate(run: Run) -> Cure:
    rate, usual = rate_of(run).rate, usual_rate(run)
    new = min(usual, rate / 10) if rate and rate > 2 * usual else (rate or usual) / 5
    if rate and rate > 2 * usual:
        new = usual
    changes = _set(run, learning_rate=_nice(new))
    if (run.number("warmup_ratio") or 0.0) < 0.05:
        changes |= _set(run, warmup_ratio=0.1)
    return Cure(
        changes=changes,
        predicted="The loss should fall steadily from the first steps, without jumps.",
        why="Steps this large overshoot; the usual rate for this method and size, reached through "
        "a warm-up, does not.",
    )


def _raise_rate(run: Run) -> Cure:
    return Cure(
        changes=_set(run, learning_rate=_nice(usual_rate(run))),
        predicted="The loss should fall visibly within the first tenth of the steps.",
        why="Steps this small hardly move the weights; this is the usual rate for the method and "
        "the model's size.",
    )


def _nan(run: Run) -> Cure:
    changes: Changes = {}
    if run.spec.get("precision") == "float16":
        changes |= _set(run, precision="bfloat16" if run.setup.get("bfloat16") else "float32")
    rate, usual = rate_of(run).rate, usual_rate(run)
    if rate and rate > 3 * usual:
        changes |= _set(run, learning_rate=_nice(usual))
    elif not changes and rate:
        changes |= _set(run, learning_rate=_nice(rate / 5))
    if (run.number("warmup_ratio") or 0.0) < 0.05:
        changes |= _set(run, warmup_ratio=0.1)
    return Cure(
        changes=changes,
        predicted="The loss should stay a number to the end.",
        why="float16 overflows above 65,504, and large steps get there sooner; a wider format, "
        "smaller steps and a warm-up avoid it.",
    )


def _zero(run: Run) -> Cure:
    changes: Changes = {}
    if run.spec.get("batching") == "packed":
        changes |= _set(run, batching="grouped")
    if run.spec.get("precision") in ("bfloat16", "float16"):
        changes |= _set(run, precision="float32")
    return Cure(
        changes=changes,
        predicted="The first loss should lie well above zero and fall from there.",
        why="Packed rows with plain attention in 16 bits, or labels that are all masked, give "
        "exactly zero.",
        todo="Look at what is trained, token by token: `luthier inspect FILE --lens`.",
    )


def _constant(run: Run) -> Cure:
    changes = _set(run, target_modules="all-linear") if _adapter(run) else {}
    if not run.number("learning_rate") or rate_of(run).surely_below > 30:
        changes |= _set(run, learning_rate=_nice(usual_rate(run)))
    return Cure(
        changes=changes,
        predicted="The gradient norm should be above zero, and the loss should move.",
        why="No trained weight takes part in the loss, or its steps are zero.",
        todo="Check that the method's target modules exist in this model.",
    )


def _mask(run: Run) -> Cure:
    return Cure(
        changes=_set(run, objective="prompt_completion")
        if run.spec.get("objective") == "text"
        else {},
        predicted="The answers' tokens, and only those, should count in the loss.",
        why="The model learns exactly the tokens that count in the loss.",
        todo="Name the columns of question and answer (`--input-column`, `--output-column`), and "
        "look at the mask with `luthier inspect FILE --lens`.",
    )


def _stop(run: Run) -> Cure:
    changes: Changes = {}
    if run.number("truncated_share") or run.number("answers_cut_share"):
        changes = _longer(run)
    return Cure(
        changes=changes,
        predicted="Answers should end by themselves in at least nine of ten cases.",
        why="A model stops only where its end token was part of what it was trained on.",
        todo="Train again with Luthier's own masks, which always train the end token, and ask with "
        "the same template.",
    )


def _pad(run: Run) -> Cure:
    return Cure(
        predicted="The end token should count in the loss of every answer.",
        why="Where padding and end are one token, masking padding by its id masks the end too.",
        todo="Give the tokenizer a padding token of its own, or mask padding by position, as "
        "Luthier does; then train again.",
    )


def _template(run: Run) -> Cure:
    return Cure(
        changes=_set(run, template=None) if run.spec.get("template") else {},
        predicted="Held-out loss should be the same in training and when asked afterwards.",
        why="A tuned model knows its task only in the form that it was trained on.",
        todo="Use the model's own chat template for training, evaluation and export alike; the "
        "tuned folder holds the one it was trained with.",
    )


def _longer(run: Run) -> Changes:
    limit = int(run.number("max_length") or 512)
    longest = run.number("tokens_longest") or run.gates.get("labels", {}).get("longest_tokens")
    p95 = run.number("tokens_p95")
    wanted = float(longest) if longest and longest > limit else (p95 or 2 * limit)
    wanted = max(wanted, 2 * limit if not longest or longest <= limit else wanted)
    context = run.number("context_tokens")
    new = int(math.ceil(min(wanted, 8192) / 32) * 32)
    new = min(new, int(context)) if context else new
    return _set(run, max_length=new) if new > limit else {}


def _truncation(run: Run) -> Cure:
    changes = _longer(run)
    batch = run.number("batch_size")
    if changes and batch and batch > 1 and run.on_gpu:
        many = int(run.number("gradient_accumulation") or 1)
        half = max(1, int(batch) // 2)
        changes |= _set(run, batch_size=half, gradient_accumulation=many * int(batch) // half)
    return Cure(
        changes=changes,
        predicted="Fewer than 2 % of the rows should be cut, and no answer.",
        why="What is cut off cannot be learned; longer rows cost memory, so a batch may have to be "
        "smaller.",
        todo="" if changes else "Shorten or split the long rows: the model reads no more at once.",
    )


def _noise(run: Run) -> Cure:
    changes = _set(run, loss="label_smoothing") if run.is_label_task else {}
    epochs = run.number("epochs")
    if epochs and epochs > 2:
        changes |= _set(run, epochs=2.0)
    return Cure(
        changes=changes,
        predicted="With clean labels accuracy should rise well above the most frequent label's "
        "share; smoothing and fewer epochs only keep the model from learning the errors by heart.",
        why="Quality of data comes before everything else: no setting makes wrong answers right.",
        todo="Look at the rows that `luthier inspect` names and correct their answers first.",
    )


def _leakage(run: Run) -> Cure:
    return Cure(
        changes=_set(run, dedupe=True),
        predicted="The held-out figures should fall to what new rows will see.",
        why="A row that was trained on says nothing about new ones.",
        todo="Prepare the data again so that equal rows stand on one side of the split, drop a "
        "column that gives the answer away, or judge on a file of new rows.",
    )


def _collapse(run: Run) -> Cure:
    changes = _set(run, loss="focal") if run.is_label_task else {}
    epochs = run.number("epochs")
    if epochs and not run.spec.get("max_steps"):
        changes |= _set(run, epochs=max(4.0, 2 * epochs))
    elif run.spec.get("max_steps"):
        changes |= _set(run, max_steps=2 * int(run.spec["max_steps"]))
    return Cure(
        changes=changes,
        predicted="Macro F1 should rise as the rarer labels are said too.",
        why="A loss that weighs what is still wrong, and more passes, teach the rarer labels; more "
        "of their rows teach them best.",
        todo="Add rows of the rarer labels, or thin out the most frequent one.",
    )


def _forgetting(run: Run) -> Cure:
    rate, usual = rate_of(run).rate, usual_rate(run)
    changes: Changes = {}
    if not _adapter(run):
        changes |= _set(run, method="lora", rank=16, alpha=32)
        changes |= _set(run, learning_rate=_nice(usual_rate(Run(spec=run.spec | {"method": "lora"},
                                                                setup=run.setup))))  # fmt: skip
    elif rate:
        changes |= _set(run, learning_rate=_nice(min(rate / 3, usual)))
    epochs = run.number("epochs")
    if epochs and epochs > 2:
        changes |= _set(run, epochs=round(max(1.0, epochs / 2), 2))
    elif run.spec.get("max_steps"):
        changes |= _set(run, max_steps=max(1, int(run.spec["max_steps"]) // 2))
    return Cure(
        changes=changes,
        predicted="The loss on general text should rise by less than half of what it rose.",
        why="An adapter with a small rate leaves most of the base as it was.",
        todo="Mix in rows of the general kind that must not be lost.",
    )


def _shift(run: Run) -> Cure:
    return Cure(
        changes=_set(run, eval_fraction=run.number("eval_fraction") or 0.15),
        predicted="Validation and training loss should start close to each other.",
        why="Held-out rows must come from the same source as those trained on.",
        todo="Put all rows into one file and let Luthier split it: shuffled, and by label in equal "
        "shares.",
    )


def _memory(run: Run) -> Cure:
    batch, many = run.number("batch_size"), int(run.number("gradient_accumulation") or 1)
    changes = _set(run, gradient_checkpointing=True)
    if batch and batch > 1:
        rows = int(batch) * many
        micro = 1 if rows <= 16 or batch <= 4 else max(1, int(batch) // 4)
        changes |= _set(run, batch_size=micro, gradient_accumulation=max(1, rows // micro))
    elif not batch:
        changes |= _set(run, batch_size=1, gradient_accumulation=16)
    method = str(run.spec.get("method") or "")
    if method == "full":
        changes |= _set(run, method="lora")
    elif batch == 1 and run.spec.get("gradient_checkpointing"):
        if method in ("lora", "dora", "rslora"):
            changes |= _set(run, method="qlora")
        limit = run.number("max_length")
        if limit and limit > 512 and method == "qlora":
            changes |= _set(run, max_length=int(limit) // 2)
    return Cure(
        changes=changes,
        predicted="Activations shrink with the batch and with checkpointing, often to a quarter or "
        "less; the effective batch, and so the result, stays the same.",
        why="First what costs only time: checkpointing, and a smaller batch with as much more "
        "accumulation; then LoRA or QLoRA; then more devices (ZeRO, FSDP).",
    )


def _oom_eval(run: Run) -> Cure:
    changes = _memory(run).changes
    return Cure(
        changes={k: v for k, v in changes.items() if k in ("batch_size", "gradient_accumulation")},
        predicted="Evaluation should need no more than a training step.",
        why="Evaluation keeps logits of whole batches; smaller ones keep less.",
        todo="Evaluate in smaller batches, and keep only losses or the chosen labels, not logits, "
        "on the device.",
    )


def _oom_checkpoint(run: Run) -> Cure:
    return Cure(
        changes=_set(run, method="lora") if not _adapter(run) else {},
        predicted="Saving should need little more memory than a step.",
        why="A whole copy of weights and optimiser state is gathered when a checkpoint is written; "
        "an adapter's is small.",
        todo="Save the adapter only, or sharded without gathering, and less often.",
    )


def _growth(run: Run) -> Cure:
    return Cure(
        predicted="Memory should be level after the first tenth of the run.",
        why="Something keeps what each step makes: a list of losses that still hold their graph, "
        "logits kept for metrics, a cache, or loader workers that copy the data.",
        todo="Keep `float(loss)` instead of `loss`, keep no logits, set the cache off in training, "
        "and resume from the last checkpoint.",
    )


def _fragments(run: Run) -> Cure:
    changes: Changes = {}
    if run.spec.get("batching") == "padded":
        changes |= _set(run, batching="grouped")
    batch = int(run.number("batch_size") or 0)
    if batch > 1:
        many = int(run.number("gradient_accumulation") or 1)
        changes |= _set(
            run, batch_size=batch // 2, gradient_accumulation=many * batch // (batch // 2)
        )
    return Cure(
        changes=changes,
        predicted="Reserved memory should come within a fifth of what is in use.",
        why="Batches of ever new lengths leave holes that no tensor fits into.",
        todo="Set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, and use batches of similar "
        "length.",
    )


def _padding(run: Run) -> Cure:
    share = run.curve("padding_share").mean if run.curve("padding_share") else None
    share = share or run.number("padding_share") or 0.5
    new = "packed" if run.spec.get("batching") == "grouped" else "grouped"
    return Cure(
        changes={"batching": (run.spec.get("batching") or "padded", new)},
        predicted=f"Up to {1 / max(0.05, 1 - share):.1f} times as many real tokens a second.",
        why="Rows of similar length in a batch, or rows packed end to end, leave little to fill.",
    )


def _loader(run: Run) -> Cure:
    share = run.curve("data_wait_share").mean if run.curve("data_wait_share") else 0.3
    return Cure(
        predicted=f"Up to {1 / max(0.1, 1 - share):.1f} times the steps a second.",
        why="The device waits while batches are made one after the other.",
        todo="Let 2 to 4 loader workers make batches beside the training, pin memory, and tokenise "
        "before the run.",
    )


def _tokenizer(run: Run) -> Cure:
    return Cure(
        predicted="Tokenising should take a few per cent of the run.",
        why="A fast tokenizer works on all cores, and its result can be kept.",
        todo="Use the fast (Rust) tokenizer on whole batches, over several processes, once, and "
        "keep the result.",
    )


def _mixed(run: Run) -> Cure:
    new = "float16" if run.setup.get("bfloat16") is False else "bfloat16"
    return Cure(
        changes=_set(run, precision=new),
        predicted="About twice the tokens a second in half the memory for activations.",
        why="The card computes 16-bit numbers several times faster; bfloat16 has float32's range.",
    )


def _less_evaluation(run: Run) -> Cure:
    every = int(run.number("eval_steps") or max(1, run.total_steps // 20))
    total = max(run.total_steps, int(run.number("max_steps") or 0))
    new = max(4 * every, total // 8) if total else 4 * every
    return Cure(
        changes=_set(run, eval_steps=max(1, new)),
        predicted=f"Evaluation should take about {every / max(1, new):.0%} of the time it took.",
        why="Eight evaluations show a curve as well as eighty do.",
        todo="Judge on some hundred held-out rows during training, on all of them at the end.",
    )


def _bigger_batch(run: Run) -> Cure:
    batch = int(run.number("batch_size") or 1)
    used = run.curve("memory_gib").highest if run.curve("memory_gib") else None
    limit = run.number("memory_limit_gib")
    room = bool(used and limit and used < 0.5 * limit) or not run.on_gpu
    new = 8 if room else batch
    changes = _set(run, batch_size=new) if new != batch else {}
    rows = new * int(run.number("gradient_accumulation") or 1)
    if rows < 16:
        changes |= _set(run, gradient_accumulation=max(1, 16 // new))
    return Cure(
        changes=changes,
        predicted="A calmer loss, and more tokens a second where the device was idle.",
        why="A gradient of one or two rows is mostly noise, and a device with so little to do "
        "waits; the learning rate may rise with the batch.",
        todo="" if changes else "Raise the batch as far as memory allows.",
    )


def _outside(predicted: str, why: str, todo: str) -> Callable[[Run], Cure]:
    def cure(run: Run) -> Cure:
        return Cure(predicted=predicted, why=why, todo=todo)

    return cure


def _exported(run: Run) -> Cure:
    return Cure(
        predicted="Merged and tuned model should give the same answers.",
        why="Merging into weights of 4 or 8 bits rounds the adapter away.",
        todo="Merge into the unquantised base in float32 or bfloat16, then quantise if needed: "
        "`luthier export JOB --format merged` does.",
    )


def _quantised(run: Run) -> Cure:
    return Cure(
        changes={"precision": ("int4", "fp32")},
        capability="export_model",
        predicted="The answers should be those of the tuned model; the file is larger.",
        why="Small models lose most in four bits; int4 should cost one to three points, not more.",
    )


_CURES: dict[Code, Callable[[Run], Cure]] = {
    "overfitting": _overfitting,
    "underfitting": _underfitting,
    "lr_too_high": _lower_rate,
    "divergence": _lower_rate,
    "lr_too_low": _raise_rate,
    "nan_loss": _nan,
    "zero_loss": _zero,
    "constant_loss": _constant,
    "empty_mask": _mask,
    "wrong_mask": _mask,
    "untrained_stop": _stop,
    "pad_eos_confusion": _pad,
    "template_mismatch": _template,
    "truncation": _truncation,
    "label_noise": _noise,
    "leakage": _leakage,
    "class_collapse": _collapse,
    "forgetting": _forgetting,
    "eval_shift": _shift,
    "oom_gpu": _memory,
    "oom_ram": _memory,
    "oom_eval": _oom_eval,
    "oom_checkpoint": _oom_checkpoint,
    "memory_growth": _growth,
    "fragmentation": _fragments,
    "padding_waste": _padding,
    "loader_bound": _loader,
    "tokenizer_bound": _tokenizer,
    "no_mixed_precision": _mixed,
    "eval_dominates": _less_evaluation,
    "tiny_batch": _bigger_batch,
    "disk_full": _outside(
        "The run can go on from its last checkpoint.",
        "Checkpoints, caches and exports fill a disk; old ones can go.",
        "Free some space (`luthier forget JOB` deletes a run's files), then `luthier resume JOB`.",
    ),
    "bad_checkpoint": _outside(
        "The run goes on from the newest checkpoint that is whole.",
        "A file that was cut off while being written cannot be read back.",
        "Resume from an earlier checkpoint (`luthier resume JOB` takes the newest valid one), or "
        "start again; check that the disk was not full.",
    ),
    "adapter_not_applied": _outside(
        "The tuned model's answers should differ from its base's.",
        "An adapter fits only the base it was trained on: same model, same module names.",
        "Load the adapter onto the very base it was trained on, and check the names of its target "
        "modules; train again if they do not match.",
    ),
    "merge_loss": _exported,
    "quantisation_loss": _quantised,
    "gated_model": _outside(
        "The download should start.",
        "The owners ask everyone to accept a licence first.",
        "Accept the licence on the model's page, set HF_TOKEN, or choose an open model "
        "(`luthier models`).",
    ),
    "driver_mismatch": _outside(
        "`luthier doctor` should pass its training step.",
        "PyTorch is built for one CUDA version, and that needs a driver at least as new.",
        "Update the NVIDIA driver, or install the PyTorch build for the driver that is there; "
        "`luthier doctor` names both.",
    ),
}
TITLES: dict[Code, str] = {
    "overfitting": "It overfits: rows are learned by heart",
    "underfitting": "It learned too little",
    "lr_too_high": "The learning rate is too high",
    "lr_too_low": "The learning rate is too low",
    "divergence": "The loss diverged",
    "nan_loss": "The loss is not a number",
    "zero_loss": "The loss is exactly zero",
    "constant_loss": "The loss does not move at all",
    "empty_mask": "Nothing is trained: every label is masked",
    "wrong_mask": "The wrong tokens are trained",
    "untrained_stop": "The end of answers was not trained",
    "template_mismatch": "Rows are written one way to train and another way to ask",
    "pad_eos_confusion": "Padding hides the end token",
    "truncation": "Rows are cut off",
    "label_noise": "Many answers in the data are wrong",
    "leakage": "Held-out rows are known from training",
    "class_collapse": "It says one label for everything",
    "forgetting": "It forgot what it could do before",
    "eval_shift": "Held-out rows are not like the training rows",
    "oom_gpu": "The GPU's memory ran out",
    "oom_ram": "The machine's memory ran out",
    "oom_eval": "Memory ran out while evaluating",
    "oom_checkpoint": "Memory ran out while saving a checkpoint",
    "memory_growth": "Memory grows from step to step",
    "fragmentation": "GPU memory is fragmented",
    "padding_waste": "Most of each batch is padding",
    "loader_bound": "Training waits for its data",
    "tokenizer_bound": "Tokenising takes most of the time",
    "no_mixed_precision": "It computes in full precision on a GPU",
    "eval_dominates": "Evaluating takes most of the time",
    "tiny_batch": "The batch is too small",
    "disk_full": "The disk is full",
    "bad_checkpoint": "A checkpoint cannot be read",
    "adapter_not_applied": "The adapter has no effect",
    "merge_loss": "Merging lost what was tuned",
    "quantisation_loss": "Quantising lost what was tuned",
    "gated_model": "The model needs its owners' permission",
    "driver_mismatch": "Driver, CUDA and PyTorch do not fit each other",
}
