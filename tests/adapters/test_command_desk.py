"""The desk of commands over a real broker: keys, approvals, interlocks, roles, cancelling, restarts."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time

import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from adapters.command_desk import CommandDesk
from adapters.command_rules import load_rules
from adapters.commands import RECORDS, Wish
from adapters.mqtt.command_sender import MqttCommandSender
from adapters.mqtt.publisher import MqttLink
from graph.stores.site_files import COMMANDS
from graph.stores.state_log import NewState, StateLog, check_states
from graph.values import Readings
from ontology.errors import AccessError, ConflictError, InputError, NotFoundError, UsageError
from ontology.units import load_units

DEADLINE_S = 90.0
UNITS = load_units()
BASE = "https://twinmesh.invalid/campus/"
SP = BASE + "AHU-1-SAT"
RULES = """
[[command]]
point = "{ahu}-SAT"
address = "dev/{ahu}"
minimum = 10
maximum = 30
unit = "[degF]"
interlocks = ['point("CH-1-PWR") < 5']
[[command]]
point = "FREE"
address = "dev/free"
payload = "text"
approvals = 1
confirm = false
roles = ["admin"]
"""


def wait_for(happened):
    until = time.monotonic() + DEADLINE_S
    while not (found := happened()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def port(mosquitto, tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    config = tmp_path_factory.mktemp("broker") / "mosquitto.conf"
    config.write_text(f"listener {number} 127.0.0.1\nallow_anonymous true\nlog_dest none\n")
    process = subprocess.Popen([mosquitto, "-c", str(config)])

    def answers():
        assert process.poll() is None, "mosquitto ended"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", number), timeout=1).close()
            return True
        return False

    wait_for(answers)
    yield number
    process.terminate()
    process.wait(30)


@contextlib.contextmanager
def device(port, reply):
    """Keeps what it was sent, answers with `reply` (None: not at all)."""
    got, listens = [], threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)

    def on_message(_client, _data, message):
        got.append((message.topic, bytes(message.payload)))
        if reply is not None:
            properties = Properties(PacketTypes.PUBLISH)
            properties.CorrelationData = message.properties.CorrelationData
            client.publish(message.properties.ResponseTopic, json.dumps(reply), 1, properties=properties)

    client.on_connect = lambda *_: client.subscribe("dev/#", 1)
    client.on_subscribe = lambda *_: listens.set()
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert listens.wait(DEADLINE_S)
    try:
        yield got
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def log(tmp_path):
    with StateLog.open(tmp_path / "commands.sqlite", COMMANDS) as opened:
        yield opened


@pytest.fixture
def desks(campus_twin, tmp_path, log, port):
    """Opens desks; the power point reads 1 kW, so that commands may pass."""
    (tmp_path / "rules.toml").write_text(RULES)
    rules = load_rules(tmp_path / "rules.toml", UNITS)
    record(campus_twin, "CH-1-PWR", 1.0)
    numbers = iter(range(100))

    @contextlib.contextmanager
    def open_one(at=port):
        link = MqttLink("127.0.0.1", at, f"desk-{time.monotonic_ns()}-{next(numbers)}")
        sender = MqttCommandSender(link, responses=True)
        with CommandDesk(campus_twin, log, ((rules, sender),), UNITS) as desk:
            yield desk

    return open_one


def record(twin, point, value, quality=0):
    row, now = twin.snapshot().find(point), time.time_ns()
    words = np.array([value]).view(np.uint64)
    twin.record(Readings(np.array([row], np.int32), np.array([now]), words, np.array([quality], np.uint8)))


def wish(key, value=20.0, point=SP, author="ann", expires_s=600.0, **more):
    return Wish(point, value, expires_s, key, author, **more)


def ended(desk, command_id):
    return wait_for(lambda: None if (found := desk.get(command_id)).is_open else found)


def test_acknowledged_then_confirmed_by_a_newer_reading_alone(campus_twin, desks, log, port):
    record(campus_twin, "AHU-1-SAT", 20.0)  # it says so already: that confirms nothing
    with device(port, {"ok": True}) as got, desks() as desk:
        sent = desk.send(wish("k"), "operator")
        wait_for(lambda: desk.get(sent.id).status == "ACKNOWLEDGED")
        assert json.loads(got[0][1])["value"] == pytest.approx(68.0)
        record(campus_twin, "AHU-1-SAT", 20.0, quality=2)
        record(campus_twin, "AHU-1-SAT", 19.0)
        assert desk.get(sent.id).is_open
        record(campus_twin, "AHU-1-SAT", 20.0)
        assert ended(desk, sent.id).status == "CONFIRMED"
    steps = [RECORDS.decode(entry.content).status for entry in log.states(sent.id)]
    assert steps == ["ACCEPTED", "SENT", "ACKNOWLEDGED", "CONFIRMED"]
    assert len(got) == 1


def test_a_no_of_the_device_fails_it(desks, port):
    with device(port, {"ok": False, "message": "locked by hand"}), desks() as desk:
        done = ended(desk, desk.send(wish("k"), "operator").id)
        assert (done.status, done.code) == ("FAILED", "COMMAND_REJECTED")
        assert "locked by hand" in done.message


def test_keys_pending_and_cancelling(desks, port):
    with device(port, None), desks() as desk:
        first = desk.send(wish("k"), "operator")
        assert desk.send(wish("k"), "operator").id == first.id
        for other in (wish("k", 21.0), wish("k", author="eve")):
            with pytest.raises(ConflictError, match="IDEMPOTENCY_REUSED"):
                desk.send(other, "operator")
        with pytest.raises(ConflictError, match="COMMAND_PENDING"):
            desk.send(wish("k-2"), "operator")
        wait_for(lambda: desk.get(first.id).status == "SENT")
        over = desk.cancel(first.id, "bob")
        assert (over.status, over.code) == ("FAILED", "COMMAND_CANCELLED")
        assert "unknown" in over.message
        assert desk.send(wish("k-3"), "operator").status == "ACCEPTED"
        with pytest.raises(ConflictError, match="COMMAND_STATE"):
            desk.cancel(first.id, "bob")
        with pytest.raises(NotFoundError, match="COMMAND_UNKNOWN"):
            desk.cancel("nobody", "bob")


def test_an_interlock_blocks_also_where_it_cannot_be_known(campus_twin, desks):
    with desks() as desk:
        record(campus_twin, "CH-1-PWR", 9.0)
        assert desk.send(wish("a"), "operator").code == "COMMAND_INTERLOCK"
        record(campus_twin, "CH-1-PWR", 1.0, quality=2)
        refused = desk.send(wish("b"), "operator")
        assert (refused.status, refused.code) == ("REFUSED", "COMMAND_INTERLOCK_UNKNOWN")
        assert desk.send(wish("b"), "operator").id == refused.id
        with pytest.raises(UsageError, match="COMMANDS_NOT_BOUND"):
            desk.send(wish("c", point=BASE + "CH-1-PWR"), "operator")


def test_a_second_person_approves_and_nothing_is_read_back(desks, port):
    with device(port, None) as got, desks() as desk:
        with pytest.raises(AccessError, match="COMMAND_ROLE"):
            desk.send(wish("k", point=BASE + "FREE"), "operator")
        held = desk.send(wish("k", 7.5, BASE + "FREE"), "admin")
        assert held.awaits_approval
        with pytest.raises(AccessError, match="COMMAND_OWN"):
            desk.approve(held.id, "ann", "admin")
        with pytest.raises(AccessError, match="COMMAND_ROLE"):
            desk.approve(held.id, "bob", "operator")
        assert got == []
        desk.approve(held.id, "bob", "admin")
        wait_for(lambda: got)
        assert got == [("dev/free", b"7.5")]


def test_what_was_sent_when_the_server_died_is_told_unknown(desks, log, port):
    with device(port, None) as got:
        with desks() as desk:
            sent = desk.send(wish("k"), "operator")
            wait_for(lambda: got)
            before = desk.get(sent.id)
            assert before.status == "SENT"
        with desks() as desk:
            done = ended(desk, sent.id)
            assert (done.status, done.code) == ("FAILED", "COMMAND_UNKNOWN")
            good = desk.send(wish("k-2", 21.0), "operator")
            wait_for(lambda: len(got) == 2)
            assert json.loads(got[1][1])["id"] == good.id


def test_the_log_tells_of_any_bit_that_changed(tmp_path, log):
    for number in range(20):
        log.append([NewState(f"s{number % 7}", number, b"state %d" % number, "p", number % 2 == 0)])
    connection = log._connection
    assert check_states(connection, COMMANDS) == []
    for change in (
        "UPDATE entries SET content = 'state 9x' WHERE number = 10",
        "UPDATE entries SET time_ns = 77 WHERE number = 3",
        "DELETE FROM entries WHERE number = 5",
        "DELETE FROM entries WHERE number = 20",
        "UPDATE subjects SET last = 2 WHERE subject = 's3'",
        "DELETE FROM subjects WHERE subject = 's4'",
    ):
        connection.execute("BEGIN")
        connection.execute(change.replace("'state 9x'", "x'00'"))
        assert check_states(connection, COMMANDS) != [], change
        connection.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('interlocks = ["value.x > 1"]', "EXPRESSION_INVALID"),
        ("interlocks = ['point(\"{b}\") > 1']", "COMMAND_RULE"),
        ('roles = ["king"]', "CONFIG_RANGE"),
        ("minimum = 5\nmaximum = 1", "CONFIG_RANGE"),
        ('readback = "{b}"', "COMMAND_RULE"),
        ("limit = 5", "CONFIG_UNKNOWN_KEY"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tmp_path, line, code):
    (tmp_path / "r.toml").write_text(f'[[command]]\npoint = "{{a}}-SP"\naddress = "x/{{a}}"\n{line}\n')
    with pytest.raises(InputError) as refused:
        load_rules(tmp_path / "r.toml", UNITS)
    assert code in {problem.code for problem in refused.value.problems}
