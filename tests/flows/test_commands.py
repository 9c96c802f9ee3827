"""Commands by MQTT: a set-point by GraphQL reaches a device once and is read back, or says how it failed."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEADLINE_S = 120.0
POINTS = """\
id,kind,unit,valueType
AHU-1-SP,brick:Supply_Air_Temperature_Setpoint,Cel,
AHU-1-RUN,brick:Point,,boolean
"""
BINDINGS = """
[[binding]]
topic = "device/{point}/value"
point = "{point}"
pointer = "/value"
"""
RULES = """
[[command]]
point = "{ahu}-SP"
address = "device/{ahu}-SP/set"
minimum = 10
maximum = 30
step_max = 8
interlocks = ['point("{ahu}-RUN") == 1']
"""
SEND = """mutation Send($input: CommandInput!) {
  sendCommand(input: $input) { id status code message command { value } } }"""
PAGE = """query Page($after: String) { commands(first: 2, after: $after) {
  nodes { status code } pageInfo { hasNextPage endCursor } } }"""
READ = """query Read($id: ID!) { command(id: $id) {
  id status code message reported value author steps { status code } twin { id ... on Point { value } } } }"""


@contextlib.contextmanager
def running(mosquitto, port, folder):
    """A broker that keeps sessions on disk, so that it can be killed and started again."""
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\npersistence true\n"
        f"persistence_location {folder}/\nautosave_interval 1\n"
    )
    process = subprocess.Popen([mosquitto, "-c", str(config)])
    wait_for(lambda: answers(port))
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def broker(mosquitto, tmp_path, port):
    with running(mosquitto, port, tmp_path):
        yield port


@contextlib.contextmanager
def device(port, log, manner="answer"):
    """The device, once it listens."""
    program = Path(__file__).with_name("command_device.py")
    process = subprocess.Popen(
        [sys.executable, program, str(port), log, manner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.fixture
def data(cli, tmp_path, port):
    """A site with a set-point and a running fan, bound to topics and to commands."""
    (tmp_path / "points.csv").write_text(POINTS)
    (tmp_path / "readings.csv").write_text(
        "point,time,value\nAHU-1-SP,2026-01-01T00:00:00Z,20\nAHU-1-RUN,2026-01-01T00:00:00Z,1\n"
    )
    folder = tmp_path / "data"
    done = cli(
        "import", tmp_path / "points.csv", tmp_path / "readings.csv", "--data", folder, "--site", "campus"
    )
    assert done.code == 0, done.err
    (folder / "bindings.toml").write_text(BINDINGS)
    (folder / "rules.toml").write_text(RULES)
    with (folder / "twinmesh.toml").open("a") as settings:
        settings.write(
            f"""
