"""What comes in and what goes out: one operation, one answer."""

# graphql-core leaves the data of a result open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import DocumentNode, ExecutionResult, GraphQLSchema, OperationDefinitionNode

    from api.known import KnownOperation
    from api.limits import Price
    from api.schema.context import RequestContext


@dataclass(frozen=True, slots=True)
class Request:
    """One operation as it came in."""

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    operation_name: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out. `started` is False where the request was refused before it ran: it then has no data.

    data_bytes: `data` as JSON, where it was made as such; `result.data` is then None and means nothing.
    """

    result: ExecutionResult
    started: bool = True
    data_bytes: bytes | None = None

    @property
    def data(self) -> object:
        """`data` as `encode` takes it."""
        return self.result.data if self.data_bytes is None else orjson.Fragment(self.data_bytes)

    @property
    def code(self) -> str | None:
        """The code of the first error."""
        errors = self.result.errors
        return (errors[0].extensions or {}).get("code") if errors else None

    @property
    def formatted(self) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if self.result.errors:
            body["errors"] = [error.formatted for error in self.result.errors]
        if self.started:
            body["data"] = self.data
        if self.result.extensions:
            body["extensions"] = self.result.extensions
        return body

    @property
    def plain(self) -> dict[str, Any]:
        """As `formatted`, for whoever reads it in this process: nothing of it is encoded."""
        body = self.formatted
        if self.started and self.data_bytes is not None:
            body["data"] = orjson.loads(self.data_bytes)
        return body


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A request that may run: its document fits the schema and its price the limits."""

    schema: GraphQLSchema
    document: DocumentNode
    known: KnownOperation
    request: Request
    context: RequestContext
    price: Price

    @property
    def operation(self) -> OperationDefinitionNode:
        return self.known.node

    @property
    def extensions(self) -> dict[str, Any]:
        return {"cost": {"requested": self.price.cost, "depth": self.price.depth}}


def encode(body: object) -> bytes:
    """JSON; NaN and infinity as null, whole numbers of any size."""
    try:
        return orjson.dumps(body)
    except TypeError:
        # orjson stops at 64 bits; a JSON attribute may hold longer numbers.
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
