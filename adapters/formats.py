"""Which importer reads a file: by the format asked for, else by suffix, else by how the file begins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from adapters.csv.decode import role_of
from adapters.csv.source import read_csv
from adapters.ifc.source import read_ifc
from adapters.opcua.nodeset import read_nodeset
from adapters.rdf.source import read_jsonld, read_nq, read_rdfxml, read_ttl
from ontology.errors import InputError, Place, UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from adapters.model import Importer

IMPORTERS: Mapping[str, Importer] = {
    "csv": read_csv,
    "ifc": read_ifc,
    "jsonld": read_jsonld,
    "nodeset2": read_nodeset,
    "nq": read_nq,
    "rdfxml": read_rdfxml,
    "ttl": read_ttl,
}

_SUFFIXES: Mapping[str, str] = {
    ".csv": "csv",
    ".ifc": "ifc",
    ".ifczip": "ifc",
    ".json": "jsonld",
    ".jsonld": "jsonld",
    ".nq": "nq",
    ".nt": "nq",
    ".owl": "rdfxml",
    ".rdf": "rdfxml",
    ".ttl": "ttl",
}
_BEGINNINGS: Mapping[str, re.Pattern[str]] = {
    "ifc": re.compile(r"\s*ISO-10303-21"),
    "nodeset2": re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:\w+:)?UANodeSet\b", re.DOTALL),
    "rdfxml": re.compile(r"\s*<\?xml|\s*<rdf:RDF"),
    "jsonld": re.compile(r"\s*[{\[]"),
    "ttl": re.compile(r"(?:\s*#[^\n]*\n)*\s*@?(prefix|base)\b", re.IGNORECASE),
    "nq": re.compile(r"(?:\s*#[^\n]*\n)*\s*(<[^>\s]+>|_:\S+)\s+<[^>\s]+>\s"),
}
_SNIFFED_BYTES = 1 << 16


def importer_of(format_name: str) -> Importer:
    """The importer of a format; UsageError FORMAT_UNKNOWN."""
    found = IMPORTERS.get(format_name)
    if found is None:
        hint = suggestion(format_name, IMPORTERS) or f"one of {', '.join(IMPORTERS)}"
        raise UsageError(f"no importer for format {format_name!r}", code="FORMAT_UNKNOWN", hint=hint)
    return found


def format_of(path: Path) -> str:
    """The format of a file. Raises InputError FILE_UNREADABLE or FORMAT_UNKNOWN."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_SNIFFED_BYTES).decode("utf-8-sig", errors="replace")
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        hint = "check the path, and that the file may be read"
        raise InputError(message, code="FILE_UNREADABLE", place=Place(str(path)), hint=hint) from error
    found = _SUFFIXES.get(path.suffix.lower()) or _sniff(start)
    if found is None:
        hint = f"say what it is: --format {'|'.join(IMPORTERS)}"
        message = "neither the name nor the beginning tells what this file is"
        raise InputError(message, code="FORMAT_UNKNOWN", place=Place(str(path)), hint=hint)
    return found


def _sniff(start: str) -> str | None:
    for name, beginning in _BEGINNINGS.items():
        if beginning.match(start):
            return name
    first = start.splitlines()[0] if start.strip() else ""
    return "csv" if role_of(first.split(",")) else None
