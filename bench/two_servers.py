"""Two `twinmesh serve` on one Neo4j, as users run them: one writes, one follows and is subscribed to.

For the end-to-end test and for `bench neo4j_followers`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from websockets.sync.client import ClientConnection

    from bench.neo4j_server import Server

PROGRAM = str(Path(sys.executable).parent / "twinmesh")
READY_S_MAX = 240.0
STOP_S_MAX = 90.0
ANSWER_S_MAX = 120.0
RESUME_S = 0.1
CHANGES = """subscription Changes($from: Revision) {
  changes(site: "campus", resumeFrom: $from) { revision touched } }"""
PUT = """mutation Put($id: ID!, $note: JSON!, $key: String) {
  applyChange(input: {site: "campus", idempotencyKey: $key,
    putTwins: [{id: $id, kinds: ["brick:AHU"], attributes: $note}]}) { revision } }"""


class Serving:
    """A `twinmesh serve` of its own folder, whose settings name a Neo4j. RuntimeError where it ended."""

    def __init__(
        self, folder: Path, neo4j: Server, *words: str, more: Mapping[str, str] | None = None
    ) -> None:
        """more: further variables of its environment."""
        folder.mkdir(exist_ok=True)
        settings = f'format = 1\n[store]\nurl = "{neo4j.url}"\n'
        (folder / "twinmesh.toml").write_text(settings)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TWINMESH_")}
        command = [PROGRAM, "serve", "--data", str(folder), "--dev", "--port", "0", *words]
        self.said = folder / "said"
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env={**environment, **(more or {}), "TWINMESH_STORE__PASSWORD": neo4j.password},
            )
        self.url = self._ready()

    def _ready(self) -> str:
        assert self.process.stdout is not None
        timer = threading.Timer(READY_S_MAX, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line.startswith("ready http"):
            self.stop()
            raise RuntimeError(f"the server did not get ready: {line!r} {self.said.read_text()}")
        return line.split()[1]

    def check(self) -> None:
        """RuntimeError with what it said, where it is no longer there."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended: {self.said.read_text()}")

    def ask(self, text: str, **variables: object) -> dict[str, Any]:
        """The whole answer, with its errors. httpx.HTTPError."""
        self.check()
        body = {"query": text, "variables": variables}
        return httpx.post(f"{self.url}/graphql", json=body, timeout=ANSWER_S_MAX).json()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@dataclass(slots=True)
class Seen:
    """What a subscription told: (revision, when, in seconds of `time.monotonic`), in order.

    broken: why it had to be taken up again, each time behind the last revision.
    """

    events: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    broken: list[str] = field(default_factory=list[str])
    closed: bool = False
    socket: ClientConnection | None = None

    @property
    def revisions(self) -> list[int]:
        return [revision for revision, _ in self.events]

    def wait_for(self, revision: int, wait_s_max: float = ANSWER_S_MAX) -> float:
        """When a revision was told. RuntimeError where it never is."""
        until_s = time.monotonic() + wait_s_max
        while time.monotonic() < until_s:
            for known, at_s in reversed(self.events):
                if known == revision:
                    return at_s
            time.sleep(0.002)
        raise RuntimeError(f"revision {revision} was not told after {self.events[-3:]}: {self.broken}")


@contextlib.contextmanager
def subscribed(server: Serving) -> Generator[Seen]:
    """All changes that a server tells, until the block ends."""
    seen = Seen()
    listener = threading.Thread(target=_subscribe, args=(server, seen))
    listener.start()
    try:
        yield seen
    finally:
        seen.closed = True
        if seen.socket is not None:
            seen.socket.close()
        listener.join()


def _subscribe(server: Serving, seen: Seen) -> None:
    url = server.url.replace("http", "ws", 1) + "/graphql"
    while not seen.closed:
        try:
            with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
                seen.socket = socket
                if not seen.closed:
                    _listen(socket, seen)
        except (WebSocketException, OSError) as error:
            if not seen.closed:
                seen.broken.append(repr(error))
        time.sleep(RESUME_S)


def _listen(socket: ClientConnection, seen: Seen) -> None:
    """Until the server ends the subscription."""
    socket.send(json.dumps({"type": "connection_init", "payload": {}}))
    _hear(socket)
    after = seen.events[-1][0] if seen.events else 0
    payload = {"query": CHANGES, "variables": {"from": str(after)}}
    socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
    while True:
        message = _hear(socket)
        if message["type"] != "next" or "errors" in message["payload"]:
            seen.broken.append(str(message))
            return
        event = message["payload"]["data"]["changes"]
        seen.events.append((int(event["revision"]), time.monotonic()))


def _hear(socket: ClientConnection) -> dict[str, Any]:
    while True:
        message = json.loads(socket.recv())
        if message["type"] != "ping":
            return message
        socket.send(json.dumps({"type": "pong"}))
