"""Triples -> attributes, and the rule by which a triple is either taken into the graph or kept as a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyoxigraph import BlankNode, Literal, NamedNode, Triple

from adapters.rdf.blank import renamed
from adapters.rdf.config import BRICK_UNIT, BRICK_VALUE, REFERENCE_IDS, STRING, UNIT, UNIT_ATTRIBUTE, VALUE
from adapters.rdf.literals import value_node, value_of
from adapters.rdf.statements import Kept, Mark, instead_of, statement_of
from graph.values import ExternalId, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyoxigraph import Quad

    from adapters.rdf.decode import Document
    from adapters.rdf.literals import Names
    from graph.values import JSONValue
    from ontology.schema import Attribute
    from ontology.units import Units

# The predicates of a node that holds a value: our own form, and Brick's entity properties.
_VALUE_FORMS = {
    frozenset((VALUE, UNIT)): (VALUE, UNIT),
    frozenset((BRICK_VALUE,)): (BRICK_VALUE, None),
    frozenset((BRICK_VALUE, BRICK_UNIT)): (BRICK_VALUE, BRICK_UNIT),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """An attribute and the quads that state it."""

    name: str
    value: Value
    quads: tuple[Quad, ...]


@dataclass(slots=True)
class Facts:
    """Reads attributes from a document. `kept` collects what an export would not write by itself."""

    document: Document
    names: Names
    units: Units
    origin: str
    kept: list[Kept] = field(default_factory=list[Kept])
    settled: list[Quad] = field(default_factory=list["Quad"])  # what the graph holds, in order of reading
    taken: set[BlankNode] = field(
        default_factory=set["BlankNode"]
    )  # value nodes and the like, read as a whole

    def keep(self, quads: Iterable[Quad], mark: Mark | None = None) -> None:
        self.kept += [Kept(quad, mark) for quad in quads]

    def settle(self, quads: Sequence[Quad], *spellings: tuple[str, ...]) -> None:
        """The graph holds what `quads` say. Keep them too, unless an export would write just these lines.

        `spellings`: the lines that exports write for this fact; the first one names it.
        """
        self.settled += quads
        self.taken.update(quad.subject for quad in quads if isinstance(quad.subject, BlankNode))
        stated = _lines(quads)
        if not any(stated == frozenset(lines) for lines in spellings):
            self.keep(quads, instead_of(spellings[0]))

    def attribute(self, predicate: str, quads: Sequence[Quad]) -> Fact | None:
        """The attribute that the quads of one subject and predicate state, if they state one value."""
        if len(quads) != 1:
            return None
        name, term = self.names.name(predicate), quads[0].object
        if isinstance(term, Literal):
            value = value_of(term, self.names.declared(name))
            return self._fact(name, value, None, (quads[0],))
        if isinstance(term, BlankNode):
            return self._of_node(name, quads[0], term)
        if predicate == BRICK_UNIT and isinstance(term, NamedNode):
            return self._fact(UNIT_ATTRIBUTE, self._unit(term), None, (quads[0],))
        return None

    def reference(self, quad: Quad) -> tuple[ExternalId, tuple[Quad, ...]] | None:
        """The id in another system that a reference node holds, and all quads of the reference."""
        node = quad.object
        if not isinstance(node, BlankNode) or self.document.uses[node] != 1:
            return None
        about = self.document.about.get(node, [])
        if any(isinstance(inner.object, BlankNode) for inner in about):
            return None
        ids = [
            ExternalId(REFERENCE_IDS[inner.predicate.value], inner.object.value)
            for inner in about
            if inner.predicate.value in REFERENCE_IDS and isinstance(inner.object, Literal)
        ]
        return (ids[0], (quad, *about)) if len(ids) == 1 and ids[0].id else None

    def _fact(self, name: str, value: JSONValue, unit: str | None, quads: tuple[Quad, ...]) -> Fact | None:
        return None if value is None else Fact(name, Value(value, unit, self.origin), quads)

    def _of_node(self, name: str, quad: Quad, node: BlankNode) -> Fact | None:
        """The value of a node such as `[ brick:value 38 ; brick:hasUnit unit:VA ]`."""
        said = self.document.predicates(node)
        form = _VALUE_FORMS.get(frozenset(said))
        if form is None or self.document.uses[node] != 1 or any(len(quads) != 1 for quads in said.values()):
            return None
        stated = said[form[0]][0].object
        value = self._literal(stated, self.names.declared(name))
        unit = self._unit(said[form[1]][0].object) if form[1] else None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if form[1] and (unit is None or not (number or form[1] == UNIT)):
            return None
        return self._fact(name, value, unit, (quad, *(quads[0] for quads in said.values())))

    def _literal(self, term: object, declared: Attribute | None) -> JSONValue:
        return value_of(term, declared) if isinstance(term, Literal) else None

    def _unit(self, term: object) -> str | None:
        """The UCUM code of a text (kept as stated) or of a QUDT unit."""
        if isinstance(term, Literal):
            return term.value if term.datatype.value == STRING and term.value else None
        unit = self.units.find(term.value) if isinstance(term, NamedNode) else None
        return unit.code if unit else None


def _lines(quads: Sequence[Quad]) -> frozenset[str]:
    """The quads as lines, nodes that hold a value named as the export names them."""
    if len(quads) == 1 and not isinstance(quads[0].object, BlankNode | Triple):
        return frozenset((statement_of(quads[0]),))  # nearly all: nothing to rename
    labels = {
        term: term for quad in quads for term in (quad.subject, quad.object) if isinstance(term, BlankNode)
    }
    for quad in quads:
        if isinstance(quad.object, BlankNode) and isinstance(quad.subject, NamedNode):
            labels[quad.object] = BlankNode(value_node(quad.subject.value, quad.predicate.value))
    return frozenset(statement_of(renamed(quad, labels)) for quad in quads)
