"""Reading the shipped vocabularies in ontology/data/: tables of facts (.tsv), own vocabularies (.ttl)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from pyoxigraph import NamedNode, RdfFormat, parse

from ontology.naming import PREFIXES, VOCABULARIES
from ontology.terms import Attribute, Carrier, Datatype, Dependence, Direction, KindRecord, RelationRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent / "data"
FILES = (
    "tm.ttl",
    "supply.ttl",
    "kinds.tsv",
    "relations.tsv",
    "attributes.tsv",
    "media.tsv",
    "media_by_kind.tsv",
    "units.tsv",  # for the digest: a factor that changes makes another ontology
)

RDF_TYPE = PREFIXES["rdf"] + "type"
LABEL = PREFIXES["rdfs"] + "label"
SUBCLASS = PREFIXES["rdfs"] + "subClassOf"
SUBPROPERTY = PREFIXES["rdfs"] + "subPropertyOf"
INVERSE = PREFIXES["owl"] + "inverseOf"
CLASS = PREFIXES["owl"] + "Class"
PROPERTY = PREFIXES["owl"] + "ObjectProperty"
SYMMETRIC = PREFIXES["owl"] + "SymmetricProperty"
TM = PREFIXES["tm"]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Everything a Schema is compiled from. Kinds stand in the order in which bare names are resolved."""

    kinds: tuple[KindRecord, ...]
    relations: tuple[RelationRecord, ...]
    attributes: tuple[Attribute, ...]
    media: tuple[Medium, ...]
    media_by_kind: tuple[tuple[str, str], ...]  # (kind IRI, medium or "-")
    shipped: int  # how many of the kinds are shipped; the rest was appended
    digest: str  # of the files read


@dataclass(frozen=True, slots=True)
class Medium:
    """Something that flows along feeds and supplies."""

    name: str
    substance: str | None  # Brick substance, prefixed name
    ifc_systems: tuple[str, ...]  # items of IfcDistributionSystemEnum


def expand(name: str) -> str:
    """The IRI of a prefixed name of a shipped table."""
    prefix, _, local = name.partition(":")
    return PREFIXES[prefix] + local


def compact(iri: str) -> str:
    """The prefixed name of an IRI in a known namespace, else the IRI."""
    for prefix, base in PREFIXES.items():
        if iri.startswith(base):
            return f"{prefix}:{iri[len(base) :]}"
    return iri


def rows(text: str) -> Iterator[list[str]]:
    """The cells of a table's rows, without its notes and its line of column names."""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.startswith("#"):
            break
    return (line.split("\t") for line in lines)


def read_vocabulary() -> Vocabulary:
    """The shipped vocabularies: tm, Brick, REC, supply, with attributes and media."""
    text = {name: (DATA / name).read_text(encoding="utf-8") for name in FILES}
    kinds, relations = _read_tables(text["kinds.tsv"], text["relations.tsv"])
    for name in ("tm.ttl", "supply.ttl"):
        _add_turtle(text[name], kinds, relations)
    digest = blake2b("\0".join(text.values()).encode(), digest_size=8).hexdigest()
    return Vocabulary(
        kinds=tuple(sorted(kinds.values(), key=lambda kind: _rank(kind.name))),
        relations=tuple(sorted(relations.values(), key=lambda relation: _rank(relation.name))),
        attributes=tuple(_attribute(cells) for cells in rows(text["attributes.tsv"])),
        media=tuple(Medium(m, s or None, tuple(i.split())) for m, s, i in rows(text["media.tsv"])),
        media_by_kind=tuple((expand(kind), medium) for kind, medium in rows(text["media_by_kind.tsv"])),
        shipped=len(kinds),
        digest=digest,
    )


def _rank(name: str) -> int:
    """Sort key by vocabulary; sorting is stable, so the order inside a file stays."""
    return VOCABULARIES.index(name.partition(":")[0])


