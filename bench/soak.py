"""10,000 points at 1 Hz for 60 s, with GraphQL load beside it: nothing lost, and how late a subscriber hears.

    uv run twinmesh bench soak [--json]

A real mosquitto, a `serve` in a process of its own (gmqtt), a sender that spreads the points over each
second, two clients that ask GraphQL without a pause, and a subscriber (graphql-transport-ws) to 100 points.
Latency is from the clock of the sender before it sends to the clock of the subscriber: broker, decoding,
quality, durable history and the socket are in it. --quick: 10 s.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from bench.graphql_peers.serving import HOST, ServerError
from bench.live.running import Live, broker, make_site, sending, served
from bench.live.sending import POINTS
from bench.live.telling import is_quick, show
from bench.stores.machine import Meter
from bench.stores.table import Aim

SECONDS, SECONDS_QUICK = 60, 10
WARM_SECONDS = 2  # before the clock starts: kernels are loaded at their first use
WATCHED = 100
CLIENTS = 2
LATENCY_MS = 250.0
QUERY = '{ twins(kind: "tm:Point", first: 50) { nodes { id ... on Point { value time quality } } } }'
LIVE = "subscription Live($points: [ID!]!) { readings(points: $points) { value conflated } }"


@dataclass(slots=True)
class Heard:
    """What a subscriber heard: latencies in seconds, and how many readings were left out for it."""

    latencies_s: list[float] = field(default_factory=list[float])
    conflated: int = 0


def run(seconds: int) -> dict[str, Any]:
    """Measure. Keys: machine, seconds, rows, aims."""
    meter, heard, asked, stop = Meter(), Heard(), [0] * CLIENTS, threading.Event()
    with tempfile.TemporaryDirectory() as made:
        data = make_site(Path(made))
        with broker(Path(made)) as port, served(data, port, "gmqtt") as live:
            began = threading.Barrier(2 + CLIENTS)
            sending("steady", port, WARM_SECONDS).communicate(timeout=120)
            live.wait("recorded", WARM_SECONDS * POINTS)
            threads = [threading.Thread(target=listen, args=(live, heard, began, stop), daemon=True)]
            threads += [
                threading.Thread(target=ask, args=(live, asked, n, began, stop), daemon=True)
                for n in range(CLIENTS)
            ]
            for thread in threads:
                thread.start()
            began.wait(60)
            time.sleep(1.0)  # a subscription says nothing when it has begun
            sending("steady", port, seconds).communicate(timeout=seconds + 120)
            live.wait("recorded", seconds * POINTS)
            time.sleep(1.0)
            stop.set()
            figures = {
                name: live.figure(name) for name in ("received", "recorded", "refused", "shed", "queued")
            }
        machine = meter.machine(Path(made))
    return {"machine": machine, "seconds": seconds, **told(seconds, heard, sum(asked), figures)}


def told(seconds: int, heard: Heard, asked: int, figures: dict[str, float]) -> dict[str, Any]:
    sent, ordered = (WARM_SECONDS + seconds) * POINTS, sorted(heard.latencies_s)
    if not ordered:
        raise ServerError("the subscriber heard nothing")
    quantiles = {
        name: ordered[int(len(ordered) * part)] * 1e3 for name, part in (("p50", 0.5), ("p99", 0.99))
    }
    rows = [{"what": name, "value": value} for name, value in figures.items()]
    rows += [
        {"what": "GraphQL answers a second meanwhile", "value": round(asked / seconds, 1)},
        {"what": "readings that the subscriber heard", "value": len(ordered)},
        {"what": "readings left out for it", "value": heard.conflated},
        *({"what": f"latency {name}, ms", "value": round(value, 1)} for name, value in quantiles.items()),
    ]
    aims = [
        Aim("readings lost", sent - figures["recorded"], 0, at_most=True),
        Aim("readings the subscriber missed", seconds * WATCHED - len(ordered), 0, at_most=True),
        Aim("subscription latency p99, ms", round(quantiles["p99"], 1), LATENCY_MS, at_most=True),
    ]
    return {"rows": rows, "aims": [aim.row() for aim in aims]}


def listen(live: Live, heard: Heard, began: threading.Barrier, stop: threading.Event) -> None:
    """Subscribe to some points, one of each part of a second."""
    ids = points_of(live)
    url = live.url.replace("http", "ws", 1) + "/graphql"
    with connect(url, subprotocols=["graphql-transport-ws"], max_size=1 << 24) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": {}}))
        socket.recv(60)
        payload = {"query": LIVE, "variables": {"points": ids}}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        began.wait(60)
        while not stop.is_set():
            try:
                message = json.loads(socket.recv(0.5))
            except TimeoutError:
                continue
            if message["type"] == "ping":
                socket.send('{"type":"pong"}')
            elif message["type"] == "next":
                reading = message["payload"]["data"]["readings"]
                heard.latencies_s.append(time.time() - reading["value"])
                heard.conflated += reading["conflated"]


def points_of(live: Live) -> list[str]:
    """Ids of points that are sent at different parts of a second."""
    names = [f"p-{number}" for number in range(0, POINTS, POINTS // WATCHED)]
    text = "{ " + " ".join(f'n{n}: node(id: "{name}") {{ id }}' for n, name in enumerate(names)) + " }"
    data = answer(http.client.HTTPConnection(HOST, int(live.url.rpartition(":")[2]), timeout=60), text)
    return [each["id"] for each in data.values()]


def ask(live: Live, asked: list[int], number: int, began: threading.Barrier, stop: threading.Event) -> None:
    """Ask again and again, and count the answers."""
    connection = http.client.HTTPConnection(HOST, int(live.url.rpartition(":")[2]), timeout=60)
    began.wait(60)
    while not stop.is_set():
        answer(connection, QUERY)
        asked[number] += 1


def answer(connection: http.client.HTTPConnection, text: str) -> dict[str, Any]:
    connection.request("POST", "/graphql", json.dumps({"query": text}), {"content-type": "application/json"})
    document = json.loads(connection.getresponse().read())
    if document.get("errors"):
        raise ServerError(str(document["errors"][0]))
    return document["data"]


def main(arguments: list[str]) -> int:
    found = run(SECONDS_QUICK if is_quick(arguments) else SECONDS)
    return show(found, f"{POINTS:,} points at 1 Hz for {found['seconds']} s", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
