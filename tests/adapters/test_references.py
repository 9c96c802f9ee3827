"""Brick's external references: what they would bind, what not and why, and the command that shows it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from pyoxigraph import RdfFormat
from pyoxigraph import parse as parse_rdf

from adapters.binding import parse_bindings
from adapters.proposing import bindings_file
from adapters.rdf.references import propose_references
from graph.values import Change, ExternalId

sys.path.append(str(Path(__file__).parent))
from import_helpers import PREFIXES, UNITS, Place

REF = "https://brickschema.org/schema/Brick/ref#"
MODEL = """
@prefix bacnet: <http://data.ashrae.org/bacnet/2020#> .
<AHU> a brick:AHU ; ref:hasExternalReference [ a ref:MQTTReference ; ref:topic "ahu" ] .
<ROOM> a rec:Room ; ref:hasExternalReference [ a ref:IFCReference ; ref:ifcGlobalID "1" ; ref:ifcName "r" ] .
<SAT> a brick:Sensor ; ref:hasExternalReference
  [ a ref:MQTTReference ; ref:topic "ahu/sat" ; ref:broker "mqtt://one" ;
    ref:valueKey "a/b" ; ref:timeKey "t" ] ,
  [ a ref:TimeseriesReference ; ref:hasTimeseriesId "ts-1" ; ref:storedAt "db" ] .
<NAMED> a brick:Sensor ; ref:hasExternalReference <r> .
<r> a ref:MQTTReference ; ref:topic "ahu/named" .
<FAR> a brick:Sensor ; ref:hasExternalReference [ ref:topic "far" ; ref:broker "mqtt://two" ] .
<SERIES> a brick:Sensor ; ref:hasExternalReference [ ref:hasTimeseriesId "ts-2" ] .
<BAC> a brick:Sensor ; ref:hasExternalReference [ a ref:BACnetReference ;
  bacnet:object-identifier "analog-input,3" ; bacnet:objectOf [ bacnet:device-instance 4 ] ] .
<WILD> a brick:Sensor ; ref:hasExternalReference [ ref:topic "a/+/b" ] .
<ODD> a brick:Sensor ; ref:hasExternalReference [ a ex:ModbusReference ; ex:register 7 ] .
<ONE> a brick:Sensor ; ref:hasExternalReference [ ref:topic "both" ] .
<TWO> a brick:Sensor ; ref:hasExternalReference [ ref:topic "both" ] .
<SPLIT> a brick:Sensor ; ref:hasExternalReference [ ref:topic "left" ] , [ ref:topic "right" ] .
<CHOSEN> a brick:Sensor ; ref:hasExternalReference [ ref:topic "old" ] ,
  [ ref:topic "new" ; ref:preferred true ] .
<BARE> a brick:Sensor .
"""


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    yield place
    place.close()


def test_what_references_bind_and_why_not(place):
    place.take(model_ttl=PREFIXES + MODEL)
    found = propose_references(place.snapshot(), broker="mqtt://one")
    assert {(one.point, one.address) for one in found.proposals} == {
        ("SAT", "ahu/sat"), ("NAMED", "ahu/named"), ("CHOSEN", "new"),
    }  # fmt: skip
    document = tomllib.loads(bindings_file(found.proposals, "topic"))
    bound = {one.point.text: one for one in parse_bindings(document, "b.toml", UNITS)}
    assert (bound["SAT"].pointer, bound["SAT"].time_pointer) == (("a/b",), ("t",))
    doubts = sorted((one.address, one.reason) for one in found.doubts)
    expected = [
        ("ModbusReference", "names no topic"), ("a/+/b", "holds any of +"), ("ahu", "AHU is no point"),
        ("bacnet:4/analog-input,3", "no source speaks BACnet"), ("both", "any of ONE, TWO"),
        ("both", "any of ONE, TWO"), ("far", "at the broker mqtt://two"), ("left", "also be right"),
        ("old", "CHOSEN has new"), ("right", "also be left"), ("ts-1", "stored at db"),
        ("ts-2", "--option topic="),
    ]  # fmt: skip
    assert [address for address, _ in doubts] == [address for address, _ in expected]
    assert [(one, told) for one, (_, told) in zip(doubts, expected, strict=True) if told not in one[1]] == []
    assert {"BARE", "BAC", "SERIES", "FAR"} <= {*found.unbound}


def test_a_topic_for_time_series_binds_them(place):
    place.take(model_ttl=PREFIXES + MODEL)
    found = propose_references(place.snapshot(), topic="db/{id}")
    bound = {one.point: one.address for one in found.proposals}
    assert (bound["SERIES"], bound["SAT"], bound["FAR"]) == ("db/ts-2", "ahu/sat", "far")
    assert ("db/ts-1", "SAT has ahu/sat, which leads") in [(one.address, one.reason) for one in found.doubts]


def test_an_id_that_a_point_has_no_more_is_not_proposed(place):
    """The file's own spelling of it stays among the kept statements."""
    place.take(model_ttl=PREFIXES + MODEL)
    record = place.twin("SAT")
    other = replace(record, external_ids=(ExternalId("timeseries", "ts-9"),))
    place.mesh.twin("plant").apply(Change(put_twins=(other,)))
    assert any('"ts-1"' in line for lines in place.snapshot().statements().values() for line in lines)
    doubts = {one.address for one in propose_references(place.snapshot()).doubts}
    assert ("ts-9" in doubts, "ts-1" in doubts) == (True, False)


def test_the_command_on_a_real_building(place, tmp_path, shared_data):
    model = shared_data / "brick" / "bldg1.ttl"
    stated = [quad.object.value for quad in parse_rdf(model.read_bytes(), RdfFormat.TURTLE)
              if quad.predicate.value == REF + "hasTimeseriesId"]  # fmt: skip
    place.load(model)
    place.close()
    told = _propose(tmp_path, "--option", "topic=plant/{id}")
    parsed = parse_bindings(tomllib.loads(told["bindings"]), "b.toml", UNITS)
    addresses = [one.topic.text for one in parsed] + [one["address"] for one in told["doubts"]]
    assert len(parsed) > 50
    assert sorted(addresses) == sorted(f"plant/{one}" for one in stated)
    dry = _propose(tmp_path)
    assert dry["proposals"] == []
    assert sorted(one["address"] for one in dry["doubts"]) == sorted(stated)


def _propose(folder: Path, *more: str) -> dict:
    program = str(Path(sys.executable).parent / "twinmesh")
    command = [
        program,
        "bind",
        "propose",
        "brick",
        "--data",
        str(folder / "data"),
        "--site",
        "plant",
        "--json",
    ]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