def _read_tables(kinds: str, relations: str) -> tuple[dict[str, KindRecord], dict[str, RelationRecord]]:
    kind_rows = [_kind(cells) for cells in rows(kinds)]
    relation_rows = [_relation(cells) for cells in rows(relations)]
    return {kind.iri: kind for kind in kind_rows}, {relation.iri: relation for relation in relation_rows}


def _expand_all(names: str) -> tuple[str, ...]:
    return tuple([expand(name) for name in names.split()])


def _kind(cells: list[str]) -> KindRecord:
    name, parents, label, deprecated, replaced_by, alias_of = cells
    return KindRecord(
        iri=expand(name),
        name=name,
        parents=_expand_all(parents),
        label=label or None,
        deprecated=deprecated == "yes",
        replaced_by=replaced_by or None,
        alias_of=alias_of or None,
    )


def _relation(cells: list[str]) -> RelationRecord:
    name, parents, inverse_of, domain, range_, symmetric = cells
    return RelationRecord(
        iri=expand(name),
        name=name,
        parents=_expand_all(parents),
        inverse_of=expand(inverse_of) if inverse_of else None,
        domain=_expand_all(domain),
        range=_expand_all(range_),
        symmetric=symmetric == "yes",
    )


def _attribute(cells: list[str]) -> Attribute:
    name, iri, datatype, unit, on, minimum, maximum, cascade, choices = cells
    return Attribute(
        name=name,
        iri=expand(iri),
        datatype=_DATATYPES[datatype],
        unit=unit or None,
        on=_CARRIERS[on],
        minimum=float(minimum) if minimum else None,
        maximum=float(maximum) if maximum else None,
        cascade=cascade == "yes",
        choices=tuple(choices.split()),
    )


_DATATYPES: dict[str, Datatype] = {
    "number": "number", "integer": "integer", "boolean": "boolean", "text": "text", "hours": "hours",
    "json": "json",
}  # fmt: skip
_CARRIERS: dict[str, Carrier] = {"twin": "twin", "relationship": "relationship", "both": "both"}


def _add_turtle(text: str, kinds: dict[str, KindRecord], relations: dict[str, RelationRecord]) -> None:
    """Add what a .ttl vocabulary declares, and the parents and inverses it states about terms of others."""
    about: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for triple in parse(input=text, format=RdfFormat.TURTLE):
        if isinstance(triple.subject, NamedNode):
            about[triple.subject.value][triple.predicate.value].append(_text(triple.object))
    for iri, facts in about.items():
        types = facts.get(RDF_TYPE, [])
        if CLASS in types or iri in kinds:
            known = kinds.get(iri) or KindRecord(iri, compact(iri), label=next(iter(facts[LABEL]), None))
            kinds[iri] = replace(known, parents=(*known.parents, *facts.get(SUBCLASS, ())))
        elif PROPERTY in types or iri in relations:
            relations[iri] = _stated(relations.get(iri) or RelationRecord(iri, compact(iri)), facts)


def _text(term: object) -> str:
    """The value of an IRI, literal or blank node."""
    return str(getattr(term, "value", term))


def _stated(known: RelationRecord, facts: dict[str, list[str]]) -> RelationRecord:
    """`known` with what a .ttl file adds to it."""
    direction = next(iter(facts.get(TM + "dependence", ())), None)
    founded = facts.get(TM + "founded") == ["true"]
    return replace(
        known,
        parents=(*known.parents, *facts.get(SUBPROPERTY, ())),
        inverse_of=next(iter(facts.get(INVERSE, ())), known.inverse_of),
        domain=known.domain or tuple(facts.get(PREFIXES["rdfs"] + "domain", ())),
        range=known.range or tuple(facts.get(PREFIXES["rdfs"] + "range", ())),
        symmetric=known.symmetric or SYMMETRIC in facts.get(RDF_TYPE, ()),
        acyclic=known.acyclic or facts.get(TM + "acyclic") == ["true"],
        dependence=Dependence(Direction(direction), founded) if direction else known.dependence,
    )
