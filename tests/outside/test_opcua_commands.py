"""A set-point to a node of a node-opcua server: written once, confirmed by the subscription, or refused."""

from __future__ import annotations

import time

from adapters.command_desk import CommandDesk
from adapters.command_rules import load_rules
from adapters.commands import RECORDS, Wish
from adapters.opcua.bindings import parse_opcua_bindings
from adapters.opcua.command_sender import OpcuaCommandSender
from adapters.opcua.config import Line, OpcuaConfig
from adapters.opcua.source import OpcuaSource
from graph.mesh import Mesh
from graph.stores.site_files import COMMANDS
from graph.stores.state_log import StateLog
from graph.values import Change, TwinRecord, Value
from ontology.schema import load_schema
from ontology.units import load_units
from tests.outside.opcua_server import SPACE, OpcuaServer

DEADLINE_S = 120.0
BASE = "https://twinmesh.invalid/plant/"
RULES = f"""
[[command]]
point = "RATE"
address = "nsu={SPACE};s=Rate"
unit = "[degF]"
minimum = 0
maximum = 100
"""


def ended(desk, command_id):
    until = time.monotonic() + DEADLINE_S
    while (record := desk.get(command_id)).is_open:
        assert time.monotonic() < until, record
        time.sleep(0.02)
    return record


def statuses(log, command_id):
    return [RECORDS.decode(entry.content).status for entry in log.states(command_id)]


def test_a_node_is_written_once_and_read_back(tmp_path):
    """Also: out of limits refused, and with the server away nothing is sent, now or later."""
    units = load_units()
    server = OpcuaServer(tmp_path / "opcua", [("Rate", "Double", 50.0)])
    server.start()
    line = Line(
        server.url, server.client_certificate, server.client_key, server_fingerprint=server.fingerprint
    )
    (tmp_path / "rules.toml").write_text(RULES)
    rules = load_rules(tmp_path / "rules.toml", units)
    bindings = parse_opcua_bindings(
        {"binding": [{"node": f"nsu={SPACE};s=Rate", "point": "RATE", "unit": "[degF]"}]}, "b.toml", units
    )
    schema = load_schema()
    try:
        with (
            Mesh.open(tmp_path / "data", schema, units=units) as mesh,
            StateLog.open(tmp_path / "commands.sqlite", COMMANDS) as log,
        ):
            twin = mesh.create_site("plant")
            point = TwinRecord(
                BASE + "RATE", (schema.kind("tm:Point").iri,), attributes={"unit": Value("Cel")}
            )
            twin.apply(Change(put_twins=(point,)))
            config = OpcuaConfig("plant", line, tmp_path / "b.toml", publish_ms=50)
            source = OpcuaSource.start(twin, config, bindings, units)
            desk = CommandDesk(twin, log, ((rules, OpcuaCommandSender(line)),), units)
            try:
                with desk:
                    good = desk.send(Wish(BASE + "RATE", 30.0, 600.0, "k-1", "ann"), "operator")
                    done = ended(desk, good.id)
                    assert (done.status, done.code) == ("CONFIRMED", None)
                    assert abs(done.reported - 30.0) < 1e-6
                    assert abs(server.order(do="get", name="Rate")["value"] - 86.0) < 1e-9
                    high = desk.send(Wish(BASE + "RATE", 101.0, 60.0, "k-2", "ann"), "operator")
                    assert (high.status, high.code) == ("REFUSED", "COMMAND_LIMIT")
                    server.kill()
                    away = desk.send(Wish(BASE + "RATE", 31.0, 3.0, "k-3", "ann"), "operator")
                    lost = ended(desk, away.id)
                    assert (lost.status, lost.code) == ("EXPIRED", "COMMAND_EXPIRED")
                    assert statuses(log, away.id) == ["ACCEPTED", "EXPIRED"]
            finally:
                source.stop()
            states = [state for state in statuses(log, good.id) if state != "ACKNOWLEDGED"]
            assert states == ["ACCEPTED", "SENT", "CONFIRMED"]
    finally:
        server.kill()
