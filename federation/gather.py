"""Asking several peers at once, each no longer than its deadline, never again where it fails."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from federation.asking import QUERY, QueryAnswer, QueryAsk, decoded
from federation.contract import Purpose
from federation.egress import open_line
from federation.partners import refusal_code
from federation.tls import client_context
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine, Mapping, Sequence

    from federation.egress import Line
    from federation.partners import Partner, Partners
    from federation.tls import ClientTls

T = TypeVar("T")
_GRACE_S: Final = 1.0
LINES_MAX: Final = 64
"""Connections to peers that are kept."""
TIMED_OUT: Final = "PEER_TIMEOUT"
_SILENT: Final = frozenset({"PEER_TIMEOUT", "PEER_UNREACHABLE"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking one peer: an answer, or the code of what went wrong."""

    answer: QueryAnswer | None
    code: str | None
    took_s: float


class Courier:
    """A loop of its own in a thread, so that threads that answer queries can wait for peers together."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._context: ssl.SSLContext | None = None

    def line(self, tls: ClientTls) -> Line:
        """Connections that are kept between questions, anew where certificates changed. Only on the loop."""
        context = client_context(tls)
        if self._line is None or self._context is not context:
            self._line, self._context = open_line(context, LINES_MAX), context
        return self._line

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start some work on the loop, which is started with the first."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="federation", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End what is under way."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result(_GRACE_S * 5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _end(self) -> None:
        await _cancel_all()
        line, self._line = self._line, None
        if line is not None:
            await line.client.aclose()


async def _cancel_all() -> None:
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@dataclass(frozen=True, slots=True, eq=False)
class Gatherer:
    """Asks partners of one node."""

    courier: Courier
    partners: Partners

    def ask(
        self, asks: Mapping[str, tuple[Partner, QueryAsk]], left_s: Mapping[str, float]
    ) -> Mapping[str, Outcome]:
        """What each peer answers, by its key; raises for nothing they do. left_s: how long each may take."""
        work = self._ask_all(list(asks.items()), left_s)
        return self.courier.submit(work).result()

    async def _ask_all(
        self, asks: Sequence[tuple[str, tuple[Partner, QueryAsk]]], left_s: Mapping[str, float]
    ) -> Mapping[str, Outcome]:
        outcomes = await asyncio.gather(
            *(self._ask(partner, ask, left_s[key]) for key, (partner, ask) in asks)
        )
        return {key: outcome for (key, _), outcome in zip(asks, outcomes, strict=True)}

    async def _ask(self, partner: Partner, ask: QueryAsk, left_s: float) -> Outcome:
        started_s = time.monotonic()
        if left_s <= 0 or self.partners.is_dark(partner.key):
            return Outcome(None, TIMED_OUT, 0.0)
        egress = partner.client.egress
        egress = replace(egress, deadline_s=min(left_s, egress.deadline_s))
        client = replace(partner.client, egress=egress, line=self.courier.line(egress.tls))
        try:
            answered = await client.call(QUERY, Purpose.QUERY, msgspec.msgpack.encode(ask))
            answer = decoded(answered.body, QueryAnswer)
        except TwinmeshError as error:
            code = refusal_code(error)
            if code in _SILENT:
                self.partners.failed(partner.key)
            code = "PEER_GARBAGE" if code == "QUERY_INVALID" and error.code == code else code
            return Outcome(None, code, time.monotonic() - started_s)
        self.partners.answered(partner.key)
        return Outcome(answer, None, time.monotonic() - started_s)
