"""What is asked of twins and relationships, as parts of one statement: expressions, and how to read them.

Made once per operation from its selections (`api.pushdown.planning`), written for each statement: a field's
arguments may come from variables, and become parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from graphql import GraphQLError

from api.pushdown.attributes import attribute_rows
from api.pushdown.reading import NeedsIdsError, Place, TypedReader, edge_id, object_reader
from graph.execute import checked_first
from graph.ordering import cursor_error, decode_cursor, encode_cursor
from graph.stores.neo4j.naming import label_text
from graph.stores.neo4j.script import refuse
from graph.values import Way
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphql.execution.values import VariableValues

    from api.compiled.selecting import Arguments
    from api.pushdown.reading import ObjectReader, Reader, Reading, Row, Source
    from graph.stores.neo4j.script import Script
    from ontology.schema import Schema

# So many relationships more than a page holds are read, where several between the same two twins must be put
# in the order of their ids, which Neo4j does not know.
_PARALLEL_MAX: Final = 64


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
    def read(_row: Row, _reading: Reading) -> Any:
        raise error

    return read


Fields = tuple[tuple[str, Field], ...]


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
        return lambda _row, _reading: self.value


class Revision:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(f"{variable}._revision")
        return lambda row, _reading: str(row[index])


class Kind:
    """The leading kind; twins without one are just twins."""

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index, schema = place.index(f"{variable}._kind"), writer.schema
        name = schema.kinds[schema.twin_kind].name
        return lambda row, _reading: row[index] or name


class Kinds:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(f"{variable}._kinds")
        return lambda row, reading: reading.kind_names(row[index])


class TypeName:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = _type_index(writer, place, variable)
        return lambda row, reading: reading.type_name(row[index])


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
        return lambda row, _reading: [self._object(text) for text in row[index] or ()]

    def _object(self, text: str) -> dict[str, str]:
        system, _, own = text.partition(" ")
        if not system or " " in own:
            refuse("an external id with a blank in it")
        values = {"system": system, "id": own, "__typename": self.typename}
        return {key: values[name] for key, name in self.wanted}


@dataclass(frozen=True, slots=True)
class Twins:
    """A twin: the fields asked of it, by the object types that it may have (None: of all the same)."""

    groups: tuple[tuple[frozenset[str] | None, Fields], ...]
    allowed: frozenset[str] | None = None  # types that the place allows; None: all

    def reader(self, writer: Writer, place: Place, variable: str) -> ObjectReader | TypedReader:
        readers = [
            (names, object_reader([(key, written(each, writer, place, variable)) for key, each in fields]))
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
        index = place.index(
            f"COLLECT {{ MATCH {pattern} WHERE {point}{kind} AND {script.here(point, is_labelled=True)} "
            f"WITH {point} ORDER BY {point}.id RETURN {inner.text} }}"
        )

        def read(row: Row, reading: Reading) -> list[Any]:
            rows = row[index]
            reading.objects += len(rows)
            return reader.many(rows, reading)

        return read


# Relationships


class LinkRelation:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        return place.index(f"type({variable})")


class LinkGroup:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(f"{variable}._group")
        return lambda row, _reading: row[index] or None


class LinkId:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        name = place.index(f"type({variable})")
        ends = place.index(f"startNode({variable}).id"), place.index(f"endNode({variable}).id")
        own = [place.index(f"{variable}.{each}") for each in ("_id", "_group", "_site")]

        def read(row: Row, reading: Reading) -> str:
            return edge_id(reading, [row[index] for index in own], row[name], row[ends[0]], row[ends[1]])

        return read


@dataclass(frozen=True, slots=True)
class LinkCursor:
    """Stands at the id of the far twin (always first in the list) and at the relationship's own."""

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        own = LinkId().source(writer, place, variable)
        return lambda row, reading: encode_cursor([row[0], cast("Reader", own)(row, reading)])


@dataclass(frozen=True, slots=True)
class LinkAttributes:
    entry: tuple[tuple[str, str], ...]
    typename: str

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(f"properties({variable})")
        return lambda row, _reading: attribute_rows(row[index], None, self.entry, self.typename)


@dataclass(frozen=True, slots=True)
class FarTwin:
    """The twin at the other end; its variable is that of the relationship with an `m` for the `r`."""

    twins: Twins

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        return self.twins.reader(writer, place, far_end(variable))


def far_end(link: str) -> str:
    return "m" + link[1:]


@dataclass(frozen=True, slots=True)
class Connection:
    """What is asked of a page: key -> nodes, edges, pageInfo, totalCount or __typename."""

    nodes: tuple[tuple[str, object], ...]  # (key, what its items are)
    edges: tuple[tuple[str, tuple[tuple[str, object], ...]], ...]  # (key, fields of an edge)
    infos: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    totals: tuple[str, ...]
    typenames: tuple[tuple[str, str], ...]
    order: tuple[str, ...]  # of the keys

    def asks(self, *names: str) -> bool:
        """Whether any of these fields of pageInfo are asked for."""
        return any(name in names for _, fields in self.infos for _, name in fields)


class Page(NamedTuple):
    """What was found of a connection."""

    rows: Sequence[Row]
    has_previous: bool
    has_next: bool
    total: int | None


