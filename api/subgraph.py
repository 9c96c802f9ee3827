"""`/subgraph`: the GraphQL door of a server that is one of several in a supergraph.

Two servers cannot both give `twins` or `AHUTwin` to one supergraph: a gateway would take either for the
other. With `[subgraph] name = "plant"` this door has `plant_twins` and `plant_AHUTwin`; `/graphql` stays as
it is, and is a subgraph too, for supergraphs with one twinmesh server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from api.engine import Engine
from api.graphql_http import GraphQLDoor
from api.schema.build import fixed_schema
from api.schema.subgraph import checked_prefix

if TYPE_CHECKING:
    from pathlib import Path

    from api.persisted import PersistedQueries
    from api.schema.context import Services
    from api.seats import Seats


def subgraph_engines(services: Services, persisted: PersistedQueries, *, is_alone: bool) -> list[Engine]:
    """The engine of the door, with a schema of its own; none without a name.

    InputError SUBGRAPH_NAME.
    """
    stated = services.settings.subgraph
    if not stated.name:
        return []
    prefix, fixed = checked_prefix(stated.name), fixed_schema()
    made = Engine(services, fixed, persisted=persisted, is_alone=is_alone, prefix=prefix, typed=stated.typed)
    return [made]


def subgraph_routes(engines: list[Engine], console: Path, seats: Seats) -> list[Route]:
    return [Route("/subgraph", _door(engine, console, seats), methods=["GET", "POST"]) for engine in engines]


def _door(engine: Engine, console: Path, seats: Seats) -> GraphQLDoor:
    settings = engine.services.settings
    return GraphQLDoor(engine, console, seats, settings.limits.body_bytes_max, settings.streams.heartbeat_s)
