"""Cures of memory, time and export."""

from __future__ import annotations

from tools.diagnose.changes import Changes, changed, has_adapter
from tools.diagnose.evidence import Run
from tools.diagnose.report import Cure


def memory(run: Run) -> Cure:
    """Use less memory, first where it costs only time."""
    batch, many = run.number("batch_size"), int(run.number("gradient_accumulation") or 1)
    changes = changed(run, gradient_checkpointing=True)
    if batch and batch > 1:
        rows = int(batch) * many
        micro = 1 if rows <= 16 or batch <= 4 else max(1, int(batch) // 4)
        changes |= changed(run, batch_size=micro, gradient_accumulation=max(1, rows // micro))
    elif not batch:
        changes |= changed(run, batch_size=1, gradient_accumulation=16)
    method = str(run.spec.get("method") or "")
    if method == "full":
        changes |= changed(run, method="lora")
    elif batch == 1 and run.spec.get("gradient_checkpointing"):
        if method in ("lora", "dora", "rslora"):
            changes |= changed(run, method="qlora")
        limit = run.number("max_length")
        if limit and limit > 512 and method == "qlora":
            changes |= changed(run, max_length=int(limit) // 2)
    return Cure(
        changes=changes,
        predicted="Activations shrink with the batch and with checkpointing, often to a quarter or "
        "less; the effective batch, and so the result, stays the same.",
        why="First what costs only time: checkpointing, and a smaller batch with as much more "
        "accumulation; then LoRA or QLoRA; then more devices (ZeRO, FSDP).",
    )


def oom_eval(run: Run) -> Cure:
    """Evaluate in smaller batches."""
    changes = memory(run).changes
    return Cure(
        changes={k: v for k, v in changes.items() if k in ("batch_size", "gradient_accumulation")},
        predicted="Evaluation should need no more than a training step.",
        why="Evaluation keeps logits of whole batches; smaller ones keep less.",
        todo="Evaluate in smaller batches, and keep only losses or the chosen labels, not logits, "
        "on the device.",
    )


def oom_checkpoint(run: Run) -> Cure:
    """Save less at once."""
    return Cure(
        changes=changed(run, method="lora") if not has_adapter(run) else {},
        predicted="Saving should need little more memory than a step.",
        why="A whole copy of weights and optimiser state is gathered when a checkpoint is written; "
        "an adapter's is small.",
        todo="Save the adapter only, or sharded without gathering, and less often.",
    )


def growth(run: Run) -> Cure:
    """Let go of what each step makes."""
    return Cure(
        predicted="Memory should be level after the first tenth of the run.",
        why="Something keeps what each step makes: a list of losses that still hold their graph, "
        "logits kept for metrics, a cache, or loader workers that copy the data.",
        todo="Keep `float(loss)` instead of `loss`, keep no logits, set the cache off in training, "
        "and resume from the last checkpoint.",
    )


def fragments(run: Run) -> Cure:
    """Leave fewer holes."""
    changes: Changes = {}
    if run.spec.get("batching") == "padded":
        changes |= changed(run, batching="grouped")
    batch = int(run.number("batch_size") or 0)
    if batch > 1:
        many = int(run.number("gradient_accumulation") or 1)
        changes |= changed(
            run, batch_size=batch // 2, gradient_accumulation=many * batch // (batch // 2)
        )
    return Cure(
        changes=changes,
        predicted="Reserved memory should come within a fifth of what is in use.",
        why="Batches of ever new lengths leave holes that no tensor fits into.",
        todo="Set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, and use batches of similar "
        "length.",
    )


def padding(run: Run) -> Cure:
    """Batch rows of similar length."""
    share = run.curve("padding_share").mean if run.curve("padding_share") else None
    share = share or run.number("padding_share") or 0.5
    new = "packed" if run.spec.get("batching") == "grouped" else "grouped"
    return Cure(
        changes={"batching": (run.spec.get("batching") or "padded", new)},
        predicted=f"Up to {1 / max(0.05, 1 - share):.1f} times as many real tokens a second.",
        why="Rows of similar length in a batch, or rows packed end to end, leave little to fill.",
    )


def loader(run: Run) -> Cure:
    """Make batches beside the training."""
    share = run.curve("data_wait_share").mean if run.curve("data_wait_share") else 0.3
    return Cure(
        predicted=f"Up to {1 / max(0.1, 1 - share):.1f} times the steps a second.",
        why="The device waits while batches are made one after the other.",
        todo="Let 2 to 4 loader workers make batches beside the training, pin memory, and tokenise "
        "before the run.",
    )


def tokenizer(run: Run) -> Cure:
    """Tokenise faster, and once."""
    return Cure(
        predicted="Tokenising should take a few per cent of the run.",
        why="A fast tokenizer works on all cores, and its result can be kept.",
        todo="Use the fast (Rust) tokenizer on whole batches, over several processes, once, and "
        "keep the result.",
    )


def mixed(run: Run) -> Cure:
    """Compute in 16 bits."""
    new = "float16" if run.setup.get("bfloat16") is False else "bfloat16"
    return Cure(
        changes=changed(run, precision=new),
        predicted="About twice the tokens a second in half the memory for activations.",
        why="The card computes 16-bit numbers several times faster; bfloat16 has float32's range.",
    )


def less_evaluation(run: Run) -> Cure:
    """Evaluate less often."""
    every = int(run.number("eval_steps") or max(1, run.total_steps // 20))
    total = max(run.total_steps, int(run.number("max_steps") or 0))
    new = max(4 * every, total // 8) if total else 4 * every
    return Cure(
        changes=changed(run, eval_steps=max(1, new)),
        predicted=f"Evaluation should take about {every / max(1, new):.0%} of the time it took.",
        why="Eight evaluations show a curve as well as eighty do.",
        todo="Judge on some hundred held-out rows during training, on all of them at the end.",
    )


def bigger_batch(run: Run) -> Cure:
    """Give each step more rows."""
    batch = int(run.number("batch_size") or 1)
    used = run.curve("memory_gib").highest if run.curve("memory_gib") else None
    limit = run.number("memory_limit_gib")
    room = bool(used and limit and used < 0.5 * limit) or not run.on_gpu
    new = 8 if room else batch
    changes = changed(run, batch_size=new) if new != batch else {}
    rows = new * int(run.number("gradient_accumulation") or 1)
    if rows < 16:
        changes |= changed(run, gradient_accumulation=max(1, 16 // new))
    return Cure(
        changes=changes,
        predicted="A calmer loss, and more tokens a second where the device was idle.",
        why="A gradient of one or two rows is mostly noise, and a device with so little to do "
        "waits; the learning rate may rise with the batch.",
        todo="" if changes else "Raise the batch as far as memory allows.",
    )


def exported(run: Run) -> Cure:
    """Merge into the unquantised base."""
    return Cure(
        predicted="Merged and tuned model should give the same answers.",
        why="Merging into weights of 4 or 8 bits rounds the adapter away.",
        todo="Merge into the unquantised base in float32 or bfloat16, then quantise if needed: "
        "`luthier export JOB --format merged` does.",
    )


def quantised(run: Run) -> Cure:
    """Keep more bits."""
    return Cure(
        changes={"precision": ("int4", "fp32")},
        capability="export_model",
        predicted="The answers should be those of the tuned model; the file is larger.",
        why="Small models lose most in four bits; int4 should cost one to three points, not more.",
    )
