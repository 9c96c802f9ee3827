"""What is asked of twins, as parts of one statement: expressions, and how to read them. Relationships:
`api.pushdown.linking`.

Made once per operation from its selections (`api.pushdown.planning`), written for each statement: a field's
arguments may come from variables, and become parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from graphql import GraphQLError

from api.pushdown.reading import Branch, NeedsIdsError, ObjectReader, Place, Table, TypedReader, cut_in_order
from graph.stores.neo4j.naming import label_text
from graph.stores.neo4j.rows import external_of
from graph.values import Way
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from graphql.execution.values import VariableValues

    from api.pushdown.reading import Column, Objects, Reader, Reading, Source
    from graph.stores.neo4j.script import Script
    from ontology.schema import Schema


@dataclass(slots=True, eq=False)
class Writer:
    """One statement while it is written.

    used: attributes that twins have, besides the declared ones.
    has_ids: every relationship comes with what its id is made of.
    """

    script: Script
    variables: VariableValues
    used: frozenset[str]
    has_ids: bool = False

    @property
    def schema(self) -> Schema:
        return self.script.schema


class Field(Protocol):
    """Something that is asked of a twin or relationship."""

    def source(self, writer: Writer, place: Place, variable: str) -> Source: ...


def written(item: Field, writer: Writer, place: Place, variable: str) -> Source:
    """What a field is read from. What is wrong with its arguments is told once there is a twin to ask."""
    try:
        return item.source(writer, place, variable)
    except (TwinmeshError, GraphQLError) as error:
        return _raising(error)


def _raising(error: TwinmeshError | GraphQLError) -> Reader:
    def read(_table: Table, _reading: Reading) -> Column:
        raise error

    return read


Fields = tuple[tuple[str, Field], ...]


def sources_of(fields: Fields, writer: Writer, place: Place, variable: str) -> tuple[tuple[str, Source], ...]:
    """What each field is read from, by key."""
    return tuple((key, written(each, writer, place, variable)) for key, each in fields)


@dataclass(frozen=True, slots=True)
class Plain:
    """A property that leaves as it is."""

    name: str

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        return place.index(f"{variable}.{self.name}")


@dataclass(frozen=True, slots=True)
class Constant:
    value: Any

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        return lambda table, _reading: [self.value] * table.size


class Revision:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(f"{variable}._revision")
        return lambda table, _reading: [str(each) for each in table.columns[index]]


class Kind:
    """The leading kind; twins without one are just twins."""

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index, schema = place.index(f"{variable}._kind"), writer.schema
        name = schema.kinds[schema.twin_kind].name
        return lambda table, _reading: [each or name for each in table.columns[index]]


class Kinds:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(f"{variable}._kinds")
        return lambda table, reading: [reading.kind_names(each) for each in table.columns[index]]


class TypeName:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = _type_index(writer, place, variable)
        return lambda table, reading: [reading.type_name(each) for each in table.columns[index]]


def _type_index(writer: Writer, place: Place, variable: str) -> int:
    """The name of the leading kind tells the type, nearly always; a name comes quicker than a list."""
    return place.index(f"{variable}._kinds" if writer.has_ids else f"{variable}._kind")


@dataclass(frozen=True, slots=True)
class ExternalIds:
    """wanted: (key, field) of each id; typename: of its type."""

    wanted: tuple[tuple[str, str], ...]
    typename: str

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(f"{variable}._external")

        def read(table: Table, _reading: Reading) -> Column:
            return [[self._object(text) for text in texts or ()] for texts in table.columns[index]]

        return read

    def _object(self, text: str) -> dict[str, str]:
        system, own = external_of(text)
        values = {"system": system, "id": own, "__typename": self.typename}
        return {key: values[name] for key, name in self.wanted}


@dataclass(frozen=True, slots=True)
class Twins:
    """A twin: the fields asked of it, by the object types that it may have (None: of all the same)."""

    groups: tuple[tuple[frozenset[str] | None, Fields], ...]
    allowed: frozenset[str] | None = None  # types that the place allows; None: all

    def reader(self, writer: Writer, place: Place, variable: str) -> Objects:
        readers = [
            (names, ObjectReader(sources_of(fields, writer, place, variable)))
            for names, fields in self.groups
        ]
        if len(readers) == 1 and self.allowed is None:
            return readers[0][1]
        by_type = {name: reader for names, reader in readers for name in names or self.allowed or ()}
        return TypedReader(_type_index(writer, place, variable), by_type)


@dataclass(frozen=True, slots=True)
class Points:
    """The points of a twin, by id."""

    twins: Twins

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        script, schema, point = writer.script, writer.schema, writer.script.variable("m")
        pattern = script.hop(variable, "tm:pointOf", Way.IN, "", point)
        kind = label_text((schema.kinds[schema.point_kind].name,))
        inner = Place([f"{point}.id"])
        reader = self.twins.reader(writer, inner, point)
        here = script.here(point, is_labelled=True)
        # A look at the labels of each costs as much as its leading kind, which nearly always tells the same.
        told = None if writer.has_ids or here != "true" else inner.index(f"{point}._kind")
        where = here if told is not None else " AND ".join([f"{point}{kind}", here])
        branch = Branch(point, inner, f"MATCH {pattern} WHERE {where}", "")
        index = place.branch(branch)

        def read(table: Table, reading: Reading) -> Column:
            found = table.nested(index)
            below = found.table
            reading.objects += below.size
            if told is not None and below.size:
                _check_points(below.columns[told], reading)
            ids = below.columns[0] if below.size else ()
            return cut_in_order(reader(below, reading), found.sizes, ids)

        return read


def _check_points(kinds: Column, reading: Reading) -> None:
    """NeedsIdsError where the leading kind of one does not make it a point: another of its kinds may."""
    ontology = reading.ontology
    for name in set(kinds):
        if not name or not ontology.is_a(ontology.kind(name).index, ontology.point_kind):
            raise NeedsIdsError
