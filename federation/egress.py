"""The one way out to other servers: to listed places alone, with a deadline, a size, and no turning aside.

Whatever answers is taken for hostile: it may hang, drip, lie about its size, pack, redirect or talk garbage.
"""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from federation.tls import SYSTEM_TLS, ClientTls, client_context
from ontology.errors import AccessError, LimitError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

URL_CHARS_MAX: Final = 2_048
DEADLINE_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 1 << 20
KEPT_S: Final = 2.0
"""A connection that was idle longer is not used again: servers close theirs after 5 s."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is: scheme, host, port. What lies behind is the path of a request."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if self.port == usual else f":{self.port}")


@dataclass(frozen=True, slots=True)
class Egress:
    """What may be called, and how long and large an answer may be.

    places: the added peers (`peers add` lists the one it is about to add). plain_hosts: names besides
    loopback that may be called without TLS, because the operator says that the net between is safe.
    """

    places: frozenset[Place]
    plain_hosts: frozenset[str] = frozenset()
    deadline_s: float = DEADLINE_S
    answer_bytes_max: int = ANSWER_BYTES_MAX
    tls: ClientTls = SYSTEM_TLS


@dataclass(frozen=True, slots=True)
class Request:
    place: Place
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


def place_of(url: str) -> Place:
    """The place that a peer's URL means. UsageError PEER_URL."""
    hint = "https://HOST[:PORT], nothing behind it"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL", code="PEER_URL", hint=hint) from error
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    fits = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and port != 0
    if not is_plain or not fits or len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable():
        raise UsageError(f"{url!r} is no URL of a server", code="PEER_URL", hint=hint)
    return Place(parts.scheme, str(parts.hostname), port or {"http": 80, "https": 443}[parts.scheme])


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Connections that are kept between several requests. Every request is checked as if it were alone."""

    client: httpx.AsyncClient


@asynccontextmanager
async def kept_line(egress: Egress) -> AsyncGenerator[Line]:
    """A line within one event loop."""
    limits = httpx.Limits(max_keepalive_connections=len(egress.places), keepalive_expiry=KEPT_S)
    # No proxies, no .netrc: what the environment says must not turn a request aside.
    async with httpx.AsyncClient(
        verify=client_context(egress.tls), trust_env=False, follow_redirects=False, limits=limits
    ) as client:
        yield Line(client)


async def send_out(egress: Egress, request: Request, line: Line | None = None) -> Reply:
    """Send a request, read the whole answer. Never longer than the deadline, whatever the other side does.

    line: connections to use; default one for this request alone.

    AccessError EGRESS_REFUSED (not listed), EGRESS_PLAIN (no TLS), PEER_REDIRECTS; LimitError PEER_TIMEOUT,
    PEER_TOO_LARGE; StoreError PEER_UNREACHABLE, PEER_GARBAGE.
    """
    _check(egress, request.place)
    try:
        async with asyncio.timeout(egress.deadline_s):
            if line is not None:
                return await _exchange(egress, request, line)
            async with kept_line(egress) as own:
                return await _exchange(egress, request, own)
    except (TimeoutError, httpx.TimeoutException) as error:
        message = f"{request.place.url} did not answer within {egress.deadline_s:g} s"
        raise LimitError(message, code="PEER_TIMEOUT") from error
    except (httpx.ProtocolError, httpx.DecodingError, httpx.InvalidURL, UnicodeError) as error:
        raise StoreError(f"{request.place.url} does not speak HTTP", code="PEER_GARBAGE") from error
    except httpx.HTTPError as error:
        hint = "is the server running, and does its certificate hold?"
        message = f"{request.place.url} cannot be reached: {type(error).__name__}"
        raise StoreError(message, code="PEER_UNREACHABLE", hint=hint) from error


def _check(egress: Egress, place: Place) -> None:
    if place not in egress.places:
        hint = "only added peers are called: `twinmesh peers add`"
        raise AccessError(f"{place.url} is no peer of ours", code="EGRESS_REFUSED", hint=hint)
    if place.scheme == "http" and not _is_loopback(place.host) and place.host not in egress.plain_hosts:
        hint = "use https, or name the host in `[federation] plain_hosts`"
        raise AccessError(f"{place.url} is not encrypted", code="EGRESS_PLAIN", hint=hint)


async def _exchange(egress: Egress, request: Request, line: Line) -> Reply:
    headers = {"accept-encoding": "identity", "user-agent": "twinmesh", **request.headers}
    url = request.place.url + request.path
    async with line.client.stream(
        request.method, url, content=request.body, headers=headers, timeout=egress.deadline_s
    ) as response:
        line.client.cookies.clear()  # a peer must not mark us
        if response.is_redirect:
            raise AccessError(f"{request.place.url} sends us elsewhere", code="PEER_REDIRECTS")
        body = await _body(response, egress.answer_bytes_max, request.place)
        return Reply(response.status_code, dict(response.headers), body)


async def _body(response: httpx.Response, bytes_max: int, place: Place) -> bytes:
    stated = response.headers.get("content-length", "0")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise StoreError(f"{place.url} packs what it was asked to send plain", code="PEER_GARBAGE")
    if not stated.isdigit() or int(stated[:19]) > bytes_max:
        raise _too_large(place, bytes_max)
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > bytes_max:
            raise _too_large(place, bytes_max)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(place: Place, bytes_max: int) -> LimitError:
    return LimitError(f"{place.url} answers with more than {bytes_max:,} bytes", code="PEER_TOO_LARGE")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
