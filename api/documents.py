"""`GET /id/...`: a twin as Turtle, N-Triples or JSON-LD. The path is an IRI, `site:localId` or local id.

Who wants HTML is sent to the page. A twin that is only known as the far end of a relationship is told about
by its own server: a request is sent there, if its IRI is one that can be asked, and never by an IRI that
stands in the request but not in the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import anyio.to_thread
import numpy as np
from starlette.responses import RedirectResponse, Response

from adapters.rdf.sink import write_rdf
from adapters.selection import select
from api.graphql_http import principal_of
from api.negotiating import accepted
from api.policy import Action
from api.schema.context import RequestContext
from graph.access import Scope
from graph.ids import is_valid_iri
from graph.values import Way
from ontology.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

    from api.schema.context import Services
    from graph.snapshot import Snapshot
    from graph.view import View

_OFFERS: Final = {
    "text/turtle": "ttl",
    "application/ld+json": "jsonld",
    "application/n-triples": "nt",
    "application/json": "jsonld",
    "text/html": "html",
}
_MEDIA: Final = {
    "ttl": "text/turtle; charset=utf-8",
    "jsonld": "application/ld+json",
    "nt": "application/n-triples",
}
_NEIGHBOURS_MAX: Final = 1_000
_HEADERS: Final = {"Vary": "Accept, Authorization", "Cache-Control": "private, no-cache"}


@dataclass(frozen=True, slots=True)
class _Document:
    """content None: what the asker has is still so. truncated: of how many relationships it tells a part."""

    id: str
    etag: str
    content: bytes | None
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """Where its own server is to be asked."""

    iri: str


async def document_door(request: Request, services: Services) -> Response:
    """The twin with its relationships. TWIN_UNKNOWN, NOT_ACCEPTABLE, FORMAT_UNKNOWN."""
    principal = principal_of(request)
    principal.require(Action.READ)
    text = request.path_params["rest"]
    name = _format(request)
    if name == "html":
        return RedirectResponse(f"/?id={quote(text, safe='')}", 303, headers=_HEADERS)
    work = partial(_find, RequestContext(services, principal), text, name, request.headers.get("host", ""))
    found = await anyio.to_thread.run_sync(partial(work, request.headers.get("if-none-match")))
    if isinstance(found, _Elsewhere):
        return RedirectResponse(found.iri, 303, headers={**_HEADERS, "Referrer-Policy": "no-referrer"})
    place = f"/id/{quote(found.id, safe='')}?format={name}"
    headers = {**_HEADERS, "ETag": found.etag, "Content-Location": place}
    if found.content is None:
        return Response(status_code=304, headers=headers)
    if found.truncated:
        headers["Twinmesh-Truncated"] = f"{_NEIGHBOURS_MAX} of {found.truncated} relationships"
    return Response(found.content, media_type=_MEDIA[name], headers=headers)


def _format(request: Request) -> str:
    stated = request.query_params.get("format")
    if stated is not None:
        if stated not in _MEDIA:
            hint = f"one of {', '.join(_MEDIA)}"
            raise UsageError(f"no format {stated!r}", code="FORMAT_UNKNOWN", hint=hint)
        return stated
    accept = request.headers.get("accept")
    name = accepted(accept, _OFFERS)
    if name is None:
        raise UsageError(f"nothing of {accept!r} can be sent", code="NOT_ACCEPTABLE")
    return name


def _find(
    context: RequestContext, text: str, name: str, host: str, known: str | None
) -> _Document | _Elsewhere:
    """known: what If-None-Match says."""
    view = context.present()
    row = _row(view, text)
    iri = view.snapshot.id(row)
    if _is_stub(view.snapshot, row) and _can_be_asked(iri, host):
        return _Elsewhere(iri)
    site, place = view.snapshot.site_row(row)
    own = context.view_of(context.mesh.twin(site).snapshot())
    etag = _etag(context, own.snapshot, iri, name)
    if known is not None and _matches(known, etag):
        return _Document(iri, etag, None)
    # The twin and those it is related to; what the latter are is told at their own ids.
    hops = own.hops_along(np.array([place]), own.trails(None, Way.BOTH))
    shown = np.zeros(own.snapshot.size, np.bool_)
    shown[place] = True
    shown[hops.others[:_NEIGHBOURS_MAX]] = True
    content = write_rdf([select(own.snapshot, Scope(shown & own.snapshot.alive))], name)
    return _Document(iri, etag, content, len(hops) if len(hops) > _NEIGHBOURS_MAX else 0)


def _row(view: View, text: str) -> int:
    """The path as a text; where a client wrote `site/localId`, as that."""
    try:
        return view.find(text)
    except NotFoundError:
        site, slash, local_id = text.partition("/")
        if not slash or site not in view.snapshot.sites:
            raise
        return view.find(f"{site}:{local_id}")


def _is_stub(snapshot: Snapshot, row: int) -> bool:
    """Whether nothing leads a twin but that it lies elsewhere, and no site here may name it."""
    is_external = snapshot.kinds(row)[:1] == (snapshot.schema.external_kind,)
    return is_external and not snapshot.id(row).startswith(tuple(snapshot.bases))


def _can_be_asked(iri: str, host: str) -> bool:
    """By HTTP, of another server than this one: no circles, no names and passwords, nothing to run."""
    if not is_valid_iri(iri):
        return False
    try:
        parts = urlsplit(iri)
        is_plain = parts.username is None and parts.password is None and bool(parts.hostname)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_plain and parts.netloc.lower() != host.lower()


def _etag(context: RequestContext, snapshot: Snapshot, iri: str, name: str) -> str:
    """Of what a document depends on: the revision of its site, the vocabulary, who sees what, the format."""
    asker = context.principal
    seen = (asker.sees_all, asker.sees_nothing, asker.sites, asker.kinds)
    stated = (snapshot.sites, snapshot.revisions, snapshot.schema.version, seen, iri, name)
    return f'"{blake2b(repr(stated).encode(), digest_size=16).hexdigest()}"'


def _matches(stated: str, etag: str) -> bool:
    """If-None-Match compares weakly (RFC 9110, 13.1.2)."""
    each = (part.strip().removeprefix("W/") for part in stated.split(","))
    return stated.strip() == "*" or etag in each
