"""What memory and time say: growth, fragmentation, and where a slow run loses its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from tools.diagnose.evidence import Run
from tools.diagnose.suspicion import Suspicion, ramp, suspect

_FEW = 10


def growing(run: Run) -> Iterator[Suspicion]:
    """Memory that rises from step to step."""
    curve = run.curve("memory_gib")
    if len(curve) < 8:
        return
    settled = curve.part(0.2, 1.0)
    growth, fit = settled.trend()
    start = median(settled.values[: max(1, len(settled) // 8)])
    halves = settled.part(0.5, 1.0).mean - settled.part(0.0, 0.5).mean
    late = settled.part(0.8, 1.0).mean - settled.part(0.55, 0.75).mean
    if growth < 0.12 * max(start, 0.3) or growth < 0.05 or fit < 0.85 or halves <= 0:
        return
    if late < 0.1 * growth:
        return
    limit = run.number("memory_limit_gib") or next(
        (v for v in reversed(run.curve("memory_limit_gib").values)), None
    )
    room = f" of {limit:.3g} GiB" if limit else ""
    yield suspect(
        "memory_growth",
        ramp(growth / max(start, 0.3), 0.12, 0.6, 0.6, 0.95),
        f"Memory rose from {settled.values[0]:.3g} to {settled.values[-1]:.3g} GiB{room} between "
        f"steps {settled.steps[0]} and {settled.steps[-1]}, and is still rising.",
        steps=[settled.steps[0], settled.steps[-1]],
        first_gib=settled.values[0],
        last_gib=settled.values[-1],
        limit_gib=limit,
    )


def fragments(run: Run) -> Iterator[Suspicion]:
    """Memory that the allocator holds and cannot use."""
    held, used = run.curve("memory_reserved_gib"), run.curve("memory_gib")
    if len(held) < 3 or len(used) < 3:
        return
    reserved, allocated = held.part(0.5, 1.0).mean, used.part(0.5, 1.0).mean
    if reserved <= 0:
        return
    lost = (reserved - allocated) / reserved
    if lost >= 0.35 and reserved - allocated >= 0.75:
        yield suspect(
            "fragmentation",
            ramp(lost, 0.35, 0.65, 0.6, 0.92),
            f"The allocator holds {reserved:.3g} GiB of which {allocated:.3g} are in use: "
            f"{lost:.0%} lies idle between tensors.",
            steps=[held.steps[-1]],
            reserved_gib=reserved,
            allocated_gib=allocated,
        )


def padding(run: Run) -> Iterator[Suspicion]:
    """Most of a batch is padding."""
    measured = run.curve("padding_share")
    share = measured.mean if measured else run.number("padding_share")
    if share is not None and share >= 0.4:
        yield suspect(
            "padding_waste",
            ramp(share, 0.4, 0.7, 0.6, 0.95),
            f"{share:.0%} of the tokens in the batches are padding.",
            padding_share=share,
        )


def waiting(run: Run) -> Iterator[Suspicion]:
    """Time spent waiting for batches, or turning rows into tokens."""
    measured = run.curve("data_wait_share")
    share = median(measured.values) if measured else None
    train, wait = run.number("train_s"), run.number("data_wait_s")
    if share is None and train and wait is not None:
        share = wait / max(train, wait)
    tokenize = run.number("tokenize_s")
    whole = sum(
        v for v in (run.number(n) for n in ("load_s", "tokenize_s", "train_s", "eval_s")) if v
    )
    slow_tokens = tokenize is not None and train is not None and tokenize >= 0.35 * whole
    if slow_tokens and tokenize is not None and tokenize > 5:
        yield suspect(
            "tokenizer_bound",
            ramp(tokenize / max(whole, 1e-9), 0.35, 0.7, 0.65, 0.95),
            f"Turning rows into tokens took {tokenize:.0f} of {whole:.0f} s, training "
            f"{train:.0f} s.",
            tokenize_s=tokenize,
            train_s=train,
        )
    if share is not None and share >= 0.25:
        workers = run.setup.get("loader_workers", run.spec.get("loader_workers"))
        words = f" with {workers} loader workers" if isinstance(workers, int) else ""
        yield suspect(
            "loader_bound",
            ramp(share, 0.25, 0.6, 0.6, 0.95),
            f"{share:.0%} of the training time is spent waiting for the next batch{words}.",
            data_wait_share=share,
        )


def evaluating(run: Run) -> Iterator[Suspicion]:
    """Evaluation takes as long as training."""
    train, total = run.number("train_s"), run.number("eval_s")
    each = run.curve("eval_s")
    if len(each) >= 2:
        total = sum(each.values)
        if train is None and run.curve("step_s"):
            train = run.curve("step_s").mean * run.total_steps + total
    if train is None or not total:
        return
    # `train_s` is the whole loop; where it is shorter than the evaluations it leaves them out.
    share = total / train if total < train else total / (train + total)
    if share < 0.35 or total < 2:
        return
    count = f"{len(each)} evaluations" if len(each) else "Evaluation"
    every = run.number("eval_steps")
    often = f", one every {every:.0f} steps" if every else ""
    yield suspect(
        "eval_dominates",
        ramp(share, 0.35, 0.7, 0.6, 0.95),
        f"{count} took {total:.3g} s of {max(train, total):.3g} s ({share:.0%}){often}.",
        eval_s=total,
        train_s=train,
        share=share,
    )


def precision(run: Run) -> Iterator[Suspicion]:
    """Full precision on a card that has better."""
    kind = run.spec.get("precision") or run.setup.get("precision")
    if kind != "float32" or not run.on_gpu:
        return
    able = run.setup.get("bfloat16")
    if able is False:
        return
    small = (run.parameters or 1e9) < 50e6
    card = f" ({run.setup['gpu']})" if run.setup.get("gpu") else ""
    yield suspect(
        "no_mixed_precision",
        0.55 if small else 0.85 if able else 0.72,
        f"The run computes in float32 on a GPU{card}" + (" that has bfloat16." if able else "."),
        parameters=run.parameters,
    )


def tiny(run: Run) -> Iterator[Suspicion]:
    """Steps of one or two rows on a device that could hold many."""
    batch = run.number("batch_size")
    rows = run.batch_rows
    if batch is None or batch > 2 or rows is None:
        return
    used = run.curve("memory_gib")
    limit = run.number("memory_limit_gib")
    if limit is None and run.curve("memory_limit_gib"):
        limit = run.curve("memory_limit_gib").mean
    share = used.highest / limit if used and limit else None
    idle = run.curve("gpu_utilization")
    lazy = idle and idle.mean < 0.5
    roomy = share is not None and share < 0.5
    rough = rows <= 2 and len(run.loss) >= 20 and run.loss.noise > 0.2 + 0.15 * (rows - 1)
    many = (run.number("rows") or 0) >= 64 or run.total_steps >= 100
    alone = rows == 1 and run.on_gpu and (share is None or share < 0.9)
    if not (lazy or alone or (roomy and (run.on_gpu or rough)) or (rough and many)):
        return
    words = [f"A batch holds {batch:.0f} row{'s' if batch > 1 else ''}, a step {rows}"]
    if lazy:
        words.append(f"the GPU is busy {idle.mean:.0%} of the time")
    if roomy and share is not None:
        words.append(f"{share:.0%} of the memory is used")
    if rough:
        words.append(f"the loss swings by {run.loss.noise:.0%} from step to step")
    confidence = 0.55 + 0.12 * (bool(lazy) + roomy + bool(rough)) + (0.08 if rows <= 2 else 0)
    yield suspect(
        "tiny_batch",
        min(confidence, 0.9),
        "; ".join(words) + ".",
        batch_size=batch,
        rows_per_step=float(rows),
        memory_share=share,
        noise=run.loss.noise if run.loss else None,
    )


def slow(run: Run) -> Iterator[Suspicion]:
    """Where the time goes; that of a handful of steps says little and is no more than a guess."""
    few = 0 < run.total_steps <= _FEW
    for rule in (padding, waiting, evaluating):
        for found in rule(run):
            yield replace(found, confidence=min(found.confidence, 0.58)) if few else found


RULES = (growing, fragments, slow, precision, tiny)
