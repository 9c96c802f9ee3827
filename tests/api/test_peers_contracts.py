"""Contracts and the ledger by the command line, beside running servers."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from api.cli import app
from federation.contract import Purpose
from federation.ledger import Disclosure
from federation.masks import masks
from ontology.errors import StoreError
from ontology.schema import Schema
from ontology.units import Units
from tests.api.peer_pair import Site, befriend, greeting, two_sites

TEXT = """\
partner = "plant"
sites = ["campus"]
kinds = ["brick:AHU"]
attributes = ["ratedPower"]
release = "rows"
purposes = ["query"]
expires = 2100-01-01
"""


@pytest.fixture
def friends(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units) as sites:
        yield befriend(sites)


def agree(site: Site, folder: Path, text: str, *more: str) -> tuple[int, dict[str, object]]:
    file = folder / "contract.toml"
    file.write_text(text)
    return site.run("contract", str(file), *more)


def test_a_contract_by_the_command_line(friends: tuple[Site, Site], tmp_path: Path) -> None:
    campus, plant = friends
    snapshot = campus.running.mesh.snapshot()

    def shown() -> list[str]:
        made = masks(campus.node.contracts.grant(plant.key), snapshot, Purpose.QUERY, time.time_ns())
        return sorted(snapshot.local_ids(np.flatnonzero(made.shown).astype(np.int32)))

    assert shown() == []
    code, told = agree(campus, tmp_path, TEXT, "--dry-run")
    assert (code, told["version"], told["dryRun"]) == (0, 0, True)
    assert shown() == []
    code, told = agree(campus, tmp_path, TEXT)
    assert (code, told["version"], told["narrower"]) == (0, 1, [])
    assert "attributes: + ratedPower" in told["wider"]  # pyright: ignore
    assert shown() == ["AHU-1", "AHU-2"]
    wider = TEXT.replace('"brick:AHU"', '"brick:HVAC_Equipment"').replace('["ratedPower"]', "[]")
    code, told = agree(campus, tmp_path, wider)
    assert told["version"] == 2
    assert told["narrower"] == [
        "kinds: - https://brickschema.org/schema/Brick#AHU",
        "attributes: - ratedPower",
    ]
    assert shown() == ["AHU-1", "AHU-2", "CH-1", *(f"VAV-{n}" for n in range(1, 7))]
    (listed,) = campus.run("list")[1]["peers"]
    assert listed["contract"] == {"version": 2, "expires": "2100-01-01T00:00:00Z"}
    campus.run("remove", "plant")
    assert shown() == [], "who is no peer any more gets nothing"


def test_mistakes_in_a_contract_change_nothing(friends: tuple[Site, Site], tmp_path: Path) -> None:
    campus, plant = friends
    code, told = agree(campus, tmp_path, TEXT.replace("brick:AHU", "brick:AUH"))
    assert (code, told["code"]) == (1, "CONTRACT_UNKNOWN_NAME")
    assert "brick:AHU" in str(told["hint"])
    assert campus.node.contracts.grant(plant.key).version == 0


def test_the_ledger_by_the_command_line(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    told = np.array([[True, False], [True, True]])
    twins = ("https://twinmesh.invalid/campus/AHU-1", "https://twinmesh.invalid/campus/AHU-2")
    names, relations = ("name", "ratedPower"), ("feeds",)
    one = Disclosure(plant.key, 2, "query", "ask", 321, twins, names, relations, told)
    other = Disclosure("z" * 43, 1, "query", "ask", 5, figures={"count": 9})
    for number in range(3):
        campus.node.ledger.record(one, 1_800_000_000_000_000_000 + number)
        campus.node.ledger.record(other, 1_800_000_000_000_000_000 + number)
    code, shown = campus.run("ledger", "--peer", "plant", "--limit", "2", "--verify")
    assert code == 0
    assert [each["number"] for each in shown["entries"]] == [1, 3]
    assert shown["next"] == 3
    assert shown["entries"][0] == {
        "number": 1,
        "time": "2027-01-15T08:00:00.000+00:00",
        "peer": "plant",
        "contract": 2,
        "purpose": "query",
        "kind": "ask",
        "bytes": 321,
        "fingerprint": plant.key,
        "twins": [
            {"id": twins[0], "attributes": ["name"]},
            {"id": twins[1], "attributes": ["name", "ratedPower"]},
        ],
        "relations": ["feeds"],
        "figures": {},
    }
    code, shown = campus.run("ledger", "--peer", "plant", "--after", "3")
    assert ([each["number"] for each in shown["entries"]], shown["next"]) == ([5], None)
    code, shown = campus.run("ledger", "--peer", "z" * 43)
    assert [each["figures"] for each in shown["entries"]] == [{"count": 9}] * 3, "peers that are gone"
    text = CliRunner().invoke(app, ["peers", "ledger", "--data", str(campus.folder)]).stdout.splitlines()
    assert text[0].split() == [
        "number", "time", "peer", "contract", "purpose", "kind", "twins", "attributes", "bytes",
    ]  # fmt: skip
    assert len(text) == 7


def test_a_changed_ledger_is_exit_code_1(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    for number in range(3):
        campus.node.ledger.record(Disclosure(plant.key, 1, "query", "ask", number), number)
    with campus.node.store.writing() as connection:
        connection.execute("UPDATE ledger SET partner = 'x' WHERE number = 2")
    code, shown = campus.run("ledger", "--verify")
    assert code == 1
    assert [problem["item"] for problem in shown["problems"]] == ["row 2"]
    assert shown["entries"] == []


def test_an_answer_is_in_the_ledger_before_it_is_sealed(friends: tuple[Site, Site]) -> None:
    """What a door discloses goes through `Node.answer`; a ledger that cannot be written seals nothing."""
    campus, plant = friends
    token, _ = greeting(plant, campus)
    opened = campus.node.open_envelope(token, "hello", 60)
    told = Disclosure(plant.key, 1, "query", "ask", 2, ("urn:a",), ("name",))
    sealed = campus.node.answer(opened, b"{}", told)
    assert sealed.body == b"{}"
    assert [list(entry.facts()) for entry in campus.node.ledger.entries()] == [[("urn:a", "name")]]
    with campus.node.store.writing() as connection:
        connection.execute("DELETE FROM ledger")
    with pytest.raises(StoreError):
        campus.node.answer(opened, b"{}", told)
