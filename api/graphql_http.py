"""GraphQL over HTTP: POST and GET, both response types, subscriptions as events, exports as lines."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response, StreamingResponse

from api.engine import refusal
from api.failures import problem_response
from api.operation import Answer, encode
from api.operation import Request as Operation
from ontology.errors import AccessError, InputError, LimitError, TwinmeshError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from api.engine import Engine
    from api.policy import Principal
    from api.seats import Seats


class Media(StrEnum):
    GRAPHQL = "application/graphql-response+json"
    JSON = "application/json"
    EVENTS = "text/event-stream"
    LINES = "application/x-ndjson"
    HTML = "text/html"


_ANY: Final = ("*/*", "application/*")
# What nearly every client sends, known without taking it apart.
_USUAL: Final = {b"*/*": Media.JSON, b"application/json": Media.JSON, Media.GRAPHQL.encode(): Media.GRAPHQL}
_CONTENT_TYPES: Final = {
    media: f"{media}; charset=utf-8".encode() for media in (Media.GRAPHQL, Media.JSON, Media.LINES)
}
# Refusals that have a status of their own, in both response types. Apollo's clients want 200 for a hash that
# is not known yet: they take it as a question, and other statuses as a server that knows no such queries.
_STATUS: Final = {"METHOD_NOT_ALLOWED": 405, "OVERLOADED": 503, "PERSISTED_QUERY_NOT_FOUND": 200}


@dataclass(frozen=True, slots=True)
class GraphQLDoor:
    """The endpoint `/graphql` as an ASGI application: what is asked most is not wrapped in anything."""

    engine: Engine
    console: Path
    seats: Seats
    body_bytes_max: int
    heartbeat_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            response = await self._response(scope, headers, receive)
        except TwinmeshError as error:
            response = problem_response(error)
        except ClientDisconnect:
            return
        if isinstance(response, Plain):
            await response.send(send)
        else:
            await response(scope, receive, send)

    async def _response(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive
    ) -> Plain | Response:
        accept = headers.get(b"accept", b"*/*")
        media = _USUAL.get(accept) or preferred_media(accept.decode("latin-1"))
        is_get = scope["method"] != "POST"
        parameters = QueryParams(scope["query_string"]) if is_get else None
        if parameters is not None and media is Media.HTML and not _ASKING.intersection(parameters):
            return FileResponse(self.console, headers=PAGE_HEADERS)
        principal = known_principal(scope)
        if parameters is not None:
            body = _from_query(parameters)
        else:
            body = await self._read(headers, receive)
        try:
            meant = self.engine.persisted.meant(body)
        except TwinmeshError as error:
            return _answered(refusal(error), media)
        operation = _operation(meant.text if meant else None, body)
        if media is Media.EVENTS:
            return self._events(operation, principal)
        if media is Media.LINES:
            return await self._lines(operation, principal)
        answer = await self.engine.run(operation, principal, read_only=is_get)
        if meant is not None and meant.learn is not None and answer.started:
            self.engine.persisted.learn(meant.learn, meant.text)
        return _answered(answer, media)

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> dict[str, Any]:
        stated = headers.get(b"content-type", b"")
        if stated != b"application/json":
            _check_type(stated.decode("latin-1"))
        content = await body_of(headers.get(b"content-length", b""), receive, self.body_bytes_max)
        try:
            return _object(orjson.loads(content))
        except orjson.JSONDecodeError as error:
            raise InputError(f"the body is not JSON: {error}", code="BODY_INVALID") from None

    def _events(self, operation: Operation, principal: Principal) -> Response:
        self.seats.check()
        stream = _event_stream(self.engine.stream(operation, principal), self.heartbeat_s, self.seats)
        return StreamingResponse(stream, headers=_STREAM_HEADERS, media_type=Media.EVENTS)

    async def _lines(self, operation: Operation, principal: Principal) -> Plain | Response:
        self.seats.check()
        export = await self.engine.export(operation, principal)
        if isinstance(export, Answer):
            return _answered(export, Media.GRAPHQL)
        stream = _seated(export.lines(), self.seats)
        return StreamingResponse(stream, headers=_STREAM_HEADERS, media_type=Media.LINES)


_ASKING: Final = frozenset({"query", "documentId", "extensions"})
_STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Plain:
    """A whole response, ready to be sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def principal_of(request: Request) -> Principal:
    """AccessError UNAUTHENTICATED where the gate let an unknown caller through to a page."""
    return known_principal(request.scope)


