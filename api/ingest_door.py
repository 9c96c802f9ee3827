"""`POST /ingest`: readings pushed by HTTP. Bodies that come at the same time are recorded together.

By Content-Type: columns (`application/vnd.twinmesh.columns+json`), CloudEvents (one, a batch, or in binary
mode; see `api.ingest_events`), else lines of JSON. See `api.ingest_queue` for what waits.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from api.failures import problem_response
from api.graphql_http import body_of, known_principal
from api.ingest_batch import table_of
from api.ingest_events import BATCH, EVENT, binary_event, is_binary, structured_events
from api.ingest_queue import Waiting
from api.policy import Action
from ontology.errors import InputError, TwinmeshError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from api.ingest import IngestReport
    from api.ingest_batch import Body
    from api.ingest_queue import IngestQueue, Outcome
    from api.policy import Principal

COLUMNS: Final = "application/vnd.twinmesh.columns+json"
_HEADERS: Final = [(b"content-type", b"application/json")]


@dataclass(frozen=True, slots=True)
class IngestDoor:
    """An ASGI door. Most requests come by a shorter way, see `api.ingest_protocol`."""

    queue: IngestQueue
    bytes_max: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            report = await self._answer(scope, receive)
        except TwinmeshError as error:
            await problem_response(error)(scope, receive, send)
            return
        await _send(encoded(report), send)

    async def _answer(self, scope: Scope, receive: Receive) -> IngestReport:
        if scope["method"] != "POST":
            raise UsageError("readings are sent by POST", code="METHOD_NOT_ALLOWED")
        principal = known_principal(scope)
        principal.require(Action.RECORD)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        text = await body_of(headers.get(b"content-length", b""), receive, self.bytes_max)
        return await self._wait(principal, read(headers, text), len(text))

    async def _wait(self, principal: Principal, body: Body, size: int) -> IngestReport:
        """Until the body was recorded, with others. LimitError OVERLOADED; StoreError."""
        recorded: asyncio.Future[IngestReport] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if recorded.cancelled():
                return
            if isinstance(outcome, TwinmeshError):
                recorded.set_exception(outcome)
            else:
                recorded.set_result(outcome)

        self.queue.push(Waiting(principal, body, size, done))
        return await recorded


def encoded(report: IngestReport) -> bytes:
    """The body of an answer."""
    if not report.refused:
        return b'{"accepted":%d,"refused":0,"codes":{},"reasons":[]}' % report.accepted
    return orjson.dumps(report.to_json())


def read(headers: Mapping[bytes, bytes], text: bytes) -> Body:
    """What a body holds, by its headers. InputError BODY_INVALID, EVENT_INVALID, LINE_INVALID."""
    media = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if media in (EVENT, BATCH):
        return structured_events(media, text)
    if is_binary(headers):
        return binary_event(headers, text)
    if media != COLUMNS:
        return text
    try:
        return table_of(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", code="BODY_INVALID") from None


async def _send(content: bytes, send: Send) -> None:
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, length]})
    await send({"type": "http.response.body", "body": content})
