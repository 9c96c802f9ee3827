"""Bodies of `POST /ingest` that wait to be recorded: what waits at the same time is recorded together.

One batch at a time: a sync of the disk costs the same for one body as for many. A batch begins once about as
many bodies wait as were under way when the last one ended, or after a moment. What waits is bounded by bytes;
further bodies are refused and counted, so that who sends can slow down.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from api.ingest_batch import KnownPoints, ingest_all
from api.schema.context import RequestContext
from ontology.errors import LimitError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.ingest import IngestReport
    from api.ingest_batch import Body
    from api.observe import Figures
    from api.policy import Principal
    from api.schema.context import Services

    Outcome: TypeAlias = "IngestReport | TwinmeshError"

_LOG = logging.getLogger("twinmesh.api")
BATCH_BYTES_MAX: Final = 8 << 20
GATHERED_MAX: Final = 64  # bodies: more at once make a body hardly cheaper
HOLD_S: Final = 0.001
PRINCIPALS_MAX: Final = 16  # whose names of points are kept


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A body. done: called in the loop with the report, or with why nothing of it was recorded."""

    principal: Principal
    body: Body
    size: int
    done: Callable[[Outcome], None]


class IngestQueue:
    """All methods but `close` in the thread of the event loop."""

    def __init__(self, services: Services, figures: Figures) -> None:
        self._services = services
        self._figures = figures
        self._known: dict[Principal, KnownPoints] = {}
        self._waiting: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self._expected = 1
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._pool = ThreadPoolExecutor(1, "ingest")

    def push(self, waiting: Waiting) -> None:
        """Record a body with the next batch. LimitError OVERLOADED."""
        limit = self._services.settings.limits.ingest_waiting_bytes_max
        if self._waiting and self._waiting_bytes + waiting.size > limit:
            self._figures.count("ingest_bodies", "shed")
            message = f"more than {limit:,} bytes of readings wait already"
            raise LimitError(message, code="OVERLOADED", hint="send less, or later")
        self._waiting.append(waiting)
        self._waiting_bytes += waiting.size
        if not self._is_busy:
            self._gather()

    def close(self) -> None:
        """Wait for the batch that is being recorded."""
        self._pool.shutdown()

    def _gather(self) -> None:
        """Begin a batch, or wait a moment for those who were answered just now: they may send again."""
        enough = min(self._expected, GATHERED_MAX)
        if len(self._waiting) >= enough or self._waiting_bytes >= BATCH_BYTES_MAX:
            self._begin()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HOLD_S, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, loop = self._next(), asyncio.get_running_loop()
        self._is_busy = True

        def recorded(outcome: Future[Sequence[Outcome]]) -> None:
            loop.call_soon_threadsafe(self._answer, batch, outcome)

        self._pool.submit(self._record, batch).add_done_callback(recorded)

    def _next(self) -> list[Waiting]:
        """The first that wait, of one principal: what it may see is looked up once."""
        waiting, batch, size = self._waiting, list[Waiting](), 0
        first = waiting[0].principal
        while waiting and waiting[0].principal == first:
            if size and size + waiting[0].size > BATCH_BYTES_MAX:
                break
            size += waiting[0].size
            batch.append(waiting.popleft())
        self._waiting_bytes -= size
        return batch

    def _record(self, batch: list[Waiting]) -> Sequence[Outcome]:
        """In a thread of its own."""
        try:
            context = RequestContext(self._services, batch[0].principal)
            bodies = [each.body for each in batch]
            known = self._known_to(batch[0].principal)
            return ingest_all(self._services.mesh, context.present, bodies, known)
        except TwinmeshError as error:
            return [error] * len(batch)

    def _answer(self, batch: list[Waiting], outcome: Future[Sequence[Outcome]]) -> None:
        self._is_busy = False
        self._expected = len(batch) + len(self._waiting)
        failure = outcome.exception()
        if failure is not None:
            _LOG.error("internal error at /ingest", exc_info=failure)
            told = TwinmeshError("internal error; the log has it", code="INTERNAL")
            reports: Sequence[Outcome] = [told] * len(batch)
        else:
            reports = outcome.result()
            self._count(reports)
        for each, report in zip(batch, reports, strict=True):
            each.done(report)
        if self._waiting and not self._is_busy:
            self._gather()

    def _count(self, reports: Sequence[Outcome]) -> None:
        """For all at once."""
        taken = [report for report in reports if not isinstance(report, TwinmeshError)]
        self._figures.count("ingest_readings", "accepted", sum(report.accepted for report in taken))
        if refused := sum(report.refused for report in taken):
            self._figures.count("ingest_readings", "refused", refused)

    def _known_to(self, principal: Principal) -> KnownPoints:
        known = self._known.get(principal)
        if known is None:
            if len(self._known) >= PRINCIPALS_MAX:
                del self._known[next(iter(self._known))]
            known = self._known[principal] = KnownPoints()
        return known
