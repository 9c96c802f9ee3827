"""The inside of a SPARQL store: triples in memory, and a fork for every query. Started by `querying.py`.

Oxigraph cannot be interrupted, so each query runs in a process of its own, forked from the one that holds the
store: it starts with all triples loaded, and the kernel ends it when its time or memory is spent. A watcher
between the two tells how it ended. None of them has a network or may open anything.

Standard input is a socket. First comes the head of a store with its N-Quads; then, for every query, one byte
with the descriptor of a socket that carries the query in and the answer out.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from pyoxigraph import (
    NamedNode,
    QueryBoolean,
    QueryResultsFormat,
    QuerySolutions,
    QueryTriples,
    RdfFormat,
    Store,
)

from adapters.child import EXIT_OUT_OF_MEMORY, die_with_parent, leave_network, lower_limit

SIZE_BYTES: Final = 8
READY: Final = b"R"
ANSWER: Final = b"A"
ENDED: Final = b"E"
_MIB: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 20
_RESULTS: Final = {
    "json": QueryResultsFormat.JSON,
    "xml": QueryResultsFormat.XML,
    "csv": QueryResultsFormat.CSV,
    "tsv": QueryResultsFormat.TSV,
}
_GRAPHS: Final = {
    "ttl": RdfFormat.TURTLE,
    "nt": RdfFormat.N_TRIPLES,
    "jsonld": RdfFormat.JSON_LD,
    "rdfxml": RdfFormat.RDF_XML,
}


class _TooLarge(Exception):
    """The answer has more bytes than it may."""


@dataclass(slots=True)
class _Capped:
    """What an answer is written to."""

    bytes_max: int
    parts: list[bytes] = field(default_factory=list[bytes])
    size: int = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > self.bytes_max:
            raise _TooLarge
        self.parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass


def main() -> NoReturn:
    """Load the store, then fork for every query until the other side is gone."""
    control = socket.socket(fileno=os.dup(0))
    leave_network()
    head = json.loads(_sized(control.fileno()))
    lower_limit(resource.RLIMIT_AS, head["memoryMb"] * _MIB)
    lower_limit(resource.RLIMIT_CORE, 0)
    store = Store()
    store.load(_sized(control.fileno()), RdfFormat.N_QUADS, lenient=True)
    os.write(control.fileno(), READY)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the watchers
    while True:
        word, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not word:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            _watch(store, descriptors[0])
        for each in descriptors:
            os.close(each)


def _watch(store: Store, channel: int) -> NoReturn:
    """Run one query in a process of its own, and tell how that ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    worker = os.fork()
    if worker == 0:
        die_with_parent()
        _work(store, channel)
    _, status = os.waitpid(worker, 0)
    with suppress(OSError):  # nobody listens any more
        os.write(channel, ENDED + os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
    os._exit(0)


def _work(store: Store, channel: int) -> NoReturn:
    # The kernel's own timer, with its own way to end a process: no code here has to agree.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 60.0)
    request = json.loads(_sized(channel))
    signal.setitimer(signal.ITIMER_REAL, request["wallS"])
    with suppress(OSError):
        os.nice(5)
    lower_limit(resource.RLIMIT_CPU, int(request["wallS"]) + 2)
    lower_limit(resource.RLIMIT_AS, _address_space_bytes() + request["memoryMb"] * _MIB)
    lower_limit(resource.RLIMIT_NOFILE, 0)
    try:
        head, body = _answer(store, request)
    except MemoryError:
        os._exit(EXIT_OUT_OF_MEMORY)
    stated = json.dumps(head).encode()
    with suppress(OSError):
        for part in (ANSWER, len(stated).to_bytes(SIZE_BYTES, "big"), stated, *body):
            _send(channel, part)
    os._exit(0)


def _answer(store: Store, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """What the answer is, and its bytes; or the code of what went wrong, and none."""
    out = _Capped(request["resultBytesMax"])
    try:
        found = _asked(store, request)
        format_name = _written(found, request, out)
    except SyntaxError as error:
        return {"code": "SPARQL_SYNTAX", "message": str(error)}, []
    except _TooLarge:
        return {"code": "SPARQL_RESULT_TOO_LARGE", "message": ""}, []
    except (OSError, RuntimeError, ValueError):
        return {"code": "SPARQL_FAILED", "message": ""}, []
    if format_name is None:
        return {"code": "NOT_ACCEPTABLE", "message": ""}, []
    return {"format": format_name}, out.parts


def _asked(store: Store, request: dict[str, Any]) -> object:
    default, named = request["defaultGraphs"], request["namedGraphs"]
    if default is None and named is None:
        return store.query(request["query"], use_default_graph_as_union=request["union"])
    return store.query(
        request["query"],
        default_graph=[NamedNode(each) for each in default or ()],
        named_graphs=[NamedNode(each) for each in named or ()],
    )


def _written(found: object, request: dict[str, Any], out: _Capped) -> str | None:
    """The name of the format; None where no format that is wanted fits what was found."""
    if isinstance(found, QuerySolutions | QueryBoolean):
        name = request["resultFormat"]
        if name is not None:
            found.serialize(out, _RESULTS[name])  # pyright: ignore[reportArgumentType]
        return name
    assert isinstance(found, QueryTriples)
    name = request["graphFormat"]
    if name is not None:
        found.serialize(out, _GRAPHS[name])  # pyright: ignore[reportArgumentType]
    return name


def _sized(source: int) -> bytes:
    """A block of bytes with its size before it."""
    return _exactly(source, int.from_bytes(_exactly(source, SIZE_BYTES), "big"))


def _exactly(source: int, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        part = os.read(source, min(_CHUNK_BYTES, size - len(found)))
        if not part:
            os._exit(0)
        found += part
    return bytes(found)


def _send(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view[:_CHUNK_BYTES]) :]


def _address_space_bytes() -> int:
    """What this process has of it; the kernel's limit counts all, and the store lies in it."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        return pages * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
