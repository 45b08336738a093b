"""Help that reads in the order of the work: commands and options under headings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "Look and plan": (
        "inspect",
        "prepare",
        "recommend",
        "estimate",
        "models",
        "hardware",
        "explain",
    ),
    "Train": ("train", "jobs", "show", "cancel", "resume", "diagnose"),
    "Judge and deliver": ("evaluate", "compare", "try", "export", "report", "judge", "forget"),
    "Talk and serve": ("chat", "ask", "mcp", "serve", "demo", "doctor", "suite"),
}
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "What": ("goal", "model", "method", "objective", "continues", "cures"),
    "Data": ("eval_fraction", "dedupe", "input_column", "output_column", "template"),
    "Adapter": (
        "rank",
        "alpha",
        "dropout",
        "target_modules",
        "modules_to_save",
        "initialisation",
        "quantization",
    ),
    "Learning": (
        "epochs",
        "max_steps",
        "learning_rate",
        "lr_scheduler",
        "warmup_ratio",
        "weight_decay",
        "optimizer",
        "early_stopping_patience",
        "eval_steps",
        "loss",
        "loss_weight",
        "loss_entry_point",
        "beta",
        "rewards",
        "seed",
    ),
    "Memory and speed": (
        "batch_size",
        "gradient_accumulation",
        "batching",
        "max_length",
        "precision",
        "gradient_checkpointing",
        "activation_offload",
        "attention",
        "device",
        "engine",
        "processes",
        "nodes",
        "offload",
        "probe",
    ),
    "Budget and search": ("minutes", "trials", "sampler", "vary", "target"),
}
_MANY = 14
"""Options up to so many need no headings."""


class WorkGroup(click.Group):
    """A group whose commands stand under headings, in the order in which they are used."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands section by section; what has no place of its own comes last."""
        left = list(self.list_commands(ctx))
        for heading, names in [*_COMMANDS.items(), ("More", tuple(left))]:
            rows = [
                (name, self.commands[name].get_short_help_str(limit=200))
                for name in names
                if name in left
            ]
            left = [name for name in left if name not in names]
            _write(formatter, heading, rows)


class WorkCommand(click.Command):
    """A command whose options stand under headings where there are many."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section; what has no place of its own comes last."""
        records = {p.name: p.get_help_record(ctx) for p in self.get_params(ctx)}
        rows = {name: record for name, record in records.items() if record is not None}
        if len(rows) <= _MANY:
            _write(formatter, "Options", list(rows.values()))
            return
        for heading, names in _OPTIONS.items():
            _write(formatter, heading, [rows.pop(name) for name in names if name in rows])
        _write(formatter, "Options", list(rows.values()))


def _write(formatter: click.HelpFormatter, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(heading):
            formatter.write_dl(list(rows), col_max=26)
