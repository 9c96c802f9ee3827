"""Requests that are made to hurt: how soon each is refused, and what a bystander feels meanwhile."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench.graphql_peers.loading import Run
from bench.graphql_peers.peers import start_twinmesh
from bench.graphql_peers.questions import SMALL
from bench.graphql_peers.serving import HOST, PATH, Server, ServerError
from bench.stores.table import OURS

if TYPE_CHECKING:
    from bench.graphql_peers.measuring import Effort, Measuring

REFUSED, BYSTANDER, ALONE = "until refused", "bystander's p99 under attack", "bystander's p99 before"
TRIES = 9
ANSWER_S_MAX = 30.0
READ_BYTES = 1 << 16
PAUSE_S = 0.01  # between two attacks of one attacker
FRAGMENTS = 20


@dataclass(frozen=True, slots=True)
class Attack:
    name: str
    query: str

    @property
    def body(self) -> bytes:
        return json.dumps({"query": self.query}).encode()


def attacks() -> tuple[Attack, ...]:
    spreads = "".join(
        f" fragment F{number} on Query {{ ...F{number + 1} ...F{number + 1} }}" for number in range(FRAGMENTS)
    )
    last = f" fragment F{FRAGMENTS} on Query {{ twins(first: 1000) {{ nodes {{ id }} }} }}"
    aliases = " ".join(f"a{number}: __typename" for number in range(5_000))
    return (
        Attack(f"{FRAGMENTS} fragments, each spreads the next twice", "{ ...F0 }" + spreads + last),
        Attack("5,000 aliases", f"{{ {aliases} }}"),
        Attack("20,000 repeated fields", f"{{ {'__typename ' * 20_000}}}"),
        Attack("100,000 nested braces", "{a" * 100_000 + "}" * 100_000),
        Attack("a body of 20 MB", "{ __typename }" + " " * 20_000_000),
    )


def measure_attacks(measuring: Measuring, pumps: int, effort: Effort) -> None:
    """Ours alone. Each attack alone first, then all of them in turn beside a bystander."""
    with ExitStack() as stack:
        server = start_twinmesh(stack, measuring.place, "fleet", pumps)
        for attack in attacks():
            figures = measuring.figures_of(f"{REFUSED}: {attack.name}", "attacks", "ms")
            try:
                found = [send_until_answered(server, attack.body) for _ in range(TRIES)]
            except (OSError, ServerError) as error:
                figures.fail(OURS, f"{type(error).__name__}: {error}")
                continue
            figures.add(
                OURS, 1e3 * median(seconds for seconds, _ in found), all(is_refusal(t) for _, t in found)
            )
        _bystander(measuring, server, effort)


def _bystander(measuring: Measuring, server: Server, effort: Effort) -> None:
    alone = measuring.figures_of(ALONE, "attacks", "ms")
    attacked = measuring.figures_of(BYSTANDER, "attacks", "ms")
    body, how = [{"query": SMALL.text()}], Run(effort.seconds, 1)
    measuring.loader.run(server, body, how)
    for _ in range(effort.rounds):
        alone.add(OURS, 1e3 * measuring.loader.run(server, body, how).p99_s)
        with Attacker(server):
            told = measuring.loader.run(server, body, how)
        attacked.add(OURS, 1e3 * told.p99_s, told.good)


class Attacker:
    """Sends all attacks in turn, with a short pause, on a thread of its own. A context manager."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._bodies = [attack.body for attack in attacks()]
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Attacker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ends.is_set():
            for body in self._bodies:
                try:
                    send_until_answered(self._server, body)
                except (OSError, ServerError):
                    continue  # cut off: refused all the same
                self._ends.wait(PAUSE_S)


def send_until_answered(server: Server, body: bytes) -> tuple[float, bytes]:
    """Seconds from the first byte sent to the end of the answer, and the answer with its head.

    A server may answer before it has read everything; the rest is not sent then.
    """
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {server.address}\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((HOST, server.port), timeout=ANSWER_S_MAX) as connection:
        connection.setblocking(False)
        started = time.perf_counter()
        text = _exchange(connection, memoryview(head.encode() + body))
        return time.perf_counter() - started, text


def _exchange(connection: socket.socket, unsent: memoryview) -> bytes:
    """The whole answer; once it has begun, nothing more is sent."""
    ends_s, text = time.monotonic() + ANSWER_S_MAX, b""
    while time.monotonic() < ends_s:
        sending = [connection] if len(unsent) and not text else []
        readable, writable, _ = select.select([connection], sending, [], 1.0)
        if readable:
            part = _read(connection)
            if not part:
                return text
            text += part
        elif writable:
            unsent = unsent[connection.send(unsent) :]
    raise ServerError(f"no answer in {ANSWER_S_MAX:.0f} s")


def _read(connection: socket.socket) -> bytes:
    """What has come; nothing at the end. A server that leaves a body unread may reset the connection then."""
    try:
        return connection.recv(READ_BYTES)
    except ConnectionResetError:
        return b""


def is_refusal(text: bytes) -> bool:
    """An answer without data that says why."""
    return text.startswith(b"HTTP/1.1 ") and b'"data"' not in text and b'"code"' in text
