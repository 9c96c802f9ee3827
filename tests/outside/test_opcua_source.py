"""Our OPC UA client and a node-opcua server, encrypted and with a pinned certificate."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.opcua.bindings import parse_opcua_bindings
from adapters.opcua.config import Line, OpcuaConfig
from adapters.opcua.source import OpcuaSource
from graph.mesh import Mesh
from graph.quality import severity_of
from graph.twin import Twin
from graph.values import Change, Quality, TwinRecord, Value
from ontology.schema import load_schema
from ontology.units import load_units
from tests.api.conftest import served
from tests.outside.opcua_server import SPACE, OpcuaServer, wait_for

pytestmark = pytest.mark.timeout(900)
UNITS = load_units()
BASE = "https://twinmesh.invalid/plant/"
POINTS = {
    "RATE": {"unit": "Cel"},
    "RUN": {"valueType": "boolean"},
    "STATE": {"valueType": "code"},
    "COUNT": {"valueType": "counter"},
    "NOTE": {"valueType": "text"},
    "LIST": {},
    "LOST": {},
    "WRONG": {},
}
NODES = [
    ("Rate", "Double", 50.0),
    ("Run", "Boolean", True),
    ("State", "Int32", 3),
    ("Count", "UInt32", 7),
    ("Note", "String", "hello"),
    ("List", "Double", [1.0, 2.0]),
    ("Wrong", "String", "no number"),
]
TABLES = [
    {"node": f"nsu={SPACE};s=Rate", "point": "RATE", "unit": "[degF]", "maximum": 212},
    {"node": f"nsu={SPACE};s=Run", "point": "RUN"},
    {"node": f"nsu={SPACE};s=State", "point": "STATE", "states": {"3": "RUNNING", "0": "OFF"}},
    {"node": f"nsu={SPACE};s=Count", "point": "COUNT"},
    {"node": f"nsu={SPACE};s=Note", "point": "NOTE"},
    {"node": f"nsu={SPACE};s=List", "point": "LIST"},
    {"node": f"nsu={SPACE};s=Lost", "point": "LOST"},
    {"node": f"nsu={SPACE};s=Wrong", "point": "WRONG"},
]
ASK = "query($id: ID!) { node(id: $id) { ... on Point { value text state quality time } } }"


@pytest.fixture
def mesh(tmp_path: Path) -> Generator[Mesh]:
    schema = load_schema()
    kind = schema.kind("tm:Point").iri
    twins = [
        TwinRecord(BASE + name, (kind,), name, attributes={key: Value(v) for key, v in facts.items()})
        for name, facts in POINTS.items()
    ]
    with Mesh.open(tmp_path / "data", schema, units=UNITS) as opened:
        opened.create_site("plant").apply(Change(put_twins=tuple(twins)))
        yield opened


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[OpcuaServer]:
    server = OpcuaServer(tmp_path_factory.mktemp("opcua"), NODES, users={"twin": "s3cret"})
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(one_server: OpcuaServer, monkeypatch: pytest.MonkeyPatch) -> OpcuaServer:
    """The server with its first values."""
    monkeypatch.setenv("TEST_OPCUA_PASSWORD", "s3cret")
    for name, _, value in NODES:
        one_server.set(name, value)
    return one_server


@pytest.fixture
def listen(mesh: Mesh, server: OpcuaServer) -> Generator[Callable[..., OpcuaSource]]:
    sources: list[OpcuaSource] = []
    bindings = parse_opcua_bindings({"binding": TABLES}, "b.toml", UNITS)

    def start(**line: Any) -> OpcuaSource:
        given: dict[str, Any] = {
            "server_fingerprint": server.fingerprint,
            "username": "twin",
            "password_env": "TEST_OPCUA_PASSWORD",
            "request_timeout_s": 60.0,
        }
        made = Line(server.url, server.client_certificate, server.client_key, **{**given, **line})
        config = OpcuaConfig("plant", made, Path("b.toml"), reconnect_s_min=0.2, reconnect_s_max=1.0)
        source = OpcuaSource.start(mesh.twin("plant"), config, bindings, UNITS)
        sources.append(source)
        return source

    yield start
    for source in sources:
        source.stop(60)


def last(twin: Twin, point: str) -> tuple[object, Quality]:
    snapshot = twin.snapshot()
    row = snapshot.find(point)
    return snapshot.point_value(row), severity_of(int(snapshot.point_quality[row]))


def test_values_of_every_type_arrive_and_what_does_not_fit_is_told(
    listen: Callable[..., OpcuaSource], mesh: Mesh, server: OpcuaServer
) -> None:
    source, twin = listen(), mesh.twin("plant")
    wait_for(lambda: last(twin, "NOTE")[0] == "hello" and last(twin, "RUN")[0] is not None, source.health)
    assert last(twin, "RATE") == (pytest.approx(10.0), Quality.GOOD)
    assert last(twin, "RUN") == (True, Quality.GOOD)
    assert last(twin, "STATE") == ("RUNNING", Quality.GOOD)
    assert last(twin, "COUNT") == (7, Quality.GOOD)
    wait_for(lambda: sum(b.refused.get("VALUE_TYPE", 0) for b in source.health().bindings) == 2)
    health = source.health()
    assert [b.refused for b in health.bindings if b.refused] == [{"VALUE_TYPE": 1}, {"VALUE_TYPE": 1}]
    assert [(p.code, "Lost" in p.message) for p in health.rejected] == [("OPCUA_NODE", True)]
    assert (health.shed, health.gaps, health.overflows) == (0, 0, 0)
    # asyncua still asks our session to publish, and what a real server sends is plain enough for columns
    assert health.in_columns == health.received >= 7


def test_status_and_time_of_the_source_become_quality_and_time(
    listen: Callable[..., OpcuaSource], mesh: Mesh, server: OpcuaServer
) -> None:
    source, twin = listen(), mesh.twin("plant")
    wait_for(lambda: source.health().recorded >= 5, source.health)
    stamp = datetime.now(UTC).replace(microsecond=123_000) + timedelta(seconds=1)
    server.set("Rate", 68.0, status="UncertainLastUsableValue", time=stamp.isoformat())
    wait_for(lambda: last(twin, "RATE") == (pytest.approx(20.0), Quality.UNCERTAIN), source.health)
    snapshot = twin.snapshot()
    assert int(snapshot.point_time_ns[snapshot.find("RATE")]) == round(stamp.timestamp() * 1e3) * 1_000_000
    server.set("Count", 8, status="BadSensorFailure")
    wait_for(lambda: last(twin, "COUNT")[1] == Quality.BAD, source.health)
    assert source.health().statuses == {"UncertainLastUsableValue": 1, "BadSensorFailure": 1}


def test_a_server_that_is_killed_is_found_again_and_its_points_are_bad_meanwhile(
    listen: Callable[..., OpcuaSource], mesh: Mesh, server: OpcuaServer
) -> None:
    source, twin = listen(), mesh.twin("plant")
    with served(mesh) as running:

        def shown(point: str) -> dict[str, Any]:
            return running.data(ASK, {"id": BASE + point})["node"]

        wait_for(lambda: shown("RATE")["quality"] == "GOOD", source.health)
        server.set("Rate", 86.0)
        wait_for(lambda: shown("RATE")["value"] == pytest.approx(30.0), source.health)
        server.kill()
        wait_for(
            lambda: shown("RATE")["quality"] == "BAD" and shown("RUN")["quality"] == "BAD", source.health
        )
        assert shown("RATE")["value"] == pytest.approx(30.0)
        health = source.health()
        assert not health.connected and health.down_since_ns and health.last_error
        server.start()
        wait_for(lambda: shown("RATE")["quality"] == shown("RUN")["quality"] == "GOOD", source.health)
        assert shown("RATE")["value"] == pytest.approx(10.0)
        server.set("Rate", 104.0)
        wait_for(lambda: shown("RATE")["value"] == pytest.approx(40.0), source.health)
    assert source.health().connects == 2
    samples = twin.history.range(BASE + "RUN", 0, 2**62, 100)
    assert [severity_of(quality) for quality in samples.quality.tolist()] == [0, 2, 0]


def test_a_server_whose_certificate_is_not_pinned_gets_no_word(
    listen: Callable[..., OpcuaSource], server: OpcuaServer
) -> None:
    unpinned = listen(server_fingerprint=None)
    other = listen(server_fingerprint="sha256:" + "0" * 64)
    for source in (unpinned, other):
        wait_for(lambda source=source: source.health().last_error, source.health)
        assert server.fingerprint in (source.health().last_error or "")
        assert source.health().connects == 0
    wait_for(lambda: server.order(do="counts")["sessions"] == 0)


def test_a_wrong_password_is_refused_by_the_server(
    listen: Callable[..., OpcuaSource], server: OpcuaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_OPCUA_WRONG", "guess")
    source = listen(password_env="TEST_OPCUA_WRONG")
    wait_for(lambda: source.health().last_error, source.health)
    assert source.health().connects == 0
