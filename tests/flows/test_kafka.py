"""A server between two topics of a real Kafka: readings in, changes out, and either end is killed."""

from __future__ import annotations

import csv
import json
import re

import httpx
import pytest

from tests.adapters.brokers import wait_for
from tests.adapters.kafka_cluster import (
    PASSWORD,
    USER,
    committed,
    publish,
    readings,
    records_of,
    secured,
)

WAIT_S = 180
GROUP, POINTS, EVENTS = "g-flow", "c.points", "c.events"
PARTITIONS = 3
BINDINGS = """
[[binding]]
topic = "c/points/{x}"
point = "{x}"
pointer = "/value"
time_pointer = "/t"
time_unit = "ns"
"""
CHANGE = """mutation Change($n: JSON!) { applyChange(input: {site: "campus", mergeTwins: [
  {id: "T-1", attributes: $n}]}) { applied revision } }"""
ASK = "{ liveSources { name connected lastError } bindings { name source state recorded } }"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with secured(tmp_path_factory.mktemp("kafka")) as server:
        server.create(POINTS, PARTITIONS)
        server.create(EVENTS)
        yield server


@pytest.fixture
def data(cli, tmp_path, kafka, monkeypatch):
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    names = [f"T-{n}" for n in range(1, 7)]
    rows = "".join(f"{name},brick:Supply_Air_Temperature_Sensor\n" for name in names)
    (tmp_path / "points.csv").write_text("id,kind\n" + rows)
    folder = tmp_path / "data"
    done = cli("import", tmp_path / "points.csv", "--data", folder, "--site", "campus")
    assert done.code == 0, done.err
    (folder / "bindings.toml").write_text(BINDINGS)
    line = {
        "servers": [kafka.address], "tls": True, "ca_file": str(kafka.security.authority), "username": USER,
        "password_env": "KAFKA_PASSWORD",
    }  # fmt: skip
    source = {
        "site": "campus", "topics": [POINTS], "group": GROUP, "bindings": "bindings.toml",
        "client_id": "flow-1", "batch_rows_max": 50, "batch_wait_s": 0, "reconnect_s_max": 1,
    }  # fmt: skip
    route = {"name": "out", "events": ["changes"], "to": "kafka", "topic": EVENTS, "deadline_s": 5}
    with (folder / "twinmesh.toml").open("a") as settings:
        for key, table in (("kafka", line | source), ("routes", line | route)):
            settings.write(f"[[{key}]]\n")
            settings.writelines(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
    return folder


def figures(server, what):
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    found = re.findall(rf'^twinmesh_{what}_(\w+)\{{\w+="[^"]*"\}} (\S+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def numbered(first, last):
    """Readings of six points, whose keys spread over the partitions."""
    return [readings(n, n + 1, POINTS, f"T-{n % 6 + 1}")[0] for n in range(first, last)]


def stored(cli, data, out):
    """Numbers of all readings in the history of a folder, as the command exports them."""
    done = cli("export", "readings", "--data", data, "--format", "csv", "--out", out)
    assert done.code == 0, done.err
    with out.open(newline="") as file:
        return [round(float(row["value"])) for row in csv.DictReader(file)]


def test_a_server_that_is_killed_loses_nothing_that_was_committed_and_reads_on(
    serve, cli, kafka, data, tmp_path
):
    server = serve(data)
    wait_for(lambda: figures(server, "source")["connected"] == 1, WAIT_S)
    publish(kafka, numbered(0, 20_000))
    wait_for(lambda: figures(server, "source")["recorded"] > 500, WAIT_S)
    wait_for(lambda: committed(kafka, GROUP, POINTS, PARTITIONS) > 0, WAIT_S)
    server.kill()
    told = committed(kafka, GROUP, POINTS, PARTITIONS)
    kept = stored(cli, data, tmp_path / "killed.csv")
    print(f"killed: {told} of 20000 committed, {len(set(kept))} in history")
    assert len(set(kept)) >= told
    publish(kafka, numbered(20_000, 20_200))
    server = serve(data)
    wait_for(lambda: committed(kafka, GROUP, POINTS, PARTITIONS) == 20_200, WAIT_S)
    found = figures(server, "source")
    assert (found["shed"], found["refused"], found["unrouted"]) == (0, 0, 0)
    answer = server.graphql(ASK)
    assert answer["liveSources"] == [{"name": "kafka 1 campus", "connected": True, "lastError": None}]
    (bound,) = answer["bindings"]
    assert (bound["source"], bound["state"]) == ("kafka 1 campus", "BOUND")
    asked = cli("doctor", "--url", server.url, "--json").json["findings"]
    assert [each["state"] for each in asked if each["name"].startswith("kafka 1")] == ["ok"]
    assert server.stop() == 0
    assert set(stored(cli, data, tmp_path / "all.csv")) == set(range(20_200))


def test_changes_reach_a_topic_in_order_though_the_cluster_is_killed(serve, kafka, data):
    server = serve(data)

    def change(number):
        done = server.graphql(CHANGE, n={"assetTag": f"tag {number}"})["applyChange"]
        assert done["applied"]
        return str(done["revision"])

    revisions = [change(n) for n in range(5)]
    wait_for(lambda: figures(server, "route")["delivered_total"] >= 5, WAIT_S)
    kafka.kill()
    revisions += [change(n) for n in range(5, 10)]
    wait_for(lambda: figures(server, "route")["attempts_failed_total"] > 0, WAIT_S)
    kafka.start()
    wait_for(lambda: figures(server, "route")["behind"] == 0, WAIT_S)
    assert figures(server, "route")["dead_letters"] == 0
    records = records_of(kafka, EVENTS, 10)
    events = [json.loads(record.value()) for record in records]
    assert [event["data"]["revision"] for event in events] == revisions
    assert {record.key() for record in records} == {b"campus"}
    assert records[0].headers() == [("content-type", b"application/cloudevents+json")]
