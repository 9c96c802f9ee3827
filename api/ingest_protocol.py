"""The short way to `/ingest`: readings go from the socket to the queue, answers straight back.

An ASGI application costs a task, a dozen calls and two writes for each request; here a request costs its
parsing and one write. Only what is plain and admitted comes this way: a POST with a stated length, whose
token is good and whose sender may record. Everybody else goes the long way through the middleware, to be
refused there. The gate, the reading of bodies and the queue are the same for both ways.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.failures import problem_response
from api.ingest_door import encoded, read
from api.ingest_queue import Waiting
from api.policy import Action
from ontology.errors import AccessError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Scope

    from api.gate import Gate
    from api.ingest_queue import IngestQueue, Outcome
    from api.observe import Figures
    from api.policy import Principal

PATH: Final = b"/ingest"
_PLAIN_HEAD: Final = b"HTTP/1.1 200 OK\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n%b"
_CLOSE: Final = b"connection: close\r\n"
# Requests that name one of these are for the long way.
_UNUSUAL: Final = (b"transfer-encoding", b"expect", b"upgrade")
_LENGTH_DIGITS_MAX: Final = 18


@dataclass(slots=True, eq=False)
class Direct:
    """What connections of one server share: who may come in, what waits, what is counted."""

    gate: Gate
    queue: IngestQueue
    figures: Figures
    bytes_max: int
    _stated: Sequence[tuple[bytes, bytes]] = ()
    _headers: bytes = b""

    def principal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Principal | None:
        """Who sends a body that may come by the short way; None: it may not."""
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX or int(length) > self.bytes_max:
            return None
        if any(name in headers for name in _UNUSUAL):
            return None
        try:
            principal = self.gate.admitted(scope, headers)
        except AccessError:
            return None
        return principal if principal is not None and principal.may(Action.RECORD) else None

    def common(self, stated: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Headers that every answer of the server has: another list each second."""
        if stated is not self._stated:
            self._headers = b"".join(b"%b: %b\r\n" % pair for pair in stated)
            self._stated = stated
        return self._headers


@dataclass(slots=True, eq=False)
class _Exchange:
    """One request and its answer, in place of uvicorn's RequestResponseCycle."""

    principal: Principal
    headers: Mapping[bytes, bytes]
    began_s: float
    parts: list[bytes] = field(default_factory=list[bytes])
    keep_alive: bool = True
    response_complete: bool = False
    disconnected: bool = False

    @property
    def message_event(self) -> _Exchange:
        return self

    def set(self) -> None:
        """Nobody waits for a part of the body."""


class IngestProtocol(HttpToolsProtocol):
    """HTTP/1.1 of uvicorn, with a short way for `/ingest`."""

    def __init__(self, direct: Direct, **given: Any) -> None:
        super().__init__(**given)
        self._direct = direct
        self._exchange: _Exchange | None = None  # whose body comes in

    def on_headers_complete(self) -> None:
        self._exchange = self._opened() if self.url == PATH else None
        if self._exchange is None:
            super().on_headers_complete()
        else:
            self.cycle = cast("Any", self._exchange)

    def on_body(self, body: bytes) -> None:
        if self._exchange is None:
            super().on_body(body)
        else:
            self._exchange.parts.append(body)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None:
            super().on_message_complete()
            return
        self._exchange = None
        parts = exchange.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        try:
            meant = read(exchange.headers, body)
            end = partial(self._end, exchange)
            self._direct.queue.push(Waiting(exchange.principal, meant, len(body), end))
        except TwinmeshError as error:
            self._end(exchange, error)

    def _opened(self) -> _Exchange | None:
        """None where the request has to go the long way."""
        parser, before = cast("Any", self.parser), cast("Any", self.cycle)
        is_first = before is None or before.response_complete
        if not is_first or self.pipeline or self.flow.write_paused or self.limit_concurrency is not None:
            return None
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1":
            return None
        if not parser.should_keep_alive() or parser.should_upgrade() or self.root_path:
            return None
        scope = cast("Scope", self.scope)
        scope["method"], scope["path"] = "POST", PATH.decode()
        headers = dict(self.headers)
        principal = self._direct.principal(scope, headers)
        return None if principal is None else _Exchange(principal, headers, time.perf_counter())

    def _end(self, exchange: _Exchange, outcome: Outcome) -> None:
        """Answer, and be ready for the next request."""
        exchange.response_complete = True
        status = 200
        if not exchange.disconnected and not self.transport.is_closing():
            common = self._direct.common(self.server_state.default_headers)
            closing = b"" if exchange.keep_alive else _CLOSE
            if isinstance(outcome, TwinmeshError):
                status, text = _refusal(outcome, common, closing)
            else:
                content = encoded(outcome)
                text = _PLAIN_HEAD % (common, len(content), closing, content)
            self.transport.write(text)
            if not exchange.keep_alive:
                self.transport.close()
        self._direct.figures.request("ingest", status, time.perf_counter() - exchange.began_s)
        self.on_response_complete()


def _refusal(error: TwinmeshError, common: bytes, closing: bytes) -> tuple[int, bytes]:
    """An error of a body or of the queue as the long way would send it: its status, and all its bytes."""
    response = problem_response(error)
    own = b"".join(b"%b: %b\r\n" % pair for pair in response.raw_headers)
    head = b"".join((STATUS_LINE[response.status_code], common, own, closing, b"\r\n"))
    return response.status_code, head + bytes(response.body)
