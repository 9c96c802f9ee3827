"""Running operations: parse, bound, validate, execute, on the schema of the moment.

One way for HTTP and sockets. What takes time runs in worker threads; what is known to take next to none runs
on the event loop itself, where a hop to a thread and back would be most of the cost.
"""

# graphql-core leaves the data of a result open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar, cast

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    execute_sync,
    subscribe,
)

from api.compiled.plans import Plans
from api.export_stream import Export
from api.failures import ERRORS_MAX, error_of, graphql_errors
from api.introspection import Introspection
from api.known import KnownDocument, KnownDocuments
from api.limits import Price, check_price, check_shape, check_text, check_variables, parse_bounded
from api.operation import Answer, Prepared, Request
from api.persisted import PersistedQueries
from api.policy import LOCAL, Role
from api.schema.context import RequestContext
from api.schema.source import SchemaSource
from api.validating import find_errors
from ontology.errors import AccessError, InputError, LimitError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from api.federated import Federated
    from api.known import KnownOperation
    from api.policy import Principal
    from api.schema.context import Services

T = TypeVar("T")
# More variables than any small query has: what they hold has not been looked at.
_QUICK_VARIABLES_MAX: Final = 20


class Engine:
    """Runs operations for principals."""

    def __init__(
        self,
        services: Services,
        fixed: GraphQLSchema,
        *,
        threads: int = 8,
        persisted: PersistedQueries | None = None,
        is_alone: bool = False,
        prefix: str = "",
        typed: bool = True,
        federated: Federated | None = None,
    ) -> None:
        """is_alone: the process does nothing but serve. prefix, typed: of the schema, see `SchemaSource`.

        federated: asks peers too.
        """
        self._services = services
        self._federated = federated
        self._source = SchemaSource(
            fixed,
            self._swapped,
            is_alone=is_alone,
            prefix=prefix,
            typed=typed,
            partners=None if federated is None else federated.gatherer.partners,
        )
        self._documents = KnownDocuments()
        self._introspection = Introspection()
        self.plans = Plans()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="graphql")
        self._waiting = 0
        self.persisted = persisted or PersistedQueries(services.settings.persisted)

    @property
    def services(self) -> Services:
        return self._services

    def _swapped(self, schema: GraphQLSchema) -> None:
        """Let go of what was kept for the schema before."""
        self._documents.keep_only(schema)
        self.plans.keep_only(schema)
        self._introspection.keep_only(schema)

    def current_schema(self) -> GraphQLSchema:
        """The schema that a request of now would meet."""
        return self._schema_of(RequestContext(self._services, LOCAL))

    async def run(self, request: Request, principal: Principal, *, read_only: bool = False) -> Answer:
        """Run a query or mutation. Never raises for what the request does wrong."""
        try:
            quick = self._quick(request, principal)
            if quick is None:
                return await self._aside(lambda: self._run(request, principal, read_only))
        except TwinmeshError as error:
            return refusal(error)
        return self._execute(quick, time.perf_counter)

    async def stream(self, request: Request, principal: Principal) -> AsyncGenerator[Answer, None]:
        """Run any operation; a subscription gives an answer per event, others give one."""
        try:
            check_text(request.query, self._services.settings.limits)
            prepared = await self._aside(lambda: self._prepared(request, principal))
        except TwinmeshError as error:
            yield refusal(error)
            return
        if isinstance(prepared, Answer):
            yield prepared
        elif prepared.operation.operation is not OperationType.SUBSCRIPTION:
            yield await self._aside(lambda: self._execute(prepared))
        else:
            async with aclosing(_subscribe(prepared)) as answers:
                async for answer in answers:
                    yield answer

    async def export(self, request: Request, principal: Principal) -> Export | Answer:
        """An export that may begin, or why it may not."""
        try:
            check_text(request.query, self._services.settings.limits)
            prepared = await self._aside(lambda: self._prepared(request, principal, in_pages=True))
            return prepared if isinstance(prepared, Answer) else Export.of(prepared, self._page)
        except TwinmeshError as error:
            return refusal(error)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _aside(self, work: Callable[[], T]) -> T:
        """In a worker thread. LimitError OVERLOADED where too many wait already."""
        waiting_max = self._services.settings.limits.waiting_max
        if self._waiting >= waiting_max:
            message = f"{waiting_max:,} requests are being answered"
            raise LimitError(message, code="OVERLOADED", hint="try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    async def _page(self, prepared: Prepared) -> Answer:
        return await self._aside(lambda: self._answered(prepared))

    def _quick(self, request: Request, principal: Principal) -> Prepared | None:
        """A request that may run on the event loop, because that is known to take next to no time.

        None: it goes to a worker thread. Raises for a text that is refused by its looks.
        """
        if self._federated is not None and self._federated.has_partners:
            check_text(request.query, self._services.settings.limits)
            return None
        snapshot = self._services.mesh.fresh_snapshot()
        schema = None if snapshot is None else self._source.ready(snapshot)
        document = None if schema is None else self._documents.get(schema, request.query)
        if snapshot is None or document is None:
            # Here, so that floods of hostile texts never come near the threads.
            check_text(request.query, self._services.settings.limits)
            return None
        known = document.operation(request.operation_name)
        if known is None or not known.traits.is_steady or not principal.sees_all:
            return None
        if len(request.variables) > _QUICK_VARIABLES_MAX:
            return None
        price = known.price(request.variables)
        if not known.is_quick(snapshot, price):
            return None
        self._check(request, price, known)
        context = RequestContext.over(snapshot, self._services, principal)
        return Prepared(document.schema, document.document, known, request, context, price)

    def _run(self, request: Request, principal: Principal, read_only: bool) -> Answer:
        prepared = self._prepared(request, principal)
        if isinstance(prepared, Answer):
            return prepared
        operation = prepared.operation.operation
        if operation is OperationType.SUBSCRIPTION:
            hint = "use Accept: text/event-stream, or a WebSocket with graphql-transport-ws"
            return refusal(InputError("a subscription needs a stream", code="STREAM_NEEDED", hint=hint))
        if read_only and operation is not OperationType.QUERY:
            return refusal(InputError("GET runs queries only", code="METHOD_NOT_ALLOWED", hint="use POST"))
        return self._execute(prepared)

    def _prepared(
        self, request: Request, principal: Principal, *, in_pages: bool = False
    ) -> Prepared | Answer:
        try:
            return self._prepare(request, principal, in_pages)
        except GraphQLError as error:
            return Answer(ExecutionResult(None, graphql_errors([error])), started=False)
        except TwinmeshError as error:
            return refusal(error)

    def _prepare(self, request: Request, principal: Principal, in_pages: bool) -> Prepared | Answer:
        """in_pages: what the whole costs does not matter, it is run page by page."""
        limits = self._services.settings.limits
        check_variables(request.variables, limits)
        context = RequestContext(self._services, principal)
        schema = self._schema_of(context)
        document = self._documents.get(schema, request.query)
        is_new = document is None
        if document is None:
            parsed = parse_bounded(request.query, limits)
            check_shape(parsed, limits)
            document = KnownDocument(schema, parsed)
        known = document.operation(request.operation_name)
        if known is None:
            message = "say which operation to run" if request.operation_name is None else "no such operation"
            raise InputError(message, code="OPERATION_UNKNOWN", hint="operationName")
        price = known.price(request.variables)
        self._check(request, Price(0, price.depth) if in_pages else price, known)
        if known.traits.asks_schema:
            self._check_introspection(principal)
        if is_new:
            errors = find_errors(schema, document.document, ERRORS_MAX)
            if errors:
                return Answer(ExecutionResult(None, graphql_errors(errors)), started=False)
            self._documents.put(request.query, document)
        return Prepared(schema, document.document, known, request, context, price)

    def _check(self, request: Request, price: Price, known: KnownOperation) -> None:
        self.persisted.check_trusted(request.query)
        check_price(price, self._services.settings.limits, asks_schema=known.traits.asks_schema)

    def _check_introspection(self, principal: Principal) -> None:
        if not self._services.settings.limits.introspection and principal.role is not Role.ADMIN:
            raise AccessError("the schema is not told here", code="INTROSPECTION_DENIED")

    def _schema_of(self, context: RequestContext) -> GraphQLSchema:
        """The schema that fits what the operation will see: both are of the same snapshot."""
        if not self._services.mesh.sites:
            return self._source.empty(self._services.mesh.schema)
        return self._source.schema_for(context.present().snapshot)

    def _execute(self, prepared: Prepared, clock_s: Callable[[], float] = time.thread_time) -> Answer:
        """The answer. What it took is kept, to know next time whether it may run on the event loop.

        clock_s: processor time in a thread that others hold up; on the loop a clock that costs nothing.
        """
        known = prepared.known
        if known.traits.is_introspection:
            return self._introspection.answer(prepared, _execute)
        if self._federated is not None and self._federated.concerns(prepared):
            return self._federated.answer(prepared, self._answered, _execute)
        if not known.traits.is_steady:
            return self._answered(prepared)
        snapshot = prepared.context.present().snapshot
        started_s = clock_s()
        answer = self._answered(prepared)
        known.ran(snapshot, clock_s() - started_s)
        return answer

    def _answered(self, prepared: Prepared) -> Answer:
        """By the operation's plan; by the resolvers where it has none, or where that meets anything odd."""
        context, variables = prepared.context, prepared.request.variables
        plan = self.plans.plan(prepared.schema, prepared.document, prepared.operation, variables)
        if plan is None:
            return _execute(prepared)
        scroll = context.scroll
        taken = 0 if scroll is None else scroll.taken
        encoded = plan.run(context, variables)
        if encoded is not None:
            return Answer(ExecutionResult(None, None, prepared.extensions), data_bytes=encoded.data)
        context.budget.refill()
        if scroll is not None:
            scroll.go_back(taken)
        return _execute(prepared)


def _execute(prepared: Prepared) -> Answer:
    result = execute_sync(
        prepared.schema,
        prepared.document,
        context_value=prepared.context,
        variable_values=dict(prepared.request.variables),
        operation_name=prepared.request.operation_name,
    )
    return _answer(result, prepared)


async def _subscribe(prepared: Prepared) -> AsyncGenerator[Answer, None]:
    outcome = subscribe(
        prepared.schema,
        prepared.document,
        context_value=prepared.context,
        variable_values=dict(prepared.request.variables),
        operation_name=prepared.request.operation_name,
    )
    events = await outcome if asyncio.iscoroutine(outcome) or asyncio.isfuture(outcome) else outcome
    if isinstance(events, ExecutionResult):
        yield _answer(events, prepared)
        return
    is_running = False
    try:
        async with aclosing(cast("AsyncGenerator[ExecutionResult, None]", events)) as source:
            async for result in source:
                is_running = True
                yield _answer(result, prepared)
    except TwinmeshError as error:
        # Raised by the source itself: at first a wrong argument, later a token that has expired.
        yield Answer(ExecutionResult(None, [error_of(error)]), started=is_running)


def _answer(result: ExecutionResult, prepared: Prepared) -> Answer:
    errors = graphql_errors(result.errors) if result.errors else None
    # Variables that do not fit are found by the executor, before anything ran: there is no data then.
    started = not (errors and result.data is None and all(error.path is None for error in errors))
    return Answer(ExecutionResult(result.data, errors, prepared.extensions), started)


def refusal(error: TwinmeshError) -> Answer:
    """The answer to a request that is refused as a whole."""
    return Answer(ExecutionResult(None, [error_of(error)]), started=False)
