"""A cascade over servers that know each other: what `simulate` says on one folder with all their sites."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from api.joint_cascades import cascade_services
from federation.joint.asking import SourceOf
from federation.joint.wire import KIND
from federation.keys import KEY_FILE
from federation.store import FEDERATION_FILE
from graph.mesh import Mesh
from ontology.errors import LimitError
from ontology.schema import Schema
from ontology.units import Units
from simulation.warm import warm
from tests.api.conftest import Running, served
from tests.api.joint_pair import CAMPUS_TO_PLANT, PLANT_TO_CAMPUS, START, WAIT_S, agree, cascade
from tests.api.peer_pair import Site, befriend, two_sites


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compiled before anybody waits for an answer."""
    warm()


@pytest.fixture
def partners(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units) as sites:
        campus, plant = befriend(sites)
        agree(campus, tmp_path, CAMPUS_TO_PLANT)
        agree(plant, tmp_path, PLANT_TO_CAMPUS)
        yield campus, plant


def test_trouble_crosses_to_a_partner(partners: tuple[Site, Site]) -> None:
    campus, _ = partners
    found = cascade(campus, {"events": [{"type": "FAIL", "twin": "CH-1", "repairHours": 5}], "runs": 3})
    assert found["completeness"] == "FULL"
    assert {row["localId"]: row["site"] for row in found["impacts"]["nodes"]}["LINE-1"] == "plant"
    assert found["sources"][-1] == {"site": "plant", "status": "ANSWERED", "code": None}


def test_a_coarse_signal_gives_bounds_that_say_so(partners: tuple[Site, Site], tmp_path: Path) -> None:
    """Campus tells plant full or down by half days: five hours down may be none, or the half day."""
    campus, plant = partners
    document = {"events": [{"type": "FAIL", "twin": "CH-1", "repairHours": 5}], "runs": 3}
    exact = rows_of(cascade(campus, document))["LINE-1"]
    agree(campus, tmp_path, CAMPUS_TO_PLANT + "[signal]\nlevels = 1\nstep_hours = 12\n")
    found = cascade(campus, document)
    assert found["completeness"] == "PARTIAL"
    line = rows_of(found)["LINE-1"]
    assert line["probability"] == 0.0 and exact["probability"] == line["probabilityHigh"] == 1.0
    event = {"type": "FAIL", "twin": "campus:CH-1", "repairHours": 5}
    other = cascade(plant, {**document, "events": [event]})
    assert other["status"] == "FAILED", "campus's contract lets nobody fail a chiller"
    asked = cascade(plant, {**document, "events": [{**event, "twin": "campus:AHU-1"}]})
    assert asked["sources"][-1] == {"site": "campus", "status": "PARTIAL", "code": "LEVELS_COARSE"}, asked
    assert rows_of(asked)["AHU-1"]["firstHitHours"]["mean"] % 12 == 0
    assert rows_of(asked)["AHU-1"]["minLevel"] in (0.0, 1.0)


def rows_of(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["localId"]: row for row in found["impacts"]["nodes"]}


def test_several_processes_at_one_port_refuse_cascades_at_once(mesh: Mesh) -> None:
    """A session would be in one of them, and the next message might reach another."""
    service = cascade_services(mesh, is_shared=True)[KIND]
    with pytest.raises(LimitError) as caught:
        service.answer(None)  # pyright: ignore
    assert caught.value.code == "JOINT_MANY_WORKERS"
    assert SourceOf("plant", caught.value.code).is_denied


def test_without_peers_a_cascade_leaves_no_trace_of_federation(mesh: Mesh) -> None:
    """No key, no store, no sources but the own sites: as it was before there was federation."""
    with served(mesh) as running:
        document = {"events": [{"type": "FAIL", "twin": "campus:CH-1"}], "runs": 2}
        job = running.data(START, {"input": document})["simulateCascade"]["id"]
        query = "query Ask($id: ID!) { simulation(id: $id) { status completeness sources { site code } } }"
        found = wait_for(running, query, job)
    assert found["completeness"] == "FULL"
    assert found["sources"] == [{"site": name, "code": None} for name in ("campus", "plant")]
    assert not (mesh.folder / KEY_FILE).exists() and not (mesh.folder / FEDERATION_FILE).exists()


def wait_for(running: Running, query: str, job: str) -> dict[str, Any]:
    until = time.monotonic() + WAIT_S
    while True:
        found = running.data(query, {"id": job})["simulation"]
        if found["status"] == "DONE" or time.monotonic() > until:
            return found
        time.sleep(0.02)
