"""Opaque ids between servers: queries and cascades as with plain ones, and no id of ours in any message."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from federation.contract import NAMING_FIELDS, Naming
from federation.joint import cascading
from federation.joint.host import CascadeHost
from federation.joint.letters import Letter, pack
from federation.node import Node
from federation.opaque import Names
from graph.values import Change, RelationshipKey
from ontology.schema import Schema
from ontology.units import Units
from simulation.warm import warm
from tests.api.conftest import campus_change, iri, link, plant_change
from tests.api.federated_sites import group_of, whole_contract
from tests.api.joint_pair import agree, cascade, contract
from tests.api.peer_pair import Site, befriend, two_sites

REAL = re.compile(rb"AHU-\d|VAV-\d|Air handler|campus/[A-Z]")
"""What twins of campus are called."""
FAIL = {"type": "FAIL", "repairHours": 5}
SHOWN = ("valuePerHour", "repairCost")


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compiled before anybody waits for an answer."""
    warm()


@pytest.fixture
def pair(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units) as sites:
        yield befriend(sites)


def hidden(text: str) -> str:
    return text.replace("expires =", 'ids = "opaque"\nexpires =', 1)


def name_of(pair: tuple[Site, Site], local_id: str) -> str:
    """What campus calls a twin of its own to plant."""
    campus, plant = pair
    return Names.of(campus.node.key, plant.key).iri(iri("campus", ""), iri("campus", local_id))


def rename_stub(pair: tuple[Site, Site]) -> None:
    """Plant names the air handler in its graph as campus told it to."""
    new = link("plant", name_of(pair, "AHU-1"), "tm:supplies", "LINE-1", delayHours=2.0)
    gone = RelationshipKey(iri("campus", "AHU-1"), new.relation, new.target)
    plant = pair[1].running.mesh.twin("plant")
    plant.apply(Change(put_relationships=(new,), remove_relationships=(gone,)))


def captured(monkeypatch: pytest.MonkeyPatch, site: Site) -> list[bytes]:
    """All that a server says in cascades: its answers, and its letters before they are packed or sealed."""
    said, real, real_pack = list[bytes](), CascadeHost.answer, pack

    def answer(host: CascadeHost, node: Node, *rest: Any) -> Any:
        before = len(said)
        told = real(host, node, *rest)
        if node.key.fingerprint == site.key:
            said.append(told[0])
        else:
            del said[before:]
        return told

    def packed(letter: Letter) -> bytes:
        said.append(msgspec.msgpack.encode(letter))
        return real_pack(letter)

    monkeypatch.setattr(CascadeHost, "answer", answer)
    monkeypatch.setattr(cascading, "pack", packed)
    return said


def exchanged(found: dict[str, Any], names: dict[str, str]) -> list[dict[str, Any]]:
    """Rows of an Impact with other ids, in the order of these."""
    text = msgspec.json.encode(found["impacts"]["nodes"]).decode()
    for real, opaque in names.items():
        text = re.sub(re.escape(f'"{real}"'), f'"{opaque}"', text)
        text = text.replace(f"input {real} ", f"input {opaque} ")
    return sorted(msgspec.json.decode(text), key=lambda row: row["id"])


