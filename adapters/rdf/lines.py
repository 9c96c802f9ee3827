"""Twins, relationships and kinds -> the N-Triples lines that state them; one tuple of lines per fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.rdf.config import (
    CLASS,
    GROUP,
    LABEL,
    LOCAL_ID,
    REIFIES,
    RELATION,
    RELATIONSHIP,
    SOURCE,
    SUBCLASS,
    TARGET,
    TYPE,
)
from adapters.rdf.literals import attribute_lines, external_iri, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapters.rdf.literals import Names
    from graph.values import ExternalId, RelationshipRecord, TwinRecord
    from ontology.schema import Kind, Schema


def type_line(twin: str, kind: str) -> str:
    return f"<{twin}> <{TYPE}> <{kind}> ."


def label_line(subject: str, label: str) -> str:
    return f"<{subject}> <{LABEL}> {text_of(label)} ."


def local_id_line(twin: str, local_id: str) -> str:
    return f"<{twin}> <{LOCAL_ID}> {text_of(local_id)} ."


def external_line(twin: str, other: ExternalId) -> str:
    return f"<{twin}> <{external_iri(other.system)}> {text_of(other.id)} ."


def twin_facts(record: TwinRecord, local_id: str | None, names: Names) -> Iterator[tuple[str, ...]]:
    """Everything a twin states. `local_id` only where it does not follow from the IRI."""
    yield from ((type_line(record.id, kind),) for kind in record.kinds)
    if record.name:
        yield (label_line(record.id, record.name),)
    if local_id:
        yield (local_id_line(record.id, local_id),)
    yield from ((external_line(record.id, other),) for other in record.external_ids)
    yield from (attribute_lines(record.id, name, value, names) for name, value in record.attributes.items())


def plain_line(record: RelationshipRecord) -> str:
    """A relationship as one triple, in the direction in which its file stated it."""
    if record.stated:
        return f"<{record.target}> <{record.stated}> <{record.source}> ."
    return f"<{record.source}> <{record.relation}> <{record.target}> ."


def reified_lines(record: RelationshipRecord, iri: str, names: Names) -> tuple[str, ...]:
    """A relationship as a node, for what one triple cannot say."""
    return (
        type_line(iri, RELATIONSHIP),
        f"<{iri}> <{SOURCE}> <{record.source}> .",
        f"<{iri}> <{RELATION}> <{record.relation}> .",
        f"<{iri}> <{TARGET}> <{record.target}> .",
        *_annotations(record, iri, names),
    )


def rdf12_lines(record: RelationshipRecord, iri: str, names: Names) -> tuple[str, ...]:
    """The same as `reified_lines`, by a triple term (RDF 1.2)."""
    triple = f"<{record.source}> <{record.relation}> <{record.target}>"
    return (f"<{iri}> <{REIFIES}> <<( {triple} )>> .", *_annotations(record, iri, names))


def _annotations(record: RelationshipRecord, iri: str, names: Names) -> Iterator[str]:
    if record.group:
        yield f"<{iri}> <{GROUP}> {text_of(record.group)} ."
    for name, value in record.attributes.items():
        yield from attribute_lines(iri, name, value, names)


def kind_lines(kind: Kind, schema: Schema) -> tuple[str, ...]:
    """The definition of a user's kind."""
    parents = (schema.kinds[parent].iri for parent in kind.parents)
    label = (label_line(kind.iri, kind.label),) if kind.label else ()
    return (type_line(kind.iri, CLASS), *(f"<{kind.iri}> <{SUBCLASS}> <{one}> ." for one in parents), *label)
