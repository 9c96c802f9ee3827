"""Live telemetry under stress: a server that is killed, a broker that is killed, far too many messages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.adapters.brokers import Broker, wait_for
from tests.conftest import missing

T0_NS = 1_768_219_200_000_000_000
BINDINGS = """
[[binding]]
topic = "t/{point}"
point = "{point}"
pointer = "/value"
time_pointer = "/time"
time_unit = "ns"
qos = 1

[[binding]]
topic = "flood/{point}"
point = "{point}"
qos = 0

[[binding]]
topic = "alarm/{point}"
point = "{point}"
pointer = "/value"
time_pointer = "/time"
time_unit = "ns"
qos = 0
keep = true
"""
CHANGE = """mutation Change($n: JSON!) { applyChange(input: {site: "campus", mergeTwins: [
  {id: "T-1", attributes: $n}]}) { applied revision } }"""


@pytest.fixture
def broker(mosquitto, tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(mosquitto, folder)
    yield broker
    broker.stop()


@pytest.fixture
def folder(cli, tmp_path, broker):
    """Make a site whose settings of MQTT are the given ones."""

    def make(**settings):
        kind = "brick:Supply_Air_Temperature_Sensor"
        (tmp_path / "points.csv").write_text(f"id,kind\nT-1,{kind}\nT-2,{kind}\n")
        data = tmp_path / "data"
        done = cli("import", tmp_path / "points.csv", "--data", data, "--site", "campus")
        assert done.code == 0, done.err
        (data / "bindings.toml").write_text(BINDINGS)
        known = {"site": "campus", "host": "127.0.0.1", "port": broker.port, "bindings": "bindings.toml"}
        lines = [f"{name} = {json.dumps(value)}" for name, value in {**known, **settings}.items()]
        with (data / "twinmesh.toml").open("a") as file:
            file.write("[[mqtt]]\n" + "\n".join(lines) + "\n")
        return data

    return make


def figures(server):
    """What /metrics tells of the one source."""
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    found = re.findall(r'^twinmesh_source_(\w+)\{source="[^"]*"\} (\S+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def stored(server, point="T-1"):
    """Numbers of all readings in the history, read page after page."""
    text = """query q($from: DateTime, $id: ID!) { node(id: $id) { ... on Point {
      history(from: $from, to: "2027-01-01T00:00:00Z") { value } } } }"""
    samples = server.graphql(text, **{"from": "2026-01-01T00:00:00Z", "id": point})["node"]["history"]
    return [round(sample["value"]) for sample in samples]


class Publisher:
    """Sends numbered messages of QoS 1 until it is told to stop; knows which the broker has taken."""

    def __init__(self, port):
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="publisher", clean_session=False)
        self._client.max_inflight_messages_set(100)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._stop = threading.Event()
        self._sent = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def taken(self):
        return sum(message.is_published() for message in list(self._sent))

    def stop(self):
        """How many were sent; the broker has taken all of them."""
        self._stop.set()
        self._thread.join(60)
        wait_for(lambda: self.taken == len(self._sent), timeout_s=120)
        self._client.disconnect()
        self._client.loop_stop()
        return len(self._sent)

    def _run(self):
        while not self._stop.is_set():
            number = len(self._sent)
            body = json.dumps({"value": number, "time": T0_NS + number * 1_000_000})
            self._sent.append(self._client.publish("t/T-1", body, qos=1))
            self._stop.wait(0.001)


@pytest.mark.parametrize("client", ["paho", "gmqtt"])
def test_what_was_acknowledged_before_a_kill_is_in_history(serve, folder, broker, client):
    """Killed in the middle of a stream, twice: in the end history holds every message, in order."""
    data = folder(client=client, reconnect_s_max=1)
    server = serve(data)
    wait_for(lambda: figures(server)["connected"] == 1)
    publisher = Publisher(broker.port)
    for _ in range(2):
        before = figures(server)["recorded"]
        wait_for(lambda least=before: figures(server)["recorded"] > least + 100, timeout_s=120)
        server.kill()
        server = serve(data)
    wait_for(lambda: figures(server)["recorded"] > 100, timeout_s=120)
    sent = publisher.stop()
    wait_for(lambda: len(stored(server)) == sent, timeout_s=120)
    assert stored(server) == list(range(sent))
    assert figures(server)["shed"] == 0
    print("sent", sent)


def test_a_broker_that_is_killed_in_the_middle_costs_nothing(serve, folder, broker):
    server = serve(folder(reconnect_s_max=1))
    wait_for(lambda: figures(server)["connected"] == 1)
    publisher = Publisher(broker.port)
    wait_for(lambda: figures(server)["recorded"] > 200, timeout_s=120)
    broker.stop()
    wait_for(lambda: figures(server)["connected"] == 0, timeout_s=120)
    broker.start()
    wait_for(lambda: figures(server)["connected"] == 1, timeout_s=120)
    before = figures(server)["recorded"]
    wait_for(lambda: figures(server)["recorded"] > before + 200, timeout_s=120)
    sent = publisher.stop()
    wait_for(lambda: len(stored(server)) == sent, timeout_s=120)
    assert stored(server) == list(range(sent))
    assert figures(server)["reconnects"] == 1


def memory_mb(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def flood(program, port, path):
    """All lines of a file as messages of QoS 0, as fast as mosquitto_pub can."""
    with path.open() as lines:
        subprocess.run(
            [program, "-h", "127.0.0.1", "-p", str(port), "-t", "flood/T-2", "-q", "0", "-l"],
            stdin=lines, check=True, timeout=280,
        )  # fmt: skip


def overload(serve, folder, broker, tmp_path, count):
    """Far more messages than can be recorded: small batches, each made durable, behind a small queue."""
    program = shutil.which("mosquitto_pub")
    if not program:
        missing("mosquitto_pub is not installed")
    path = tmp_path / "flood"
    path.write_text("".join(f"{number}\n" for number in range(count)))
    server = serve(folder(queue_rows_max=1_000, batch_rows_max=20, batch_wait_s=0))
    wait_for(lambda: figures(server)["connected"] == 1)
    broker.publish([("t/T-1", json.dumps({"value": -1, "time": T0_NS - 1}))])
    wait_for(lambda: figures(server)["recorded"] >= 1)
    before_mb = memory_mb(server.process.pid)
    flooding = threading.Thread(target=flood, args=(program, broker.port, path))
    flooding.start()
    changes = alarms = 0
    peak_mb = before_mb
    started_s = time.monotonic()
    while flooding.is_alive() or changes < 5:
        done = server.graphql(CHANGE, n={"assetTag": f"tag {changes}"})["applyChange"]
        assert done["applied"]
        changes += 1
        items = [
            ("alarm/T-1", json.dumps({"value": alarms + i, "time": T0_NS + alarms + i})) for i in range(10)
        ]
        broker.publish(items, qos=0)
        alarms += 10
        peak_mb = max(peak_mb, memory_mb(server.process.pid))
    flooding.join(60)
    took_s = time.monotonic() - started_s
    sent = count + alarms + 1
    wait_for(lambda: figures(server)["received"] == sent and figures(server)["queued"] == 0, timeout_s=240)
    found = figures(server)
    kept, shed = found["recorded"], found["shed"]
    print(f"sent {sent} kept {kept:.0f} shed {shed:.0f} in {took_s:.1f} s, changes {changes}, alarms {alarms},"
          f" memory {before_mb:.0f} -> {peak_mb:.0f} MB")  # fmt: skip
    assert shed > 0
    assert (found["refused"], found["unrouted"]) == (0, 0)
    assert sent == kept + shed
    assert stored(server) == [-1, *range(alarms)]
    assert peak_mb < before_mb + 150


def test_too_many_messages_are_shed_and_counted_and_nothing_else_suffers(serve, folder, broker, tmp_path):
    overload(serve, folder, broker, tmp_path, 100_000)


@pytest.mark.long
def test_too_many_messages_for_long(serve, folder, broker, tmp_path):
    overload(serve, folder, broker, tmp_path, 1_500_000)
