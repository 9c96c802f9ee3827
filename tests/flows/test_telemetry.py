"""Live signals: what `mosquitto_pub` sends arrives by query and by subscription."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time

import pytest
from websockets.sync.client import connect

COUNT = 1_000
T0_MS = 1_768_219_200_000
BINDINGS = """
[[binding]]
topic = "campus/{ahu}/supply_temp"
point = "{ahu}-SAT"
pointer = "/value"
time_pointer = "/time"
time_unit = "ms"
unit = "[degF]"
"""


@pytest.fixture
def publisher():
    found = shutil.which("mosquitto_pub")
    if not found:
        pytest.skip("mosquitto_pub is not installed")
    return found


@pytest.fixture
def broker(mosquitto, tmp_path):
    """Port of a broker of our own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\nmax_queued_messages 0\n"
    )
    process = subprocess.Popen([mosquitto, "-c", str(config)])
    wait_for(lambda: answers(port))
    yield port
    process.terminate()
    process.wait(60)


@pytest.fixture
def data(cli, tmp_path, broker):
    """A site with one point, bound to a topic of the broker."""
    (tmp_path / "points.csv").write_text(
        "id,kind,unit\nAHU-3-SAT,brick:Supply_Air_Temperature_Sensor,Cel\nAHU-4-SAT,brick:Supply_Air_Temperature_Sensor,Cel\n"
    )
    folder = tmp_path / "data"
    done = cli("import", tmp_path / "points.csv", "--data", folder, "--site", "campus")
    assert done.code == 0, done.err
    (folder / "bindings.toml").write_text(BINDINGS)
    with (folder / "twinmesh.toml").open("a") as settings:
        settings.write(
            f'[[mqtt]]\nsite = "campus"\nhost = "127.0.0.1"\nport = {broker}\nbindings = "bindings.toml"\n'
        )
    return folder


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(happened, timeout_s=120.0):
    until = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def publish(program, port, lines):
    """One mosquitto_pub that sends each line of its standard input as a message of QoS 1."""
    command = [program, "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-t", "campus/AHU-3/supply_temp", "-l"]
    subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True, timeout=120)


class Subscription:
    """A subscription over graphql-transport-ws, on an open socket."""

    def __init__(self, socket, text, variables):
        self._socket = socket
        self._say({"type": "connection_init", "payload": {}})
        assert self._hear()["type"] == "connection_ack"
        self._say({"id": "1", "type": "subscribe", "payload": {"query": text, "variables": variables}})

    def next(self):
        while True:
            message = self._hear()
            if message["type"] == "ping":
                self._say({"type": "pong"})
            elif message["type"] == "next":
                assert "errors" not in message["payload"], message
                return message["payload"]["data"]
            else:
                raise AssertionError(message)

    def _say(self, message):
        self._socket.send(json.dumps(message))

    def _hear(self):
        return json.loads(self._socket.recv(30.0))


def socket_of(server):
    url = server.url.replace("http", "ws", 1) + "/graphql"
    return connect(url, subprotocols=["graphql-transport-ws"])


LIVE = (
    "subscription Live($points: [ID!]!) { readings(points: $points) { point { id } value time conflated } }"
)
STORED = """query Stored($id: ID!, $n: Int!) { node(id: $id) { ... on Point {
  value unit time quality history(last: $n) { time value quality } } } }"""


def messages():
    """Fahrenheit values that are 20.00, 20.01, ... degrees Celsius, one a second."""
    return [
        json.dumps({"value": (20 + i / 100) * 9 / 5 + 32, "time": T0_MS + 1_000 * i}) for i in range(COUNT)
    ]


def test_a_thousand_messages_arrive_by_query_and_by_subscription(serve, data, broker, publisher):
    server = serve(data)
    point = server.graphql('{ node(id: "AHU-3-SAT") { id } }')["node"]["id"]
    sent = [20 + i / 100 for i in range(COUNT)]
    with socket_of(server) as socket:
        subscription = Subscription(socket, LIVE, {"points": [point]})
        time.sleep(1.0)  # a subscription says nothing when it has begun
        publish(publisher, broker, messages())
        heard = [subscription.next()["readings"] for _ in range(COUNT)]
    assert [event["value"] for event in heard] == pytest.approx(sent)
    assert {(event["point"]["id"], event["conflated"]) for event in heard} == {(point, 0)}
    node = server.graphql(STORED, id=point, n=COUNT)["node"]
    assert (node["unit"], node["quality"]) == ("Cel", "GOOD")
    assert node["value"] == pytest.approx(sent[-1])
    assert [sample["value"] for sample in node["history"]] == pytest.approx(sent)


def test_what_is_sent_while_the_server_is_away_is_not_lost(serve, data, broker, publisher):
    first = serve(data)
    assert first.stop() == 0
    publish(publisher, broker, messages()[:100])
    second = serve(data)
    text = '{ node(id: "AHU-3-SAT") { ... on Point { history(last: 1000) { value } } } }'
    wait_for(lambda: len(second.graphql(text)["node"]["history"]) == 100)


def test_bindings_that_cannot_work_stop_the_start_with_their_place(cli, data):
    (data / "bindings.toml").write_text('[[binding]]\ntopic = "a/{x}"\npoint = "{x}"\npionter = "/v"\n')
    done = cli("serve", "--data", data, "--dev", "--port", "0")
    assert done.code == 1
    assert "CONFIG_UNKNOWN_KEY: bindings.toml (binding 1, topic 'a/{x}')" in done.err
    assert "did you mean pointer" in done.err


def test_others_read_the_twin_by_mqtt(serve, data, broker, publisher):
    """What came in by one topic goes out by another, in the point's unit, and stays for who comes later."""
    with (data / "twinmesh.toml").open("a") as settings:
        settings.write(f'[[publish]]\nsite = "campus"\nhost = "127.0.0.1"\nport = {broker}\n')
    server = serve(data)
    publish(publisher, broker, messages()[:10])
    text = '{ node(id: "AHU-3-SAT") { ... on Point { history(last: 1000) { value } } } }'
    wait_for(lambda: len(server.graphql(text)["node"]["history"]) == 10)
    listener = shutil.which("mosquitto_sub")
    assert listener, "mosquitto_sub comes with mosquitto_pub"

    def retained():
        topic = ("-t", "twin/campus/AHU-3-SAT")
        command = [listener, "-h", "127.0.0.1", "-p", str(broker), "-C", "1", *topic]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout)

    wait_for(lambda: retained()["value"] == pytest.approx(20.09))
    assert retained()["quality"] == "GOOD"
    sources = server.graphql("{ liveSources { name connected lastError } }")["liveSources"]
    assert {each["name"]: each["connected"] for each in sources}["publish 1 campus"]
