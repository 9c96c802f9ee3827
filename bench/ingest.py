"""Telemetry into columns and durable history, beside mosquitto_sub on the same broker in the same run.

    uv run twinmesh bench ingest [--json]

A real mosquitto deals out messages of 40 bytes on 10,000 topics, as fast as it can. mosquitto_sub (C) only
counts them; twinmesh (a `serve` in a process of its own) decodes, binds and records each, durably, before it
counts. They take turns; ratios are medians of paired rounds. HTTP: bodies of 100 lines on 16 connections,
each answered when it is durable, beside plain servers that only decode them (`bench.live.http_peers`), with
the processor time of a request. Broker, sender and receiver share the processors.
--http: HTTP alone. --quick or TWINMESH_BENCH_QUICK=1: small sizes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from bench.graphql_peers.serving import HOST, ServerError
from bench.live.posting import LINES as MANY
from bench.live.posting import PEERS, peer, posted
from bench.live.running import Live, broker, make_site, sending, served
from bench.live.sending import POINTS
from bench.stores.machine import Meter
from bench.stores.table import Aim, rounded

CLIENTS = ("paho", "gmqtt")
OTHERS = "processors_busy_with_other_work"
NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Sizes:
    messages: int
    many: int  # messages of 100 samples
    requests: int
    rounds: int


FULL = Sizes(500_000, 40_000, 20_000, 3)
QUICK = Sizes(200_000, 10_000, 2_000, 1)


def run(sizes: Sizes, *, is_http_only: bool = False) -> dict[str, Any]:
    """Measure everything. Keys: machine, versions, quick, rows, aims."""
    meter = Meter()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        data = make_site(folder)
        with broker(folder) as port:
            for client in CLIENTS[-1:] if is_http_only else CLIENTS:
                with served(data, port, client) as live:
                    for _ in range(0 if is_http_only else sizes.rounds):
                        measure(found, client, live, port, sizes)
                    if client == CLIENTS[-1]:
                        push(found, live, sizes)
            shutil.rmtree(data / "sites", ignore_errors=True)
        machine = meter.machine(folder)
    rows = [
        {"what": name, "per_s": rounded(median(each)), "rounds": len(each)} for name, each in found.items()
    ]
    return {
        "machine": machine,
        "versions": {name: version(name) for name in ("twinmesh", "paho-mqtt", "gmqtt", "msgspec", "numpy")},
        "quick": sizes is QUICK,
        "rows": rows,
        "aims": [aim.row() for aim in (aims(found)[-1:] if is_http_only else aims(found))],
    }


def push(found: dict[str, list[float]], live: Live, sizes: Sizes) -> None:
    """HTTP: plain servers that keep nothing, and us, by turns; the first turn only warms up."""
    with contextlib.ExitStack() as stack:
        servers = {f"http {name}, nothing durable": stack.enter_context(peer(name)) for name in PEERS}
        servers["http"] = (int(live.url.rpartition(":")[2]), live.pid)
        for address in servers.values():
            posted(*address, sizes.requests // 4)
        for _ in range(sizes.rounds):
            for name, address in servers.items():
                post(found, name, address, sizes.requests)


def measure(found: dict[str, list[float]], client: str, live: Live, port: int, sizes: Sizes) -> None:
    """One round: mosquitto_sub, then us, with single readings; then us with a hundred a message."""
    stock = counted(port, sizes.messages)
    ours = recorded(live, port, sizes.messages, 1)
    note(found, f"mosquitto_sub beside {client}", stock)
    note(found, f"{client} QoS 0", ours)
    note(found, f"{client} ratio", ours / stock)
    note(found, f"{client} samples, {MANY} a message", recorded(live, port, sizes.many, MANY))


def note(found: dict[str, list[float]], name: str, value: float) -> None:
    tell(f"{name}: {value:,.2f}")
    found.setdefault(name, []).append(value)


def counted(port: int, messages: int) -> float:
    """Messages a second that mosquitto_sub takes."""
    program = shutil.which("mosquitto_sub")
    if not program:
        raise ServerError("mosquitto_sub is not installed")
    command = [program, "-h", HOST, "-p", str(port), "-t", "stock/#", "-C", str(messages), "-W", "300"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(1.0)  # it does not tell when it has subscribed
    began_ns = began(port, messages, 0)
    if process.wait(310):
        raise ServerError("mosquitto_sub did not get all messages")
    return messages / ((time.time_ns() - began_ns) / NS_PER_S)


def recorded(live: Live, port: int, messages: int, per_message: int) -> float:
    """Readings a second from the first sent to the last durable. ServerError where any was lost."""
    live.wait("queued", 0)
    before, received = live.figure("recorded"), live.figure("received")
    began_ns = began(port, messages, per_message)
    live.wait("recorded", before + messages * per_message)
    took_s = (time.time_ns() - began_ns) / NS_PER_S
    if live.figure("received") != received + messages or live.figure("shed"):
        raise ServerError("messages were lost")
    return messages * per_message / took_s


def began(port: int, messages: int, per_message: int) -> int:
    process = sending("mqtt", port, messages, per_message)
    if process.stdout is None:
        raise ServerError("no output")
    began_ns = int(process.stdout.readline().split()[1])
    process.communicate()
    return began_ns


def post(found: dict[str, list[float]], name: str, address: tuple[int, int], requests: int) -> None:
    """One round of bodies to a server; address: its port and its process."""
    result = posted(*address, requests)
    note(found, name, result.per_s * MANY)
    note(found, f"{name}, server us a request", result.server_us)
    note(found, f"{name}, sender us a request", result.client_us)


def aims(found: dict[str, list[float]]) -> list[Aim]:
    def value(name: str) -> float | None:
        return median(found[name]) if name in found else None

    many = [each for name in (f"paho samples, {MANY} a message", f"gmqtt samples, {MANY} a message")
            if (each := value(name)) is not None]  # fmt: skip
    return [
        Aim("MQTT QoS 0, paho, of mosquitto_sub", value("paho ratio"), 0.2),
        Aim("MQTT QoS 0, gmqtt, of mosquitto_sub", value("gmqtt ratio"), 0.6),
        Aim("MQTT samples/s, 100 a message", max(many, default=None), 1e6),
        Aim("HTTP samples/s, 100 a request", value("http"), 0.8e6),
    ]


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
    found = run(QUICK if quick else FULL, is_http_only="--http" in arguments)
    if "--json" in arguments:
        print(json.dumps(found))
        return 0
    print(f"{POINTS:,} points; others kept {found['machine'][OTHERS]} processors busy")
    for row in found["rows"]:
        print(f"{row['what']:40} {row['per_s']:>14,}")
    for aim in found["aims"]:
        print(f"{'met' if aim['met'] else 'not met':8} {aim['name']}: {aim['value']} (aim {aim['aim']})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