[[mqtt]]
site = "campus"
host = "127.0.0.1"
port = {port}
bindings = "bindings.toml"
[[commands]]
site = "campus"
via = "mqtt"
host = "127.0.0.1"
port = {port}
rules = "rules.toml"
responses = true
"""
        )
    return folder


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(happened, timeout_s=DEADLINE_S):
    until = time.monotonic() + timeout_s
    while not (found := happened()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
    return found


def send(server, value, key, expires_s=300.0, **more):
    wish = {"point": "AHU-1-SP", "value": value, "expiresInS": expires_s, "idempotencyKey": key, **more}
    return server.graphql(SEND, input=wish)["sendCommand"]


def ended(server, command_id, *states):
    """The command once it is in one of some states."""

    def look():
        found = server.graphql(READ, id=command_id)["command"]
        return found if found["status"] in states else None

    return wait_for(look)


def executed(log):
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def desired(server):
    text = """{ on: node(id: "AHU-1-SP") { ... on Point { desired { value status command } } }
      off: node(id: "AHU-1-RUN") { ... on Point { desired { value } } } }"""
    found = server.graphql(text)
    assert found["off"]["desired"] is None
    return found["on"]["desired"]


def test_a_set_point_reaches_the_device_or_is_refused_and_the_log_is_kept(cli, serve, data, broker, tmp_path):
    log = tmp_path / "device.log"
    server = serve(data)
    with device(broker, log):
        codes = [
            send(server, 31, "a")["code"],
            send(server, 29, "b")["code"],
            send(server, "warm", "c")["code"],
            send(server, 21, "d", ifValue=19)["code"],
        ]
        assert codes == ["COMMAND_LIMIT", "COMMAND_STEP", "COMMAND_VALUE", "COMMAND_IF_VALUE"]
        tried = send(server, 21, "e", dryRun=True)
        assert (tried["id"], tried["status"], tried["command"]) == ("", "ACCEPTED", None)
        first = send(server, 22.5, "k-1")
        assert (first["status"], first["code"]) == ("ACCEPTED", None)
        done = ended(server, first["id"], "CONFIRMED", "FAILED", "EXPIRED")
        assert (done["status"], done["reported"], done["twin"]["value"]) == ("CONFIRMED", 22.5, 22.5)
        steps = [step["status"] for step in done["steps"]]
        assert [step for step in steps if step != "ACKNOWLEDGED"] == ["ACCEPTED", "SENT", "CONFIRMED"]
        assert desired(server) == {"value": 22.5, "status": "CONFIRMED", "command": first["id"]}
        again = send(server, 22.5, "k-1")
        assert (again["id"], again["status"]) == (first["id"], "CONFIRMED")
        page = server.graphql(PAGE)["commands"]
        assert [node["status"] for node in page["nodes"]] == ["CONFIRMED", "REFUSED"]
        page = server.graphql(PAGE, after=page["pageInfo"]["endCursor"])["commands"]
        assert [node["code"] for node in page["nodes"]] == ["COMMAND_VALUE", "COMMAND_STEP"]
        assert page["pageInfo"]["hasNextPage"]
        assert cli("backup", tmp_path / "backup", "--data", data).code == 0
    assert [(order["id"], order["value"]) for order in executed(log)] == [(first["id"], 22.5)]
    assert server.stop() == 0
    assert "the hash chain of the commands" in cli("verify", "--data", data, "--json").out
    check_damage_is_found(cli, tmp_path)


def check_damage_is_found(cli, tmp_path):
    assert cli("restore", tmp_path / "backup", "--data", tmp_path / "back", "--verify").code == 0
    path = tmp_path / "back" / "sites" / "campus" / "commands.sqlite"
    damaged = path.read_bytes().replace(b'"value":22.5', b'"value":23.5')
    assert damaged != path.read_bytes()
    (path.parent / "seal.json").unlink()
    path.write_bytes(damaged)
    done = cli("verify", "--data", tmp_path / "back")
    assert (done.code, "COMMANDS_CORRUPT" in done.out + done.err) == (1, True)


def test_with_the_device_away_a_command_expires_and_is_not_done_later(serve, data, broker, tmp_path):
    log = tmp_path / "device.log"
    with device(broker, log):
        pass  # its session stays with the broker
    server = serve(data)
    sent = send(server, 22, "k", expires_s=2.0)
    done = ended(server, sent["id"], "EXPIRED", "FAILED", "CONFIRMED")
    assert (done["status"], done["code"]) == ("EXPIRED", "COMMAND_EXPIRED")
    time.sleep(2.0)  # the broker counts in whole seconds: its copy is past its end of life now
    with device(broker, log):
        good = send(server, 23, "k-2")
        assert ended(server, good["id"], "CONFIRMED", "FAILED", "EXPIRED")["status"] == "CONFIRMED"
    assert [order["value"] for order in executed(log)] == [23]


def test_after_a_kill_nothing_is_sent_twice(serve, data, broker, tmp_path):
    """Killed right behind each of many commands; every one is executed once at most, and its end is told."""
    log = tmp_path / "device.log"
    ids = {}
    with device(broker, log, "silent"):
        for number in range(2):
            server = serve(data)
            sent = send(server, 20 + number, f"k-{number}", expires_s=60.0)["id"]
            ids[sent] = number
            if number:  # the other one is killed wherever it is by then
                wait_for(lambda wanted=sent: wanted in [order["id"] for order in executed(log)])
            server.kill()
        server = serve(data)
        for command_id in ids:
            done = ended(server, command_id, "CONFIRMED", "FAILED", "EXPIRED")
            if done["status"] == "FAILED":
                assert done["code"] == "COMMAND_UNKNOWN", done
    counts = {}
    for order in executed(log):
        counts[order["id"]] = counts.get(order["id"], 0) + 1
    assert set(counts) <= set(ids)
    assert all(count == 1 for count in counts.values()), counts
    assert len(counts) >= 1
