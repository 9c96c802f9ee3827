"""Running operations: parse, bound, validate, execute, on the schema of the moment.

One way for HTTP and sockets. What takes time runs in worker threads; the event loop only passes results on.
"""

# graphql-core leaves the data of a result open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationType,
    execute_sync,
    get_operation_ast,
    subscribe,
    validate,
)

from api.failures import ERRORS_MAX, error_of, graphql_errors
from api.limits import check_price, check_shape, check_variables, parse_bounded, price_of
from api.policy import LOCAL
from api.schema.context import RequestContext
from api.schema.source import SchemaSource
from ontology.errors import InputError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from graphql import DocumentNode, OperationDefinitionNode

    from api.limits import Price
    from api.policy import Principal
    from api.schema.context import Services

_DOCUMENTS_MAX: Final = 512
_CACHED_TEXT_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Request:
    """One operation as it came in."""

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    operation_name: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out. `started` is False where the request was refused before it ran: it then has no data."""

    result: ExecutionResult
    started: bool = True

    @property
    def formatted(self) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if self.result.errors:
            body["errors"] = [error.formatted for error in self.result.errors]
        if self.started:
            body["data"] = self.result.data
        if self.result.extensions:
            body["extensions"] = self.result.extensions
        return body


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A request that may run: its document fits the schema and its price the limits."""

    schema: GraphQLSchema
    document: DocumentNode
    operation: OperationDefinitionNode
    request: Request
    context: RequestContext
    price: Price

    @property
    def extensions(self) -> dict[str, Any]:
        return {"cost": {"requested": self.price.cost, "depth": self.price.depth}}


class Documents:
    """Texts that were parsed and validated before, bounded. Validation costs far more than a small query."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str], tuple[GraphQLSchema, DocumentNode]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, schema: GraphQLSchema, text: str) -> DocumentNode | None:
        with self._lock:
            found = self._known.get((id(schema), text))
            if found is None:
                return None
            self._known.move_to_end((id(schema), text))
            return found[1]

    def put(self, schema: GraphQLSchema, text: str, document: DocumentNode) -> None:
        if len(text) > _CACHED_TEXT_MAX:
            return
        with self._lock:
            # The schema is kept beside: so that its id cannot become another one's.
            self._known[id(schema), text] = (schema, document)
            while len(self._known) > _DOCUMENTS_MAX:
                self._known.popitem(last=False)


class Engine:
    """Runs operations for principals."""

    def __init__(self, services: Services, fixed: GraphQLSchema, *, threads: int = 8) -> None:
        self._services = services
        self._source = SchemaSource(fixed)
        self._documents = Documents()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="graphql")

    @property
    def services(self) -> Services:
        return self._services

    def current_schema(self) -> GraphQLSchema:
        """The schema that a request of now would meet."""
        return self._schema_of(RequestContext(self._services, LOCAL))

    async def run(self, request: Request, principal: Principal, *, read_only: bool = False) -> Answer:
        """Run a query or mutation. Never raises for what the request does wrong."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._run, request, principal, read_only)

    async def stream(self, request: Request, principal: Principal) -> AsyncGenerator[Answer, None]:
        """Run any operation; a subscription gives an answer per event, others give one."""
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._pool, self._prepared, request, principal)
        if isinstance(prepared, Answer):
            yield prepared
        elif prepared.operation.operation is not OperationType.SUBSCRIPTION:
            yield await loop.run_in_executor(self._pool, _execute, prepared)
        else:
            async with aclosing(_subscribe(prepared)) as answers:
                async for answer in answers:
                    yield answer

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, request: Request, principal: Principal, read_only: bool) -> Answer:
        prepared = self._prepared(request, principal)
        if isinstance(prepared, Answer):
            return prepared
        operation = prepared.operation.operation
        if operation is OperationType.SUBSCRIPTION:
            hint = "use Accept: text/event-stream, or a WebSocket with graphql-transport-ws"
            return _refusal(InputError("a subscription needs a stream", code="STREAM_NEEDED", hint=hint))
        if read_only and operation is not OperationType.QUERY:
            return _refusal(InputError("GET runs queries only", code="METHOD_NOT_ALLOWED", hint="use POST"))
        return _execute(prepared)

    def _prepared(self, request: Request, principal: Principal) -> Prepared | Answer:
        try:
            return self._prepare(request, principal)
        except GraphQLSyntaxError as error:
            return Answer(ExecutionResult(None, graphql_errors([error])), started=False)
        except GraphQLError as error:
            return Answer(ExecutionResult(None, graphql_errors([error])), started=False)
        except TwinmeshError as error:
            return _refusal(error)

    def _prepare(self, request: Request, principal: Principal) -> Prepared | Answer:
        limits = self._services.settings.limits
        check_variables(request.variables, limits)
        context = RequestContext(self._services, principal)
        schema = self._schema_of(context)
        document = self._documents.get(schema, request.query)
        is_known = document is not None
        if document is None:
            document = parse_bounded(request.query, limits)
            check_shape(document, limits)
        operation = get_operation_ast(document, request.operation_name)
        if operation is None:
            message = "say which operation to run" if request.operation_name is None else "no such operation"
            raise InputError(message, code="OPERATION_UNKNOWN", hint="operationName")
        price = price_of(schema, document, operation, request.variables)
        check_price(price, limits)
        if not is_known:
            errors = validate(schema, document, max_errors=ERRORS_MAX)
            if errors:
                return Answer(ExecutionResult(None, graphql_errors(errors)), started=False)
            self._documents.put(schema, request.query, document)
        return Prepared(schema, document, operation, request, context, price)

    def _schema_of(self, context: RequestContext) -> GraphQLSchema:
        """The schema that fits what the operation will see: both are of the same snapshot."""
        if not self._services.mesh.sites:
            return self._source.empty(self._services.mesh.schema)
        return self._source.schema_for(context.present().snapshot)


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


def _refusal(error: TwinmeshError) -> Answer:
    return Answer(ExecutionResult(None, [error_of(error)]), started=False)
