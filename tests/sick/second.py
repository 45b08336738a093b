"""The second round of trained runs: other seeds, methods, lengths and faults than the first.

All of them were written when the rules stood. At first look at 24 of these and the first round's
late sick ones, and at 12 healthy ones, 21 causes came first and four healthy runs were called sick.
Most of the misses lay in the cases and were mended there: two "healthy" runs had learned to say one
label for all, one had half of its held-out rows in its training, one fault was not put in, one too
weak, and one run was too short besides. One lay in the rules: they counted a warning of few cut
rows.
"""

from __future__ import annotations

from tests.sick import patches
from tests.sick.rows import chats, labelled, preferred, relabelled, tickets, uneven
from tests.sick.splits import kinds, leaking, lopsided, plain, said, shifted, split
from tests.sick.training import STARTER, Case

_FULL = {"method": "full", "learning_rate": 2e-3}
_DORA = {"method": "dora"}

SICK: tuple[Case, ...] = (
    Case(
        "dora, rate x80",
        "lr_too_high",
        lambda: said(96, 201),
        _DORA | {"learning_rate": 0.8},
        cured=True,
    ),
    Case(
        "dora, rate /500",
        "lr_too_low",
        lambda: kinds(96, 202),
        _DORA | {"learning_rate": 6e-6},
        cured=True,
    ),
    Case(
        "dora, rank 32 on 20 rows",
        "overfitting",
        lambda: said(20, 203),
        _DORA | {"rank": 32, "alpha": 64, "max_steps": 150, "eval_steps": 15},
        cured=True,
    ),
    Case(
        "full, seven steps",
        "underfitting",
        lambda: said(96, 204),
        {"method": "full", "learning_rate": 1e-3, "max_steps": 7, "eval_steps": 2},
        cured=True,
    ),
    Case(
        "starter, 60 % of labels wrong",
        "label_noise",
        lambda: split(relabelled(tickets(160, 205), 0.75, 205)),
        {"max_steps": 40},
        model=STARTER,
    ),
    Case("full, train is test", "leakage", lambda: leaking(72, 206, 1.0), _FULL),
    Case(
        "full, all masked",
        "empty_mask",
        lambda: kinds(64, 207),
        _FULL | {"max_steps": 12},
        patches.empty_mask(),
    ),
    Case(
        "full, nothing masked",
        "wrong_mask",
        lambda: said(64, 208),
        _FULL | {"max_steps": 40},
        patches.no_mask(),
    ),
    Case(
        "dora, end not trained",
        "untrained_stop",
        lambda: split(tickets(90, 209)),
        _DORA | {"max_steps": 24},
        patches.no_stop(),
        model=STARTER,
    ),
    Case(
        "full, padding is the end",
        "pad_eos_confusion",
        lambda: said(64, 210),
        _FULL | {"max_steps": 40},
        patches.pad_is_end(),
    ),
    Case(
        "starter judged with another template",
        "template_mismatch",
        lambda: split(tickets(140, 211)),
        {"max_steps": 40},
        patches.other_template(),
        model=STARTER,
    ),
    Case(
        "full, cut to 28 tokens",
        "truncation",
        lambda: said(64, 212, long=3),
        _FULL | {"max_length": 28, "max_steps": 40},
        cured=True,
    ),
    Case(
        "94 % one label, judged evenly",
        "class_collapse",
        lambda: lopsided(120, 213, 0.94, even=True),
        {"max_steps": 30},
        cured=True,
    ),
    Case("other lengths held out, full", "eval_shift", lambda: shifted(72, 214, "lengths"), _FULL),
    Case(
        "text, overflow at step 9",
        "nan_loss",
        lambda: plain(64, 215),
        {"max_steps": 20},
        patches.nan_from(9),
    ),
    Case(
        "full, zero from step 6",
        "zero_loss",
        lambda: said(64, 216),
        _FULL | {"max_steps": 18},
        patches.zero_from(6),
    ),
    Case(
        "full, no weight moves",
        "constant_loss",
        lambda: said(64, 217),
        _FULL | {"max_steps": 40, "eval_steps": 8},
        patches.nothing_moves(),
    ),
    Case(
        "text, uphill from step 25",
        "divergence",
        lambda: plain(96, 218),
        {"max_steps": 60},
        patches.ascending_from(25),
    ),
    Case(
        "full, no memory in a step",
        "oom_ram",
        lambda: said(48, 219),
        _FULL | {"max_steps": 16},
        patches.out_of_memory("train"),
    ),
    Case(
        "text, no memory in evaluation",
        "oom_eval",
        lambda: plain(48, 220),
        {"max_steps": 16, "eval_steps": 4},
        patches.out_of_memory("evaluate"),
    ),
    Case(
        "full, no memory at a checkpoint",
        "oom_checkpoint",
        lambda: said(48, 221),
        _FULL | {"max_steps": 16, "eval_steps": 8, "save_steps": 8},
        patches.out_of_memory("save"),
    ),
    Case(
        "one long row in each batch",
        "padding_waste",
        lambda: split(uneven(120, 222, every=8, long=10), 16),
        {"batching": "padded", "max_length": 512, "max_steps": 30},
        cured=True,
    ),
    Case(
        "full, one long row in each batch",
        "padding_waste",
        lambda: split(uneven(120, 223, every=8, long=14), 16),
        _FULL | {"batching": "padded", "max_length": 512, "max_steps": 24},
        cured=True,
    ),
    Case(
        "full, slow rows",
        "loader_bound",
        lambda: said(64, 224),
        _FULL | {"max_steps": 24, "eval_steps": 24},
        patches.slow_batches(0.04),
    ),
    Case(
        "full, judged at every step",
        "eval_dominates",
        lambda: split(labelled(420, 225), 330),
        _FULL | {"max_steps": 24, "eval_steps": 1, "batch_size": 4},
        cured=True,
    ),
    Case(
        "full, memory kept",
        "memory_growth",
        lambda: said(64, 226),
        _FULL | {"max_steps": 40},
        patches.leaking(14),
    ),
    Case(
        "text, one row a step",
        "tiny_batch",
        lambda: plain(96, 227),
        {"batch_size": 1, "max_steps": 90, "eval_steps": 15},
        cured=True,
    ),
    Case(
        "dora lost",
        "adapter_not_applied",
        lambda: kinds(64, 228),
        _DORA | {"max_steps": 40},
        patches.no_effect(),
    ),
    Case(
        "full, disk full at the end",
        "disk_full",
        lambda: said(48, 229),
        _FULL | {"max_steps": 10},
        patches.disk_full(),
    ),
    Case(
        "full, very high rate, narrow task",
        "forgetting",
        lambda: split(tickets(120, 230)),
        {"method": "full", "learning_rate": 3e-3, "max_steps": 50, "eval_steps": 10},
        cured=True,
        model=STARTER,
    ),
)
HEALTHY: tuple[Case, ...] = (
    Case("usual ia3", "", lambda: said(120, 241), {"method": "ia3", "learning_rate": 3e-2}),
    Case("usual qlora", "", lambda: kinds(120, 242), {"method": "qlora"}),
    Case("usual chat", "", lambda: split(chats(144, 243))),
    Case(
        "usual preferences",
        "",
        lambda: split(preferred(120, 244)),
        {"learning_rate": 1e-3, "max_steps": 40},
    ),
    Case("long answers", "", lambda: said(120, 245, long=3), {"max_length": 256}),
    Case(
        "starter, full",
        "",
        lambda: split(tickets(220, 246)),
        {"method": "full", "learning_rate": 1e-3, "max_steps": 50},
        model=STARTER,
    ),
    Case(
        "starter, ia3",
        "",
        lambda: split(tickets(200, 247)),
        {"method": "ia3", "learning_rate": 3e-2, "max_steps": 60},
        model=STARTER,
    ),
    Case(
        "starter, qlora",
        "",
        lambda: split(tickets(200, 248)),
        {"method": "qlora", "max_steps": 60},
        model=STARTER,
    ),
    Case(
        "accumulated, linear",
        "",
        lambda: kinds(120, 249, labels=4),
        {"batch_size": 4, "gradient_accumulation": 4, "lr_scheduler": "linear", "max_steps": 60},
    ),
    Case("seven in ten one label", "", lambda: lopsided(150, 250, 0.7, even=False)),
    Case("full text", "", lambda: plain(160, 251), {"method": "full", "learning_rate": 1e-3}),
    Case(
        "smoothed labels",
        "",
        lambda: kinds(120, 252),
        {"loss": "label_smoothing", "method": "rslora"},
    ),
)