def known_principal(scope: Scope) -> Principal:
    """As `principal_of`, of an ASGI scope."""
    principal = cast("Principal | None", scope["state"]["principal"])
    if principal is None:
        raise AccessError("a token is needed", code="UNAUTHENTICATED")
    return principal


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body, never more than the limit of it in memory. LimitError BODY_TOO_LARGE."""
    stated = request.headers.get("content-length", "").encode()
    return await body_of(stated, request.receive, bytes_max)


async def body_of(stated_length: bytes, receive: Receive, bytes_max: int) -> bytes:
    """As `read_body`, below Starlette. stated_length: Content-Length, empty where there is none."""
    if stated_length.isdigit() and int(stated_length[:19]) > bytes_max:
        raise _body_too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            raise _body_too_large(bytes_max)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunk if len(chunks) == 1 else b"".join(chunks)


def _body_too_large(bytes_max: int) -> LimitError:
    return LimitError(f"the body holds more than {bytes_max:,} bytes", code="BODY_TOO_LARGE")


def preferred_media(accept: str | None) -> Media:
    """The response type that an Accept header prefers; UsageError NOT_ACCEPTABLE."""
    best, best_weight = None, 0.0
    for part in (accept or "*/*").split(","):
        name, weight = _accepted(part)
        media = Media.JSON if name in _ANY else next((each for each in Media if each == name), None)
        if media is not None and weight > best_weight:
            best, best_weight = media, weight
    if best is None:
        raise UsageError(f"nothing of {accept!r} can be sent", code="NOT_ACCEPTABLE")
    return best


def _accepted(part: str) -> tuple[str, float]:
    name, *parameters = (item.strip().lower() for item in part.split(";"))
    stated = next((item[2:] for item in parameters if item.startswith("q=")), "1")
    try:
        return name, float(stated)
    except ValueError:
        return name, 0.0


def _check_type(stated: str) -> None:
    content_type, _, parameters = stated.partition(";")
    if content_type.strip().lower() != Media.JSON:
        # Also what keeps forms of other pages out: they cannot send this type.
        raise UsageError(f"send {Media.JSON}", code="UNSUPPORTED_MEDIA_TYPE")
    if "charset" in parameters.lower() and "utf-8" not in parameters.lower():
        raise UsageError("send UTF-8", code="UNSUPPORTED_MEDIA_TYPE")


def _from_query(parameters: QueryParams) -> dict[str, Any]:
    names = ("query", "operationName", "documentId")
    body: dict[str, Any] = {name: parameters[name] for name in names if name in parameters}
    for name in ("variables", "extensions"):
        if parameters.get(name):
            try:
                body[name] = orjson.loads(parameters[name])
            except orjson.JSONDecodeError:
                raise InputError(f"{name} is not JSON", code="BODY_INVALID") from None
    return _object(body)


def _object(body: object) -> dict[str, Any]:
    """The body with members of the right types."""
    if not isinstance(body, dict):
        raise InputError("the body must be one JSON object", code="BODY_INVALID", hint="no batches")
    fields = cast("dict[str, Any]", body)
    for key in ("variables", "extensions"):
        if fields.get(key) is not None and not isinstance(fields[key], dict):
            raise InputError(f"`{key}` must be an object", code="BODY_INVALID")
    if fields.get("query") is not None and not isinstance(fields["query"], str):
        raise InputError("`query` must be a text", code="BODY_INVALID")
    return fields


def _operation(text: str | None, body: dict[str, Any]) -> Operation:
    name = body.get("operationName")
    if text is None:
        raise InputError("`query` must be a text", code="BODY_INVALID")
    if name is not None and not isinstance(name, str):
        raise InputError("`operationName` must be a text", code="BODY_INVALID")
    return Operation(text, cast("dict[str, Any]", body.get("variables") or {}), name)


def _answered(answer: Answer, media: Media) -> Plain:
    """The answer as a response; a stream that was refused before it began is answered as plain GraphQL."""
    shown = media if media in (Media.JSON, Media.GRAPHQL) else Media.JSON
    body = encode(answer.formatted)
    headers = [
        (b"content-type", _CONTENT_TYPES[shown]),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if answer.started:
        return Plain(200, headers, body)
    status = _STATUS.get(answer.code or "", 400 if shown is Media.GRAPHQL else 200)
    if status == 405:
        headers.append((b"allow", b"POST"))
    elif status == 503:
        headers.append((b"retry-after", b"1"))
    return Plain(status, headers, body)


async def _seated(lines: AsyncGenerator[bytes, None], seats: Seats) -> AsyncGenerator[bytes, None]:
    """A stream that holds a seat."""
    with seats.taken():
        async with contextlib.aclosing(lines) as each:
            async for line in each:
                yield line


async def _event_stream(
    answers: AsyncGenerator[Answer, None], heartbeat_s: float, seats: Seats
) -> AsyncGenerator[bytes, None]:
    """Distinct connections mode of graphql-sse: `next` per answer, `complete` at the end."""
    coming = asyncio.ensure_future(anext(answers, None))
    seat = contextlib.ExitStack()
    try:
        seat.enter_context(seats.taken())
        while True:
            done, _ = await asyncio.wait({coming}, timeout=heartbeat_s)
            if not done:
                yield b":\n\n"  # keeps proxies from closing, and finds out that the reader is gone
                continue
            answer = coming.result()
            if answer is None:
                yield b"event: complete\ndata:\n\n"
                return
            yield b"event: next\ndata: " + encode(answer.formatted) + b"\n\n"
            coming = asyncio.ensure_future(anext(answers, None))
    finally:
        coming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await coming
        await answers.aclose()
        seat.close()
