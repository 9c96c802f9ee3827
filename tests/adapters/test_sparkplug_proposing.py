"""Births of an independent edge: proposed as bindings, and read by the host as these."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from adapters.sparkplug.config import SparkplugConfig, parse_metrics
from adapters.sparkplug.source import SparkplugSource
from graph.mesh import Mesh
from graph.values import Change, TwinRecord, Value
from ontology.errors import InputError
from ontology.schema import load_schema
from ontology.units import load_units
from tests.adapters.brokers import Broker, wait_for
from tests.adapters.sparkplug_edges import CLIENT, WAIT_S, Edge, metric
from tests.outside.npm import package

POINTS = {"PRESS-TEMPERATURE": {"unit": "Cel"}, "LOAD": {"unit": "kW"}, "RECIPE": {"valueType": "text"}}
OTHER = "https://other.example/"  # an imported model keeps its IRIs
CELSIUS = {"engUnit": {"type": "String", "value": "Cel"}}
BORN = [metric("Temperature", 20.5, alias=1, properties=CELSIUS), metric("Recipe", 5, "Int16", alias=2)]
DEVICE = {"robot": [metric("Load", 0.5, alias=3, properties=CELSIUS), metric("Other", 1.5, alias=4)]}


@pytest.fixture
def edge(mosquitto, tmp_path, request):
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(mosquitto, folder)
    edge = None
    try:
        program = request.path.parent / "sparkplug_edge.cjs"
        edge = Edge(broker.port, package(*CLIENT).parent, program)
        edge.tell("born", metrics=[dict(each) for each in BORN], of=DEVICE)
        edge.port = broker.port
        yield edge
    finally:
        if edge is not None:
            edge.kill()
        broker.stop()


def test_births_are_proposed_and_then_bound(edge, tmp_path):
    schema = load_schema()
    with Mesh.open(tmp_path / "data", schema, units=load_units()) as mesh:
        twin = mesh.create_site("plant", base="https://plant.example/")
        kinds = (schema.kind("tm:Point").iri,)
        twin.apply(Change(put_twins=tuple(
            TwinRecord(OTHER + name, kinds, attributes={key: Value(value) for key, value in facts.items()},
                       local_id=name)
            for name, facts in POINTS.items()
        )))  # fmt: skip
    found = _propose(edge, tmp_path)
    assert [(one["address"], one["point"]) for one in found["proposals"]] == [
        ("line/press/Temperature", "PRESS-TEMPERATURE")
    ]
    assert {one["address"]: one["reason"].split()[0] for one in found["doubts"]} == {
        "line/press/Recipe": "RECIPE", "line/press/robot/Load": "LOAD",
    }  # fmt: skip
    assert (found["unmatched"], set(found["unbound"])) == (["line/press/robot/Other"], {"LOAD", "RECIPE"})
    points = parse_metrics(tomllib.loads(found["bindings"]), "b.toml") | {"line/press/Recipe": "NOWHERE"}
    with Mesh.open(tmp_path / "data", schema, units=load_units()) as mesh:
        twin = mesh.twin("plant")
        config = SparkplugConfig("plant", "127.0.0.1", port=edge.port, rebirth_s_min=0.2, points=points)
        source = SparkplugSource.start(twin, config, load_units())
        try:
            wait_for(lambda: source.health().connected)
            edge.tell("data", metrics=[metric("Temperature", 30.5)])
            row = twin.snapshot().find("PRESS-TEMPERATURE")
            wait_for(lambda: twin.snapshot().point_value(row) == 30.5)
            wait_for(lambda: "line/press/robot/Other" in _names(twin.snapshot()))
        finally:
            source.stop()
        assert {*_names(twin.snapshot())} == {*POINTS, "line/press/robot/Load", "line/press/robot/Other"}
        assert source.health().bindings[0].refused["SPARKPLUG_BINDING"] >= 1


def test_a_bindings_file_is_strict():
    one = {"metric": "a/b/c", "point": "P"}
    with pytest.raises(InputError) as caught:
        parse_metrics(
            {"binding": [one, one, {"metric": "d"}, {**one, "metric": "e", "point": "Q", "x": 1}]}, "b"
        )
    codes = sorted(problem.code for problem in caught.value.problems)
    assert codes == ["CONFIG_KEY_MISSING", "CONFIG_RANGE", "CONFIG_UNKNOWN_KEY"]


def _names(snapshot):
    return snapshot.local_ids(snapshot.rows_of_kind(snapshot.schema.point_kind))


def _propose(edge, folder):
    """The edge speaks until the command, which asks for its births, has heard all four metrics."""
    program = str(Path(sys.executable).parent / "twinmesh")
    command = [
        program, "bind", "propose", "sparkplug", f"127.0.0.1:{edge.port}",
        "--data", str(folder / "data"), "--site", "plant", "--json",
        "--option", "seconds=120", "--option", "metrics=4", "--option", "rebirth=true",
    ]  # fmt: skip
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, text=True)
        until = time.monotonic() + 3 * WAIT_S
        try:
            while process.poll() is None and time.monotonic() < until:
                edge.tell("data", metrics=[metric("Temperature", 21.5)])
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait(30)
    assert process.returncode == 0, (folder / "err").read_text()
    return json.loads((folder / "out").read_text())
