"""`POST /ingest`: readings pushed by HTTP. Bodies that come at the same time are recorded together.

By Content-Type: columns (`application/vnd.twinmesh.columns+json`), CloudEvents (one, a batch, or in binary
mode; see `api.ingest_events`), else lines of JSON. What waits is bounded by bytes; further requests are
refused with 503 and counted, so that who sends can slow down.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio.to_thread
import orjson

from api.failures import problem_response
from api.graphql_http import body_of, known_principal
from api.ingest_batch import KnownPoints, ingest_all, table_of
from api.ingest_events import BATCH, EVENT, binary_event, is_binary, structured_events
from api.policy import Action
from api.schema.context import RequestContext
from ontology.errors import InputError, LimitError, TwinmeshError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from api.ingest import IngestReport
    from api.ingest_batch import Body
    from api.observe import Figures
    from api.policy import Principal
    from api.schema.context import Services

COLUMNS: Final = "application/vnd.twinmesh.columns+json"
BATCH_BYTES_MAX: Final = 8 << 20
PRINCIPALS_MAX: Final = 16  # whose names of points are kept
_HEADERS: Final = [(b"content-type", b"application/json")]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    principal: Principal
    body: Body
    size: int
    done: asyncio.Future[IngestReport]


class IngestDoor:
    """An ASGI door."""

    def __init__(self, services: Services, figures: Figures) -> None:
        self._services = services
        self._figures = figures
        self._known: dict[Principal, KnownPoints] = {}
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            report = await self._answer(scope, receive)
        except TwinmeshError as error:
            await problem_response(error)(scope, receive, send)
            return
        await _send(orjson.dumps(report.to_json()), send)

    async def _answer(self, scope: Scope, receive: Receive) -> IngestReport:
        if scope["method"] != "POST":
            raise UsageError("readings are sent by POST", code="METHOD_NOT_ALLOWED")
        principal = known_principal(scope)
        principal.require(Action.RECORD)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        limit = self._services.settings.limits.ingest_bytes_max
        text = await body_of(headers.get(b"content-length", b""), receive, limit)
        report = await self._wait(principal, _read(headers, text), len(text))
        self._figures.count("ingest_readings", "accepted", report.accepted)
        if report.refused:
            self._figures.count("ingest_readings", "refused", report.refused)
        return report

    async def _wait(self, principal: Principal, body: Body, size: int) -> IngestReport:
        """Until the body was recorded, with others. LimitError OVERLOADED; StoreError."""
        limit = self._services.settings.limits.ingest_waiting_bytes_max
        if self._waiting and self._waiting_bytes + size > limit:
            self._figures.count("ingest_bodies", "shed")
            message = f"more than {limit:,} bytes of readings wait already"
            raise LimitError(message, code="OVERLOADED", hint="send less, or later")
        done: asyncio.Future[IngestReport] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(principal, body, size, done))
        self._waiting_bytes += size
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        while self._waiting:
            batch = self._next()
            outcome = await anyio.to_thread.run_sync(self._record, batch)
            for each, report in zip(batch, outcome, strict=True):
                if each.done.cancelled():
                    continue
                if isinstance(report, TwinmeshError):
                    each.done.set_exception(report)
                else:
                    each.done.set_result(report)

    def _next(self) -> list[_Waiting]:
        """The first that wait, of one principal: what it may see is looked up once."""
        first, size, count = self._waiting[0].principal, 0, 0
        for each in self._waiting:
            if each.principal != first or (size and size + each.size > BATCH_BYTES_MAX):
                break
            size, count = size + each.size, count + 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_bytes -= size
        return batch

    def _record(self, batch: list[_Waiting]) -> list[IngestReport] | list[TwinmeshError]:
        """In a worker thread, one batch at a time."""
        try:
            context = RequestContext(self._services, batch[0].principal)
            bodies = [each.body for each in batch]
            known = self._known_to(batch[0].principal)
            return ingest_all(self._services.mesh, context.present, bodies, known)
        except TwinmeshError as error:
            return [error] * len(batch)

    def _known_to(self, principal: Principal) -> KnownPoints:
        known = self._known.get(principal)
        if known is None:
            if len(self._known) >= PRINCIPALS_MAX:
                del self._known[next(iter(self._known))]
            known = self._known[principal] = KnownPoints()
        return known


def _read(headers: Mapping[bytes, bytes], text: bytes) -> Body:
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
