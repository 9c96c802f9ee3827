"""Health and figures: `/livez`, `/readyz`, `/metrics` in Prometheus' text format."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
from starlette.responses import JSONResponse, PlainTextResponse

from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from api.following import Following
    from api.routes import Routes
    from api.schema.context import Services

GRAPH_LAG: Final = "graph_lag_seconds"  # the gauge of a part that follows a journal
_BUCKETS_S: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
_DOORS: Final = ("graphql", "ingest", "import", "export", "check", "id", "metrics")


class Figures:
    """Counts of what was asked; safe from any thread. No ids, no names as labels."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: Counter[tuple[str, int]] = Counter()  # by the first of `_BUCKETS_S` that holds it
        self._seconds: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()

    def request(self, door: str, status: int, seconds: float) -> None:
        with self._lock:
            self._requests[door, status] += 1
            self._seconds[door] += seconds  # pyright: ignore[reportArgumentType]
            self._buckets[door, bisect_left(_BUCKETS_S, seconds)] += 1

    def count(self, name: str, outcome: str, number: int = 1) -> None:
        with self._lock:
            self._counts[name, outcome] += number

    def lines(self) -> Iterator[str]:
        with self._lock:
            requests, buckets = dict(self._requests), dict(self._buckets)
            seconds, counts = dict(self._seconds), dict(self._counts)
        yield "# TYPE twinmesh_requests_total counter"
        for (door, status), number in sorted(requests.items()):
            yield f'twinmesh_requests_total{{door="{door}",status="{status}"}} {number}'
        yield "# TYPE twinmesh_request_duration_seconds histogram"
        for door, total in sorted(seconds.items()):
            number = sum(n for (each, _), n in requests.items() if each == door)
            below = 0
            for place, bucket_s in enumerate(_BUCKETS_S):
                below += buckets.get((door, place), 0)
                yield f'twinmesh_request_duration_seconds_bucket{{door="{door}",le="{bucket_s}"}} {below}'
            yield f'twinmesh_request_duration_seconds_bucket{{door="{door}",le="+Inf"}} {number}'
            yield f'twinmesh_request_duration_seconds_sum{{door="{door}"}} {total:.6f}'
            yield f'twinmesh_request_duration_seconds_count{{door="{door}"}} {number}'
        for name in sorted({name for name, _ in counts}):
            yield f"# TYPE twinmesh_{name}_total counter"
            for (each, outcome), number in sorted(counts.items()):
                if each == name:
                    yield f'twinmesh_{name}_total{{outcome="{outcome}"}} {number}'


@dataclass(frozen=True, slots=True)
class Timing:
    """ASGI middleware: counts and times requests by door."""

    app: ASGIApp
    figures: Figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started_s, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        finally:
            door = scope["path"].strip("/").partition("/")[0]
            self.figures.request(door if door in _DOORS else "other", status, time.perf_counter() - started_s)


