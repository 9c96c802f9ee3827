"""A point falls silent: followers show it as the writer does, and as long as the writer does."""

from __future__ import annotations

import time

import httpx
import pytest

pytestmark = pytest.mark.timeout(1200)  # programs are started, and the machine may be busy
WAIT_S_MAX = 120.0
POINTS = """\
id,kind,name,staleAfter
QUICK,brick:Temperature_Sensor,Silent after a second,1
LAZY,brick:Temperature_Sensor,Silent after an hour,3600
"""
LAST = """{ twins(kind: "tm:Point", orderBy: [{by: "localId"}]) { nodes {
  localId ... on Point { value time quality qualityReason } } } }"""


def shown(server):
    """Value, time, quality and its reason, by local id."""
    nodes = server.graphql(LAST)["twins"]["nodes"]
    return {
        node["localId"]: (node["value"], node["time"], node["quality"], node["qualityReason"])
        for node in nodes
    }


def wait_for(holds, what):
    until_s = time.monotonic() + WAIT_S_MAX
    while not holds():
        assert time.monotonic() < until_s, what()
        time.sleep(0.02)


def test_followers_show_silence_as_the_writer_does(cli, serve, tmp_path):
    (tmp_path / "points.csv").write_text(POINTS)
    data = tmp_path / "data"
    done = cli("import", tmp_path / "points.csv", "--data", data, "--site", "campus")
    assert done.code == 0, done.err
    writer = serve(data)
    servers = [writer, serve(data, "--follow", "--dev")]

    def send(point, value, stamp):
        line = f'{{"point": "{point}", "time": "{stamp}", "value": {value}}}\n'
        answer = httpx.post(f"{writer.url}/ingest", content=line, timeout=60)
        assert answer.status_code == 200 and answer.json()["accepted"] == 1, answer.text

    def all_show(value, *qualities):
        """The same everywhere; which of two qualities it is, is a matter of how fast this machine is."""

        def said():
            return [shown(server)["QUICK"] for server in servers]

        def holds():
            first, *others = said()
            return all(one == first for one in others) and first[0] == value and first[2:] in wanted

        wanted = [(quality, "STALE") for quality in qualities]
        wait_for(holds, lambda: (wanted, said()))
        assert all(shown(server)["LAZY"][2] == "GOOD" for server in servers)

    stamp = "2026-11-22T12:00:00Z"
    for point in ("QUICK", "LAZY"):
        send(point, 20.5, stamp)
    all_show(20.5, "UNCERTAIN", "BAD")
    all_show(20.5, "BAD")
    servers.append(serve(data, "--follow", "--dev"))
    all_show(20.5, "BAD")
    send("QUICK", 20.5, stamp)  # the device is back, and repeats what it said
    all_show(20.5, "UNCERTAIN", "BAD")
    send("QUICK", 21.5, "2026-11-22T12:00:01Z")
    all_show(21.5, "UNCERTAIN", "BAD")
    assert writer.stop() == 0
    for server in servers[1:]:
        assert shown(server)["QUICK"][3] == "STALE"
    servers[0] = serve(data)  # listens for a second before it doubts anything
    all_show(21.5, "UNCERTAIN", "BAD")
    all_show(21.5, "BAD")
    assert all(shown(server) == shown(servers[0]) for server in servers)
