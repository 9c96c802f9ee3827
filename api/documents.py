"""`GET /id/...`: a twin as Turtle or JSON-LD. The rest of the path is an IRI, `site:localId` or local id."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio.to_thread
import numpy as np
from starlette.responses import RedirectResponse, Response

from adapters.rdf.sink import write_rdf
from adapters.selection import select
from api.graphql_http import principal_of
from api.schema.context import RequestContext
from graph.access import Scope
from graph.values import Way
from ontology.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

    from api.schema.context import Services
    from graph.view import View

_FORMATS: Final = {
    "text/turtle": "ttl",
    "application/ld+json": "jsonld",
    "application/json": "jsonld",
    "*/*": "ttl",
}
_MEDIA: Final = {"ttl": "text/turtle; charset=utf-8", "jsonld": "application/ld+json"}
_NEIGHBOURS_MAX: Final = 1_000


async def document_door(request: Request, services: Services) -> Response:
    """The twin with its relationships. TWIN_UNKNOWN, NOT_ACCEPTABLE; HTML goes to the page."""
    principal = principal_of(request)
    text = request.path_params["rest"]
    name = _format(request.headers.get("accept") or "*/*")
    if name is None:
        return RedirectResponse(f"/?id={text}", 303)
    context = RequestContext(services, principal)
    content = await anyio.to_thread.run_sync(partial(_document, context, text, name))
    return Response(content, media_type=_MEDIA[name], headers={"Vary": "Accept"})


def _format(accept: str) -> str | None:
    """The format that Accept names first; None for HTML."""
    names = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for name in names:
        if name == "text/html":
            return None
        if name in _FORMATS:
            return _FORMATS[name]
    raise UsageError(f"nothing of {accept!r} can be sent", code="NOT_ACCEPTABLE")


def _document(context: RequestContext, text: str, name: str) -> bytes:
    view = context.present()
    row = _find(view, text)
    site, place = view.snapshot.site_row(row)
    own = context.view_of(context.mesh.twin(site).snapshot())
    # The twin and those it is related to; what the latter are is told at their own ids.
    hops = own.hops_along(np.array([place]), own.trails(None, Way.BOTH))
    shown = np.zeros(own.snapshot.size, np.bool_)
    shown[place] = True
    shown[hops.others[:_NEIGHBOURS_MAX]] = True
    return write_rdf([select(own.snapshot, Scope(shown & own.snapshot.alive))], name)


def _find(view: View, text: str) -> int:
    """The path as a text; where a client wrote `site/localId`, as that."""
    try:
        return view.find(text)
    except NotFoundError:
        site, slash, local_id = text.partition("/")
        if not slash or site not in view.snapshot.sites:
            raise
        return view.find(f"{site}:{local_id}")
