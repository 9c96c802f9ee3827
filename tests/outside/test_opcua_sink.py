"""Writing nodes of a node-opcua server, and browsing it for what could be bound."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from adapters.opcua.bindings import parse_opcua_bindings
from adapters.opcua.config import Line
from adapters.opcua.sink import OpcuaSink
from graph.mesh import Mesh
from graph.values import Change, TwinRecord, Value
from ontology.schema import load_schema
from ontology.units import load_units
from tests.outside.opcua_server import SPACE, OpcuaServer

pytestmark = pytest.mark.timeout(900)
BASE = "https://twinmesh.invalid/plant/"
NODES = [
    ("Rate", "Double", 50.0),
    ("Run", "Boolean", True),
    ("Level", "Int16", 3),
    ("Note", "String", "hello"),
    ("List", "Double", [1.0, 2.0]),
    ("Line1.Speed", "Float", 1.5),
]
POINTS = {
    "LINE-1-RATE": {},
    "note": {"valueType": "text"},
    "Level": {"valueType": "boolean"},
    "run 1": {"valueType": "boolean"},
    "SPEED": {},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[OpcuaServer]:
    server = OpcuaServer(tmp_path_factory.mktemp("opcua"), NODES)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def line(server: OpcuaServer) -> Line:
    return Line(
        server.url,
        server.client_certificate,
        server.client_key,
        server_fingerprint=server.fingerprint,
        request_timeout_s=60.0,
    )


@pytest.mark.parametrize(
    ("node", "value", "status"),
    [
        ("Rate", 72.5, "Good"),
        ("Rate", 3, "Good"),
        ("Run", False, "Good"),
        ("Level", 4, "Good"),
        ("Level", 5.0, "Good"),
        ("Note", "new", "Good"),
        ("Level", 4.5, "BadTypeMismatch"),
        ("Level", 40_000, "BadOutOfRange"),
        ("Rate", "72", "BadTypeMismatch"),
        ("Rate", True, "BadTypeMismatch"),
        ("Rate", float("nan"), "BadOutOfRange"),
        ("Run", 1, "BadTypeMismatch"),
        ("List", 1.0, "BadTypeMismatch"),
        ("Nobody", 1.0, "BadNodeIdUnknown"),
    ],
)
def test_a_write_is_done_exactly_or_not_at_all(
    server: OpcuaServer, line: Line, node: str, value: float | bool | str, status: str
) -> None:
    before = None if node == "Nobody" else server.order(do="get", name=node)["value"]
    sink = OpcuaSink(line)
    assert asyncio.run(sink.write(f"nsu={SPACE};s={node}", value)) == status
    if before is not None:
        after = server.order(do="get", name=node)["value"]
        assert after == (value if status == "Good" else before)
        if status == "Good":
            read = asyncio.run(sink.read(f"nsu={SPACE};s={node}"))
            assert (read.value, read.status) == (value, "Good")


def test_an_unknown_namespace_or_a_server_that_is_away_is_told(server: OpcuaServer, line: Line) -> None:
    assert asyncio.run(OpcuaSink(line).write("nsu=urn:nobody;s=Rate", 1.0)) == "BadNodeIdUnknown"
    away = OpcuaServer(server.client_key.parent / "away", NODES)
    nobody = Line(away.url, line.certificate, line.private_key, server_fingerprint=line.server_fingerprint)
    assert asyncio.run(OpcuaSink(nobody).write("ns=1;s=Rate", 1.0)) == "BadNotConnected"
    read = asyncio.run(OpcuaSink(nobody).read("ns=1;s=Rate"))
    assert (read.value, read.status, read.time_ns) == (None, "BadNotConnected", None)


def test_a_dry_run_lists_what_could_be_bound(server: OpcuaServer, tmp_path: Path) -> None:
    schema = load_schema()
    twins = [
        TwinRecord(BASE + name.replace(" ", "%20"), (schema.kind("tm:Point").iri,), name.title(),
                   attributes={key: Value(value) for key, value in facts.items()})
        for name, facts in POINTS.items()
    ]  # fmt: skip
    with Mesh.open(tmp_path / "data", schema, units=load_units()) as mesh:
        mesh.create_site("plant").apply(Change(put_twins=tuple(twins)))
    command = [
        str(Path(sys.executable).parent / "twinmesh"), "bind", "propose", "opcua", server.url,
        "--data", str(tmp_path / "data"), "--site", "plant", "--json",
        "--option", f"server_fingerprint={server.fingerprint}",
        "--option", f"certificate={server.client_certificate}",
        "--option", f"private_key={server.client_key}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    bound = {(one["address"], one["point"]) for one in found["proposals"]}
    assert bound == {(f"nsu={SPACE};s=Rate", "LINE-1-RATE"), (f"nsu={SPACE};s=Note", "note")}
    assert [(one["address"], "boolean" in one["reason"]) for one in found["doubts"]] == [
        (f"nsu={SPACE};s=Level", True)
    ]
    assert {"run 1", "SPEED"} <= set(found["unbound"])
    tables = [{"node": address, "point": point} for address, point in bound]
    assert len(parse_opcua_bindings({"binding": tables}, "b", load_units())) == len(bound)
