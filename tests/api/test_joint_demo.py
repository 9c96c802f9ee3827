"""The demo's three sites as three servers: together they say what one folder with all of them says."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from api.commands.folders import open_to_write
from api.demo.build import build
from api.demo.story import scenario
from federation import http_peer
from federation.egress import Egress, Line, Reply, Request
from federation.joint import cascading
from federation.joint.letters import Asked, Granted, Letter, pack
from graph.snapshot import Snapshot
from ontology.schema import Schema
from ontology.units import Units
from simulation.impact import simulate
from simulation.scenario import parse_scenario
from simulation.warm import warm
from tests.api.joint_pair import agree_all, cascade, demo_servers
from tests.api.peer_pair import Site

DOCUMENT: dict[str, Any] = {**scenario(), "runs": 150}


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compiled before anybody waits for an answer."""
    warm()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Path, Snapshot]]:
    folder = tmp_path_factory.mktemp("whole")
    with open_to_write(folder / "data") as mesh:
        build(mesh, folder)
        yield folder / "data", mesh.snapshot()


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, whole: tuple[Path, Snapshot], ontology: Schema, units: Units
) -> Generator[dict[str, Site]]:
    with demo_servers(tmp_path_factory.mktemp("apart"), whole[0], ontology, units) as sites:
        yield sites


def rows(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By id, without the causes: what lies at a partner is told in other words."""
    return {row["id"]: {k: v for k, v in row.items() if k != "why"} for row in found}


@pytest.mark.parametrize("asking", ["campus", "supplier"])
def test_three_servers_say_what_one_folder_says(
    servers: dict[str, Site], whole: tuple[Path, Snapshot], tmp_path: Path, asking: str
) -> None:
    """Whoever asks, also for a failure at a partner; all fields of all twins, to the last digit."""
    agree_all(servers, tmp_path)
    truth = simulate(whole[1], parse_scenario(DOCUMENT)).to_json()
    found = cascade(servers[asking], DOCUMENT)
    assert found["status"] == "DONE", found
    assert found["completeness"] == "FULL"
    assert {source["status"] for source in found["sources"]} == {"ANSWERED"}
    told: list[dict[str, Any]] = truth["impacts"]
    one: dict[str, dict[str, Any]] = {row["id"]: {"probabilityHigh": None, **row} for row in told}
    assert rows(found["impacts"]["nodes"]) == rows([*one.values()])
    assert found["summary"]["twinsHit"] == truth["summary"]["twinsHit"]
    assert found["summary"]["runsComputed"] == truth["runsComputed"] == 150
    for row in found["impacts"]["nodes"]:
        if row["site"] == asking:
            why = one[row["id"]]["why"]
            assert row["why"][-1] == why[-1]
            assert row["why"] == why or row["why"][0].startswith("input https://twinmesh.invalid/")


def test_nothing_travels_that_contracts_do_not_show(
    servers: dict[str, Site], whole: tuple[Path, Snapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All bodies, and what is in the letters before they are packed and sealed."""
    snapshot = whole[1]
    boundary = boundary_of(servers)
    kinds = sorted({snapshot.schema.kinds[snapshot.kinds(snapshot.row(iri))[0]].name for iri in boundary})
    agree_all(servers, tmp_path, kinds=kinds, attributes=["name"])
    bodies: list[bytes] = []
    letters: list[Letter] = []

    async def overheard(egress: Egress, request: Request, line: Line | None = None) -> Reply:
        reply = await real(egress, request, line)
        bodies.extend((request.body, reply.body))
        return reply

    def written(letter: Letter) -> bytes:
        letters.append(letter)
        return pack(letter)

    real = http_peer.send_out
    monkeypatch.setattr(http_peer, "send_out", overheard)
    monkeypatch.setattr(cascading, "pack", written)
    found = cascade(servers["campus"], DOCUMENT)
    assert found["completeness"] == "FULL", found
    said = {iri for letter in letters if isinstance(letter.content, Asked) for iri in letter.content.iris}
    said |= {iri for letter in letters if isinstance(letter.content, Granted) for iri in letter.content.twins}
    assert said == boundary
    rest = [msgspec.msgpack.encode(x) for x in letters if not isinstance(x.content, Asked | Granted)]
    assert len(rest) > 5 and not any(b"://" in each for each in rest)
    hidden = hidden_texts(snapshot, kinds)
    assert len(hidden) > 100
    everything = b"\0".join([*bodies, *map(msgspec.msgpack.encode, letters)])
    assert [text for text in hidden if text.encode() in everything] == []


def boundary_of(servers: dict[str, Site]) -> set[str]:
    """Ids of twins that a site knows of another."""
    found: set[str] = set()
    for site in servers.values():
        snapshot = site.running.mesh.snapshot()
        stubs = snapshot.rows_of_kind(snapshot.schema.external_kind).astype(np.int32)
        found |= set(snapshot.ids(stubs))
    return found


def hidden_texts(snapshot: Snapshot, kinds: list[str]) -> list[str]:
    """Ids and longer names of twins of no kind that is shown, and names of attributes."""
    schema = snapshot.schema
    shown = np.any([schema.kinds_below(schema.kind(name).index) for name in kinds], axis=0)
    at = [
        row
        for row in range(snapshot.size)
        if snapshot.alive[row] and not shown[list(snapshot.kinds(row))].any()
    ]
    names = [name for row in at if (name := snapshot.name(row)) and len(name) > 9]
    shown_names = {snapshot.name(row) for row in range(snapshot.size) if row not in at}
    ids = [snapshot.id(row) for row in at]
    shown_ids = [snapshot.id(row) for row in range(snapshot.size) if row not in at]
    ids = [iri for iri in ids if not any(other.startswith(iri) for other in shown_ids)]
    return [
        *ids,
        *(name for name in names if name not in shown_names),
        "valuePerHour",
        "bufferHours",
        "timeToRepair",
    ]
