"""Every capability keeps the contract that makes one definition serve four faces."""

from __future__ import annotations

import typing
from pathlib import Path

import annotated_types
import click
import pytest

from tools.catalog import EFFECTS, Capability, load_catalog
from tools.reports import Report
from ui.cli import build

CATALOG = load_catalog()
EVERY = pytest.mark.parametrize("capability", CATALOG.values(), ids=list(CATALOG))
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
_BOUNDS = (
    annotated_types.Ge,
    annotated_types.Gt,
    annotated_types.Le,
    annotated_types.Lt,
    annotated_types.Len,
    annotated_types.MinLen,
    annotated_types.MaxLen,
    annotated_types.Interval,
)


def _scalars(annotation: object) -> set[object]:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return {typing.Literal}
    return set().union(*(_scalars(a) for a in arguments)) if arguments else {annotation}


@EVERY
def test_every_argument_is_described_and_every_number_is_bounded(capability: Capability) -> None:
    for name, field in capability.arguments.model_fields.items():
        assert field.description, f"{name} has no description"
        if _scalars(field.annotation) & {int, float}:
            schema = str(capability.arguments.model_json_schema()["properties"][name])
            bounded = any(isinstance(m, _BOUNDS) for m in field.metadata) or "imum" in schema
            assert bounded, f"{name} has no bounds"


@EVERY
def test_the_effect_is_declared_and_the_result_is_a_report(capability: Capability) -> None:
    assert capability.effect in EFFECTS
    result = typing.get_type_hints(capability.function)["return"]
    for returned in typing.get_args(result) or (result,):
        assert issubclass(returned, Report)


@EVERY
def test_the_first_docstring_line_is_a_sentence(capability: Capability) -> None:
    assert capability.summary.endswith(".")
    assert len(capability.summary) <= 100


@EVERY
def test_the_command_takes_exactly_the_arguments_of_the_schema(capability: Capability) -> None:
    command = build().commands[capability.verb]
    faces_own = {"as_json", "yes", "detach", "follow"}
    offered = {p.name for p in command.params if isinstance(p, click.Parameter)} - faces_own
    assert offered == set(capability.arguments.model_fields)


@EVERY
def test_the_readme_names_the_command(capability: Capability) -> None:
    assert f"`luthier {capability.verb}" in README


def test_the_designs_capabilities_are_all_there() -> None:
    expected = {
        "inspect_dataset",
        "prepare_dataset",
        "recommend_method",
        "estimate_resources",
        "list_models",
        "describe_hardware",
        "explain",
        "start_training",
        "list_jobs",
        "show_job",
        "cancel_job",
        "resume_job",
        "evaluate_model",
        "export_model",
        "try_model",
        "forget",
    }
    assert expected <= set(CATALOG)


def test_costly_and_destructive_effects_are_declared() -> None:
    assert CATALOG["start_training"].effect == "spend"
    assert CATALOG["forget"].effect == "destroy"
