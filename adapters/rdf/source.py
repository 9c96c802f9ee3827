"""RDF files -> twins, relationships, kinds, and lines for all the rest (INTERFACE section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyoxigraph import BlankNode, NamedNode, Quad

from adapters.model import Parsed
from adapters.problems import Problems
from adapters.rdf.config import TYPE
from adapters.rdf.decode import Document, indexed, read_document
from adapters.rdf.edges import EdgeReader
from adapters.rdf.facts import Facts
from adapters.rdf.kinds import take_census
from adapters.rdf.literals import Names
from adapters.rdf.statements import Kept, in_graph, kept_lines
from adapters.rdf.twins import TwinReader, relation_of
from graph.ids import is_valid_iri

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from adapters.model import ImportRequest
    from graph.values import TwinRecord
    from ontology.schema import Schema
    from ontology.units import Units


def read_ttl(path: Path, request: ImportRequest, schema: Schema, units: Units) -> Parsed:
    """What a Turtle file says (see `read_rdf`)."""
    return read_rdf("ttl", path, request, schema, units)


def read_nq(path: Path, request: ImportRequest, schema: Schema, units: Units) -> Parsed:
    """What an N-Quads or N-Triples file says (see `read_rdf`)."""
    return read_rdf("nq", path, request, schema, units)


def read_jsonld(path: Path, request: ImportRequest, schema: Schema, units: Units) -> Parsed:
    """What a JSON-LD file says (see `read_rdf`)."""
    return read_rdf("jsonld", path, request, schema, units)


def read_rdfxml(path: Path, request: ImportRequest, schema: Schema, units: Units) -> Parsed:
    """What an RDF/XML file says (see `read_rdf`)."""
    return read_rdf("rdfxml", path, request, schema, units)


def read_rdf(format_name: str, path: Path, request: ImportRequest, schema: Schema, units: Units) -> Parsed:
    """What an RDF file says: each triple is in the records, in `statements`, or in both.

    Raises InputError with the place of a syntax error. Warns of unknown and deprecated kinds, of blank nodes
    that would be twins, and of named graphs that are not read.
    """
    warnings = Problems(str(path))
    document = read_document(path, format_name, request.base)
    mapped, kept = _split(document, request.base, warnings)
    census = take_census(mapped, schema, warnings)
    facts = Facts(mapped, Names(census.schema), units, request.source, kept)
    edges = EdgeReader(facts, census.schema, request.base)
    relationships = edges.read(mapped)
    reader = TwinReader(facts, census.schema, request.base)
    twins = [reader.read(subject, kinds) for subject, kinds in census.twins.items()]
    stated = {subject.value for subject in census.twins}
    loose, otherwise = _loose(mapped, reader, {*census.twins, *edges.nodes})
    done = {*census.twins, *edges.nodes, *(NamedNode(record.id) for record in loose)}
    facts.keep(_rest(mapped, census.schema, facts.taken, done))
    return Parsed(
        str(path),
        format_name,
        request.source,
        twins=(*twins, *loose),
        relationships=relationships,
        kinds=census.records,
        statements=kept_lines(facts.kept, stated),
        warnings=warnings.all(),
        otherwise=otherwise,
    )


def _split(document: Document, base: str, warnings: Problems) -> tuple[Document, list[Kept]]:
    """The quads to read as twins, and those of other graphs to keep.

    Read are the default graph and the graph of the site itself (exports name it by its base); where both are
    empty and the file has one graph only, that one.
    """
    own: list[Quad] = []
    named: dict[object, list[Quad]] = {}
    for quad in document.quads:
        if isinstance(quad.graph_name, NamedNode) and quad.graph_name.value == base:
            own.append(Quad(quad.subject, quad.predicate, quad.object))
        elif in_graph(quad):
            named.setdefault(quad.graph_name, []).append(quad)
        else:
            own.append(quad)
    if not own and len(named) == 1:
        own = named.popitem()[1]
    for graph, quads in named.items():
        told = f"{len(quads)} statements of the named graph {graph} are kept, but not read as twins"
        warnings.add("NAMED_GRAPH", told, item=str(graph), hint="import that graph from a file of its own")
    rest = [Kept(quad) for quads in named.values() for quad in quads]
    return indexed(own, document.prefixes), rest


def _loose(
    document: Document, reader: TwinReader, done: set[NamedNode | BlankNode]
) -> tuple[list[TwinRecord], dict[str, tuple[str, ...]]]:
    """Subjects without a type that have a name or attributes: perhaps twins that are stated elsewhere.

    For each also the lines to keep if no such twin is there.
    """
    records: list[TwinRecord] = []
    otherwise: dict[str, tuple[str, ...]] = {}
    for subject, quads in document.about.items():
        if isinstance(subject, BlankNode) or subject in done or not is_valid_iri(subject.value):
            continue
        if any(quad.predicate.value == TYPE for quad in quads):
            continue
        record, lines = _read_loose(subject, reader)
        if record is not None:
            records.append(record)
            otherwise[record.id] = lines
    return records, otherwise


def _read_loose(subject: NamedNode, reader: TwinReader) -> tuple[TwinRecord | None, tuple[str, ...]]:
    """The record of an untyped subject, None if it says nothing that a twin could hold."""
    facts = reader.facts
    kept, settled = len(facts.kept), len(facts.settled)
    record = reader.read(subject, ())
    if len(facts.settled) == settled:
        del facts.kept[kept:]
        return None, ()
    return record, kept_lines([Kept(quad) for quad in facts.settled[settled:]], ())


def _rest(
    document: Document, schema: Schema, taken: set[BlankNode], done: set[NamedNode | BlankNode]
) -> Iterable[Quad]:
    """The quads that no reader looked at."""
    for quad in document.quads:
        if quad.subject not in done and quad.subject not in taken and relation_of(quad, schema) is None:
            yield quad
