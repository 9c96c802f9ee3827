"""What a joint cascade puts on the wire: none of the values that every attribute of every twin was given."""

from __future__ import annotations

import json
import struct
from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from federation import http_peer
from federation.egress import Egress, Line, Reply, Request
from federation.joint import cascading
from federation.joint.letters import Letter, pack
from graph.mesh import Mesh
from graph.values import Change, TwinRecord, Value
from ontology.schema import Schema
from ontology.units import Units
from simulation.warm import warm
from tests.api.joint_pair import agree, cascade, contract
from tests.api.peer_pair import Site, befriend, two_sites
from tests.simulation.cascade_worlds import fresh_seed

NUMBERS = {
    "valuePerHour": (100.0, 900.0),
    "repairCost": (100.0, 900.0),
    "restartHours": (0.1, 0.9),
    "failureProbability": (0.1, 0.9),
    "timeToRepair": (1.0, 9.0),
    "canaryNumber": (1e5, 1e6),
}


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compiled before anybody waits for an answer."""
    warm()


@pytest.fixture
def partners(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units) as sites:
        yield befriend(sites)


def plant_canaries(mesh: Mesh, random: Random) -> tuple[list[str], list[float]]:
    """Gives every own twin a text and numbers that nobody else has; what they are."""
    site = mesh.sites[0]
    snapshot, texts, numbers = mesh.snapshot(), list[str](), list[float]()
    records: list[TwinRecord] = []
    external = set(snapshot.rows_of_kind(snapshot.schema.external_kind).tolist())
    for row in range(snapshot.size):
        if not snapshot.alive[row] or row in external:
            continue
        values: dict[str, Any] = {name: random.uniform(*ends) for name, ends in NUMBERS.items()}
        numbers += values.values()
        values |= {"canaryText": f"canary-{random.getrandbits(64):016x}"}
        texts.append(values["canaryText"])
        kinds = tuple(snapshot.schema.kinds[kind].iri for kind in snapshot.kinds(row))
        given = {name: Value(value) for name, value in values.items()}
        records.append(TwinRecord(snapshot.id(row), kinds, snapshot.name(row), attributes=given))
    mesh.twin(site).apply(Change(merge_twins=tuple(records)))
    return texts, numbers


def encodings(number: float) -> list[bytes]:
    """As it may stand in msgpack, in columns, in JSON, or as an integer that cascades count money with.

    Eight bytes or more: fewer would be found by chance. Hours are no secret as such: a level that comes back
    tells when, see "what a boundary signal reveals" in docs/federation.md.
    """
    whole = [struct.pack(">Q", round(number * scale)) for scale in (3_600_000_000, 1 << 30) if number > 10]
    return [struct.pack(">d", number), struct.pack("<d", number), json.dumps(number).encode(), *whole]


def test_no_value_of_any_attribute_travels(
    partners: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both contracts show kinds and no attribute; both ask; bodies, and letters before they are packed."""
    campus, plant = partners
    seed = fresh_seed("canaries")
    agree(campus, tmp_path, contract("campus", "plant", kinds=["brick:AHU"], attributes=[]))
    agree(plant, tmp_path, contract("plant", "campus", kinds=["tm:Process"], attributes=[]))
    planted = [plant_canaries(site.running.mesh, Random(f"{seed} {site.url}")) for site in partners]
    bodies: list[bytes] = []

    async def overheard(egress: Egress, request: Request, line: Line | None = None) -> Reply:
        reply = await real(egress, request, line)
        bodies.extend((request.body, reply.body, str(request.headers).encode(), str(reply.headers).encode()))
        return reply

    def written(letter: Letter) -> bytes:
        bodies.append(msgspec.msgpack.encode(letter))
        return pack(letter)

    real = http_peer.send_out
    monkeypatch.setattr(http_peer, "send_out", overheard)
    monkeypatch.setattr(cascading, "pack", written)
    found = cascade(campus, {"events": [{"type": "FAIL", "twin": "CH-1"}], "runs": 40})
    assert found["completeness"] == "FULL", found
    assert any(row["site"] == "plant" for row in found["impacts"]["nodes"])
    assert all(row["expectedCost"] is None for row in found["impacts"]["nodes"] if row["site"] == "plant")
    assert cascade(plant, {"events": [], "runs": 40})["status"] == "DONE"
    everything = b"\0".join(bodies)
    assert len(bodies) > 20 and b"/AHU-1" in everything, "what is agreed is found, so the rest would be"
    texts = [text for listed, _ in planted for text in listed]
    assert len(texts) > 10 and [text for text in texts if text.encode() in everything] == []
    for number in (number for _, listed in planted for number in listed):
        told = [each for each in encodings(number) if each in everything]
        assert told == [], f"seed {seed}: {number}"
    for hidden in (*NUMBERS, "canaryText", "Chiller 1", "brick:Chiller", "/CH-1", "VAV-"):
        assert hidden.encode() not in everything, hidden