@dataclass(frozen=True, slots=True)
class ConnectionReader:
    """Makes the object of a page."""

    connection: Connection
    lists: tuple[tuple[str, ObjectReader | TypedReader], ...]
    cursor: Reader | None

    def read(self, page: Page, reading: Reading) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, reader in self.lists:
            found[key] = reader.many(page.rows, reading)
        if len(self.connection.order) == 1 == len(self.lists):
            return found
        for key, fields in self.connection.infos:
            found[key] = {each: self._info(page, name, reading) for each, name in fields}
        for key in self.connection.totals:
            found[key] = page.total
        found.update(self.connection.typenames)
        return {key: found[key] for key in self.connection.order}

    def _info(self, page: Page, name: str, reading: Reading) -> Any:
        if name == "hasNextPage":
            return page.has_next
        if name == "hasPreviousPage":
            return page.has_previous
        if name in ("startCursor", "endCursor"):
            rows = page.rows
            if not rows or self.cursor is None:
                return None
            return self.cursor(rows[0 if name == "startCursor" else -1], reading)
        return name  # a type's name


@dataclass(frozen=True, slots=True)
class Link:
    """A relationship: the fields asked of it."""

    fields: Fields

    def reader(self, writer: Writer, place: Place, variable: str) -> ObjectReader:
        return object_reader([(key, written(each, writer, place, variable)) for key, each in self.fields])


@dataclass(frozen=True, slots=True)
class Links:
    """A page of relationships of every twin."""

    way: Way
    arguments: Arguments
    connection: Connection

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        given = self.arguments.values(writer.variables)
        relation, kind, after = given.get("relation"), given.get("kind"), given.get("after")
        size = checked_first(given.get("first"))
        script = writer.script
        link = script.variable("r")
        inner = Place([f"{far_end(link)}.id"])
        reader = _link_reader(self.connection, writer, inner, link)
        own = LinkId().source(writer, inner, link) if writer.has_ids or after is not None else None
        pattern, along = _pattern(script, variable, relation, self.way, link)
        far = script.here(far_end(link)) + along
        if kind is not None:
            far += f" AND {far_end(link)}{script.kind(kind)}"
        edge = None if after is None else _cursor_of(after)
        behind = "" if edge is None else f" AND {far_end(link)}.id >= {script.value(edge[0])}"
        limit = size + 1 if own is None else size + 1 + _PARALLEL_MAX
        index = place.index(
            f"COLLECT {{ MATCH {pattern} WHERE {far}{behind} WITH {link}, {far_end(link)} "
            f"ORDER BY {far_end(link)}.id LIMIT {script.value(limit)} RETURN {inner.text} }}"
        )
        total = place.index(f"COUNT {{ MATCH {pattern} WHERE {far} }}") if self.connection.totals else None
        before = None
        if edge is not None and self.connection.asks("hasPreviousPage"):
            ahead = f"{far_end(link)}.id < {script.value(edge[0])}"
            before = place.index(f"EXISTS {{ MATCH {pattern} WHERE {far} AND {ahead} }}")

        def read(row: Row, reading: Reading) -> dict[str, Any]:
            rows: Sequence[Row] = row[index]
            is_begun = False
            if own is not None or len({each[0] for each in rows}) < len(rows):
                rows, is_begun = _ordered(rows, cast("Reader | None", own), edge, size, limit, reading)
            reading.objects += min(len(rows), size)
            has_previous = is_begun or (before is not None and row[before])
            count = None if total is None else row[total]
            return reader.read(Page(rows[:size], has_previous, len(rows) > size, count), reading)

        return read


def _link_reader(connection: Connection, writer: Writer, place: Place, link: str) -> ConnectionReader:
    lists: list[tuple[str, ObjectReader | TypedReader]] = []
    for key, item in connection.nodes:
        lists.append((key, cast("Link", item).reader(writer, place, link)))
    for key, fields in connection.edges:
        sources: list[tuple[str, Source]] = []
        for each, item in fields:
            if isinstance(item, Link):
                sources.append((each, item.reader(writer, place, link)))
            else:
                sources.append((each, cast("Field", item).source(writer, place, link)))
        lists.append((key, object_reader(sources)))
    needs_cursor = connection.asks("startCursor", "endCursor")
    cursor = LinkCursor().source(writer, place, link) if needs_cursor else None
    return ConnectionReader(connection, tuple(lists), cast("Reader | None", cursor))


def _pattern(script: Script, variable: str, relation: str | None, way: Way, link: str) -> tuple[str, str]:
    """A pattern, and a further condition. Of every relation, symmetric ones go both ways."""
    if relation is not None:
        return script.hop(variable, relation, way, link, far_end(link)), ""
    start = "startNode" if way is Way.OUT else "endNode"
    symmetric = [each.name for each in script.schema.relations if each.symmetric]
    along = f" AND ({start}({link}) = {variable} OR type({link}) IN {script.value(symmetric)})"
    return f"({variable})-[{link}]-({far_end(link)}:Entity)", along


def _cursor_of(text: str) -> tuple[str, str]:
    match decode_cursor(text):
        case [str(other), str(own)]:
            return other, own
        case _:
            raise cursor_error()


def _ordered(
    rows: Sequence[Row],
    own: Reader | None,
    edge: tuple[str, str] | None,
    size: int,
    limit: int,
    reading: Reading,
) -> tuple[Sequence[Row], bool]:
    """Relationships in order, those at or before the cursor left out; whether there were such."""
    if own is None:
        raise NeedsIdsError
    is_cut = len(rows) == limit
    if len({row[0] for row in rows}) < len(rows):
        rows = sorted(rows, key=lambda row: (row[0].encode(), own(row, reading)))
    kept = rows
    if edge is not None:
        kept = [row for row in rows if row[0] != edge[0] or own(row, reading) > edge[1]]
    if is_cut and (len(kept) <= size or kept[size][0] == rows[-1][0]):
        refuse(f"a page that ends within more than {_PARALLEL_MAX} relationships between the same two twins")
    return kept, len(kept) < len(rows)
