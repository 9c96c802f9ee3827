"""Twins, relationships, kinds and kept lines -> RDF. What an import brought goes out as it came."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyoxigraph import Quad, RdfFormat, Triple, parse, serialize

from adapters.rdf.config import CLASSES, EXPORT_PREFIXES, FORMATS, SUBCLASS, TYPE
from adapters.rdf.lines import plain_line, rdf12_lines, reified_lines, twin_facts
from adapters.rdf.literals import Names
from adapters.rdf.statements import Line, Verb, in_graph, key_of, parse_line
from graph.ids import local_id_of
from ontology.errors import UsageError
from ontology.rdf import kind_triples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from adapters.selection import Selection
    from graph.values import RelationshipRecord


def write_rdf(selections: Sequence[Selection], format_name: str, *, rdf12: bool = False) -> bytes:
    """An RDF document, UTF-8, in a fixed order: equal contents give equal bytes.

    N-Quads puts each site into the graph named by its base IRI; other formats hold one graph. `rdf12` states
    the attributes of relationships by triple terms instead of nodes.

    Raises UsageError FORMAT_UNSUPPORTED for JSON-LD where triple terms would have to go out.
    """
    plain = format_name == "jsonld"  # JSON-LD knows no triple terms
    if plain and rdf12:
        raise UsageError("JSON-LD knows no triple terms", code="FORMAT_UNSUPPORTED", hint="use ttl or nq")
    by_site = {one.base: site_lines(one, rdf12=rdf12, triple_terms=not plain) for one in selections}
    if format_name == "nq":
        quads = {line for base, lines in by_site.items() for line in _in_graph(lines, base)}
        return "".join(f"{line}\n" for line in sorted(quads)).encode()
    triples = {f"{quad.triple} ." for lines in by_site.values() for quad in _quads(lines)}
    return _serialized(sorted(triples), FORMATS[format_name])


def site_lines(selection: Selection, *, rdf12: bool = False, triple_terms: bool = True) -> list[str]:
    """Everything of one site as lines of N-Quads, unsorted; in no graph but where a file named one."""
    snapshot = selection.snapshot
    kept = _Kept.of(selection, triple_terms)
    lines: list[str] = []
    for fact in (*_twin_facts(selection), *_edge_facts(selection)):
        lines += kept.spelling(fact.key_lines, fact.rdf12 if rdf12 and fact.rdf12 else fact.key_lines)
    lines += (f"{triple} ." for triple in kind_triples(snapshot.schema) if kept.lacks_kind(triple))
    return lines + kept.plain


@dataclass(frozen=True, slots=True)
class _Fact:
    """The lines that state a fact, and those of RDF 1.2 where they differ."""

    key_lines: tuple[str, ...]
    rdf12: tuple[str, ...] = ()


def _twin_facts(selection: Selection) -> Iterator[_Fact]:
    snapshot, names = selection.snapshot, Names(selection.snapshot.schema)
    for row in selection.rows.tolist():
        record, local_id = snapshot.record(row), snapshot.local_id(row)
        follows = local_id == local_id_of(record.id, selection.base)
        for lines in twin_facts(record, None if follows else local_id, names):
            yield _Fact(lines)


def _edge_facts(selection: Selection) -> Iterator[_Fact]:
    """A triple per ends and relation, and a node for each relationship of which that does not say all."""
    snapshot, names = selection.snapshot, Names(selection.snapshot.schema)
    by_ends: dict[tuple[str, str, str], list[tuple[int, RelationshipRecord]]] = defaultdict(list)
    for edge in selection.edges.tolist():
        record = snapshot.relationship(edge)
        by_ends[record.source, record.relation, record.target].append((edge, record))
    for same in by_ends.values():
        # Where the file stated only the inverse, that is the triple (of several groups the first in order).
        yield _Fact((min(plain_line(record) for _, record in same),))
        for edge, record in same:
            if len(same) > 1 or record.group or record.id or record.attributes:
                iri = snapshot.edge_id(edge)
                yield _Fact(reified_lines(record, iri, names), rdf12_lines(record, iri, names))


@dataclass(slots=True)
class _Kept:
    """The kept lines of a site, and which of them the export needs."""

    instead: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])
    also: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])
    plain: list[str] = field(default_factory=list[str])
    stated_kinds: set[str] = field(default_factory=set[str])

    @classmethod
    def of(cls, selection: Selection, triple_terms: bool) -> _Kept:
        """Sorts the lines by their marks; if not all is visible, only those that spell visible facts."""
        kept = cls()
        snapshot = selection.snapshot
        lines = [parse_line(text) for texts in snapshot.statements().values() for text in texts]
        for line in lines:
            if line.mark is None or line.mark.verb is Verb.WITH:
                if selection.whole and (line.mark is None or _any_there(selection, line.mark.what)):
                    kept.plain.append(line.statement)
            else:
                group = kept.instead if line.mark.verb is Verb.INSTEAD else kept.also
                group.setdefault(line.mark.what[0], []).append(line.statement)
        if not triple_terms:
            kept._drop_triple_terms()
        kept.stated_kinds = _stated_kinds(lines)
        return kept

    def spelling(self, key_lines: tuple[str, ...], own: tuple[str, ...]) -> Iterable[str]:
        """The lines for a fact: as its file spelt it, else our own."""
        if not self.instead and not self.also:
            return own
        key = key_of(key_lines)
        return (*self.instead.get(key, own), *self.also.get(key, ()))

    def lacks_kind(self, triple: Triple) -> bool:
        """True if no kept line declares the class that a triple is about."""
        return str(triple.subject) not in self.stated_kinds

    def _drop_triple_terms(self) -> None:
        """Facts spelt with triple terms go out in our own spelling; other lines with them cannot go out."""
        spelt = {key for key, lines in self.instead.items() if any(map(_has_triple_term, lines))}
        self.instead = {key: lines for key, lines in self.instead.items() if key not in spelt}
        others = sum(map(_has_triple_term, self.plain))
        if others:
            told = f"JSON-LD knows no triple terms, and {others} kept statements have some"
            raise UsageError(told, code="FORMAT_UNSUPPORTED", hint="use ttl or nq")


def _any_there(selection: Selection, twins: Iterable[str]) -> bool:
    return any(selection.snapshot.row(iri) >= 0 for iri in twins)


def _stated_kinds(lines: Iterable[Line]) -> set[str]:
    """Classes (as N-Triples terms) that kept lines declare."""
    types = {f"<{TYPE}> <{kind}>" for kind in CLASSES}
    stated: set[str] = set()
    for line in lines:
        subject, _, rest = line.statement.partition(" ")
        predicate, _, tail = rest.partition(" ")
        if predicate == f"<{SUBCLASS}>" or f"{predicate} {tail.split(' ', 1)[0]}" in types:
            stated.add(subject)
    return stated


def _has_triple_term(line: str) -> bool:
    return "<<(" in line and any(isinstance(quad.object, Triple) for quad in _quads([line]))


def _quads(lines: Iterable[str]) -> Iterator[Quad]:
    text = "\n".join(lines).encode()
    return (quad for quad in parse(text, RdfFormat.N_QUADS) if isinstance(quad, Quad))


def _in_graph(lines: Iterable[str], graph: str) -> Iterator[str]:
    """Lines in a named graph, but for those that stand in one of their own."""
    for quad in _quads(lines):
        yield f"{quad} ." if in_graph(quad) else f"{quad} <{graph}> ."


def _serialized(lines: list[str], format_: RdfFormat) -> bytes:
    triples = (quad.triple for quad in _quads(lines))
    written = serialize(triples, format=format_, prefixes=dict(EXPORT_PREFIXES))
    return written or b""
