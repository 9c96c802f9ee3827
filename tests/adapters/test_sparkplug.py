"""Sparkplug B: the codec beside npm's, the host beside an independent edge and a real broker."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from adapters.mqtt.decode import Message
from adapters.sparkplug.config import SparkplugConfig, parse_sparkplug
from adapters.sparkplug.decode import Metric, Payload, decode_payload, encode_payload
from adapters.sparkplug.host import SparkplugHost
from adapters.sparkplug.source import SparkplugSource
from graph.values import Change, Quality, TwinRecord, Value
from ontology.errors import InputError
from ontology.units import load_units
from tests.adapters.brokers import secure_broker, wait_for
from tests.adapters.sparkplug_edges import CLIENT, WAIT_S, Edge, metric
from tests.api.certificates import Authority
from tests.outside.npm import node, package, trusting

UNITS = load_units()


@pytest.fixture
def edges(broker, request):
    """Start independent edges; those that still run are killed at the end."""
    modules = package(*CLIENT).parent
    program = request.path.parent / "sparkplug_edge.cjs"
    started = []

    def start(name="press"):
        started.append(Edge(broker.port, modules, program, name))
        return started[-1]

    yield start
    for edge in started:
        edge.kill()


@pytest.fixture
def listen(broker, campus_twin):
    sources = []

    def start(**settings):
        config = SparkplugConfig(
            "campus", "127.0.0.1", port=broker.port, reconnect_s_max=1, rebirth_s_min=0.2, **settings
        )
        sources.append(SparkplugSource.start(campus_twin, config, UNITS))
        wait_for(lambda: sources[-1].health().connected)
        return sources[-1]

    yield start
    for source in sources:
        source.stop()


BORN = [
    metric("Temperature", 20.5, alias=1, properties={"engUnit": {"type": "String", "value": "Cel"}}),
    metric("Running", True, "Boolean", alias=2),
    metric("Recipe", "A-7", "String", alias=3),
    metric("Offset", -5, "Int16", alias=4),
    metric("Node Control/Rebirth", False, "Boolean"),
]


@contextlib.contextmanager
def listening(broker, topic):
    """What comes on a topic, from a subscription on that the broker has confirmed."""
    heard, subscribed = queue.Queue(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _d, message: heard.put(message.payload)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe(topic, 1)
    assert subscribed.wait(WAIT_S)
    yield heard
    client.disconnect()
    client.loop_stop()


def last(twin, name):
    """Value and quality of the last reading; None where there is no such point."""
    snapshot = twin.snapshot()
    row = snapshot.row(f"{twin.base}{name.replace('/', '%2F')}")
    if row < 0:
        return None
    return snapshot.point_value(row), Quality(int(snapshot.point_quality[row])).name


def expect(twin, name, value, quality="GOOD"):
    wait_for(lambda: last(twin, name) == (value, quality))


def test_births_make_points_and_data_becomes_readings(listen, edges, campus_twin):
    source = listen()
    edge = edges()
    edge.tell("born", metrics=BORN, of={"robot": [metric("Load", 0.5, "Float", alias=10)]})
    expect(campus_twin, "line/press/Temperature", 20.5)
    expect(campus_twin, "line/press/Running", True)
    expect(campus_twin, "line/press/Recipe", "A-7")
    expect(campus_twin, "line/press/Offset", -5.0)
    expect(campus_twin, "line/press/robot/Load", 0.5)
    assert last(campus_twin, "line/press/Node Control/Rebirth") is None
    snapshot = campus_twin.snapshot()
    row = snapshot.find("line/press/Temperature")
    assert snapshot.unit_of(row) == "Cel"
    edge.tell("data", metrics=[metric("Temperature", 21.5)])
    expect(campus_twin, "line/press/Temperature", 21.5)
    edge.tell("data", metrics=[{"alias": 1, "value": 22.5, "type": "Double", "name": ""}])
    expect(campus_twin, "line/press/Temperature", 22.5)
    edge.tell("device", device="robot", metrics=[metric("Load", 0.25, "Float")])
    expect(campus_twin, "line/press/robot/Load", 0.25)
    health = source.health()
    assert (health.refused, health.shed, health.bindings[0].refused) == (0, 0, {})


def in_unit(name, value, unit):
    return metric(name, value, properties={"engUnit": {"type": "String", "value": unit}})


def test_units_of_edges_become_those_of_points_or_nothing_is_recorded(listen, edges, campus_twin):
    kinds, base = (campus_twin.schema.kind("tm:Point").iri,), campus_twin.base
    points = {"SP-OUT": "Cel", "SP-LOAD": "kW", "SP-WRONG": "kW", "SP-ODD": "kW", "SP-SAME": "kW"}
    campus_twin.apply(
        Change(put_twins=tuple(
            TwinRecord(base + name, kinds, attributes={"unit": Value(unit)}) for name, unit in points.items()
        ))
    )  # fmt: skip
    names = {"Out": "SP-OUT", "Load": "SP-LOAD", "Wrong": "SP-WRONG", "Odd": "SP-ODD", "Same": "SP-SAME"}
    source = listen(points={f"line/press/{name}": point for name, point in names.items()})
    edge = edges()
    born = [
        in_unit("Out", 212.0, "[degF]"),
        in_unit("Load", 2_500.0, "W"),
        in_unit("Wrong", 20.0, "Cel"),
        in_unit("Odd", 20.0, "widgets"),
        metric("Same", 7.5),
    ]
    edge.tell("born", metrics=born)
    expect(campus_twin, "SP-SAME", 7.5)
    assert last(campus_twin, "SP-OUT")[0] == pytest.approx(100.0, abs=1e-9)
    assert last(campus_twin, "SP-LOAD")[0] == pytest.approx(2.5)
    edge.tell("data", metrics=[metric("Load", 4_000.0), metric("Odd", 21.0), metric("Same", 8.5)])
    expect(campus_twin, "SP-SAME", 8.5)
    assert last(campus_twin, "SP-LOAD")[0] == pytest.approx(4.0)
    snapshot = campus_twin.snapshot()
    never = [snapshot.point_time_ns[snapshot.find(name)] for name in ("SP-WRONG", "SP-ODD")]
    assert [int(time_ns) for time_ns in never] == [0, 0]
    edge_health, *wrong = source.health().bindings
    assert set(edge_health.refused) == {"UNIT_UNKNOWN"}  # by message: its last trouble
    told = {each.name: (each.state, each.problem.code, each.unit) for each in wrong}
    assert told == {
        "line/press/Wrong": ("UNIT_MISMATCH", "UNIT_MISMATCH", "Cel"),
        "line/press/Odd": ("UNIT_MISMATCH", "UNIT_UNKNOWN", "widgets"),
    }
    assert "the point is in kW" in wrong[0].message
    edge.tell("born", metrics=[in_unit("Odd", 21.0, "MW"), metric("Same", 9.5)])  # put right at the edge
    expect(campus_twin, "SP-SAME", 9.5)
    assert last(campus_twin, "SP-ODD")[0] == pytest.approx(21_000.0)
    assert len(source.health().bindings) == 1


def test_a_death_makes_quality_bad_and_a_new_birth_makes_it_good(listen, edges, campus_twin):
    listen()
    edge = edges()
    edge.tell("born", metrics=BORN, of={"robot": [metric("Load", 0.5, "Float")]})
    expect(campus_twin, "line/press/robot/Load", 0.5)
    edge.tell("dead", device="robot")
    expect(campus_twin, "line/press/robot/Load", 0.5, "BAD")
    expect(campus_twin, "line/press/Temperature", 20.5)
    edge.kill()  # its will is its death
    expect(campus_twin, "line/press/Temperature", 20.5, "BAD")
    again = edges()
    again.tell("born", metrics=BORN)
    expect(campus_twin, "line/press/Temperature", 20.5)


def test_a_host_that_missed_the_birth_asks_for_it(listen, edges, broker, campus_twin):
    edge = edges()
    with listening(broker, "spBv1.0/line/NBIRTH/press") as heard:
        edge.tell("born", metrics=[dict(each) for each in BORN])
        heard.get(timeout=WAIT_S)  # else the birth may still be on its way, and is not missed
    listen()
    edge.tell("data", metrics=[{"alias": 1, "value": 30.5, "type": "Double", "name": ""}])
    edge.expect("rebirth")
    expect(campus_twin, "line/press/Temperature", 30.5)
    expect(campus_twin, "line/press/Recipe", "A-7")  # what never changes comes in a birth only


def test_a_broker_that_was_away_leaves_no_hole(listen, edges, broker, campus_twin):
    source = listen()
    edge = edges()
    edge.tell("born", metrics=[dict(each) for each in BORN])
    expect(campus_twin, "line/press/Temperature", 20.5)
    broker.stop()
    wait_for(lambda: not source.health().connected)
    edge.tell("data", metrics=[metric("Temperature", 25.5)], silent=True)
    broker.start()
    expect(campus_twin, "line/press/Temperature", 25.5)
    assert source.health().reconnects >= 1


def test_by_tls_and_password_a_kill_of_the_broker_leaves_no_hole(
    mosquitto, tmp_path, campus_twin, request, monkeypatch
):
    """The broker forgets everything with kill -9; the edge bears again and nothing stays old or bad."""
    monkeypatch.setenv("TEST_PASSWORD", "s3cret")
    authority = Authority(tmp_path, "site")
    rights = "user edge\ntopic readwrite spBv1.0/#\nuser twin\ntopic readwrite spBv1.0/#\n"
    users = {"edge": "3dge", "twin": "s3cret"}
    broker = secure_broker(mosquitto, tmp_path / "secure", authority, users, rights)
    secrets = (authority.file, "edge", "3dge")
    edge = None
    config = SparkplugConfig(
        "campus", "127.0.0.1", port=broker.port, tls=True, ca_file=authority.file, username="twin",
        password_env="TEST_PASSWORD", reconnect_s_max=1, rebirth_s_min=0.2,
    )  # fmt: skip
    source = SparkplugSource.start(campus_twin, config, UNITS)
    try:
        wait_for(lambda: source.health().connected)
        program = request.path.parent / "sparkplug_edge.cjs"
        edge = Edge(broker.port, package(*CLIENT).parent, program, secure=secrets)
        edge.tell("born", metrics=[dict(each) for each in BORN])
        expect(campus_twin, "line/press/Temperature", 20.5)
        broker.kill()
        wait_for(lambda: not source.health().connected)
        edge.tell("data", metrics=[metric("Temperature", 26.5)], silent=True)
        broker.start()
        expect(campus_twin, "line/press/Temperature", 26.5)
        edge.tell("data", metrics=[metric("Temperature", 27.5)])
        expect(campus_twin, "line/press/Temperature", 27.5)
        assert (source.health().shed, source.health().last_error) == (0, None)
    finally:
        if edge is not None:
            edge.kill()
        source.stop()
        broker.stop()


def frames(*payloads):
    return [encode_payload(Payload(1_768_219_200_000, tuple(metrics), seq)) for seq, metrics in payloads]


def test_a_number_that_was_skipped_asks_for_the_birth(listen, broker):
    listen()
    heard = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _d, message: heard.put(decode_payload(message.payload))
    client.on_subscribe = lambda *_: heard.put("subscribed")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("spBv1.0/line/NCMD/own", 1)
    assert heard.get(timeout=WAIT_S) == "subscribed"
    one = Metric("T", 7, None, 10, 1.5)
    birth, data, skipped = frames((0, [one, Metric("bdSeq", datatype=8, value=3)]), (1, [one]), (3, [one]))
    for topic, body in (("NBIRTH", birth), ("NDATA", data)):
        client.publish(f"spBv1.0/line/{topic}/own", body, 1).wait_for_publish(WAIT_S)
    client.publish("spBv1.0/line/NDATA/own", skipped, 1).wait_for_publish(WAIT_S)
    asked = heard.get(timeout=WAIT_S)
    assert [(each.name, each.value) for each in asked.metrics] == [("Node Control/Rebirth", True)]
    client.disconnect()
    client.loop_stop()


def test_a_death_of_an_earlier_session_is_passed_over(listen, broker, campus_twin):
    listen()
    one = Metric("T", 7, None, 10, 1.5)
    (birth,) = frames((0, [one, Metric("bdSeq", datatype=8, value=3)]))
    old, own = (frames((None, [Metric("bdSeq", datatype=8, value=number)]))[0] for number in (2, 3))
    broker.publish([("spBv1.0/line/NBIRTH/own", birth), ("spBv1.0/line/NDEATH/own", old)])
    broker.publish([("spBv1.0/line/NBIRTH/other", birth)])
    expect(campus_twin, "line/other/T", 1.5)
    assert last(campus_twin, "line/own/T") == (1.5, "GOOD")
    broker.publish([("spBv1.0/line/NDEATH/own", own)])
    expect(campus_twin, "line/own/T", 1.5, "BAD")


def test_the_state_of_the_host_is_told_and_kept(listen, broker):
    states = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _d, message: states.put(json.loads(message.payload))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("spBv1.0/STATE/main-host", 1)
    source = listen(host_id="main-host")
    online = states.get(timeout=WAIT_S)
    source.stop()
    offline = states.get(timeout=WAIT_S)
    assert (online["online"], offline["online"]) == (True, False)
    assert online["timestamp"] == offline["timestamp"]
    client.disconnect()
    client.loop_stop()


def test_what_is_no_payload_is_refused_and_counted(listen, broker, campus_twin):
    source = listen()
    one = Metric("T", 7, None, 10, 1.5)
    (birth,) = frames((0, [one]))
    bad = [b"\xff", b"\x12\x05a", b"\x0b", birth[:-1] + b"\xff"]
    broker.publish([("spBv1.0/line/NBIRTH/own", birth), *[("spBv1.0/line/NDATA/own", each) for each in bad]])
    wait_for(lambda: source.health().refused == len(bad))
    assert source.health().bindings[0].refused == {"PAYLOAD_SYNTAX": len(bad)}
    assert source.health().state == "running"


def test_settings_are_strict(tmp_path):
    path = tmp_path / "twinmesh.toml"
    (config,) = parse_sparkplug({"sparkplug": [{"site": "campus", "host": "h", "groups": ["a"]}]}, path)
    assert (config.groups, config.port, config.client_id) == (("a",), 1883, "twinmesh-sparkplug-campus")
    with pytest.raises(InputError) as caught:
        parse_sparkplug({"sparkplug": [{"site": "c", "host": "h", "groups": ["a/b"], "host_di": "x"}]}, path)
    assert sorted(problem.code for problem in caught.value.problems) == ["CONFIG_RANGE", "CONFIG_UNKNOWN_KEY"]


def test_payloads_of_npm_are_read_and_ours_are_read_by_npm():
    """sparkplug-payload (protobufjs) writes and reads the same metrics."""
    modules = package(*CLIENT).parent
    kinds = {
        "Int8": -8, "Int16": -300, "Int32": -70_000, "Int64": -(2**40), "UInt8": 200, "UInt16": 60_000,
        "UInt32": 4_000_000_000, "UInt64": 2**45, "Float": 1.5, "Double": -2.25e-9, "Boolean": True,
        "String": "Grüße", "DateTime": 1_768_219_200_000, "Text": "t", "UUID": "u",
    }  # fmt: skip
    metrics = [metric(kind, value, kind, timestamp=1_768_219_200_000) for kind, value in kinds.items()]
    script = """
    const payloads = require(process.argv[1] + "/sparkplug-payload").get("spBv1.0");
    const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
    if (given.encode) process.stdout.write(Buffer.from(payloads.encodePayload(given.encode)).toString("hex"));
    else process.stdout.write(JSON.stringify(payloads.decodePayload(Buffer.from(given.decode, "hex")),
      (k, v) => typeof v === "bigint" ? Number(v) : v));
    """

    def npm(document):
        done = subprocess.run(
            [node(), "-e", script, str(modules)], input=json.dumps(document), text=True, capture_output=True,
            timeout=WAIT_S, env=trusting(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    theirs = decode_payload(bytes.fromhex(npm({"encode": {"timestamp": 5, "seq": 7, "metrics": metrics}})))
    assert (theirs.timestamp_ms, theirs.seq) == (5, 7)
    assert {each.name: each.value for each in theirs.metrics} == kinds
    ours = Payload(5, theirs.metrics, 7)
    assert decode_payload(encode_payload(ours)) == ours
    back = json.loads(npm({"decode": encode_payload(ours).hex()}))
    found = {each["name"]: each["value"] for each in back["metrics"]}
    plain = {name: value for name, value in kinds.items() if name not in ("Int64", "UInt64", "DateTime")}
    assert {name: found[name] for name in plain} == plain


def test_edges_are_asked_for_their_births_as_soon_as_we_are_back(campus_twin):
    """Not with their next message: an edge that bore while we were away may be silent for long."""
    asked = []
    config = SparkplugConfig("campus", "127.0.0.1")
    host = SparkplugHost(config, campus_twin, UNITS, lambda *edge: asked.append(edge))
    payload = Payload(1_768_219_200_000, (Metric("Temperature", datatype=10, value=20.5),), 0)
    birth = encode_payload(payload)
    host.decode([Message("spBv1.0/line/NBIRTH/press", birth, time.time_ns(), False, 0, 0, 1)])
    assert asked == []
    host.forget()
    assert asked == [("line", "press")]
