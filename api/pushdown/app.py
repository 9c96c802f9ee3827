"""The application of a server that holds no graph: GraphQL over Neo4j, health and figures; no other door."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from api.app import WEB, Shortcut, ensure_admin, failed, refused
from api.auth import Tokens
from api.commanding import Commands
from api.failures import problem_response
from api.gate import Gate
from api.graphql_http import GraphQLDoor, principal_of
from api.observe import Figures, Timing
from api.persisted import PersistedQueries, load_trusted
from api.pushdown.engine import PushedEngine, unsupported
from api.pushdown.place import REFRESH_S
from api.schema.build import fixed_schema
from api.schema.context import Services
from api.seats import Seats
from api.simulating import Simulations
from ontology.errors import StoreError, TwinmeshError
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from api.config import Settings
    from api.pushdown.place import Place
    from graph.mesh import Mesh

_LOG: Final = logging.getLogger("twinmesh.api")
_LOADING: Final = "the graph of a site is still being loaded by the server that writes it"
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def create_pushed_app(mesh: Mesh, place: Place, settings: Settings, *, dev: bool = False) -> Starlette:
    """The ASGI application. mesh: one without sites, whose folder has the tokens; the caller closes both."""
    tokens = Tokens(mesh.folder / "tokens.json", kept_max=settings.auth.tokens_kept_max)
    ensure_admin(tokens, settings)
    simulations = Simulations(mesh, settings.jobs, _no_cascade)
    services = Services(mesh, load_units(), settings, tokens, simulations, Commands())
    persisted = PersistedQueries(settings.persisted, load_trusted(settings.persisted, mesh.folder))
    engine = PushedEngine(services, fixed_schema(), place, persisted=persisted)
    figures, health = Figures(), PushedHealth(place)
    limits, streams = settings.limits, settings.streams
    seats = Seats(streams.open_max)
    graphql = GraphQLDoor(engine, WEB / "console.html", seats, limits.body_bytes_max, streams.heartbeat_s)
    return Starlette(
        routes=[
            Route("/graphql", graphql, methods=["GET", "POST"]),
            Route("/livez", health.livez, methods=["GET"]),
            Route("/readyz", health.readyz, methods=["GET"]),
            Route("/metrics", partial(_metrics, figures=figures, health=health), methods=["GET"]),
            Route("/{rest:path}", _no_door, methods=METHODS),
        ],
        middleware=[
            Middleware(Timing, figures=figures),
            Middleware(Gate, tokens=tokens, server=settings.server, dev=dev),
            Middleware(Shortcut, path="/graphql", door=graphql),
        ],
        exception_handlers={TwinmeshError: refused, Exception: failed},
        lifespan=partial(_lifespan, engine=engine, place=place, health=health, simulations=simulations),
    )


@dataclass(slots=True, eq=False)
class PushedHealth:
    """Whether the database answers and shows every site."""

    place: Place
    draining: bool = field(default=False)

    async def livez(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> Response:
        """200 where every site is shown, whatever it lacks of the last commits: `behind` counts these."""
        problem, reason, behind = await anyio.to_thread.run_sync(self._look)
        document = {"ready": problem is None, "problem": problem, "reason": reason, "behind": behind}
        return JSONResponse(document, 503 if problem else 200)

    def _look(self) -> tuple[str | None, str | None, int]:
        if self.draining:
            return "DRAINING", "the server is stopping", 0
        try:
            progress = self.place.progress().values()
        except StoreError as error:
            return error.code, "the database does not answer", 0
        behind = sum(max(0, head - max(shown, 0)) for head, shown in progress)
        if any(shown < 0 for _, shown in progress):
            return "STORE_BEHIND", _LOADING, behind
        return None, None, behind

    def lines(self) -> Iterator[str]:
        yield "# TYPE twinmesh_pushdown_commits_behind gauge"
        for site, (head, shown) in self.place.progress().items():
            yield f'twinmesh_pushdown_commits_behind{{site="{site}"}} {max(0, head - max(shown, 0))}'


@contextlib.asynccontextmanager
async def _lifespan(
    _: Starlette, *, engine: PushedEngine, place: Place, health: PushedHealth, simulations: Simulations
) -> AsyncGenerator[None, None]:
    # The first request should pay for neither.
    await anyio.to_thread.run_sync(place.refresh)
    await anyio.to_thread.run_sync(engine.current_schema)
    # A full collection would walk the schema and hold up every answer: 0.25 s. It lives as long as we do.
    gc.freeze()
    refreshing = asyncio.create_task(_refresh(place))
    try:
        yield
    finally:
        health.draining = True
        refreshing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await refreshing
        await anyio.to_thread.run_sync(simulations.close)
        await anyio.to_thread.run_sync(engine.close)


async def _refresh(place: Place) -> None:
    """Follow new sites, kinds and attributes. What the database does not answer now, it does later."""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            await anyio.to_thread.run_sync(place.refresh)
        except TwinmeshError as error:
            _LOG.warning("what is in use in Neo4j could not be looked up: %s", error)


async def _metrics(request: Request, figures: Figures, health: PushedHealth) -> Response:
    principal_of(request)
    lines = [*figures.lines(), *await anyio.to_thread.run_sync(lambda: list(health.lines()))]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _no_cascade(*_: object) -> dict[str, object]:
    raise unsupported("a cascade")


async def _no_door(request: Request) -> Response:
    return problem_response(unsupported(f"the door {request.url.path}"))
