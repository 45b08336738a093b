"""Numbers and times in words: always with a unit, with an interval where there is one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ui.text import format_duration

DASH = "–"
_METRICS = {
    "macro_f1": "macro F1", "micro_f1": "micro F1", "entity_f1": "entity F1",
    "token_f1": "token F1", "bleu": "BLEU", "chrf": "chrF", "sentence_chrf": "chrF of an answer",
    "rougeL": "ROUGE-L", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "loss": "validation loss",
    "eval_loss": "validation loss", "preference_win_rate": "win rate",
    "preference_margin": "margin", "json_valid": "valid JSON",
}  # fmt: skip
LESS_IS_BETTER = frozenset({"loss", "eval_loss", "perplexity", "duration_s", "memory_gib"})


def metric_name(key: str) -> str:
    """Return what people call a measure."""
    return _METRICS.get(key, key.replace("_", " "))


def number(value: Any, digits: int = 2) -> str:
    """Return a plain number, or a dash where there is none."""
    if value is None:
        return DASH
    if isinstance(value, int):
        return f"{value:,}"
    amount = float(value)
    return f"{amount:,.0f}" if abs(amount) >= 1000 else f"{amount:.{digits}f}"


def gib(value: Any) -> str:
    """Return gibibytes with a sensible precision; small amounts in MiB."""
    if value is None:
        return DASH
    amount = float(value)
    if amount < 0.1:
        return f"{amount * 1024:.0f} MiB"
    return f"{amount:.2f} GiB" if amount < 10 else f"{amount:.0f} GiB"


def size(count: int) -> str:
    """Return bytes as kB or MB, the way file managers do."""
    return f"{count / 1e3:,.0f} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"


def clock(seconds: Any) -> str:
    """Return `m:ss` or `h:mm:ss`, or a dash."""
    return DASH if seconds is None else format_duration(float(seconds))


def percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{share * 100:.0f} %"


def interval(low: Any, high: Any, digits: int = 2) -> str:
    """Return `(low–high)`, or nothing where there is none."""
    if low is None or high is None:
        return ""
    return f"({number(low, digits)}{DASH}{number(high, digits)})"


def difference(value: float, digits: int = 2) -> str:
    """Return a signed number with a real minus sign."""
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{abs(value):.{digits}f}"


def day_of(moment: datetime, now: datetime) -> str:
    """Return the heading a moment belongs under: Today, Yesterday, This week, or the month."""
    local, today = moment.astimezone(), now.astimezone()
    days = (today.date() - local.date()).days
    if days <= 0:
        return "Today"
    if days == 1:
        return "Yesterday"
    return "This week" if days < 7 else local.strftime("%B %Y")


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago, in one short phrase."""
    if moment is None:
        return DASH
    seconds = max(0.0, (now.astimezone(UTC) - moment.astimezone(UTC)).total_seconds())
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 86400:
        return f"{seconds / 3600:.0f} h ago"
    return moment.astimezone().strftime("%d %b %Y")
