"""A server between two topics of a real Kafka: readings in, changes out, and either end is killed."""

from __future__ import annotations

import csv
import json
import re
import time

import httpx
import pytest

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


def wait_for(happened):
    """Asking costs the machine more than waiting does."""
    until = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.3)


def figures(http, server, what):
    text = http.get(f"{server.url}/metrics").text
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
        return {round(float(row["value"])) for row in csv.DictReader(file)}


@pytest.mark.timeout(900)  # several waits, each with a deadline of its own
def test_readings_in_and_changes_out_though_both_ends_are_killed(serve, cli, kafka, data, tmp_path):
    """A server that is killed loses nothing that was committed, and reads on where it was; changes reach a
    topic in their order though the cluster is killed."""
    with httpx.Client(timeout=60) as http:
        server = serve(data)
        publish(kafka, numbered(0, 20_000))
        wait_for(lambda: committed(kafka, GROUP, POINTS, PARTITIONS) > 0)
        server.kill()
        told = committed(kafka, GROUP, POINTS, PARTITIONS)
        kept = stored(cli, data, tmp_path / "killed.csv")
        print(f"killed: {told} of 20000 committed, {len(kept)} in history")
        assert len(kept) >= told
        publish(kafka, numbered(20_000, 20_200))
        server = serve(data)
        wait_for(lambda: committed(kafka, GROUP, POINTS, PARTITIONS) == 20_200)
        look_at_health(cli, http, server)
        revisions = change(server, 0, 5)
        wait_for(lambda: figures(http, server, "route")["delivered_total"] >= 5)
        kafka.kill()
        revisions += change(server, 5, 10)
        wait_for(lambda: figures(http, server, "route")["attempts_failed_total"] > 0)
        kafka.start()
        publish(kafka, numbered(20_200, 20_300))
        wait_for(lambda: figures(http, server, "route")["behind"] == 0)
        wait_for(lambda: committed(kafka, GROUP, POINTS, PARTITIONS) == 20_300)
        assert figures(http, server, "route")["dead_letters"] == 0
    assert server.stop() == 0
    assert stored(cli, data, tmp_path / "all.csv") == set(range(20_300))
    look_at_events(records_of(kafka, EVENTS, 10), revisions)


def look_at_health(cli, http, server):
    """The same line and binding by query, figures and `doctor`."""
    found = figures(http, server, "source")
    assert (found["shed"], found["refused"], found["unrouted"]) == (0, 0, 0)
    line = {"name": "kafka 1 campus", "connected": True, "lastError": None}
    wait_for(lambda: server.graphql(ASK)["liveSources"] == [line])
    (bound,) = server.graphql(ASK)["bindings"]
    assert (bound["source"], bound["state"]) == ("kafka 1 campus", "BOUND")
    asked = cli("doctor", "--url", server.url, "--json").json["findings"]
    assert [each["state"] for each in asked if each["name"].startswith("kafka 1")] == ["ok"]


def change(server, first, last):
    """Revisions of changes of one twin."""
    done = [server.graphql(CHANGE, n={"assetTag": f"tag {n}"})["applyChange"] for n in range(first, last)]
    assert all(each["applied"] for each in done)
    return [str(each["revision"]) for each in done]


def look_at_events(records, revisions):
    """Each once, in order, at least: an attempt that was not answered in time may have arrived as well."""
    told = [json.loads(record.value())["data"]["revision"] for record in records]
    assert list(dict.fromkeys(told)) == revisions[: len(set(told))]
    assert {record.key() for record in records} == {b"campus"}
    assert records[0].headers() == [("content-type", b"application/cloudevents+json")]
