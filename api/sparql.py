"""`/sparql`: the query operation of the SPARQL 1.1 Protocol, by GET and POST. No updates, no services.

Each site is a graph named by its base IRI, as in an export to N-Quads; a query that names no graph reads all
of them together.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.responses import Response

from adapters.rdf.query_text import reads_of
from adapters.rdf.querying import Found, Query, QueryLimits
from api.graphql_http import principal_of, read_body
from api.negotiating import accepted
from api.policy import Action
from api.sparql_stores import SparqlStores
from ontology.errors import InputError, LimitError, StoreError, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

    from api.policy import Principal
    from api.schema.context import Services

_RESULTS: Final = {
    "application/sparql-results+json": "json",
    "application/sparql-results+xml": "xml",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/xml": "xml",
}
_GRAPHS: Final = {
    "text/turtle": "ttl",
    "application/n-triples": "nt",
    "application/ld+json": "jsonld",
    "application/rdf+xml": "rdfxml",
    "application/json": "jsonld",
    "text/plain": "nt",
    "application/xml": "rdfxml",
}
_MEDIA: Final = {
    "json": "application/sparql-results+json",
    "xml": "application/sparql-results+xml",
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "ttl": "text/turtle; charset=utf-8",
    "nt": "application/n-triples",
    "jsonld": "application/ld+json",
    "rdfxml": "application/rdf+xml",
}
_FORM: Final = "application/x-www-form-urlencoded"
_QUERY: Final = "application/sparql-query"
_UPDATE: Final = "application/sparql-update"
_PARAMETERS_MAX: Final = 100
_TRIES: Final = 3


class SparqlDoor:
    """The endpoint; one for the application."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stores = SparqlStores(services)
        self._running = CapacityLimiter(max(1, services.settings.sparql.running_max))
        self._waiting = 0

    async def __call__(self, request: Request) -> Response:
        """The answer in a format that Accept names; problem+json with a stable code where there is none."""
        principal = principal_of(request)
        principal.require(Action.READ)
        query, graphs = await self._query(request)
        found, revisions = await self._aside(partial(self._ask, principal, query, graphs))
        headers = {**_HEADERS, "Twinmesh-Revisions": revisions}
        return Response(found.body, media_type=_MEDIA[found.format], headers=headers)

    def close(self) -> None:
        self._stores.close()

    async def _aside(self, work: partial[tuple[Found, str]]) -> tuple[Found, str]:
        """In a worker thread. LimitError OVERLOADED where too many wait already."""
        waiting_max = self._services.settings.sparql.waiting_max
        if self._waiting >= waiting_max:
            message = f"{waiting_max:,} queries are being answered"
            raise LimitError(message, code="OVERLOADED", hint="try again later")
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._running)
        finally:
            self._waiting -= 1

    def _ask(self, principal: Principal, query: Query, graphs: tuple[str, ...]) -> tuple[Found, str]:
        """The answer, and the revisions of the sites that it is of."""
        settings = self._services.settings.sparql
        limits = QueryLimits(settings.wall_s, settings.memory_mb, settings.result_bytes_max)
        for _ in range(_TRIES):
            kept = self._stores.store(principal)
            _check_graphs(graphs, kept.graphs)
            try:
                found = kept.store.ask(query, limits)
                return found, ", ".join(f"{site}={revision}" for site, revision in kept.seen)
            except StoreError as error:
                if error.code != "SPARQL_STORE_GONE":  # a write came between: there is a newer one
                    raise
        raise LimitError("the graph changes faster than it can be asked", code="OVERLOADED")

    async def _query(self, request: Request) -> tuple[Query, tuple[str, ...]]:
        """The query that a request holds, and the graphs that it names.

        InputError SPARQL_QUERY_MISSING, SPARQL_SERVICE_OFF; UsageError SPARQL_READ_ONLY,
        UNSUPPORTED_MEDIA_TYPE.
        """
        stated = await self._parameters(request)
        if any(name in ("update", "using-graph-uri", "using-named-graph-uri") for name, _ in stated):
            raise _read_only()
        texts = [value for name, value in stated if name == "query"]
        if len(texts) != 1 or not texts[0].strip():
            message = f"a request has one query, not {len(texts)}" if texts else "there is no query"
            raise InputError(message, code="SPARQL_QUERY_MISSING", hint="?query=, a form, or a body")
        reads = reads_of(texts[0])
        if reads.calls_service:
            message = "this endpoint calls no other one"
            raise InputError(message, code="SPARQL_SERVICE_OFF", hint="ask that service yourself")
        default = tuple(value for name, value in stated if name == "default-graph-uri")
        named = tuple(value for name, value in stated if name == "named-graph-uri")
        has_set = bool(default or named)
        accept = request.headers.get("accept")
        query = Query(
            texts[0],
            accepted(accept, _RESULTS),
            accepted(accept, _GRAPHS),
            union=not reads.names_graphs,
            default_graphs=default if has_set else None,
            named_graphs=named if has_set else None,
        )
        return query, (*reads.graphs, *default, *named)

    async def _parameters(self, request: Request) -> list[tuple[str, str]]:
        stated = list(request.query_params.multi_items())
        if request.method == "POST":
            media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media == _UPDATE:
                raise _read_only()
            if media not in (_FORM, _QUERY):
                raise UsageError(f"send {_QUERY} or {_FORM}", code="UNSUPPORTED_MEDIA_TYPE")
            body = await read_body(request, self._services.settings.sparql.query_bytes_max)
            text = _decoded(body)
            stated += [("query", text)] if media == _QUERY else _form(text)
        if len(stated) > _PARAMETERS_MAX:
            raise InputError(f"at most {_PARAMETERS_MAX} parameters", code="BODY_INVALID")
        return stated


_HEADERS: Final = {"Vary": "Accept, Authorization", "Cache-Control": "no-store"}


def _check_graphs(graphs: tuple[str, ...], known: frozenset[str]) -> None:
    """SPARQL_GRAPH_UNKNOWN: one that is not here would be read as empty; nothing is fetched."""
    for each in graphs:
        if each not in known:
            hint = f"one of {', '.join(sorted(known)[:10])}" if known else None
            raise InputError(f"no graph <{each}>", code="SPARQL_GRAPH_UNKNOWN", hint=hint)


def _read_only() -> UsageError:
    return UsageError(
        "this endpoint takes no updates", code="SPARQL_READ_ONLY", hint="use GraphQL, or import"
    )


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("the query is not UTF-8", code="BODY_INVALID") from None


def _form(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        raise InputError(f"at most {_PARAMETERS_MAX} parameters", code="BODY_INVALID") from None
