"""SHACL shapes of our own, made from the schema: how attributes look, which ends relations expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.rdf.config import BOOLEAN, DECIMAL, DOUBLE, INTEGER, STRING, SUBCLASS, TYPE, UNIT
from adapters.rdf.literals import literal_of, text_of
from ontology.naming import PREFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ontology.schema import Attribute, Relation, Schema

_SH, _RDF = PREFIXES["sh"], PREFIXES["rdf"]
_SHAPES = "https://twinmesh.dev/shapes#"
_ANYTHING = f"{_SHAPES}Anything"  # above the kinds of which we know nothing
_NUMBERS = (INTEGER, DECIMAL, DOUBLE)
_LITERALS: dict[str, tuple[str, ...]] = {
    "number": _NUMBERS,
    "integer": _NUMBERS,
    "hours": (*_NUMBERS, STRING),
    "boolean": (BOOLEAN,),
    "text": (STRING,),
}


def schema_lines(schema: Schema) -> Iterator[str]:
    """The hierarchy of kinds as N-Triples: what shapes need to know which classes a twin belongs to."""
    for kind in schema.kinds:
        for parent in kind.parents:
            yield _line(kind.iri, SUBCLASS, _iri(schema.kinds[parent].iri))
        if kind.placeholder or kind.index == schema.external_kind:
            yield _line(kind.iri, SUBCLASS, _iri(_ANYTHING))


def shape_lines(schema: Schema) -> Iterator[str]:
    """Our shapes as N-Triples.

    Attributes (violations): one value, of the declared datatype or a node with tm:value and tm:unit, within
    the declared range where it has no unit of its own. Ends of relations: violations for tm:, warnings for
    other vocabularies, which real models stretch.
    """
    for attribute in schema.attributes.values():
        if attribute.datatype in _LITERALS:
            yield from _attribute_shape(attribute)
    for relation in schema.relations:
        if relation.inverse_of is None:
            yield from _relation_shapes(schema, relation)


def _attribute_shape(attribute: Attribute) -> Iterator[str]:
    shape = f"{_SHAPES}{attribute.name}"
    path = f"{shape}-value"
    yield _line(shape, TYPE, _iri(_SH + "NodeShape"))
    yield _line(shape, _SH + "targetSubjectsOf", _iri(attribute.iri))
    yield _line(shape, _SH + "property", _iri(path))
    yield _line(path, _SH + "path", _iri(attribute.iri))
    yield _line(path, _SH + "maxCount", literal_of(1))
    yield _line(path, _SH + "message", text_of(_expected(attribute)))
    options = [f"{path}-{number}" for number in range(len(_LITERALS[attribute.datatype]) + 1)]
    for option, datatype in zip(options, _LITERALS[attribute.datatype], strict=False):
        yield _line(option, _SH + "datatype", _iri(datatype))
        if datatype != STRING:
            yield from _range(option, attribute)
        elif attribute.choices:
            values = [text_of(choice) for choice in attribute.choices]
            yield from _list(f"{option}-in", values)
            yield _line(option, _SH + "in", _iri(f"{option}-in-0"))
    yield _line(options[-1], _SH + "property", _iri(f"{path}-unit"))
    yield _line(f"{path}-unit", _SH + "path", _iri(UNIT))
    yield _line(f"{path}-unit", _SH + "minCount", literal_of(1))
    yield from _list(f"{path}-or", [_iri(option) for option in options])
    yield _line(path, _SH + "or", _iri(f"{path}-or-0"))


def _expected(attribute: Attribute) -> str:
    unit = f" in {attribute.unit}" if attribute.unit else ""
    low = "" if attribute.minimum is None else f", at least {attribute.minimum:g}"
    high = "" if attribute.maximum is None else f", at most {attribute.maximum:g}"
    choices = f", one of {', '.join(attribute.choices)}" if attribute.choices else ""
    return f"{attribute.name}: one {attribute.datatype}{unit}{low}{high}{choices}"


def _range(shape: str, attribute: Attribute) -> Iterator[str]:
    for name, bound in (("minInclusive", attribute.minimum), ("maxInclusive", attribute.maximum)):
        if bound is not None:
            yield _line(shape, _SH + name, literal_of(bound))


def _relation_shapes(schema: Schema, relation: Relation) -> Iterator[str]:
    """What may stand at both ends, however the relation is stated: by its own name or by an inverse."""
    inverses = [one for one in schema.relations if one.inverse_of == relation.index]
    if relation.domain:
        allowed = {*relation.domain, *(kind for one in inverses for kind in one.range)}
        targets = [("targetSubjectsOf", relation), *(("targetObjectsOf", one) for one in inverses)]
        yield from _end_shape(schema, relation, "source", allowed, targets)
    if relation.range:
        allowed = {*relation.range, *(kind for one in inverses for kind in one.domain)}
        targets = [("targetObjectsOf", relation), *(("targetSubjectsOf", one) for one in inverses)]
        yield from _end_shape(schema, relation, "target", allowed, targets)


def _end_shape(
    schema: Schema, relation: Relation, side: str, allowed: set[int], targets: list[tuple[str, Relation]]
) -> Iterator[str]:
    """The twins at one end are of one of some kinds; stubs and unknown kinds may be anything."""
    shape = f"{_SHAPES}{relation.name.replace(':', '-')}-{side}"
    top = [kind for kind in sorted(allowed) if not any(_below(schema, kind, other) for other in allowed)]
    names = " or ".join(schema.kinds[kind].name for kind in top)
    severity = "Violation" if relation.vocabulary == "tm" else "Warning"
    yield _line(shape, TYPE, _iri(_SH + "NodeShape"))
    for target, stated in targets:
        yield _line(shape, _SH + target, _iri(stated.iri))
    yield _line(shape, _SH + "severity", _iri(_SH + severity))
    yield _line(shape, _SH + "message", text_of(f"the {side} of {relation.name} should be a {names}"))
    classes = [*(schema.kinds[kind].iri for kind in top), _ANYTHING]
    options = [f"{shape}-{number}" for number in range(len(classes))]
    for option, iri in zip(options, classes, strict=True):
        yield _line(option, _SH + "class", _iri(iri))
    yield from _list(f"{shape}-or", [_iri(option) for option in options])
    yield _line(shape, _SH + "or", _iri(f"{shape}-or-0"))


def _below(schema: Schema, kind: int, other: int) -> bool:
    return kind != other and schema.is_a(kind, other)


def _list(name: str, items: Sequence[str]) -> Iterator[str]:
    """An RDF list whose nodes are called name-0, name-1, ..."""
    for number, item in enumerate(items):
        rest = _iri(f"{name}-{number + 1}") if number + 1 < len(items) else _iri(_RDF + "nil")
        yield _line(f"{name}-{number}", _RDF + "first", item)
        yield _line(f"{name}-{number}", _RDF + "rest", rest)


def _line(subject: str, predicate: str, term: str) -> str:
    return f"<{subject}> <{predicate}> {term} ."


def _iri(iri: str) -> str:
    return f"<{iri}>"
