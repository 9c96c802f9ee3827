"""The application: doors, what they share, and the outermost handler of errors."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from api.alarming import Alarms
from api.auth import LIFETIME_DEFAULT_S, Tokens
from api.checking import check_door
from api.commanding import Commands
from api.compiled.warming import warm
from api.config import Settings
from api.documents import document_door
from api.engine import Engine
from api.failures import problem_response
from api.federating import Federating
from api.gate import Gate
from api.graphql_http import PAGE_HEADERS, GraphQLDoor, principal_of
from api.graphql_socket import SocketDoor
from api.impact_log import Impacts
from api.ingest_door import IngestDoor
from api.ingest_protocol import Direct
from api.ingest_queue import IngestQueue
from api.ingest_scan import warm_up as warm_up_ingest
from api.joint_cascades import JointCascades
from api.observe import Figures, Health, Timing
from api.persisted import PersistedQueries, load_trusted
from api.policy import Role
from api.schema.build import fixed_schema
from api.schema.context import Services
from api.seats import Seats
from api.simulating import Cascade, Document, SimulationJob, Simulations
from api.sparql import SparqlDoor
from api.subgraph import subgraph_engines, subgraph_routes
from api.transfer import export_door, import_door
from graph.warming import warm_up
from ontology.errors import TwinmeshError, UsageError
from ontology.units import load_units
from simulation.impact import simulate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.following import Following
    from api.routes import Routes
    from graph.mesh import Mesh

_LOG = logging.getLogger("twinmesh.api")
WEB: Final = Path(__file__).resolve().parent.parent / "web"


def create_app(
    mesh: Mesh,
    settings: Settings | None = None,
    *,
    dev: bool = False,
    sources: Callable[[], Mapping[str, Mapping[str, object]]] | None = None,
    commands: Commands | None = None,
    alarms: Alarms | None = None,
    impacts: Impacts | None = None,
    routes: Routes | None = None,
    following: Following | None = None,
    is_alone: bool = False,
    is_shared: bool = False,
) -> Starlette:
    """The ASGI application over a mesh; the caller opens and closes the mesh.

    dev: a trusted loopback, nobody needs a token (see `api.gate`). sources: health of live sources.
    following: what keeps a read-only mesh up to date. is_alone: this process does nothing but serve.
    is_shared: other processes answer at the same port.
    """
    settings = settings or Settings()
    tokens = Tokens(mesh.folder / "tokens.json", kept_max=settings.auth.tokens_kept_max)
    if not mesh.read_only:  # a follower takes the tokens as the writer made them
        ensure_admin(tokens, settings)
    federating = Federating.over(mesh, units := load_units(), settings, is_shared=is_shared)
    impacts = impacts or Impacts()
    services = Services(
        mesh,
        units,
        settings,
        tokens,
        Simulations(mesh, settings.jobs, partial(run_cascade, joint=federating.joint), impacts.keep),
        commands or Commands(),
        sources or dict,
        alarms or Alarms(),
        impacts,
    )
    persisted = PersistedQueries(settings.persisted, load_trusted(settings.persisted, mesh.folder))
    federated = federating.queries.federated
    engine = Engine(services, fixed_schema(), persisted=persisted, is_alone=is_alone, federated=federated)
    figures, seats = Figures(), Seats(settings.streams.open_max)
    direct = _direct(services, figures, dev)
    health = Health(services, sources, following, routes, graph_lag_s_max=settings.store.graph_lag_s_max)
    subgraphs = subgraph_engines(services, persisted, is_alone=is_alone)
    limits, streams, sparql = settings.limits, settings.streams, SparqlDoor(services)
    graphql = GraphQLDoor(engine, WEB / "console.html", seats, limits.body_bytes_max, streams.heartbeat_s)
    sockets = SocketDoor(engine, services.tokens, seats, streams.per_socket_max, limits.body_bytes_max)
    app = Starlette(
        routes=[
            Route("/graphql", graphql, methods=["GET", "POST"]),
            WebSocketRoute("/graphql", sockets.__call__),
            *federating.door.routes(),
            *subgraph_routes(subgraphs, WEB / "console.html", seats),
            Route("/sparql", sparql.__call__, methods=["GET", "POST"]),
            *_routes(services, figures, health, engine),
        ],
        middleware=_middleware(services, figures, graphql, direct.gate.app, dev=dev),
        exception_handlers={TwinmeshError: refused, Exception: failed},
        lifespan=partial(
            _lifespan,
            services=services,
            engines=[engine, *subgraphs],
            health=health,
            federating=federating,
            others=[sparql, direct.queue],
        ),
    )
    app.state.engine, app.state.direct = engine, direct
    return app


def _direct(services: Services, figures: Figures, dev: bool) -> Direct:
    """The short way to `/ingest`, with the door of the long one behind its gate."""
    queue, bytes_max = IngestQueue(services, figures), services.settings.limits.ingest_bytes_max
    gate = Gate(IngestDoor(queue, bytes_max), services.tokens, services.settings.server, dev)
    return Direct(gate, queue, figures, bytes_max)


def _middleware(
    services: Services, figures: Figures, graphql: GraphQLDoor, ingest: ASGIApp, *, dev: bool
) -> list[Middleware]:
    return [
        Middleware(Timing, figures=figures),
        Middleware(Gate, tokens=services.tokens, server=services.settings.server, dev=dev),
        Middleware(Shortcut, path="/graphql", door=graphql),
        Middleware(Shortcut, path="/ingest", door=ingest),
    ]


def run_cascade(cascade: Cascade, job: SimulationJob, joint: JointCascades) -> Document:
    """A cascade on all processors, with partners where there are any; the job tells it when to stop."""
    if cascade.is_whole and joint.has_peers():
        return joint.run(cascade, job)
    impact = simulate(
        cascade.snapshot,
        cascade.scenario,
        progress=job.report,
        cancel=job.cancel,
        against_baseline=cascade.against_baseline,
    )
    return impact.to_json()


def _routes(services: Services, figures: Figures, health: Health, engine: Engine) -> list[Any]:
    return [
        Route("/", _page, methods=["GET"]),
        Route("/import", partial(import_door, services=services), methods=["POST"]),
        Route("/export", partial(export_door, services=services), methods=["GET"]),
        Route("/check", partial(check_door, services=services), methods=["GET"]),
        Route("/id/{rest:path}", partial(document_door, services=services), methods=["GET"]),
        Route("/livez", health.livez, methods=["GET"]),
        Route("/readyz", health.readyz, methods=["GET"]),
        Route("/metrics", partial(_metrics, figures=figures, health=health, engine=engine), methods=["GET"]),
        Mount("/web", StaticFiles(directory=WEB)),
    ]


@dataclass(frozen=True, slots=True)
class Shortcut:
    """ASGI middleware: requests for one path go straight to its door. Routing costs more than a query."""

    app: ASGIApp
    path: str
    door: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_own = scope["type"] == "http" and scope["path"] == self.path and scope["method"] in ("POST", "GET")
        await (self.door if is_own else self.app)(scope, receive, send)


@contextlib.asynccontextmanager
async def _lifespan(
    _: Starlette,
    *,
    services: Services,
    engines: list[Engine],
    health: Health,
    federating: Federating,
    others: list[SparqlDoor | IngestQueue],
) -> AsyncGenerator[None, None]:
    # The first request should pay for none of these.
    for engine in engines:
        await anyio.to_thread.run_sync(engine.current_schema)
    await anyio.to_thread.run_sync(warm)
    await anyio.to_thread.run_sync(warm_up_ingest)
    await anyio.to_thread.run_sync(warm_up, services.mesh)
    async with federating.running():
        yield
    health.draining = True
    await anyio.to_thread.run_sync(services.simulations.close)
    for open_one in (*engines, federating, *others):
        await anyio.to_thread.run_sync(open_one.close)


async def _page(_: Request) -> Response:
    return FileResponse(WEB / "index.html", headers=PAGE_HEADERS)


async def _metrics(request: Request, figures: Figures, health: Health, engine: Engine) -> Response:
    principal_of(request)
    lines = [
        *figures.lines(),
        *engine.plans.lines(),
        *await anyio.to_thread.run_sync(lambda: list(health.lines())),
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def ensure_admin(tokens: Tokens, settings: Settings) -> None:
    """The admin token that the settings bring, once."""
    text = settings.auth.admin_token
    if text is None or any(record.name == "settings" for record in tokens.list()):
        return
    tokens.create("settings", Role.ADMIN, lifetime_s=LIFETIME_DEFAULT_S, text=text)


async def refused(_: Request, error: Exception) -> Response:
    return problem_response(error if isinstance(error, TwinmeshError) else UsageError(str(error)))


async def failed(request: Request, error: Exception) -> Response:
    _LOG.error("internal error at %s", request.url.path, exc_info=error)
    return problem_response(TwinmeshError("internal error; the log has it", code="INTERNAL"))
