"""OPC UA end to end: a node-opcua server's changes into columns and durable history, beside a stock client.

    uv run twinmesh bench opcua [--json]

The server changes all its nodes in turn at an offered rate, which is more than it can keep up on a small
machine: then what is measured is the server. Its MinSupportedSampleRate is 0: with any other, node-opcua
folds the changes of a node within that time into one, and starts a timer for each. Ours is the whole way
(subscription, decoding, units, quality, history on disk, last values); the stock client is asyncua with a
handler that only counts; the ceiling is a reader that acknowledges and looks at nothing but how many came.
Every change that came is compared with what was sent: a rate with a loss would be no rate. What the server
itself leaves out shows as `received`. --quick: 20,000 changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_session import UaSession

from adapters.opcua.bindings import parse_opcua_bindings
from adapters.opcua.config import Line, OpcuaConfig
from adapters.opcua.source import OpcuaSource
from graph.twin import Twin
from graph.values import Change, TwinRecord
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROOT = Path(__file__).resolve().parent.parent
SERVER = ROOT / "tests" / "outside" / "opcua"
TOOLS = ROOT / ".tools" / "bench" / "opcua"
SPACE = "urn:twinmesh.test:plant"
BASE = "https://twinmesh.invalid/bench/"
NODES = int(os.environ.get("TWINMESH_BENCH_NODES", "1000"))
IS_QUICK = "--quick" in sys.argv or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
CHANGES = int(os.environ.get("TWINMESH_BENCH_CHANGES", "20000" if IS_QUICK else "200000"))
TICK_MS, PER_TICK = 20, min(1_000, NODES)  # 50,000 changes a second are offered, each node once a tick
WAIT_S_MAX = 300.0
QUIET_S = 10.0
LOOK_S = 0.25
AIM_PER_S = 20_000
HEADER_BYTES = 28  # of a publish response: type, time, handle, result, no diagnostics, no texts, nothing more


class Server:
    """The node-opcua server of the tests, without encryption."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        nodes = [(f"n{number}", "Double", 0.0) for number in range(NODES)]
        settings = {
            "port": self.port,
            "pki": str(folder / "pki"),
            "nodes": nodes,
            "insecure": True,
            "capabilities": {"minSupportedSampleRate": 0},
        }
        command = [
            shutil.which("node") or "node",
            str(SERVER / "server.mjs"),
            str(TOOLS),
            json.dumps(settings),
        ]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == {"ready": self.port}

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    def order(self, **order: Any) -> dict[str, Any]:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def stream(self) -> None:
        self.order(do="stream", total=CHANGES, perTick=PER_TICK, tickMs=TICK_MS)

    def stop(self) -> None:
        self._child.kill()
        self._child.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError("node-opcua ended")


@contextlib.contextmanager
def served(folder: Path) -> Generator[Server]:
    if not (TOOLS / "node_modules").is_dir():
        TOOLS.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SERVER / name, TOOLS / name)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=TOOLS, check=True)
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()


def wait_for(happened: Callable[[], bool]) -> bool:
    """Looked at seldom: a health report looks at every binding, and takes time from what is measured."""
    until = time.monotonic() + WAIT_S_MAX
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_S)
    return True


def ours(folder: Path) -> dict[str, Any]:
    """Changes a second into history, and how many of them came as they were sent."""
    schema, units = load_schema(), load_units()
    kind = schema.kind("tm:Point").iri
    tables = [{"node": f"nsu={SPACE};s=n{number}", "point": f"n{number}"} for number in range(NODES)]
    bindings = parse_opcua_bindings({"binding": tables}, "bench", units)
    with served(folder) as server, Twin.open(folder / "site", schema, site="bench") as twin:
        twin.apply(Change(put_twins=tuple(TwinRecord(BASE + f"n{n}", (kind,)) for n in range(NODES))))
        line = Line(server.url, folder / "c.pem", folder / "c.key", security="none")
        config = OpcuaConfig("bench", line, folder / "b.toml", sampling_ms=0, item_queue=1_000)
        source = OpcuaSource.start(twin, config, bindings, units)
        wait_for(lambda: source.health().recorded >= NODES)
        cpu, start = time.process_time(), time.perf_counter()
        server.stream()
        recorded, last = _until_quiet(server, source)
        took, cpu = last - start, time.process_time() - cpu
        source.stop()
        health = source.health()
        return {
            "client": "twinmesh, to history",
            "changes_per_s": round((recorded - NODES) / took),
            "received": health.received - NODES,
            "as_sent": _as_sent(twin),
            "cpu_us_per_change": round(cpu / (recorded - NODES) * 1e6, 1),
            "overflows": health.overflows,
        }


def _until_quiet(server: Server, source: OpcuaSource) -> tuple[int, float]:
    """How much was recorded, and when the last of it. A server that is short of time leaves changes out
    without a word: the end is where it has made all of them and nothing comes any more."""
    recorded, last = source.health().recorded, time.perf_counter()
    while recorded < NODES + CHANGES:
        time.sleep(LOOK_S)
        now, found = time.perf_counter(), source.health().recorded
        if found > recorded:
            recorded, last = found, now
        elif now - last > QUIET_S and server.order(do="sent")["sent"] >= CHANGES:
            break
    return recorded, last


