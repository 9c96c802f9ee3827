"""Bindings that do not work, against a real broker: shown by query, `/readyz`, `/metrics` and `doctor`."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time

import httpx
import pytest

BINDINGS = """
[[binding]]
name = "good"
topic = "campus/{ahu}/supply_temp"
point = "{ahu}-SAT"
pointer = "/value"
time_pointer = "/time"
time_unit = "s"

[[binding]]
name = "silent"
topic = "nowhere"
point = "AHU-5-SAT"

[[binding]]
name = "texts"
topic = "texts"
point = "AHU-5-SAT"

[[binding]]
name = "boolean"
topic = "boolean"
point = "AHU-5-SAT"
type = "boolean"

[[binding]]
name = "power"
topic = "power"
point = "AHU-5-SAT"
unit = "kW"

[[binding]]
name = "unknown"
topic = "unknown"
point = "AHU-9-SAT"
"""
ASK = """{ bindings { name source site state message received recorded lastSeen expected seen
  refused { code count } } liveSources { name connected received recorded clockSkewS } }"""
STATES = {
    "good": "BOUND",
    "silent": "NEVER_SEEN",
    "texts": "TYPE_MISMATCH",
    "boolean": "TYPE_MISMATCH",
    "power": "UNIT_MISMATCH",
    "unknown": "POINT_UNKNOWN",
}
SKEW_S = 300


@pytest.fixture
def broker(mosquitto, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\n")
    process = subprocess.Popen([mosquitto, "-c", str(config)])
    wait_for(lambda: answers(port))
    yield port
    process.terminate()
    process.wait(60)


@pytest.fixture
def data(cli, tmp_path, broker):
    rows = "".join(f"AHU-{n}-SAT,brick:Supply_Air_Temperature_Sensor,Cel\n" for n in (3, 5))
    (tmp_path / "points.csv").write_text("id,kind,unit\n" + rows)
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
        time.sleep(0.1)


def publish(port, topic, payload):
    program = shutil.which("mosquitto_pub")
    if not program:
        pytest.skip("mosquitto_pub is not installed")
    command = [program, "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-t", topic, "-m", payload]
    subprocess.run(command, check=True, timeout=120)


def findings(done):
    """(state of the finding, condition) by topic."""
    rows = [row for row in json.loads(done.out)["findings"] if row["name"].startswith("mqtt 1")]
    told = [(row["detail"].split(" -> ")[0].split(": "), row["state"]) for row in rows]
    return {topic: (state, condition) for (condition, topic), state in told}


def test_each_state_is_shown_everywhere(serve, cli, data, broker):
    server = serve(data)
    wait_for(lambda: server.graphql(ASK)["liveSources"][0]["connected"])
    stamp = time.time() - SKEW_S
    publish(broker, "campus/AHU-3/supply_temp", json.dumps({"value": 21.0, "time": stamp}))
    publish(broker, "texts", '"warm"')

    def by_name():
        return {row["name"]: row for row in server.graphql(ASK)["bindings"]}

    wait_for(lambda: by_name()["good"]["recorded"] and by_name()["texts"]["refused"])
    rows = by_name()
    assert {name: row["state"] for name, row in rows.items()} == STATES
    assert {(row["source"], row["site"]) for row in rows.values()} == {("mqtt 1 campus", "campus")}
    good, texts = rows["good"], rows["texts"]
    assert (good["received"], good["recorded"], good["expected"], good["seen"]) == (1, 1, 2, 1)
    assert good["lastSeen"] is not None
    assert good["message"] == "1 of 2 points never seen"
    assert texts["refused"] == [{"code": "VALUE_TYPE", "count": 1}]
    assert "boolean" in rows["boolean"]["message"]
    assert "'kW' does not convert to 'Cel'" in rows["power"]["message"]
    assert "no point of the site matches 'AHU-9-SAT'" in rows["unknown"]["message"]
    # The device's clock is five minutes behind; a message takes seconds at most, also here.
    skew_s = server.graphql(ASK)["liveSources"][0]["clockSkewS"]
    assert SKEW_S <= skew_s < SKEW_S + 120

    only = server.graphql('{ bindings(state: UNIT_MISMATCH, site: "campus") { name } }')["bindings"]
    assert only == [{"name": "power"}]
    ready = httpx.get(f"{server.url}/readyz", timeout=60).json()
    counts = {"BOUND": 1, "NEVER_SEEN": 1, "TYPE_MISMATCH": 2, "UNIT_MISMATCH": 1, "POINT_UNKNOWN": 1}
    assert ready["bindings"] == counts
    metrics = httpx.get(f"{server.url}/metrics", timeout=60).text
    assert 'twinmesh_bindings{state="TYPE_MISMATCH"} 2' in metrics
    assert 'twinmesh_source_clock_skew_s{source="mqtt 1 campus"}' in metrics

    asked = cli("doctor", "--url", server.url, "--json")
    assert asked.code == 1
    assert findings(asked) == {
        "campus/{ahu}/supply_temp": ("ok", "BOUND"),
        "nowhere": ("warning", "NEVER_SEEN"),
        "texts": ("problem", "TYPE_MISMATCH"),
        "boolean": ("problem", "TYPE_MISMATCH"),
        "power": ("problem", "UNIT_MISMATCH"),
        "unknown": ("problem", "POINT_UNKNOWN"),
    }
    # Of a folder: what files, graph and last values tell, beside the server that serves it.
    found = findings(cli("doctor", "--data", data, "--json"))
    assert found["campus/{ahu}/supply_temp"] == ("ok", "BOUND")
    assert found["nowhere"] == found["texts"] == ("warning", "NEVER_SEEN")
    assert [found[topic][1] for topic in ("boolean", "power", "unknown")] == [
        "TYPE_MISMATCH", "UNIT_MISMATCH", "POINT_UNKNOWN",
    ]  # fmt: skip