def test_an_impact_is_the_plain_one_with_other_ids(
    pair: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, figures, `why` and events; in no message of campus stands an id or a local id of its own."""
    campus, plant = pair
    agree(plant, tmp_path, contract("plant", "campus"))
    agree(campus, tmp_path, contract("campus", "plant", attributes=SHOWN))
    plain = cascade(plant, {"events": [{**FAIL, "twin": iri("campus", "AHU-1")}], "runs": 40, "seed": 5})
    agree(campus, tmp_path, hidden(contract("campus", "plant", attributes=SHOWN)))
    rename_stub(pair)
    said = captured(monkeypatch, campus)
    found = cascade(plant, {"events": [{**FAIL, "twin": name_of(pair, "AHU-1")}], "runs": 40, "seed": 5})
    assert (plain["completeness"], found["completeness"]) == ("FULL", "FULL"), found
    names = {row["id"]: name_of(pair, row["id"].rpartition("/")[2]) for row in plain["impacts"]["nodes"]}
    names = {real: name for real, name in names.items() if real.startswith(iri("campus", ""))}
    assert len(names) > 5
    assert exchanged(found, {}) == exchanged(plain, names)
    assert found["summary"] == plain["summary"] and found["sources"] == plain["sources"]
    assert any(name_of(pair, "AHU-1") in why for row in found["impacts"]["nodes"] for why in row["why"])
    assert len(said) > 5
    assert not [each for each in said if REAL.search(each)]
    entries = list(campus.node.ledger.entries(partner=plant.key))
    told_as = {
        pair for entry in entries if entry.told_as for pair in zip(entry.twins, entry.told_as, strict=True)
    }
    assert told_as >= set(names.items())


def test_by_real_ids_a_partner_neither_reads_nor_fails(pair: tuple[Site, Site], tmp_path: Path) -> None:
    """A twin that it names so is not shown: bounds, and no event."""
    campus, plant = pair
    agree(plant, tmp_path, contract("plant", "campus"))
    agree(campus, tmp_path, hidden(contract("campus", "plant", attributes=SHOWN)))
    found = cascade(plant, {"events": [], "runs": 4})
    assert found["completeness"] == "PARTIAL"
    for twin in (iri("campus", "AHU-1"), "campus:AHU-1"):
        failed = cascade(plant, {"events": [{**FAIL, "twin": twin}], "runs": 4})
        assert (failed["status"], failed["errorCode"]) == ("FAILED", "JOINT_EVENT_DENIED")


EQUIPMENT = """{ twins(kind: "brick:Equipment", first: 50, orderBy: [{by: "ratedPower", direction: DESC}])
    { totalCount nodes { id localId name attribute(name: "ratedPower") { value unit }
      out { nodes { relation twin { id name } } } } } }"""
BY_ID = '{ twins(first: %d, filter: {id: {in: ["%s", "%s"]}}, orderBy: [{by: "id"}]) { nodes { id name } } }'
ONE = '{ node(id: "%s") { id name } }'


def test_queries_tell_the_same_with_other_ids(tmp_path: Path, ontology: Schema, units: Units) -> None:
    changes = {"campus": [campus_change()], "plant": [plant_change()]}
    with group_of(tmp_path, ontology, units, changes) as group:
        both = group["campus"], group["plant"]
        named = whole_contract("", "").attributes - NAMING_FIELDS
        group.share("campus", "plant", attributes=named)
        group.settle("plant", "campus")
        plain = group["plant"].running.data(EQUIPMENT)
        reals = [node["id"] for node in plain["twins"]["nodes"] if node["id"].startswith(iri("campus", ""))]
        group.share("campus", "plant", attributes=named, ids=Naming.OPAQUE)
        rename_stub(both)
        first = name_of(both, "AHU-1")
        node = group["plant"].running.data(ONE % first)["node"]
        assert node == {"id": first, "name": "Air handler 1"}
        found = group["plant"].running.data(EQUIPMENT)
        assert found["twins"]["totalCount"] == plain["twins"]["totalCount"]
        text = msgspec.json.encode(plain).decode()
        for real in {iri("campus", end) for end in re.findall(r"/campus/([\w-]+)", text)}:
            local_id = real.rpartition("/")[2]
            text = text.replace(f'"{real}"', f'"{name_of(both, local_id)}"')
            text = text.replace(f'"{local_id}"', f'"{name_of(both, local_id).rpartition("/")[2]}"')
        assert settled(found) == settled(msgspec.json.decode(text))
        assert not re.search(rb"AHU-\d|VAV-\d|campus/[A-Z]", msgspec.json.encode(found))
        pair = [name_of(both, real.rpartition("/")[2]) for real in reals[:2]]
        by_id = group["plant"].running.data(BY_ID % (5, *pair))["twins"]["nodes"]
        assert [each["id"] for each in by_id] == sorted(pair)
        assert group["plant"].running.data(BY_ID % (5, *reals[:2]))["twins"]["nodes"] == []
        assert group["plant"].running.data(ONE % iri("campus", "AHU-2"))["node"] is None


def settled(found: dict[str, Any]) -> list[Any]:
    """By power, equal ones and relationships in any order: ids break ties."""
    nodes = found["twins"]["nodes"]
    powers = [node["attribute"] and node["attribute"]["value"] for node in nodes]
    for node in nodes:
        node["out"]["nodes"].sort(key=str)
    return [powers, sorted(nodes, key=lambda node: node["id"])]
