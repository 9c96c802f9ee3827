"""GraphQL over a graph that is not in memory: every field of the query becomes one statement inside Neo4j.

What is checked before (text, price, rights, the schema) is `api.engine`'s. What cannot be answered there is
refused with PUSHDOWN_UNSUPPORTED, never answered otherwise than a server with the graph in memory would.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from graphql import ExecutionResult, GraphQLError, OperationType

from api.compiled.arena import Deopt
from api.engine import Engine, refusal
from api.failures import graphql_errors
from api.limits import check_text
from api.operation import Answer
from api.pushdown.context import PushedContext
from api.pushdown.plans import PushedPlans, Running
from api.schema.generated import join
from graph.stores.neo4j.script import refuse
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphql import GraphQLSchema

    from api.export_stream import Export
    from api.operation import Prepared, Request
    from api.persisted import PersistedQueries
    from api.policy import Principal
    from api.pushdown.place import Known, Place
    from api.schema.context import RequestContext, Services
    from graph.usage import InUse


class PushedEngine(Engine):
    """Runs queries inside Neo4j for principals."""

    def __init__(
        self,
        services: Services,
        fixed: GraphQLSchema,
        place: Place,
        *,
        threads: int = 8,
        persisted: PersistedQueries | None = None,
    ) -> None:
        super().__init__(services, fixed, threads=threads, persisted=persisted)
        self._fixed = fixed
        self._place = place
        self._pushed = PushedPlans()
        self._joined: tuple[InUse, GraphQLSchema] | None = None

    def ask(self, request: Request, principal: Principal) -> Answer:
        """As `run`, in the thread of the caller."""
        return self._run(request, principal, read_only=True)

    async def export(self, request: Request, principal: Principal) -> Export | Answer:
        return refusal(unsupported("an export in lines"))

    def _quick(self, request: Request, principal: Principal) -> Prepared | None:
        """Nothing runs on the event loop: all of it waits for the database."""
        if not self._is_known(request.query):
            check_text(request.query, self._services.settings.limits)
        return None

    def _is_known(self, text: str) -> bool:
        return self._joined is not None and self._documents.get(self._joined[1], text) is not None

    def _schema_of(self, context: RequestContext) -> GraphQLSchema:
        return self._schema_for(self._place.known())

    def _schema_for(self, known: Known) -> GraphQLSchema:
        joined = self._joined
        if joined is not None and joined[0] == known.in_use:
            return joined[1]
        use = known.in_use
        made = join(self._fixed, known.ontology, use.kind_sets, use.attributes)
        self._joined = (use, made)
        self._swapped(made)
        self._pushed.keep_only(made)
        return made

    def _prepare(self, request: Request, principal: Principal, in_pages: bool) -> Prepared | Answer:
        prepared = super()._prepare(request, principal, in_pages)
        if isinstance(prepared, Answer):
            return prepared
        if prepared.operation.operation is not OperationType.QUERY:
            refuse(f"a {prepared.operation.operation.value}")
        return replace(prepared, context=PushedContext(self._services, principal, place=self._place))

    def _execute(self, prepared: Prepared, clock_s: Callable[[], float] = time.thread_time) -> Answer:
        if prepared.known.traits.is_introspection:
            return super()._execute(prepared, clock_s)
        context = prepared.context
        assert isinstance(context, PushedContext)
        try:
            planned = self._pushed.plan(prepared)
            return Running(prepared, context, planned, self._place, self._place.known()).answer()
        except TwinmeshError as error:
            return refusal(error)
        except GraphQLError as error:
            return Answer(ExecutionResult(None, graphql_errors([error])), started=False)
        except Deopt:
            # Variables that do not fit: graphql-core says which, before it asks for anything.
            return super()._execute(prepared, clock_s)


def unsupported(what: str) -> TwinmeshError:
    """The refusal of something that only a server with the graph in memory does."""
    try:
        refuse(what)
    except TwinmeshError as error:
        return error
