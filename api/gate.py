"""The gate: what every request passes before any door. Host, Origin, size, who asks.

On a trusted loopback (`serve --dev`, the demo) nobody needs a token, so a page of another origin must not be
able to use the browser that runs there: the Host must be a name of loopback (DNS rebinding), the Origin ours.
Everywhere else every request needs a token, but for health and for pages that hold no data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from api.failures import problem_response
from api.policy import LOCAL
from ontology.errors import AccessError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.auth import Tokens
    from api.config import Server
    from api.policy import Principal

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# What is open to everybody: health for supervisors, and pages that hold no data.
_OPEN_PATHS: Final = frozenset({"/livez", "/readyz", "/"})
_OPEN_PREFIX: Final = "/web/"
# Between servers: who asks there is proved by a signed envelope (see `api.federation_http`), not by a token.
_PEERS_PREFIX: Final = "/federation/"
_BEARER: Final = "bearer "
_HOSTS_KEPT_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Gate:
    """ASGI middleware; leaves the principal in `scope["state"]["principal"]` (None: not known yet)."""

    app: ASGIApp
    tokens: Tokens
    server: Server
    dev: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            # Once into a dict: `Headers` looks through the list for every name.
            principal = self.admitted(scope, dict(scope["headers"]))
        except TwinmeshError as error:
            await _refuse(error, scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        await self.app(scope, receive, send)

    def admitted(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Principal | None:
        """Who asks, None: not known yet. headers: those of the scope. AccessError for who may not come in."""
        self._check_host(scope)
        self._check_origin(headers)
        return self._principal(scope, headers)

    def _check_host(self, scope: Scope) -> None:
        if not self.dev:
            return  # whoever has the token may call this server by any name
        hosts = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        name = _host_name(hosts[0]) if len(hosts) == 1 else None
        if name is None or name not in LOOPBACK_NAMES | set(self.server.hosts):
            raise AccessError("this server is not called by that name", code="HOST_REFUSED")

    def _check_origin(self, headers: Mapping[bytes, bytes]) -> None:
        """A browser names the page's origin; programs name none."""
        stated = headers.get(b"origin")
        if stated is None:
            # An image or script of another page comes without Origin, but says where it comes from.
            foreign = headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site")
            if foreign and headers.get(b"sec-fetch-mode") != b"navigate":
                raise AccessError("pages of other origins may not call this server", code="ORIGIN_REFUSED")
            return
        origin, host = stated.decode("latin-1"), headers.get(b"host", b"").decode("latin-1")
        parts = urlsplit(origin)
        own = parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
        if not own and origin not in self.server.origins:
            raise AccessError("pages of other origins may not call this server", code="ORIGIN_REFUSED")

    def _principal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Principal | None:
        """AccessError UNAUTHENTICATED, TOKEN_INVALID, TOKEN_EXPIRED or TOKEN_REVOKED."""
        given = headers.get(b"authorization")
        if given is not None:
            stated = given.decode("latin-1")
            if not stated.lower().startswith(_BEARER):
                raise AccessError("only Bearer tokens are known", code="UNAUTHENTICATED")
            return self.tokens.principal(stated[len(_BEARER) :].strip())
        if self.dev:
            return LOCAL
        # A socket may bring its token with connection_init: browsers cannot set its headers.
        if scope["type"] == "websocket" or _is_open(scope, headers):
            return None
        raise AccessError(
            "a token is needed", code="UNAUTHENTICATED", hint="Authorization: Bearer, see `twinmesh tokens`"
        )


def _is_open(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    path, is_get = scope["path"], scope["method"] in ("GET", "HEAD")
    if path.startswith(_PEERS_PREFIX):
        return True
    if not is_get:
        return False
    # The console is a page like any other; what it asks comes with a token.
    wants_page = b"text/html" in headers.get(b"accept", b"")
    is_console = path == "/graphql" and not scope["query_string"] and wants_page
    return path in _OPEN_PATHS or path.startswith(_OPEN_PREFIX) or is_console


@lru_cache(_HOSTS_KEPT_MAX)
def _host_name(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return parts.hostname if parts.username is None and parts.path == "" else None


async def _refuse(error: TwinmeshError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await problem_response(error)(scope, receive, send)
        return
    # Closing before accepting answers the handshake with 403.
    await receive()
    await send({"type": "websocket.close", "code": 1008, "reason": error.code})
