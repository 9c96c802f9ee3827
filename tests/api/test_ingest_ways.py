"""`POST /ingest` by the short way (`api.ingest_protocol`) and by the long way answers the same.

With a query string a request goes through the middleware; without one it goes from the socket to the queue.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import pytest

from api.config import Limits, Settings
from api.ingest_protocol import IngestProtocol
from api.policy import Role
from graph.mesh import Mesh
from tests.api.conftest import Running, served

SHORT, LONG = "/ingest", "/ingest?by=middleware"
WAIT_S = 60.0
LINE = b'{"point":"T-1","time":"2026-01-01T08:00:00Z","value":21.5}'
BAD_LINE = b'{"point":"nobody","time":"2026-01-01T08:00:00Z","value":1}'


@pytest.fixture
def short_answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was answered by the short way."""
    found: list[Any] = []
    end = IngestProtocol._end  # pyright: ignore[reportPrivateUsage]

    def noted(self: IngestProtocol, exchange: Any, outcome: Any) -> None:
        found.append(outcome)
        end(self, exchange, outcome)

    monkeypatch.setattr(IngestProtocol, "_end", noted)
    return found


class Wire:
    """A connection that sends bytes and reads answers."""

    def __init__(self, running: Running) -> None:
        self.port = int(running.url.rpartition(":")[2])
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        self.reader = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body; status 0 where the server has closed."""
        first = self.reader.readline()
        if not first:
            return 0, {}, b""
        headers: dict[str, str] = {}
        while (line := self.reader.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return int(first.split()[1]), headers, self.reader.read(int(headers.get("content-length", "0")))

    def close(self) -> None:
        self.reader.close()
        self.socket.close()


@contextlib.contextmanager
def wire(running: Running) -> Generator[Wire]:
    with contextlib.closing(Wire(running)) as found:
        yield found


def request(
    path: str,
    body: bytes,
    *,
    method: str = "POST",
    version: str = "1.1",
    host: str = "127.0.0.1",
    **headers: str,
) -> bytes:
    stated = {"content-length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    lines = [
        f"{method} {path} HTTP/{version}",
        f"host: {host}",
        *(f"{k}: {v}" for k, v in stated.items() if v),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def once(running: Running, data: bytes) -> tuple[int, dict[str, str], bytes]:
    with wire(running) as line:
        line.send(data)
        status, headers, body = line.answer()
    headers.pop("date", None)
    return status, headers, body


BODIES = {
    "one line": LINE,
    "some refused": b"\n".join([LINE, BAD_LINE, b"", b"{", LINE]),
    "nothing": b"",
    "windows": LINE + b"\r\n" + LINE + b"\r\n",
    "many": b"\n".join([LINE, BAD_LINE] * 300),
    "no UTF-8": b'{"point":"\xff","time":"2026-01-01T08:00:00Z","value":1}',
}


@pytest.mark.parametrize("name", BODIES)
def test_both_ways_say_the_same_of_a_body(server: Running, name: str, short_answers: list[Any]) -> None:
    short, long = (once(server, request(path, BODIES[name])) for path in (SHORT, LONG))
    assert short == long
    assert short[0] == 200
    assert len(short_answers) == 1


EVENT = b'{"specversion":"1.0","id":"1","source":"urn:g","type":"r","subject":"T-1","data":5}'
TABLE = b'{"points":["T-1","T-9"],"times":["2026-01-01T08:00:00Z",7],"values":[1,2]}'
TYPED = {
    "columns": (TABLE, "application/vnd.twinmesh.columns+json", 200),
    "no columns": (b'{"points":[]}', "application/vnd.twinmesh.columns+json", 400),
    "no JSON": (b"{", "application/vnd.twinmesh.columns+json", 400),
    "event": (EVENT, "application/cloudevents+json", 200),
    "events": (b"[" + EVENT + b"]", "application/cloudevents-batch+json; charset=utf-8", 200),
    "no event": (b"{}", "application/cloudevents+json", 400),
}


@pytest.mark.parametrize("name", TYPED)
def test_both_ways_say_the_same_of_other_types(server: Running, name: str, short_answers: list[Any]) -> None:
    body, media, status = TYPED[name]
    short, long = (once(server, request(path, body, content_type=media)) for path in (SHORT, LONG))
    assert short == long
    assert short[0] == status
    assert len(short_answers) == 1


def forged(token: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_nobody_comes_in_by_either_way_who_may_not(
    guarded: Running, token: Callable[..., str], path: str, short_answers: list[Any]
) -> None:
    good, reader = token(Role.OPERATOR), token(Role.ANALYST)
    revoked = token(Role.OPERATOR, "gone")
    guarded.tokens.revoke("gone")
    cases: list[tuple[dict[str, str], int, str | None]] = [
        ({"authorization": f"Bearer {good}"}, 200, None),
        ({}, 401, "UNAUTHENTICATED"),
        ({"authorization": f"Basic {good}"}, 401, "UNAUTHENTICATED"),
        ({"authorization": f"Bearer {forged(good)}"}, 401, "TOKEN_INVALID"),
        ({"authorization": f"Bearer {revoked}"}, 401, "TOKEN_REVOKED"),
        ({"authorization": f"Bearer {reader}"}, 403, "FORBIDDEN"),
        ({"authorization": f"Bearer {good}", "origin": "https://evil.invalid"}, 403, "ORIGIN_REFUSED"),
        ({"authorization": f"Bearer {good}", "sec_fetch_site": "cross-site"}, 403, "ORIGIN_REFUSED"),
    ]
    for headers, status, code in cases:
        found, _, body = once(guarded, request(path, LINE, **headers))
        assert (found, json.loads(body).get("code")) == (status, code), headers
    assert len(short_answers) == (path == SHORT)
    guarded.tokens.revoke(Role.OPERATOR.value)
    until_s, status = time.monotonic() + WAIT_S, 200
    while status == 200 and time.monotonic() < until_s:  # a token is believed for a moment without a look
        status = once(guarded, request(path, LINE, authorization=f"Bearer {good}"))[0]
    assert status == 401


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_a_loopback_server_is_called_by_no_other_name(server: Running, path: str) -> None:
    status, _, body = once(server, request(path, LINE, host="evil.invalid"))
    assert (status, json.loads(body)["code"]) == (421, "HOST_REFUSED")


@contextlib.contextmanager
def limited(mesh: Mesh, **limits: int) -> Generator[Running]:
    with served(mesh, replace(Settings(), limits=replace(Limits(), **limits))) as running:
        yield running


def test_limits_hold_on_both_ways(mesh: Mesh) -> None:
    with limited(mesh, ingest_bytes_max=1_000) as running:
        for path in (SHORT, LONG):
            assert once(running, request(path, (LINE + b"\n") * 8))[0] == 200
            status, _, body = once(running, request(path, (LINE + b"\n") * 20))
            assert (status, json.loads(body)["code"]) == (413, "BODY_TOO_LARGE")


def test_what_waits_is_bounded_on_both_ways(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    held, go = threading.Event(), threading.Event()
    record = type(mesh.twin("campus")).record

    def slow(self: Any, readings: Any) -> int:
        held.set()
        assert go.wait(WAIT_S)
        return record(self, readings)

    monkeypatch.setattr(type(mesh.twin("campus")), "record", slow)
    body = (LINE + b"\n") * 10
    with limited(mesh, ingest_waiting_bytes_max=len(body)) as running, contextlib.ExitStack() as stack:
        lines = [stack.enter_context(wire(running)) for _ in range(3)]
        lines[0].send(request(SHORT, body))
        assert held.wait(WAIT_S)
        for line in lines[1:]:  # one of these waits, the other is refused
            line.send(request(SHORT, body))
        (refused,), _, _ = select.select([line.socket for line in lines], [], [], WAIT_S)
        waiting = next(line for line in lines[1:] if line.socket is not refused)
        shed = next(line for line in lines[1:] if line.socket is refused)
        status, headers, text = shed.answer()
        assert (status, json.loads(text)["code"]) == (503, "OVERLOADED")
        long = once(running, request(LONG, body))
        assert (long[0], long[2]) == (503, text)
        headers.pop("date")
        assert headers == long[1]
        go.set()
        assert [line.answer()[0] for line in (lines[0], waiting)] == [200, 200]
        shed.send(request(SHORT, body))
        assert shed.answer()[0] == 200  # the connection goes on


def test_a_connection_takes_all_kinds_of_requests(server: Running, short_answers: list[Any]) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    columns = json.dumps({"points": ["T-1"], "times": ["2026-01-01T08:00:00Z"], "values": [1]}).encode()
    chunked = (
        b"POST /ingest HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LINE), LINE)
    )
    kinds: list[tuple[bytes, int, bool]] = [
        (request(SHORT, LINE), 200, True),
        (request(SHORT, LINE, content_type="application/x-ndjson; charset=utf-8"), 200, True),
        (request(LONG, LINE), 200, False),
        (chunked, 200, False),
        (request(SHORT, columns, content_type="application/vnd.twinmesh.columns+json"), 200, True),
        (request("/livez", b"", method="GET"), 200, False),
        (request(SHORT, b"", method="GET"), 405, False),
        (request(SHORT, LINE, expect="nothing"), 200, False),
        (request(SHORT, (LINE + b"\n") * 2_000), 200, True),
    ]
    plan = [draw.choice(kinds) for _ in range(120)]
    with wire(server) as line:
        pipelined = 0
        for data, status, is_short in plan:
            before = len(short_answers)
            cuts = sorted(draw.randrange(len(data)) for _ in range(draw.randrange(3)))
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                line.send(data[start:end])
            assert line.answer()[0] == status, data[:80]
            assert len(short_answers) - before == is_short, data[:80]
        for _ in range(20):  # the next requests are on their way before the first is answered
            group = [draw.choice(kinds) for _ in range(draw.randint(2, 4))]
            line.send(b"".join(data for data, _, _ in group))
            for data, status, _ in group:
                assert line.answer()[0] == status, data[:80]
                pipelined += 1
    print("alone", len(plan), "pipelined", pipelined)


def test_who_leaves_does_not_stop_the_others(server: Running) -> None:
    for _ in range(20):
        with wire(server) as gone:
            gone.send(request(SHORT, LINE))
        with wire(server) as torn:
            torn.send(request(SHORT, LINE)[:-10])
        with wire(server) as odd:
            odd.send(b"POST /ingest HTTP/1.1\r\ncontent-length: x\r\n\r\n")
            assert odd.answer()[0] == 400
        assert once(server, request(SHORT, LINE))[0] == 200


def test_old_clients_and_closing_ones_are_answered(server: Running) -> None:
    with wire(server) as line:
        line.send(request(SHORT, LINE, connection="close"))
        status, headers, _ = line.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert line.answer()[0] == 0
    with wire(server) as line:
        line.send(request(SHORT, LINE, version="1.0"))
        assert line.answer()[0] == 200
        assert line.answer()[0] == 0


def test_many_senders_are_counted_and_lose_nothing(server: Running) -> None:
    """Each sends bodies one after the other; metrics tell as many readings and requests as were answered."""
    senders, bodies, lines = 24, 30, 7
    accepted: list[int] = []

    def push(number: int) -> None:
        with wire(server) as line:
            for at in range(bodies):
                times = [f"2026-02-{1 + number:02}T{at % 24:02}:{at:02}:{i:02}Z" for i in range(lines)]
                text = "\n".join(f'{{"point":"T-2","time":"{each}","value":{at}}}' for each in times)
                line.send(request(SHORT if (number + at) % 5 else LONG, text.encode()))
                status, _, body = line.answer()
                assert status == 200
                accepted.append(json.loads(body)["accepted"])

    threads = [threading.Thread(target=push, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S * 2)
    assert accepted == [lines] * (senders * bodies)
    twin = server.mesh.twin("campus")
    found = twin.history.range("https://twinmesh.invalid/campus/T-2", 0, 1 << 62)
    assert len(found.times_ns) == senders * bodies * lines
    with server.client() as client:
        text = client.get("/metrics").text
    total = senders * bodies
    assert f'twinmesh_ingest_readings_total{{outcome="accepted"}} {total * lines}' in text
    assert f'twinmesh_requests_total{{door="ingest",status="200"}} {total}' in text
    count = re.search(r'twinmesh_request_duration_seconds_count\{door="ingest"\} (\d+)', text)
    assert count is not None
    assert int(count[1]) == total


def test_a_server_that_stops_answers_what_it_took(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    held, go = threading.Event(), threading.Event()
    record = type(mesh.twin("campus")).record

    def slow(self: Any, readings: Any) -> int:
        held.set()
        assert go.wait(WAIT_S)
        return record(self, readings)

    monkeypatch.setattr(type(mesh.twin("campus")), "record", slow)
    stopped = threading.Event()

    def stop() -> None:
        context.__exit__(None, None, None)
        stopped.set()

    context = served(mesh, drain_s=round(WAIT_S))
    running = context.__enter__()
    with wire(running) as line:
        line.send(request(SHORT, LINE))
        assert held.wait(WAIT_S)
        thread = threading.Thread(target=stop)
        thread.start()
        until_s = time.monotonic() + WAIT_S
        with contextlib.suppress(OSError):
            while time.monotonic() < until_s:  # until it listens no more
                socket.create_connection(("127.0.0.1", line.port), timeout=WAIT_S).close()
        go.set()
        assert line.answer()[0] == 200
        assert line.answer()[0] == 0
        thread.join(WAIT_S)
    assert stopped.is_set()
