"""Triples between twins, and nodes that say more about them -> relationship records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyoxigraph import Literal, NamedNode, Triple

from adapters.rdf.config import GROUP, REIFIES, RELATION, RELATIONSHIP, SOURCE, STRING, TARGET, TYPE
from adapters.rdf.lines import plain_line, rdf12_lines, reified_lines
from adapters.rdf.statements import beside
from adapters.rdf.twins import relation_of
from graph.ids import is_valid_iri, relationship_iri
from graph.values import RelationshipRecord, Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoxigraph import Quad

    from adapters.rdf.decode import Document, Subject
    from adapters.rdf.facts import Facts
    from ontology.schema import Relation, Schema

_NODE_FORM = frozenset((TYPE, SOURCE, RELATION, TARGET, GROUP, REIFIES))


@dataclass(frozen=True, slots=True)
class Ends:
    """Source, canonical relation and target."""

    source: str
    relation: int
    target: str


@dataclass(slots=True)
class _Stated:
    """All that a document says of one pair of ends."""

    direct: Quad | None = None
    inverse: list[Quad] = field(default_factory=list["Quad"])
    nodes: list[_Node] = field(default_factory=list["_Node"])


@dataclass(frozen=True, slots=True)
class _Node:
    """A relationship node: its own IRI (None for a blank one), group, attributes, and all its quads."""

    iri: str | None
    group: str
    attributes: dict[str, Value]
    quads: tuple[Quad, ...]


@dataclass(slots=True)
class EdgeReader:
    """Reads relationships; what does not fit goes to `facts.kept`. `base` of the site makes their ids."""

    facts: Facts
    schema: Schema
    base: str
    nodes: set[Subject] = field(default_factory=set["Subject"])  # subjects that were read as relationships
    _stated: dict[Ends, _Stated] = field(default_factory=dict[Ends, _Stated])

    def read(self, document: Document) -> tuple[RelationshipRecord, ...]:
        """All relationships in the order of the file."""
        for quad in document.quads:
            relation = relation_of(quad, self.schema)
            if (
                relation is not None
                and isinstance(quad.object, NamedNode)
                and isinstance(quad.subject, NamedNode)
            ):
                self._add_triple(quad, quad.subject.value, relation, quad.object.value)
        for subject, quads in document.about.items():
            if any(_is_node(quad) for quad in quads):
                self._add_node(subject, document)
        return tuple(
            record for ends, stated in self._stated.items() for record in self._records(ends, stated)
        )

    def _add_triple(self, quad: Quad, source: str, relation: Relation, target: str) -> None:
        stated = self._stated.setdefault(_ends(source, relation, target), _Stated())
        if relation.inverse_of is None:
            stated.direct = quad
        else:
            stated.inverse.append(quad)

    def _add_node(self, subject: Subject, document: Document) -> None:
        said = document.predicates(subject)
        ends = self._ends_of(said)
        node = self._node(subject, said) if ends else None
        if ends is not None and node is not None:
            self.nodes.add(subject)
            self._stated.setdefault(ends, _Stated()).nodes.append(node)

    def _ends_of(self, said: dict[str, list[Quad]]) -> Ends | None:
        """What a node is about: by tm:source, tm:relation, tm:target or by a triple term."""
        reified = [quad.object for quad in said.get(REIFIES, ())]
        if len(reified) == 1 and isinstance(reified[0], Triple):
            terms = [reified[0].subject, reified[0].predicate, reified[0].object]
        else:
            terms = [_only(said.get(name, [])) for name in (SOURCE, RELATION, TARGET)]
        iris = [term.value for term in terms if isinstance(term, NamedNode) and is_valid_iri(term.value)]
        relation = self.schema.relation_by_iri(iris[1]) if len(iris) == 3 else None
        return _ends(iris[0], relation, iris[2]) if relation else None

    def _node(self, subject: Subject, said: dict[str, list[Quad]]) -> _Node | None:
        """The node, if all that is said of it fits into a relationship."""
        attributes: dict[str, Value] = {}
        quads = [quad for name in said if name in _NODE_FORM for quad in said[name]]
        for predicate, stated in said.items():
            if predicate in _NODE_FORM:
                continue
            fact = self.facts.attribute(predicate, stated)
            if fact is None or fact.name in attributes:
                return None
            attributes[fact.name] = fact.value
            quads += fact.quads
        group = _group(said)
        fits = group is not None and len(said.get(TYPE, ())) <= 1
        iri = subject.value if isinstance(subject, NamedNode) else None
        return _Node(iri, group or "", attributes, tuple(quads)) if fits else None

    def _records(self, ends: Ends, stated: _Stated) -> Iterator[RelationshipRecord]:
        chosen = stated.direct or min(stated.inverse, key=lambda quad: quad.predicate.value, default=None)
        turned = stated.direct is None and chosen is not None
        plain = RelationshipRecord(
            ends.source,
            self.schema.relations[ends.relation].iri,
            ends.target,
            origin=self.facts.origin,
            stated=chosen.predicate.value if turned and chosen else None,
        )
        line = plain_line(plain)
        if chosen is not None:
            self.facts.settle([chosen], (line,))
        self.facts.keep((quad for quad in stated.inverse if quad is not chosen), beside((line,)))
        if not stated.nodes:
            yield plain
        for node in stated.nodes:
            yield self._of_node(plain, node)

    def _of_node(self, plain: RelationshipRecord, node: _Node) -> RelationshipRecord:
        derived = relationship_iri(self.base, plain.source, plain.relation, plain.target, node.group)
        record = RelationshipRecord(
            plain.source,
            plain.relation,
            plain.target,
            group=node.group,
            id=None if node.iri in (None, derived) else node.iri,
            attributes=node.attributes,
            origin=plain.origin,
            stated=plain.stated,
        )
        iri, names = node.iri or derived, self.facts.names
        self.facts.settle(node.quads, reified_lines(record, iri, names), rdf12_lines(record, iri, names))
        return record


def _is_node(quad: Quad) -> bool:
    if quad.predicate.value == REIFIES:
        return isinstance(quad.object, Triple)
    return quad.predicate.value == TYPE and quad.object == NamedNode(RELATIONSHIP)


def _ends(source: str, relation: Relation, target: str) -> Ends:
    if relation.inverse_of is None:
        return Ends(source, relation.index, target)
    return Ends(target, relation.inverse_of, source)


def _only(quads: list[Quad]) -> object:
    return quads[0].object if len(quads) == 1 else None


def _group(said: dict[str, list[Quad]]) -> str | None:
    """The group a node states, "" if none; None if what it states is no name."""
    if GROUP not in said:
        return ""
    term = _only(said[GROUP])
    return term.value if isinstance(term, Literal) and term.datatype.value == STRING else None
