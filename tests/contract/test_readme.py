"""The README's tables are the catalogue's, and what it points to exists."""

from __future__ import annotations

import re

from tests.readme_tables import README, capabilities_table, with_tables

TEXT = README.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    assert capabilities_table() in TEXT, "run: python -m tests.readme_tables"
    assert with_tables(TEXT) == TEXT, "run: python -m tests.readme_tables"


def test_every_file_the_readme_links_to_exists() -> None:
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in t]
    assert targets
    assert [t for t in targets if not (README.parent / t).exists()] == []


def test_it_starts_with_the_commands_a_newcomer_needs() -> None:
    places = [TEXT.index(command) for command in ("make demo", "make run", "make test")]
    assert places == sorted(places)
    assert places[0] < 1500
