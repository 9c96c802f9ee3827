"""GraphQL over WebSocket (graphql-transport-ws): Strawberry's protocol handler over our own engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.types.execution import ExecutionResult, PreExecutionError
from strawberry.types.unset import UNSET

from api.failures import error_of
from api.operation import Request, encode
from ontology.errors import AccessError, LimitError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.websockets import WebSocket
    from strawberry.types.unset import UnsetType

    from api.auth import Tokens
    from api.engine import Engine
    from api.operation import Answer
    from api.policy import Principal
    from api.seats import Seats

_INIT_WAIT: Final = timedelta(seconds=10)


@dataclass(slots=True)
class Session:
    """One socket. The principal comes with the handshake or with connection_init."""

    principal: Principal | None
    connection_params: dict[str, Any] = field(default_factory=dict[str, Any])


class SocketDoor:
    """The WebSocket side of `/graphql`."""

    def __init__(
        self, engine: Engine, tokens: Tokens, seats: Seats, per_socket_max: int, message_bytes_max: int
    ) -> None:
        self._engine = engine
        self._tokens = tokens
        self._seats = seats
        self._per_socket_max = per_socket_max
        self._message_bytes_max = message_bytes_max

    async def __call__(self, websocket: WebSocket) -> None:
        if GRAPHQL_TRANSPORT_WS_PROTOCOL not in websocket.scope["subprotocols"]:
            await websocket.close(4406, "Subprotocol not acceptable")
            return
        try:
            with self._seats.taken():
                await websocket.accept(GRAPHQL_TRANSPORT_WS_PROTOCOL)
                await self._handle(websocket)
        except LimitError:
            await websocket.close(1013, "Too many sockets")

    async def _handle(self, websocket: WebSocket) -> None:
        session = Session(cast("Principal | None", websocket.state.principal))
        handler: BaseGraphQLTransportWSHandler[Session, None] = BaseGraphQLTransportWSHandler(
            view=cast("Any", self),
            websocket=ASGIWebSocketAdapter(cast("Any", self), websocket, websocket),
            context=session,
            root_value=None,
            schema=cast("Any", self),
            connection_init_wait_timeout=_INIT_WAIT,
            max_subscriptions_per_connection=self._per_socket_max,
        )
        await handler.handle()

    # What the handler asks of its view

    def decode_json(self, text: str) -> object:
        if len(text) > self._message_bytes_max:
            raise json.JSONDecodeError("message too large", "", 0)
        return orjson.loads(text)  # it bounds nesting, where json runs into Python's own limit

    def encode_json(self, message: object) -> str:
        return encode(message).decode()

    async def on_ws_connect(self, session: Session) -> UnsetType:
        if session.principal is None:
            session.principal = self._principal(session.connection_params)
        return UNSET

    # What the handler asks of its schema

    async def stream(
        self,
        query: str,
        *,
        variable_values: dict[str, Any] | None,
        context_value: Session,
        root_value: None,
        operation_name: str | None,
    ) -> AsyncGenerator[ExecutionResult, None]:
        request = Request(query, variable_values or {}, operation_name)
        return self._results(request, cast("Principal", context_value.principal))

    async def _results(self, request: Request, principal: Principal) -> AsyncGenerator[ExecutionResult, None]:
        try:
            self._tokens.check_still_valid(principal)
        except AccessError as error:
            yield PreExecutionError(data=None, errors=[error_of(error)])
            return
        answers = self._engine.stream(request, principal)
        try:
            async for answer in answers:
                yield _result(answer)
        finally:
            await answers.aclose()

    def _principal(self, parameters: dict[str, Any]) -> Principal:
        stated = next(
            (parameters[key] for key in ("Authorization", "authorization") if key in parameters), ""
        )
        try:
            return self._tokens.principal(str(stated).removeprefix("Bearer").removeprefix("bearer").strip())
        except AccessError as error:
            raise ConnectionRejectionError from error


def _result(answer: Answer) -> ExecutionResult:
    result = answer.result
    if not answer.started:
        return PreExecutionError(data=None, errors=result.errors)
    return ExecutionResult(data=cast("Any", answer.data), errors=result.errors, extensions=result.extensions)
