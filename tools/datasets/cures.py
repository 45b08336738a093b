"""The names of the cures that preparing knows, and which of them cures which problem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

Fix = Literal[
    "broken_encoding",
    "broken_file",
    "contradictory_labels",
    "control_tokens",
    "empty_answers",
    "empty_inputs",
    "exact_duplicates",
    "html_debris",
    "identical_pairs",
    "inconsistent_format",
    "instruction_text",
    "label_variants",
    "leakage",
    "missing_roles",
    "near_duplicates",
    "outlier_lengths",
    "personal_data",
    "role_order",
    "secrets",
]
FIXES: tuple[Fix, ...] = get_args(Fix)
ALWAYS: tuple[Fix, ...] = ("control_tokens",)
"""Applied unasked: left alone, these would train something else than the text says."""
INHERENT: frozenset[Fix] = frozenset(
    {
        "broken_file",
        "empty_answers",
        "empty_inputs",
        "leakage",
        "missing_roles",
        "role_order",
    }
)
"""What preparing cures however it is called; the names are accepted so that each can be asked."""
_NOT_FOR: dict[str, frozenset[str]] = {"broken_encoding": frozenset({"info"})}
"""A file that is not UTF-8 but was read soundly needs no cure."""


def all_fixes(wished: Iterable[str] | None) -> list[str]:
    """Return the fixes to apply, in a fixed order, with those that always are.

    What preparing does anyway is left out, and so are exact duplicates, which `dedupe` decides:
    asking for them by name gives the same version as not asking.
    """
    asked = set(wished or ())
    own = INHERENT | {"exact_duplicates"}
    return [fix for fix in FIXES if fix not in own and (fix in ALWAYS or fix in asked)]


def fix_arguments(code: str, severity: str = "warning") -> dict[str, Any]:
    """Return the arguments of `prepare_dataset` that cure a problem; empty where none do."""
    if code == "exact_duplicates":
        return {"dedupe": True}
    if code not in FIXES or severity in _NOT_FOR.get(code, ()):
        return {}
    return {"fixes": [code]}


def combine(arguments: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return several cures as the arguments of one call."""
    whole: dict[str, Any] = {}
    for each in arguments:
        for name, value in each.items():
            if name == "fixes":
                whole["fixes"] = list(dict.fromkeys([*whole.get("fixes", []), *value]))
            else:
                whole[name] = value
    return whole
