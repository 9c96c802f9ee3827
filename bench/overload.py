"""Far more messages than can be recorded, for 20 s: memory, what is shed, and whether alarms get through.

    uv run twinmesh bench overload [--json]

What a source may record is made small on purpose (batches of 20 messages, each synced before the next, behind
a queue of 5,000), as on a slow disk; a real mosquitto and two senders then offer what they can. The factor is
what was offered over what was recorded in the same time. Meanwhile alarms (a binding with `keep`) come ten at
a time, changes are made by GraphQL, and commands are given by GraphQL to a device in a process of its own,
which answers and says back what it was told. Every message is in history or counted as shed. --quick: 5 s.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.graphql_peers.serving import ServerError
from bench.live.commanding import Given, add_setpoints, device, way
from bench.live.running import Live, broker, make_site, sending, served
from bench.live.sending import START_NS, connect, packet
from bench.live.telling import is_quick, show
from bench.stores.machine import Meter
from bench.stores.table import Aim

SECONDS, SECONDS_QUICK = 20, 5
SENDERS = 2
FLOW = "queue_rows_max = 5000\nbatch_rows_max = 20\nbatch_wait_s = 0\n"
ALARMS_AT_ONCE = 10
PAUSE_S, CHANGE_PAUSE_S = 0.1, 0.5
FACTOR = 5.0
GROWTH_MB_S = 1.0  # memory is flat where it grows by less
CHANGE = """mutation Change($attributes: JSON!) { applyChange(input: {site: "campus", mergeTwins: [
  {id: "p-0", attributes: $attributes}]}) { applied revision } }"""


@dataclass(slots=True)
class Meanwhile:
    """What went on beside the flood. memory: seconds since its start, MB of the server."""

    alarms: int = 0
    changes: int = 0
    slowest_change_s: float = 0.0
    memory: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])


def run(seconds: int) -> dict[str, Any]:
    """Measure. Keys: machine, seconds, rows, aims."""
    meter, beside, stop = Meter(), Meanwhile(), threading.Event()
    with tempfile.TemporaryDirectory() as made:
        data, given = make_site(Path(made)), Given()
        add_setpoints(Path(made), data)
        with (
            broker(Path(made)) as port,
            served(data, port, "gmqtt", FLOW + way(port)) as live,
            device(port, given),
        ):
            threads = [
                threading.Thread(target=work, args=(live, port, beside, stop), daemon=True)
                for work in (alarm, change, weigh)
            ]
            ask = partial(asked, live)
            threads.append(threading.Thread(target=given.give, args=(ask, stop), daemon=True))
            senders = [sending("flood", port, seconds) for _ in range(SENDERS)]
            for thread in threads:
                thread.start()
            texts = [sender.communicate(timeout=seconds + 300)[0] for sender in senders]
            offered, recorded = live.figure("received"), live.figure("recorded")
            stop.set()
            for thread in threads:
                thread.join(60)
            given.read(ask)
            sent = sum(int(text.split()[-1]) for text in texts) + beside.alarms
            sent += given.confirmed
            live.wait("received", sent)
            wait_empty(live)
            figures = {
                name: live.figure(name) for name in ("received", "recorded", "shed", "refused", "unrouted")
            }
            kept = alarms_kept(live)
        machine = meter.machine(Path(made))
    factor = offered / max(recorded, 1)
    found = told(beside, sent, factor, figures, kept)
    found["rows"] += given.rows()
    found["aims"] += [aim.row() for aim in given.aims(seconds)]
    return {"machine": machine, "seconds": seconds, **found}


def told(beside: Meanwhile, sent: int, factor: float, figures: dict[str, float], kept: int) -> dict[str, Any]:
    rows = [{"what": "sent", "value": sent}]
    rows += [{"what": name, "value": value} for name, value in figures.items()]
    rows += [
        {"what": "changes by GraphQL meanwhile", "value": beside.changes},
        {"what": "the slowest of them, s", "value": round(beside.slowest_change_s, 2)},
        {"what": "alarms sent", "value": beside.alarms},
        {"what": "memory at first, MB", "value": round(beside.memory[0][1])},
        {"what": "memory in the end, MB", "value": round(beside.memory[-1][1])},
    ]
    lost = abs(sent - figures["recorded"] - figures["shed"] - figures["refused"] - figures["unrouted"])
    aims = [
        Aim("offered over recorded", round(factor, 1), FACTOR),
        Aim("messages that are in no count", lost, 0, at_most=True),
        Aim("alarms that are not in history", beside.alarms - kept, 0, at_most=True),
        Aim("changes that got through", beside.changes, 1),
        Aim("memory grows by, MB a second", round(growth(beside.memory), 2), GROWTH_MB_S, at_most=True),
    ]
    return {"rows": rows, "aims": [aim.row() for aim in aims]}


def growth(memory: list[tuple[float, float]]) -> float:
    """MB a second over the second half: by then queues are full."""
    half = memory[len(memory) // 2 :]
    if len(half) < 2:
        raise ServerError("the flood was too short")
    times, sizes = np.array(half).T
    return float(np.polyfit(times, sizes, 1)[0])


def alarm(_: Live, port: int, beside: Meanwhile, stop: threading.Event) -> None:
    """Alarms of one point, each of its own time."""
    with connect(port, b"alarms") as line:
        while not stop.wait(PAUSE_S):
            for _ in range(ALARMS_AT_ONCE):
                text = b'{"value":%d,"time":%d}' % (beside.alarms, START_NS + beside.alarms * 1_000_000)
                line.sendall(packet(b"alarm/p-0", text))
                beside.alarms += 1


def change(live: Live, _: int, beside: Meanwhile, stop: threading.Event) -> None:
    while not stop.wait(CHANGE_PAUSE_S):
        began_s = time.monotonic()
        asked(live, CHANGE, {"attributes": {"assetTag": f"tag {beside.changes}"}})
        beside.slowest_change_s = max(beside.slowest_change_s, time.monotonic() - began_s)
        beside.changes += 1


def weigh(live: Live, _: int, beside: Meanwhile, stop: threading.Event) -> None:
    began_s = time.monotonic()
    while not stop.wait(PAUSE_S):
        pages = int(Path(f"/proc/{live.pid}/statm").read_text().split()[1])
        beside.memory.append((time.monotonic() - began_s, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))


def wait_empty(live: Live) -> None:
    ends_s = time.monotonic() + 300
    while live.figure("queued"):
        if time.monotonic() > ends_s:
            raise ServerError("the queue does not empty")
        time.sleep(0.25)


def alarms_kept(live: Live) -> int:
    """How many readings the point of the alarms has, of those times that alarms have."""
    query = '{ node(id: "p-0") { ... on Point { history(last: 10000) { time value } } } }'
    samples = asked(live, query, {})["node"]["history"]
    return len({sample["value"] for sample in samples if sample["value"] == int(sample["value"])})


def asked(live: Live, text: str, variables: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"query": text, "variables": variables}).encode()
    headers = {"content-type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{live.url}/graphql", body, headers), timeout=120
    ) as answer:
        document = json.loads(answer.read())
    if document.get("errors"):
        raise ServerError(str(document["errors"][0]))
    return document["data"]


def main(arguments: list[str]) -> int:
    found = run(SECONDS_QUICK if is_quick(arguments) else SECONDS)
    return show(found, f"overload for {found['seconds']} s", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