def _as_sent(twin: Twin) -> int:
    """How many values of history were sent, in their order: node n gets n + 1, n + 1 + NODES, ..."""
    right = 0
    for number in range(NODES):
        samples = twin.history.range(BASE + f"n{number}", 0, 2**62, CHANGES + 1)
        values = np.asarray(samples.words, np.uint64).view(np.float64)[1:]
        sent = (values > 0) & (values <= CHANGES) & ((values - number - 1) % NODES == 0)
        right += int(np.count_nonzero(sent & (np.diff(values, prepend=0) > 0)))
    return right


def stock(folder: Path) -> dict[str, Any]:
    """asyncua's own client with a handler that counts."""
    with served(folder) as server:
        return _counted("asyncua, counting only", *asyncio.run(_stock(server)))


def ceiling(folder: Path) -> dict[str, Any]:
    """What the server gives to who only acknowledges."""
    with served(folder) as server:
        return _counted("a reader that only acknowledges", *asyncio.run(_ceiling(server)))


def _counted(client: str, seen: int, cpu_s: float, took_s: float) -> dict[str, Any]:
    return {
        "client": client,
        "changes_per_s": round(seen / took_s),
        "received": seen,
        "as_sent": seen,
        "cpu_us_per_change": round(cpu_s / CHANGES * 1e6, 1),
        "overflows": 0,
    }


class _Acknowledging(UaSession):
    """Reads of each response its subscription, its number, and how many changes there are."""

    seen = 0

    async def publish(self, acks: list[ua.SubscriptionAcknowledgement]) -> ua.PublishResponse:
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = acks
        data = await self._send_request(request, timeout=0)
        data.skip(HEADER_BYTES)
        subscription, available = struct.unpack("<Ii", data.read(8))
        data.skip(4 * max(available, 0) + 1)
        number, _, notifications = struct.unpack("<Iqi", data.read(16))
        if notifications > 0:
            data.skip(9)
            self.seen += struct.unpack("<i", data.read(4))[0]
        message = ua.NotificationMessage(
            number, NotificationData=[ua.DataChangeNotification()] * notifications
        )
        return ua.PublishResponse(Parameters=ua.PublishResult(subscription, NotificationMessage=message))


async def _ceiling(server: Server) -> tuple[int, float, float]:
    client = Client(server.url, timeout=60, watchdog_intervall=60)
    session = client.uaclient.session = _Acknowledging(client.uaclient)
    async with client:
        subscription = await client.create_subscription(100, _Counter())
        nodes = [client.get_node(ua.NodeId(f"n{number}", 2)) for number in range(NODES)]
        await subscription.subscribe_data_change(nodes, queuesize=1_000, sampling_interval=0.0)
        return await _until_all(server, lambda: session.seen)


class _Counter:
    def __init__(self) -> None:
        self.seen = 0

    def datachange_notification(self, node: object, value: object, data: object) -> None:
        self.seen += 1


async def _stock(server: Server) -> tuple[int, float, float]:
    async with Client(server.url, timeout=60, watchdog_intervall=60) as client:
        counter = _Counter()
        subscription = await client.create_subscription(100, counter)
        nodes = [client.get_node(ua.NodeId(f"n{number}", 2)) for number in range(NODES)]
        await subscription.subscribe_data_change(nodes, queuesize=1_000, sampling_interval=0.0)
        return await _until_all(server, lambda: counter.seen)


async def _until_all(server: Server, seen: Callable[[], int]) -> tuple[int, float, float]:
    """Changes that came, processor seconds, seconds. Some may be lost: the end is where nothing comes."""
    until = time.monotonic() + WAIT_S_MAX
    while seen() < NODES and time.monotonic() < until:
        await asyncio.sleep(0.01)
    cpu, start = time.process_time(), time.perf_counter()
    server.stream()
    found, last = seen(), time.perf_counter()
    while seen() < NODES + CHANGES and time.perf_counter() - last < QUIET_S:
        await asyncio.sleep(0.01)
        if seen() > found:
            found, last = seen(), time.perf_counter()
    return seen() - NODES, time.process_time() - cpu, last - start


def run() -> dict[str, Any]:
    """Measure all three. Keys: machine, versions, rows, aims."""
    rows: list[dict[str, Any]] = []
    for measure in (ours, stock, ceiling):
        with tempfile.TemporaryDirectory(prefix="twinmesh-bench-") as folder:
            rows.append(measure(Path(folder)))
    own = rows[0]
    lock = json.loads((SERVER / "package.json").read_text(encoding="utf-8"))
    return {
        "machine": {
            "processors": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {
            "asyncua": version("asyncua"),
            "node-opcua": lock["dependencies"]["node-opcua"],
            "twinmesh": version("twinmesh"),
        },
        "rows": rows,
        "aims": [
            {
                "name": "OPC UA changes a second from node-opcua into history",
                "aim": AIM_PER_S,
                "value": own["changes_per_s"],
                "met": own["changes_per_s"] >= AIM_PER_S,
            },
            {
                "name": "changes received that are in history as they were sent",
                "aim": own["received"],
                "value": own["as_sent"],
                "met": own["as_sent"] == own["received"],
            },
        ],
    }


def main(arguments: list[str]) -> int:
    result = run()
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    for row in result["rows"]:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'NOT MET'}: {aim['name']}: {aim['value']} (aim {aim['aim']})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
