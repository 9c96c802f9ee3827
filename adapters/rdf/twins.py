"""What is said of one subject -> a twin record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyoxigraph import Literal, NamedNode, Quad

from adapters.rdf.config import LABEL, LOCAL_ID, REFERENCES, STRING, TYPE
from adapters.rdf.lines import external_line, label_line, local_id_line, type_line
from adapters.rdf.literals import attribute_lines, external_system
from graph.ids import is_valid_iri, local_id_of
from graph.values import ExternalId, TwinRecord, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapters.rdf.facts import Facts
    from ontology.schema import Relation, Schema


@dataclass(frozen=True, slots=True)
class TwinReader:
    """Turns subjects into twin records; what does not fit goes to `facts.kept`."""

    facts: Facts
    schema: Schema
    base: str  # of the site

    def read(self, subject: NamedNode, kinds: tuple[str, ...]) -> TwinRecord:
        """The record of a subject. Relations are left alone: `edges.py` reads them."""
        draft = _Draft(self.facts, self.base, subject.value, kinds)
        for predicate, quads in self.facts.document.predicates(subject).items():
            rest = [quad for quad in quads if relation_of(quad, self.schema) is None]
            reader = _READERS.get(predicate, _Draft.read_attribute)
            reader(draft, predicate, rest)
        return draft.record()


def relation_of(quad: Quad, schema: Schema) -> Relation | None:
    """The relation that a quad states between two IRIs, perhaps an inverse one; None for anything else."""
    relation = schema.relation_by_iri(quad.predicate.value)
    if relation is None or not isinstance(quad.object, NamedNode) or not isinstance(quad.subject, NamedNode):
        return None
    return relation if is_valid_iri(quad.object.value) and is_valid_iri(quad.subject.value) else None


class _Draft:
    """A twin record as it is put together."""

    def __init__(self, facts: Facts, base: str, iri: str, kinds: tuple[str, ...]) -> None:
        self.facts = facts
        self.base = base
        self.iri = iri
        self.kinds = kinds
        self.name: str | None = None
        self.local_id: str | None = None
        self.external_ids: list[ExternalId] = []
        self.attributes: dict[str, Value] = {}

    def record(self) -> TwinRecord:
        return TwinRecord(
            self.iri,
            kinds=self.kinds,
            name=self.name,
            local_id=self.local_id,
            attributes=self.attributes,
            external_ids=tuple(self.external_ids),
            origin=self.facts.origin,
        )

    def read_types(self, predicate: str, quads: Sequence[Quad]) -> None:
        for quad in quads:
            kind = quad.object
            if isinstance(kind, NamedNode) and kind.value in self.kinds:
                self.facts.settle([quad], (type_line(self.iri, kind.value),))
            else:
                self.facts.keep([quad])

    def read_label(self, predicate: str, quads: Sequence[Quad]) -> None:
        """The name is a plain label if there is one, else any; of several the first in order of text."""
        chosen = min((quad for quad in quads if _text(quad)), key=_plain_first, default=None)
        if chosen is not None:
            self.name = _text(chosen)
            self.facts.settle([chosen], (label_line(self.iri, self.name),))
        self.facts.keep(quad for quad in quads if quad is not chosen)

    def read_local_id(self, predicate: str, quads: Sequence[Quad]) -> None:
        text = _text(quads[0]) if len(quads) == 1 else None
        self.local_id = text or None
        if text and text != local_id_of(self.iri, self.base):
            self.facts.settle(quads, (local_id_line(self.iri, text),))
        else:
            # Kept too where it follows from the IRI: an export does not write it then.
            self.facts.keep(quads)

    def read_attribute(self, predicate: str, quads: Sequence[Quad]) -> None:
        system = external_system(predicate)
        if system is not None:
            self._read_external(system, quads)
            return
        fact = self.facts.attribute(predicate, quads)
        if fact is None or fact.name in self.attributes:
            self.facts.keep(quads)
            return
        self.attributes[fact.name] = fact.value
        self.facts.settle(fact.quads, attribute_lines(self.iri, fact.name, fact.value, self.facts.names))

    def read_reference(self, predicate: str, quads: Sequence[Quad]) -> None:
        """Nodes such as `[ a ref:TimeseriesReference ; ref:hasTimeseriesId "..." ]` give an external id."""
        for quad in quads:
            found = self.facts.reference(quad)
            if found is None or found[0] in self.external_ids:
                self.facts.keep([quad])
                continue
            self.external_ids.append(found[0])
            self.facts.settle(found[1], (external_line(self.iri, found[0]),))

    def _read_external(self, system: str, quads: Sequence[Quad]) -> None:
        for quad in quads:
            text = _text(quad)
            if text and ExternalId(system, text) not in self.external_ids:
                self.external_ids.append(ExternalId(system, text))
                self.facts.settle([quad], (external_line(self.iri, self.external_ids[-1]),))
            else:
                self.facts.keep([quad])


_READERS: dict[str, Callable[[_Draft, str, Sequence[Quad]], None]] = {
    TYPE: _Draft.read_types,
    LABEL: _Draft.read_label,
    LOCAL_ID: _Draft.read_local_id,
    **dict.fromkeys(REFERENCES, _Draft.read_reference),
}


def _text(quad: Quad) -> str:
    return quad.object.value if isinstance(quad.object, Literal) else ""


def _plain_first(quad: Quad) -> tuple[bool, str]:
    plain = isinstance(quad.object, Literal) and quad.object.datatype.value == STRING
    return not plain, str(quad.object)
