"""Strawberry over uvicorn: python -m bench.graphql_peers.strawberry_server stock|tuned PORT PUMPS TOKEN

`tuned` has Strawberry's caches of parsed and validated texts, and orjson for the answer.
"""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Any

import orjson
import strawberry
import uvicorn
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache

from bench.graphql_peers.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send


@strawberry.enum
class Quality(Enum):
    GOOD = "GOOD"
    UNCERTAIN = "UNCERTAIN"
    BAD = "BAD"


@strawberry.type
class Sensor:
    id: strawberry.ID
    local_id: str
    name: str | None
    kind: str
    site: str
    value: float | None
    unit: str | None
    quality: Quality | None


@strawberry.type
class Pump:
    id: strawberry.ID
    local_id: str
    name: str | None
    kind: str
    site: str
    points: list[Sensor]


@strawberry.type
class PumpConnection:
    nodes: list[Pump]


def query_over(pumps: list[Pump]) -> type:
    @strawberry.type
    class Query:
        @strawberry.field
        def pump_list(self, first: int | None = None) -> PumpConnection:
            return PumpConnection(nodes=pumps[: 50 if first is None else first])

    return Query


def pump_of(record: dict[str, Any]) -> Pump:
    points = [sensor_of(each) for each in record["points"]]
    names = ("id", "name", "kind", "site")
    return Pump(local_id=record["localId"], points=points, **{name: record[name] for name in names})


def sensor_of(record: dict[str, Any]) -> Sensor:
    names = ("id", "name", "kind", "site", "value", "unit")
    plain = {name: record[name] for name in names}
    return Sensor(local_id=record["localId"], quality=Quality(record["quality"]), **plain)


class Tuned(GraphQL[None, None]):
    def encode_json(self, data: object) -> str | bytes:
        return orjson.dumps(data)


def guarded(app: ASGIApp, token: str) -> ASGIApp:
    """Answers 401 to whoever does not bring the token."""
    expected = f"Bearer {token}".encode()

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        is_known = scope["type"] != "http" or dict(scope["headers"]).get(b"authorization") == expected
        await (app if is_known else refuse)(scope, receive, send)

    return door


async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def application(flavour: str, pumps: int) -> ASGIApp:
    query = query_over([pump_of(record) for record in Fleet.of(pumps).records()])
    if flavour == "stock":
        return GraphQL(strawberry.Schema(query))
    caches: list[Callable[[], Any]] = [ParserCache, ValidationCache]
    return Tuned(strawberry.Schema(query, extensions=caches))


if __name__ == "__main__":
    flavour, port, pumps, token = sys.argv[1:]
    app = guarded(application(flavour, int(pumps)), token)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
