"""Commands to an edge of npm's sparkplug-client: done once, confirmed by its data, or told why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.command_config import parse_commands
from adapters.command_desk import CommandDesk
from adapters.command_rules import load_rules
from adapters.commands import RECORDS, Wish
from adapters.mqtt.publisher import MqttLink
from adapters.sparkplug.command_sender import SparkplugCommandSender, parse_target, typed
from adapters.sparkplug.config import SparkplugConfig
from adapters.sparkplug.decode import DATATYPES
from adapters.sparkplug.source import SparkplugSource
from graph.stores.site_files import COMMANDS
from graph.stores.state_log import StateLog
from ontology.errors import InputError
from ontology.units import load_units
from tests.adapters.brokers import wait_for
from tests.adapters.sparkplug_edges import CLIENT, Edge, metric
from tests.outside.npm import package

UNITS = load_units()
RULES = """
[[command]]
point = "{group}/{node}/robot/Load"
address = "{group}/DCMD/{node}/robot/Load"
datatype = "Float"
maximum = 10
[[command]]
point = "{group}/{node}/Speed/Wanted"
address = "{group}/NCMD/{node}/Speed/Wanted"
datatype = "Int16"
[[command]]
point = "{group}/{node}/Running"
address = "{group}/NCMD/{node}/Running"
"""


@pytest.fixture
def desk(broker, campus_twin, tmp_path):
    """A desk whose rules name the metrics of an edge, and the source that hears what the edge says."""
    (tmp_path / "rules.toml").write_text(RULES)
    rules = load_rules(tmp_path / "rules.toml", UNITS)
    config = SparkplugConfig("campus", "127.0.0.1", port=broker.port, reconnect_s_max=1, rebirth_s_min=0.2)
    sender = SparkplugCommandSender(MqttLink("127.0.0.1", broker.port, "commands", protocol="3.1.1"))
    source = SparkplugSource.start(campus_twin, config, UNITS)
    try:
        wait_for(lambda: source.health().connected and sender.is_ready)
        with (
            StateLog.open(tmp_path / "commands.sqlite", COMMANDS) as log,
            CommandDesk(campus_twin, log, ((rules, sender),), UNITS) as desk,
        ):
            yield desk
    finally:
        source.stop()


@pytest.fixture
def edge(broker, desk, campus_twin):
    program = Path(__file__).parent / "sparkplug_edge.cjs"
    edge = Edge(broker.port, package(*CLIENT).parent, program)
    born = [metric("Speed/Wanted", 100, "Int16"), metric("Running", True, "Boolean")]
    edge.tell("born", metrics=born, of={"robot": [metric("Load", 0.5, "Float")]})
    wait_for(lambda: value(campus_twin, "line/press/robot/Load") == 0.5)
    yield edge
    edge.kill()


def iri(twin, point):
    return twin.base + point.replace("/", "%2F")


def value(twin, point):
    snapshot = twin.snapshot()
    row = snapshot.row(iri(twin, point))
    return None if row < 0 else snapshot.point_value(row)


def ended(desk, sent):
    return wait_until(lambda: None if (found := desk.get(sent.id)).is_open else found)


def wait_until(look):
    wait_for(lambda: look() is not None)
    return look()


def test_a_command_is_done_once_and_confirmed_by_data(desk, edge, campus_twin):
    def ask(point, wanted, key):
        return desk.send(Wish(iri(campus_twin, point), wanted, 300.0, key, "ann"), "operator")

    wishes = [
        ("line/press/robot/Load", 7.5, "Load", "Float"),
        ("line/press/Speed/Wanted", -250.0, "Speed/Wanted", "Int16"),
        ("line/press/Running", False, "Running", "Boolean"),
    ]
    for point, wanted, name, kind in wishes:
        sent = ask(point, wanted, f"k-{name}")
        told = edge.expect("command")
        assert (told["name"], told["value"], told["type"]) == (name, wanted, kind)
        done = ended(desk, sent)
        assert (done.status, done.code, done.reported) == ("CONFIRMED", None, wanted)
        assert value(campus_twin, point) == wanted
        states = [RECORDS.decode(entry.content).status for entry in desk.log.states(sent.id)]
        assert states == ["ACCEPTED", "SENT", "CONFIRMED"]
        assert ask(point, wanted, f"k-{name}").id == sent.id
    high = ask("line/press/robot/Load", 10.5, "high")
    assert (high.status, high.code) == ("REFUSED", "COMMAND_LIMIT")
    odd = ended(desk, ask("line/press/Speed/Wanted", 1.5, "odd"))
    assert (odd.status, odd.code) == ("FAILED", "COMMAND_VALUE")


def test_an_edge_that_does_nothing_or_is_away_confirms_nothing(desk, edge, broker, campus_twin):
    def ask(wanted, key, expires_s=300.0):
        wish = Wish(iri(campus_twin, "line/press/robot/Load"), wanted, expires_s, key, "ann")
        return desk.send(wish, "operator")

    edge.tell("deaf", **{"is": True})
    deaf = ask(3.0, "deaf")
    edge.expect("command")
    assert desk.get(deaf.id).status == "SENT"
    assert "it had left" in desk.cancel(deaf.id, "ann").message
    edge.kill()
    away = ask(4.0, "away", 3.0)
    assert ended(desk, away).status == "EXPIRED"
    again = Edge(broker.port, package(*CLIENT).parent, Path(__file__).parent / "sparkplug_edge.cjs")
    try:
        again.tell("born", metrics=[], of={"robot": [metric("Load", 0.75, "Float")]})
        wait_for(lambda: value(campus_twin, "line/press/robot/Load") == 0.75)
        good = ask(5.0, "good")
        told = again.expect("command")
        assert told["value"] == 5.0  # what it missed is not done late
        assert ended(desk, good).status == "CONFIRMED"
    finally:
        again.kill()


def test_addresses_and_types_are_strict(tmp_path):
    assert parse_target("g/NCMD/n/a/b").topic == "spBv1.0/g/NCMD/n"
    assert parse_target("g/DCMD/n/d/a/b") == type(parse_target("g/DCMD/n/d/x"))("spBv1.0/g/DCMD/n/d", "a/b")
    for wrong in ("", "g/NCMD/n", "g/DCMD/n/d", "g/NDATA/n/m", "/NCMD/n/m", "g/NCMD//m", "g/n/m"):
        with pytest.raises(InputError, match="COMMAND_ADDRESS"):
            parse_target(wrong)
    assert typed(None, True) == (DATATYPES["Boolean"], True)
    assert typed("UInt8", 255.0) == (DATATYPES["UInt8"], 255)
    for name, wrong in (("UInt8", 256), ("Int8", 0.5), ("Boolean", 2), ("String", 1), ("Int8", True)):
        with pytest.raises(InputError, match="COMMAND_VALUE"):
            typed(name, wrong)
    table = {"site": "campus", "via": "sparkplug", "host": "h", "rules": "r.toml"}
    (config,) = parse_commands({"commands": [table]}, tmp_path / "twinmesh.toml")
    assert (config.way.link.protocol, config.way.link.port) == ("3.1.1", 1883)
