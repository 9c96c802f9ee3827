"""schema.graphql is what the demo serves, and nothing that a client relies on goes without being recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from graphql import build_schema

from api.schema.changes import breaking_changes, read_allowed
from tests.clients.conftest import ROOT

if TYPE_CHECKING:
    from tests.clients.conftest import Demo

BEFORE = """
enum Way { UP DOWN }
interface Node { id: ID! }
type Pump implements Node { id: ID! power(unit: String): Float }
input Filter { name: String }
type Query { load: Float! pump(id: ID!, where: Filter, way: Way = UP): Pump }
"""


@pytest.fixture(scope="module")
def written() -> str:
    return (ROOT / "schema.graphql").read_text("utf-8")


def test_nothing_breaks_clients_of_the_written_schema(demo: Demo, written: str) -> None:
    allowed = read_allowed((ROOT / "schema.allowed.txt").read_text("utf-8").splitlines())
    assert breaking_changes(written, demo.sdl, allowed) == []


def test_the_written_schema_is_the_served_one(demo: Demo, written: str) -> None:
    assert written == demo.sdl, "run `make docs`"
    build_schema(written)  # as a client's tools read it, checks included


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (" power(unit: String): Float", "", "FIELD_REMOVED: Field Pump.power was removed."),
        (
            "power(unit: String): Float",
            "power: Float",
            "ARG_REMOVED: Argument Pump.power(unit:) was removed.",
        ),
        ("Float }", "String }", "FIELD_CHANGED_KIND: Field Pump.power changed type from Float to String."),
        ("UP DOWN", "UP", "VALUE_REMOVED_FROM_ENUM: Enum value Way.DOWN was removed."),
        (" implements Node", "", "IMPLEMENTED_INTERFACE_REMOVED: Pump no longer implements interface Node."),
        ("name: String", "title: String", "FIELD_REMOVED: Field Filter.name was removed."),
        (
            "where: Filter",
            "where: Filter, site: String!",
            "REQUIRED_ARG_ADDED: A required argument Query.pump(site:) was added.",
        ),
    ],
)
def test_what_breaks_clients_is_told(old: str, new: str, told: str) -> None:
    after = BEFORE.replace(old, new)
    assert breaking_changes(BEFORE, after) == [told]
    assert breaking_changes(BEFORE, after, [told]) == []


def test_additions_break_nobody() -> None:
    after = BEFORE.replace("Float }", "Float mass: Float }").replace(
        "name: String", "name: String mass: Float"
    )
    assert breaking_changes(BEFORE, after + "type Fan implements Node { id: ID! }") == []


def test_an_allow_list_has_reasons_beside_its_entries() -> None:
    assert read_allowed(["# 2026-11-21: never worked", " A: b ", "", "  # more"]) == {"A: b"}
