"""`twinmesh schema`: what a server serves, and what of it breaks clients of an older schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema

from api.commands.asking import run_schema
from api.commands.client import Client
from api.commands.place import Place
from ontology.errors import InputError

GONE = ("AHU", "AHUTwin", "Chiller", "ChillerTwin")


@pytest.fixture
def place(reader: Any) -> Place:
    return Place(None, Client(reader.url, None))


@pytest.fixture
def served(place: Place, capsys: pytest.CaptureFixture[str]) -> str:
    assert run_schema(place, None, as_json=False) == 0
    return capsys.readouterr().out


def test_the_schema_of_a_server_is_whole(served: str) -> None:
    schema = build_schema(served)
    assert {"AHU", "AHUTwin", "AHUFilter", "AHUOrder", "AHUConnection"} <= schema.type_map.keys()
    assert "ratedPower(unit: String): Float" in served
    assert "In kW, or converted to `unit` (UCUM)." in served


def test_nothing_breaks_clients_of_the_same_schema(
    place: Place, served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.graphql").write_text(served)
    assert run_schema(place, tmp_path / "old.graphql", as_json=False) == 0
    assert capsys.readouterr().out == "nothing breaks\n"


def test_what_is_gone_is_told(
    place: Place, served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = served.replace("ratedPower(unit: String): Float", "ratedPower(unit: String): Float\n  mass: Float")
    (tmp_path / "old.graphql").write_text(old)
    assert run_schema(place, tmp_path / "old.graphql", as_json=True) == 1
    told = json.loads(capsys.readouterr().out)["breaking"]
    assert told == [f"FIELD_REMOVED: Field {name}.mass was removed." for name in GONE]


@pytest.mark.parametrize(
    ("text", "code"),
    [("type Query {", "SCHEMA_INVALID"), ("type A { b: C }", "SCHEMA_INVALID"), (None, "FILE_UNREADABLE")],
)
def test_a_file_that_is_no_schema(place: Place, tmp_path: Path, text: str | None, code: str) -> None:
    if text is not None:
        (tmp_path / "old.graphql").write_text(text)
    with pytest.raises(InputError) as caught:
        run_schema(place, tmp_path / "old.graphql", as_json=False)
    assert caught.value.code == code
