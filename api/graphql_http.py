"""GraphQL over HTTP: POST and GET, both response types, subscriptions as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from starlette.responses import FileResponse, Response, StreamingResponse

from api.engine import Request as Operation
from api.failures import problem_response
from ontology.errors import AccessError, InputError, LimitError, TwinmeshError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from starlette.requests import Request

    from api.engine import Answer, Engine
    from api.policy import Principal
    from api.seats import Seats


class Media(StrEnum):
    GRAPHQL = "application/graphql-response+json"
    JSON = "application/json"
    EVENTS = "text/event-stream"
    HTML = "text/html"


_ANY: Final = ("*/*", "application/*")


@dataclass(frozen=True, slots=True)
class GraphQLDoor:
    """The endpoint `/graphql`."""

    engine: Engine
    console: Path
    seats: Seats
    body_bytes_max: int
    heartbeat_s: float

    async def __call__(self, request: Request) -> Response:
        try:
            media = preferred_media(request.headers.get("accept"))
            if request.method == "GET" and media is Media.HTML and "query" not in request.query_params:
                return FileResponse(self.console, headers=PAGE_HEADERS)
            principal = principal_of(request)
            operation = await self._read(request)
            if media is Media.EVENTS:
                return self._events(operation, principal)
        except TwinmeshError as error:
            return problem_response(error)
        answer = await self.engine.run(operation, principal, read_only=request.method == "GET")
        return _response(answer, Media.JSON if media is Media.HTML else media)

    async def _read(self, request: Request) -> Operation:
        if request.method == "GET":
            return _operation(_from_query(request))
        content_type, _, parameters = request.headers.get("content-type", "").partition(";")
        if content_type.strip().lower() != Media.JSON:
            # Also what keeps forms of other pages out: they cannot send this type.
            raise UsageError(f"send {Media.JSON}", code="UNSUPPORTED_MEDIA_TYPE")
        if "charset" in parameters.lower() and "utf-8" not in parameters.lower():
            raise UsageError("send UTF-8", code="UNSUPPORTED_MEDIA_TYPE")
        body = await read_body(request, self.body_bytes_max)
        try:
            return _operation(orjson.loads(body))
        except orjson.JSONDecodeError as error:
            raise InputError(f"the body is not JSON: {error}", code="BODY_INVALID") from None

    def _events(self, operation: Operation, principal: Principal) -> Response:
        self.seats.check()
        stream = _event_stream(self.engine.stream(operation, principal), self.heartbeat_s, self.seats)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, headers=headers, media_type=Media.EVENTS)


PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def principal_of(request: Request) -> Principal:
    """AccessError UNAUTHENTICATED where the gate let an unknown caller through to a page."""
    principal = cast("Principal | None", request.state.principal)
    if principal is None:
        raise AccessError("a token is needed", code="UNAUTHENTICATED")
    return principal


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body, never more than the limit of it in memory. LimitError BODY_TOO_LARGE."""
    refusal = LimitError(f"the body holds more than {bytes_max:,} bytes", code="BODY_TOO_LARGE")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated[:19]) > bytes_max:
        raise refusal
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise refusal
        chunks.append(chunk)
    return b"".join(chunks)


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


def _from_query(request: Request) -> dict[str, Any]:
    parameters = request.query_params
    body: dict[str, Any] = {
        name: parameters[name] for name in ("query", "operationName") if name in parameters
    }
    for name in ("variables", "extensions"):
        if parameters.get(name):
            try:
                body[name] = orjson.loads(parameters[name])
            except orjson.JSONDecodeError:
                raise InputError(f"{name} is not JSON", code="BODY_INVALID") from None
    return body


def _operation(body: object) -> Operation:
    if not isinstance(body, dict):
        raise InputError("the body must be one JSON object", code="BODY_INVALID", hint="no batches")
    fields = cast("dict[str, object]", body)
    query, name = fields.get("query"), fields.get("operationName")
    if not isinstance(query, str):
        raise InputError("`query` must be a text", code="BODY_INVALID")
    if name is not None and not isinstance(name, str):
        raise InputError("`operationName` must be a text", code="BODY_INVALID")
    for key in ("variables", "extensions"):
        if fields.get(key) is not None and not isinstance(fields[key], dict):
            raise InputError(f"`{key}` must be an object", code="BODY_INVALID")
    return Operation(query, cast("dict[str, Any]", fields.get("variables") or {}), name)


def encode(body: object) -> bytes:
    """JSON; NaN and infinity as null, whole numbers of any size."""
    try:
        return orjson.dumps(body)
    except TypeError:
        # orjson stops at 64 bits; a JSON attribute may hold longer numbers.
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _response(answer: Answer, media: Media) -> Response:
    status, headers = 200, {"Cache-Control": "no-store"}
    errors = answer.result.errors or []
    code = (errors[0].extensions or {}).get("code") if errors else None
    if not answer.started and code == "METHOD_NOT_ALLOWED":
        status, headers["Allow"] = 405, "POST"
    elif not answer.started and media is Media.GRAPHQL:
        status = 400
    return Response(encode(answer.formatted), status, headers, media_type=f"{media}; charset=utf-8")


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
