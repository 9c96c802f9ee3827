"""SHACL over a data folder: our own shapes, and those the user gives. A report, not a gate.

Validated is the data UNION the ontology: how the data graph is put together changes the verdict (given apart
as `ont_graph`, pySHACL found 9 of 108 results on a real building). Only results about the data are reported.
"""

# rdflib and pyshacl are partly untyped.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyshacl import validate
from rdflib import RDF, SH, Graph

from adapters.formats import format_of
from adapters.rdf.config import FORMATS
from adapters.rdf.decode import read_document
from adapters.rdf.graph import graph_of
from adapters.rdf.shapes import schema_lines, shape_lines
from adapters.rdf.sink import site_lines
from adapters.rdf.statements import statement_of
from ontology.errors import InputError, Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rdflib.term import Node

    from adapters.selection import Selection

_NO_BASE = "https://twinmesh.invalid/shapes/"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a validation. Terms are IRIs, texts, or blank node labels."""

    severity: str  # Violation, Warning or Info
    focus: str
    path: str | None
    value: str | None
    shape: str | None
    message: str

    @property
    def problem(self) -> Problem:
        """The finding as a problem: SHACL_VIOLATION, SHACL_WARNING or SHACL_INFO."""
        return Problem(f"SHACL_{self.severity.upper()}", self.message, Place(item=self.focus))


def shacl_report(selections: Sequence[Selection], shapes: Sequence[Path] = ()) -> tuple[Finding, ...]:
    """What our shapes, and the shapes and ontologies in some RDF files, find in sites; sorted.

    Raises InputError where a file cannot be read.
    """
    data = [line for one in selections for line in site_lines(one)]
    schemas = {id(one.snapshot.schema): one.snapshot.schema for one in selections}.values()
    ontology = [line for schema in schemas for line in schema_lines(schema)]
    rules = [line for schema in schemas for line in shape_lines(schema)]
    for path in shapes:
        rules += _lines_of(path)
    return validated(data, [*ontology, *rules], rules)


def validated(data: Iterable[str], ontology: Iterable[str], shapes: Iterable[str]) -> tuple[Finding, ...]:
    """pySHACL's results over data UNION ontology with focus nodes in the data. Lines are N-Quads."""
    own = _in_memory(data)
    whole = _in_memory(ontology)
    whole += own
    _, report, text = validate(whole, shacl_graph=_in_memory(shapes), inplace=True, inference="none")
    if not isinstance(report, Graph):
        raise InputError(f"the shapes cannot be used: {text}", code="SHACL_INVALID")
    subjects = set(own.subjects())
    results = (node for node in report.subjects(RDF.type, SH.ValidationResult))
    found = (_finding(report, node) for node in results if report.value(node, SH.focusNode) in subjects)
    return tuple(sorted(found, key=lambda one: (one.focus, one.path or "", one.message, one.value or "")))


def _in_memory(lines: Iterable[str]) -> Graph:
    """A graph in rdflib's own memory: pySHACL asks in tiny steps, where Oxigraph took 70 times as long."""
    graph = Graph()
    for triple in graph_of(lines):
        graph.add(triple)
    return graph


def _finding(report: Graph, node: Node) -> Finding:
    severity = str(report.value(node, SH.resultSeverity)).rpartition("#")[2]
    message = report.value(node, SH.resultMessage)
    return Finding(
        severity,
        str(report.value(node, SH.focusNode)),
        _text(report.value(node, SH.resultPath)),
        _text(report.value(node, SH.value)),
        _text(report.value(node, SH.sourceShape)),
        str(message) if message is not None else "",
    )


def _text(node: Node | None) -> str | None:
    return None if node is None else str(node)


def _lines_of(path: Path) -> list[str]:
    name = format_of(path)
    if name not in FORMATS:
        raise InputError(f"shapes are RDF, not {name}", code="FORMAT_UNSUPPORTED", place=Place(str(path)))
    return [statement_of(quad) for quad in read_document(path, name, _NO_BASE).quads]
