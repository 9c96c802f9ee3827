"""Sites -> documents that import reads (csv, ttl, nq, jsonld) or other programs do (graphml)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.csv.sink import csv_document, write_csv_folder
from adapters.graphml.sink import graphml
from adapters.rdf.sink import write_rdf
from adapters.selection import select
from ontology.errors import Place, StoreError, UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from adapters.selection import Selection
    from graph.access import Scope
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot

RDF_FORMATS = ("ttl", "nq", "jsonld")
EXPORT_FORMATS = (*RDF_FORMATS, "csv", "graphml")


def export_document(
    mesh: Mesh,
    format: str,
    *,
    site: str | None = None,
    rdf12: bool = False,
    scope: Callable[[Snapshot], Scope] | None = None,
) -> bytes:
    """One document, UTF-8, of a site or of all sites of a folder; equal contents give equal bytes.

    scope: what a principal may see of the snapshot of one site (None: everything).
    Raises UsageError FORMAT_UNKNOWN or FORMAT_UNSUPPORTED, NotFoundError SITE_UNKNOWN.
    """
    _check(format, rdf12=rdf12)
    selections = _selections(mesh, site, scope)
    if format == "csv":
        return csv_document(selections).encode()
    if format == "graphml":
        return graphml(selections)
    return write_rdf(selections, format, rdf12=rdf12)


def export_to(
    mesh: Mesh,
    format: str,
    out: Path,
    *,
    site: str | None = None,
    rdf12: bool = False,
    scope: Callable[[Snapshot], Scope] | None = None,
) -> tuple[Path, ...]:
    """Writes an export; returns the files written.

    CSV into a folder (one that is there, or a path without a suffix) is `twins.csv` and `relationships.csv`;
    into a file it is one document of both tables.

    Raises as `export_document`, and StoreError where `out` cannot be written.
    """
    try:
        if format == "csv" and (out.is_dir() or not out.suffix):
            return write_csv_folder(_selections(mesh, site, scope), out)
        document = export_document(mesh, format, site=site, rdf12=rdf12, scope=scope)
        out.write_bytes(document)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", place=Place(str(out))) from error
    return (out,)


def _check(format: str, *, rdf12: bool) -> None:
    if format not in EXPORT_FORMATS:
        hint = suggestion(format, EXPORT_FORMATS) or f"one of {', '.join(EXPORT_FORMATS)}"
        raise UsageError(f"no export format {format!r}", code="FORMAT_UNKNOWN", hint=hint)
    if rdf12 and format not in ("ttl", "nq"):
        message = f"{format} knows no triple terms"
        raise UsageError(message, code="FORMAT_UNSUPPORTED", hint="use ttl or nq with --rdf12")


def _selections(mesh: Mesh, site: str | None, scope: Callable[[Snapshot], Scope] | None) -> list[Selection]:
    names = mesh.sites if site is None else (site,)
    snapshots = [mesh.twin(name).snapshot() for name in names]
    return [select(snapshot, scope(snapshot) if scope else None) for snapshot in snapshots]
