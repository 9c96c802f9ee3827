"""Export: sites of a mesh as one document, seen through a principal's scope; for the command line and over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.csv.sink import csv_document
from adapters.graphml.sink import write_graphml
from adapters.rdf.sink import write_rdf
from adapters.selection import select
from ontology.errors import UsageError, suggestion

if TYPE_CHECKING:
    from adapters.selection import Selection
    from graph.access import Scope
    from graph.mesh import Mesh

MEDIA_TYPES = {
    "ttl": "text/turtle",
    "nq": "application/n-quads",
    "jsonld": "application/ld+json",
    "csv": "text/csv",
    "graphml": "application/graphml+xml",
}


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export. UsageError FORMAT_UNKNOWN at once, not when the work is half done."""

    format: str
    site: str | None = None
    rdf12: bool = False

    def __post_init__(self) -> None:
        if self.format not in MEDIA_TYPES:
            hint = suggestion(self.format, MEDIA_TYPES) or f"one of {', '.join(MEDIA_TYPES)}"
            raise UsageError(f"cannot export {self.format!r}", code="FORMAT_UNKNOWN", hint=hint)


def selections(mesh: Mesh, site: str | None, scopes: dict[str, Scope] | None = None) -> list[Selection]:
    """What goes out of each site, in order of name. `scopes` by site; None: everything. SITE_UNKNOWN."""
    sites = mesh.sites if site is None else (site,)
    return [select(mesh.twin(name).snapshot(), scopes[name] if scopes else None) for name in sites]


def export(request: ExportRequest, chosen: list[Selection]) -> bytes:
    """The document. Equal contents give equal bytes."""
    if request.format == "csv":
        return csv_document(chosen).encode()
    if request.format == "graphml":
        return write_graphml(chosen)
    return write_rdf(chosen, request.format, rdf12=request.rdf12)
