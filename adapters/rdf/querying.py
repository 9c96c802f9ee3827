"""Triples that can be asked by SPARQL, in a process of their own; every query has its time and memory.

The process is a fresh interpreter, not a fork of the server: it holds no keys, no sockets, no environment.
See `query_child` for its inside.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapters.child import EXIT_OUT_OF_MEMORY
from adapters.rdf.query_child import ANSWER, ENDED, READY, SIZE_BYTES
from ontology.errors import InputError, LimitError, StoreError, TwinmeshError, UsageError

_CHUNK_BYTES: Final = 1 << 20
_GRACE_S: Final = 3.0  # for the answer's way, after the time of the query itself
_HEAD_BYTES_MAX: Final = 100_000
_CLOSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Of one query. memory_mb: beyond what the store takes."""

    wall_s: float
    memory_mb: int
    result_bytes_max: int


@dataclass(frozen=True, slots=True)
class Query:
    """default_graphs, named_graphs: the data set, by IRIs of graphs; None: as the text says.

    union: the default graph is all graphs together, for texts that name none. The formats are what is wanted
    of a SELECT or ASK (json, xml, csv, tsv) and of a CONSTRUCT or DESCRIBE (ttl, nt, jsonld, rdfxml); None:
    nothing that there is.
    """

    text: str
    result_format: str | None
    graph_format: str | None
    union: bool = True
    default_graphs: tuple[str, ...] | None = None
    named_graphs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    format: str
    body: bytes


class QueryStore:
    """One store. Safe from any thread; `close` ends it, queries that run end by their own limits."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._lock = threading.Lock()

    @classmethod
    def start(cls, quads: bytes, *, memory_mb: int, wall_s: float) -> QueryStore:
        """A store of N-Quads. LimitError SPARQL_TOO_LARGE where they do not fit or take too long."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from adapters.rdf.query_child import main; main()"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )
        store = cls(process, ours)
        ours.settimeout(wall_s)
        try:
            head = json.dumps({"memoryMb": memory_mb}).encode()
            for block in (head, quads):
                ours.sendall(len(block).to_bytes(SIZE_BYTES, "big"))
                ours.sendall(block)
            is_ready = ours.recv(1) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            store.close()
            message = f"the triples do not load within {memory_mb:,} MiB and {wall_s:g} s"
            raise LimitError(message, code="SPARQL_TOO_LARGE", hint="export them, or ask GraphQL")
        return store

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, query: Query, limits: QueryLimits) -> Found:
        """The answer as bytes.

        InputError SPARQL_SYNTAX, UsageError NOT_ACCEPTABLE; LimitError SPARQL_TIMEOUT, SPARQL_MEMORY,
        SPARQL_RESULT_TOO_LARGE; StoreError SPARQL_FAILED, SPARQL_STORE_GONE where it was closed before.
        """
        until_s = time.monotonic() + limits.wall_s + _GRACE_S
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._hand_over(theirs)
            ours.settimeout(limits.wall_s + _GRACE_S)
            try:
                ours.sendall(_request(query, limits))
                said = _all_of(ours, until_s, limits.result_bytes_max + _HEAD_BYTES_MAX)
            except TimeoutError as error:
                raise _timeout(limits) from error
            except OSError as error:
                raise StoreError("the query came to no end", code="SPARQL_FAILED") from error
        return _read(said, limits)

    def close(self) -> None:
        with self._lock, suppress(OSError):
            self._control.close()
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _hand_over(self, theirs: socket.socket) -> None:
        try:
            with self._lock:
                socket.send_fds(self._control, [b"q"], [theirs.fileno()])
        except OSError as error:
            raise StoreError("the store of triples was closed", code="SPARQL_STORE_GONE") from error


def _environment() -> dict[str, str]:
    """Nothing of ours but where Python finds its modules: tokens often stand in the environment."""
    here = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    return {"PYTHONPATH": here, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "PATH": os.defpath}


def _request(query: Query, limits: QueryLimits) -> bytes:
    block = json.dumps(
        {
            "query": query.text,
            "union": query.union,
            "defaultGraphs": query.default_graphs,
            "namedGraphs": query.named_graphs,
            "resultFormat": query.result_format,
            "graphFormat": query.graph_format,
            "wallS": limits.wall_s,
            "memoryMb": limits.memory_mb,
            "resultBytesMax": limits.result_bytes_max,
        }
    ).encode()
    return len(block).to_bytes(SIZE_BYTES, "big") + block


def _all_of(channel: socket.socket, until_s: float, bytes_max: int) -> bytes:
    """All that comes until the other side is done; cut off where it is too much or too late."""
    found = bytearray()
    while len(found) <= bytes_max:
        channel.settimeout(max(0.01, until_s - time.monotonic()))
        part = channel.recv(_CHUNK_BYTES)
        if not part:
            break
        found += part
    return bytes(found)


def _read(said: bytes, limits: QueryLimits) -> Found:
    size = int.from_bytes(said[1 : 1 + SIZE_BYTES], "big")
    begin = 1 + SIZE_BYTES
    tail = said[-5:]
    if len(tail) < 5 or tail[:1] != ENDED:
        raise StoreError("the query came to no end", code="SPARQL_FAILED")
    ended = int.from_bytes(tail[1:], "big", signed=True)
    if ended != 0 or said[:1] != ANSWER:
        raise _ending(ended, limits)
    head: dict[str, Any] = json.loads(said[begin : begin + size])
    if "code" in head:
        raise _refusal(head["code"], head["message"], limits)
    return Found(head["format"], said[begin + size : -5])


def _ending(ended: int, limits: QueryLimits) -> TwinmeshError:
    """Why a query ended without an answer, by its exit code or (negative) signal."""
    if -ended in (signal.SIGALRM, signal.SIGXCPU):
        return _timeout(limits)
    if ended == EXIT_OUT_OF_MEMORY or -ended in (signal.SIGABRT, signal.SIGKILL):
        message = f"the query takes more than {limits.memory_mb:,} MiB"
        return LimitError(message, code="SPARQL_MEMORY", hint="add LIMIT, or join less")
    return StoreError("the query could not be run", code="SPARQL_FAILED", hint="nest it less deeply")


def _timeout(limits: QueryLimits) -> LimitError:
    message = f"the query takes longer than {limits.wall_s:g} s"
    return LimitError(message, code="SPARQL_TIMEOUT", hint="add LIMIT, or join less")


def _refusal(code: str, message: str, limits: QueryLimits) -> TwinmeshError:
    if code == "SPARQL_SYNTAX":
        return InputError(f"this is no SPARQL query: {message}", code="SPARQL_SYNTAX")
    if code == "SPARQL_RESULT_TOO_LARGE":
        told = f"the answer has more than {limits.result_bytes_max:,} bytes"
        return LimitError(told, code="SPARQL_RESULT_TOO_LARGE", hint="add LIMIT, or export the data")
    if code == "NOT_ACCEPTABLE":
        return UsageError("nothing that Accept names can carry this answer", code="NOT_ACCEPTABLE")
    return StoreError("the query could not be run", code="SPARQL_FAILED")
