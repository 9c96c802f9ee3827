"""What is asked of twins, as parts of one statement: expressions, and how to read them. Relationships:
`api.pushdown.linking`.

Made once per operation from its selections (`api.pushdown.planning`), written for each statement: a field's
arguments may come from variables, and become parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from graphql import GraphQLError

from api.pushdown.reading import ObjectReader, Place, Table, TypedReader, cut
from graph.stores.neo4j.naming import label_text
from graph.stores.neo4j.rows import external_of
from graph.values import Way
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from graphql.execution.values import VariableValues

    from api.pushdown.reading import Column, Objects, Reader, Reading, Source
    from graph.stores.neo4j.script import Script
    from ontology.schema import Schema


_ID: Final = itemgetter(0)


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
        where = f"{point}{kind}" + ("" if here == "true" else f" AND {here}")
        index = place.index(f"COLLECT {{ MATCH {pattern} WHERE {where} RETURN {inner.text} }}")

        def read(table: Table, reading: Reading) -> Column:
            # Some short lists are sorted here in less time than Neo4j takes to make ready for each of them.
            lists = [sorted(rows, key=_ID) if len(rows) > 1 else rows for rows in table.columns[index]]
            below = Table.below(lists)
            reading.objects += below.size
            return cut(reader(below, reading), map(len, lists))

        return read
