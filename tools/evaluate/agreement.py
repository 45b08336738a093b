"""How far several judges agree, and what a set of preferences is worth. Arithmetic only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tools.evaluate.figures import Estimate
from tools.evaluate.metrics import wilson


def krippendorff_alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Return Krippendorff's alpha for unordered choices: 1 is agreement, 0 is chance.

    Any number of judges, and not every one has to judge every unit. Source: Krippendorff (2011),
    "Computing Krippendorff's Alpha-Reliability".

    Args:
        units: The choices that were made on each thing judged.

    Returns:
        None where no thing was judged twice, or all choices ever made are the same.
    """
    paired = [choices for choices in units if len(choices) > 1]
    values: Counter[str] = Counter(choice for choices in paired for choice in choices)
    total = sum(values.values())
    if len(values) < 2:
        return None
    observed = 0.0
    for choices in paired:
        counts = Counter(choices)
        differing = len(choices) ** 2 - sum(count**2 for count in counts.values())
        observed += differing / (len(choices) - 1)
    expected = (total**2 - sum(count**2 for count in values.values())) / (total - 1)
    return 1 - observed / expected


def same_choice_share(units: Sequence[Sequence[str]]) -> float | None:
    """Return how many of all pairs of choices on the same thing are equal; None without any."""
    same = pairs = 0
    for choices in units:
        n = len(choices)
        pairs += n * (n - 1) // 2
        same += sum(count * (count - 1) // 2 for count in Counter(choices).values())
    return same / pairs if pairs else None


def preference(units: Sequence[Sequence[str]], *, wanted: str, tie: str) -> Estimate | None:
    """Return the share of things for which `wanted` was preferred, with a 95 % interval.

    A thing, not a vote, is what the interval counts: ten votes on one answer are one answer. A
    tie is half a preference. Wilson's interval is then a little too wide, never too narrow.
    """
    judged = [choices for choices in units if choices]
    if not judged:
        return None
    shares = [sum(1.0 if c == wanted else 0.5 * (c == tie) for c in u) / len(u) for u in judged]
    return wilson(sum(shares), len(shares))
