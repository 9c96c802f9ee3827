"""The door between servers: `/federation/...`. Who asks is proved by a signed envelope, never by a token.

All but the digest of the body is checked before the body is read. `/federation/identity` alone is open to
everybody: it says which key and which sites stand here, nothing of what they hold.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio.to_thread
import msgspec
from starlette.responses import Response
from starlette.routing import Route

from api.graphql_http import read_body
from api.tls import client_tls
from federation.http_peer import HELLO, IDENTITY_PATH
from federation.node import Node, NodeSettings
from federation.peers import IDENTITIES
from federation.trust import HEADER, Rules
from ontology.errors import AccessError, InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from starlette.requests import Request

    from api.config import Federation
    from federation.contract import Grant
    from federation.ledger import Disclosure
    from federation.trust import Opened
    from graph.mesh import Mesh

_NO_STORE: Final = {"cache-control": "no-store"}
_STRANGER: Final = "unknown address"
_PACKED: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A message of a peer: proved to be its, in time, seen once. grant: what is agreed with it at now_ns."""

    node: Node
    opened: Opened
    grant: Grant
    body: bytes
    now_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """An answer to a peer; `disclosure` None: it tells nothing but what everybody may ask for."""

    body: bytes
    disclosure: Disclosure | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """Answers one kind of message, in a thread. Errors go back as their code."""

    answer: Callable[[Heard], Told]
    per_minute: int


Services: TypeAlias = "Mapping[str, Service]"
"""By kind of message."""


def node_settings(settings: Federation, folder: Path | None = None) -> NodeSettings:
    """The settings of a server as its node takes them. folder: where relative paths begin."""
    rules = Rules(
        skew_s_max=settings.clock_skew_s_max,
        hops_max=settings.hops_max,
        body_bytes_max=settings.body_bytes_max,
    )
    return NodeSettings(
        rules=rules,
        deadline_s=settings.deadline_s,
        answer_bytes_max=settings.answer_bytes_max,
        plain_hosts=settings.plain_hosts,
        tls=client_tls(settings, folder),
    )


class FederationDoor:
    """The door over one mesh. Its key and store are made when somebody comes first."""

    def __init__(self, mesh: Mesh, settings: Federation, services: Services | None = None) -> None:
        self._mesh = mesh
        self._settings = settings
        self._services = services or {}
        self._node: Node | None = None
        self._lock = Lock()

    def routes(self) -> list[Route]:
        return [
            Route(IDENTITY_PATH, self.identity, methods=["GET"]),
            Route(f"/federation/{HELLO}", self.hello, methods=["POST"]),
            *(
                Route(f"/federation/{kind}", partial(self.serve, kind=kind), methods=["POST"])
                for kind in self._services
            ),
        ]

    def close(self) -> None:
        with self._lock:
            if self._node is not None:
                self._node.close()
            self._node = None

    async def identity(self, request: Request) -> Response:
        """Who we are, for anybody."""
        node = await anyio.to_thread.run_sync(self.node)
        node.rates.take(f"identity {_address(request)}", self._settings.identity_per_minute)
        identity = await anyio.to_thread.run_sync(node.identity, self._mesh)
        return Response(msgspec.json.encode(identity), headers=_NO_STORE, media_type="application/json")

    async def hello(self, request: Request) -> Response:
        """A peer that we added proves its key, and so do we."""
        node, opened, body = await self._received(request, HELLO, self._settings.hello_per_minute)
        _check_greeting(opened, body)
        sealed = await anyio.to_thread.run_sync(node.answer_hello, opened, self._mesh)
        headers = {**_NO_STORE, HEADER: sealed.token}
        return Response(sealed.body, headers=headers, media_type="application/json")

    async def serve(self, request: Request, *, kind: str) -> Response:
        """Any other kind of message, by its service; what the answer discloses is in the ledger first."""
        service = self._services[kind]
        node, opened, body = await self._received(request, kind, service.per_minute)
        return await anyio.to_thread.run_sync(_served, service, node, opened, body)

    def node(self) -> Node:
        """The node, opened once. StoreError."""
        with self._lock:
            if self._node is None:
                self._node = Node.open(self._mesh.folder, node_settings(self._settings, self._mesh.folder))
            return self._node

    async def _received(self, request: Request, kind: str, per_minute: int) -> tuple[Node, Opened, bytes]:
        """An accepted envelope with its body. The codes of `Verifier.open`, ENVELOPE_BODY, BODY_TOO_SLOW."""
        node = await anyio.to_thread.run_sync(self.node)
        node.rates.take(f"calls {_address(request)}", self._settings.calls_per_minute)
        tokens = request.headers.getlist(HEADER)
        if len(tokens) != 1:
            hint = f"one header {HEADER}, see docs/federation.md"
            raise AccessError("the request has no envelope", code="ENVELOPE_MISSING", hint=hint)
        opened = await anyio.to_thread.run_sync(node.open_envelope, tokens[0], kind, per_minute)
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                body = await read_body(request, opened.claims.size)
        except TimeoutError as error:
            message = f"the body took more than {self._settings.deadline_s:g} s"
            raise LimitError(message, code="BODY_TOO_SLOW") from error
        return node, opened, opened.check_body(body)


def _served(service: Service, node: Node, opened: Opened, body: bytes) -> Response:
    grant = node.contracts.grant(opened.claims.iss)
    told = service.answer(Heard(node, opened, grant, body, time.time_ns()))
    sealed = node.answer(opened, told.body, told.disclosure)
    return Response(sealed.body, headers={**_NO_STORE, HEADER: sealed.token}, media_type=_PACKED)


def _address(request: Request) -> str:
    return request.client.host if request.client else _STRANGER


def _check_greeting(opened: Opened, body: bytes) -> None:
    try:
        identity = IDENTITIES.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError("the body is no identity", code="BODY_INVALID") from error
    if identity.public_key() != opened.issuer:
        raise AccessError("the identity is not the one of who signs", code="PEER_KEY_INVALID")