@dataclass(slots=True)
class Health:
    """Whether the server lives, and whether it may be asked."""

    services: Services
    sources: Callable[[], Mapping[str, Mapping[str, object]]] | None
    following: Following | None = None
    routes: Routes | None = None
    draining: bool = field(default=False)
    graph_lag_s_max: float = 0.0  # 0: no limit

    async def livez(self, _: Request) -> Response:
        """The event loop turns."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> Response:
        """200 when every site can be read, takes changes and readings, and we are not shutting down."""
        # Aside: to see whether a site can be read may take a moment.
        problem, reason = await anyio.to_thread.run_sync(self._problem)
        document: dict[str, Any] = {"ready": problem is None, "problem": problem, "reason": reason}
        if self.sources is not None:
            document["bindings"] = self._binding_counts()
        return JSONResponse(document, 503 if problem else 200)

    def _problem(self) -> tuple[str | None, str | None]:
        """A code and why, in words that name no path and no site: anybody may ask."""
        if self.draining:
            return "DRAINING", "the server is stopping"
        try:
            behind = self.following.problem() if self.following else None
            if behind is not None:
                return behind
            for site in self.services.mesh.sites:
                twin = self.services.mesh.twin(site)
                for trouble in twin.troubles:
                    return trouble.code, trouble.reason
                twin.snapshot()
                for medium in twin.media if self.graph_lag_s_max else ():
                    if medium.gauges().get(GRAPH_LAG, 0.0) > self.graph_lag_s_max:
                        return "GRAPH_LAGGING", "the graph in Neo4j is further behind than is allowed"
        except TwinmeshError as error:
            return error.code, error.message
        return None, None

    def _quality_lines(self) -> Iterator[str]:
        """Why live readings were doubted, and how often."""
        judges = {site: self.services.mesh.twin(site).judge for site in self.services.mesh.sites}
        if any(judges.values()):
            yield "# TYPE twinmesh_quality_flags_total counter"
        for site, judge in judges.items():
            for reason, number in sorted(judge.counts().items()) if judge else ():
                yield f'twinmesh_quality_flags_total{{site="{site}",reason="{reason}"}} {number}'

    def _binding_counts(self) -> dict[str, int]:
        """How many bindings of all live sources are in which state."""
        health: Mapping[str, Mapping[str, Any]] = self.sources() if self.sources else {}
        return dict(
            Counter(str(each["state"]) for one in health.values() for each in one.get("bindings", ()))
        )

    def lines(self) -> Iterator[str]:
        mesh = self.services.mesh
        yield "# TYPE twinmesh_store_revision gauge"
        yield "# TYPE twinmesh_store_twins gauge"
        yield "# TYPE twinmesh_store_relationships gauge"
        for site in mesh.sites:
            snapshot = mesh.twin(site).snapshot()
            yield f'twinmesh_store_revision{{site="{site}"}} {snapshot.revision}'
            yield f'twinmesh_store_twins{{site="{site}"}} {int(snapshot.alive.sum())}'
            yield f'twinmesh_store_relationships{{site="{site}"}} {int(snapshot.edge_alive.sum())}'
        yield from self._medium_lines()
        yield "# TYPE twinmesh_jobs gauge"
        for state, number in self.services.simulations.jobs.counts().items():
            yield f'twinmesh_jobs{{state="{state}"}} {number}'
        yield from self.services.commands.lines()
        yield from self.services.alarms.lines()
        if self.routes is not None:
            yield from self.routes.lines()
        if self.following is not None:
            yield from self.following.lines()
        yield from self._source_lines()

    def _medium_lines(self) -> Iterator[str]:
        """Whether journals and histories can be written, and how often that failed and healed."""
        twins = [self.services.mesh.twin(site) for site in self.services.mesh.sites]
        media = [(twin.site, medium) for twin in twins for medium in twin.media]
        yield "# TYPE twinmesh_store_epoch gauge"
        for twin in twins:
            yield f'twinmesh_store_epoch{{site="{twin.site}"}} {twin.epoch}'
        yield "# TYPE twinmesh_store_writable gauge"
        for site, medium in media:
            writable = int(medium.trouble is None)
            yield f'twinmesh_store_writable{{site="{site}",part="{medium.part}"}} {writable}'
        for name in ("failures", "recoveries"):
            yield f"# TYPE twinmesh_store_{name}_total counter"
            for site, medium in media:
                number = medium.failures if name == "failures" else medium.recoveries
                yield f'twinmesh_store_{name}_total{{site="{site}",part="{medium.part}"}} {number}'

        gauges = [(site, medium.gauges()) for site, medium in media]
        for name in dict.fromkeys(name for _, each in gauges for name in each):
            yield f"# TYPE twinmesh_{name} gauge"
            for site, each in gauges:
                if name in each:
                    yield f'twinmesh_{name}{{site="{site}"}} {exact(each[name])}'

    def _source_lines(self) -> Iterator[str]:
        """Numbers of the live sources, whatever they count."""
        health: Mapping[str, Mapping[str, Any]] = self.sources() if self.sources else {}
        yield from self._quality_lines()
        if health:
            yield "# TYPE twinmesh_bindings gauge"
            for state, number in sorted(self._binding_counts().items()):
                yield f'twinmesh_bindings{{state="{state}"}} {number}'
        for name, fields in health.items():
            label = name.replace("\\", "").replace('"', "")
            for key, value in fields.items():
                if isinstance(value, int | float):
                    yield f'twinmesh_source_{key}{{source="{label}"}} {exact(value)}'


def exact(value: float) -> str:
    """A number as Prometheus reads it, not rounded: of millions of messages none is lost in the telling."""
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)
