"""What is asked of relationships and of pages, as parts of one statement: see `api.pushdown.writing`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from api.pushdown.attributes import attribute_rows
from api.pushdown.reading import (
    Branch,
    NeedsIdsError,
    Nested,
    ObjectReader,
    Place,
    Table,
    cut,
    edge_id,
    made_of,
)
from api.pushdown.writing import Constant, sources_of
from graph.execute import checked_first
from graph.ordering import cursor_error, decode_cursor, encode_cursor
from graph.stores.neo4j.script import refuse
from graph.values import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.compiled.selecting import Arguments
    from api.pushdown.reading import Column, Objects, Reader, Reading, Row, Source
    from api.pushdown.writing import Field, Fields, Twins, Writer
    from graph.stores.neo4j.script import Script

# So many relationships more than a page holds are read, where several between the same two twins must be put
# in the order of their ids, which Neo4j does not know.
_PARALLEL_MAX: Final = 64


class LinkRelation:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        return place.index(f"type({variable})")


class LinkGroup:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(f"{variable}._group")
        return lambda table, _reading: [each or None for each in table.columns[index]]


class LinkId:
    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        name = place.index(f"type({variable})")
        ends = place.index(f"startNode({variable}).id"), place.index(f"endNode({variable}).id")
        own = [place.index(f"{variable}.{each}") for each in ("_id", "_group", "_site")]

        def read(table: Table, reading: Reading) -> Column:
            columns = [table.columns[index] for index in (*own, name, *ends)]
            return [edge_id(reading, row[:3], *row[3:]) for row in zip(*columns, strict=True)]

        return read


@dataclass(frozen=True, slots=True)
class LinkCursor:
    """Stands at the id of the far twin (always first in the list) and at the relationship's own."""

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        own = cast("Reader", LinkId().source(writer, place, variable))

        def read(table: Table, reading: Reading) -> Column:
            ends = zip(table.columns[0], own(table, reading), strict=True)
            return [encode_cursor(list(each)) for each in ends]

        return read


@dataclass(frozen=True, slots=True)
class LinkAttributes:
    entry: tuple[tuple[str, str], ...]
    typename: str

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(f"properties({variable})")

        def read(table: Table, _reading: Reading) -> Column:
            return [attribute_rows(each, None, self.entry, self.typename) for each in table.columns[index]]

        return read


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


class Pages(NamedTuple):
    """What was found of some connections."""

    found: Nested
    has_previous: Sequence[bool]
    has_next: Sequence[bool]
    totals: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class ConnectionReader:
    """Makes the objects of pages."""

    connection: Connection
    lists: tuple[tuple[str, Objects], ...]
    cursor: Reader | None

    def read(self, pages: Pages, reading: Reading) -> list[dict[str, Any]]:
        sizes, below = pages.found.sizes, pages.found.table
        reading.objects += below.size
        found: dict[str, Sequence[Any]] = {}
        for key, reader in self.lists:
            found[key] = cut(reader(below, reading), sizes)
        for key, fields in self.connection.infos:
            columns = [self._info(pages, name, reading) for _, name in fields]
            keys = [each for each, _ in fields]
            found[key] = made_of(keys, columns, len(sizes))
        for key in self.connection.totals:
            found[key] = pages.totals
        for key, name in self.connection.typenames:
            found[key] = [name] * len(sizes)
        order = self.connection.order
        columns = [found[key] for key in order]
        return made_of(order, columns, len(sizes))

    def _info(self, pages: Pages, name: str, reading: Reading) -> Sequence[Any]:
        sizes = pages.found.sizes
        if name == "hasNextPage":
            return pages.has_next
        if name == "hasPreviousPage":
            return pages.has_previous
        if name not in ("startCursor", "endCursor"):
            return [name] * len(sizes)  # a type's name
        if self.cursor is None:
            return [None] * len(sizes)
        last = 0 if name == "startCursor" else 1
        ends = [
            start + last * (size - 1) for start, size in zip(pages.found.starts, sizes, strict=True) if size
        ]
        table = pages.found.table.take(ends)
        cursors = iter(self.cursor(table, reading) if ends else ())
        return [next(cursors) if size else None for size in sizes]


@dataclass(frozen=True, slots=True)
class Link:
    """A relationship: the fields asked of it."""

    fields: Fields

    def reader(self, writer: Writer, place: Place, variable: str) -> ObjectReader:
        return ObjectReader(sources_of(self.fields, writer, place, variable))


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
        branch = Branch(
            far_end(link),
            inner,
            f"MATCH {pattern} WHERE {far}{behind}",
            f"WITH {link}, {far_end(link)} ORDER BY {far_end(link)}.id LIMIT {script.value(limit)}",
        )
        # Columns are of nodes: where relationships are told of, they come by rows.
        index = place.branch(branch) if self._is_of_twins(own) else place.index(branch.text)
        total = place.index(f"COUNT {{ MATCH {pattern} WHERE {far} }}") if self.connection.totals else None
        before = None
        if edge is not None and self.connection.asks("hasPreviousPage"):
            ahead = f"{far_end(link)}.id < {script.value(edge[0])}"
            before = place.index(f"EXISTS {{ MATCH {pattern} WHERE {far} AND {ahead} }}")

        ordering = _Ordering(cast("Reader | None", own), edge, size, limit)

        def read(table: Table, reading: Reading) -> Column:
            found, begun = ordering.pages(table, index, reading)
            previous = [False] * table.size if before is None else table.columns[before]
            return reader.read(
                Pages(
                    found.first(size),
                    [one or other for one, other in zip(begun, previous, strict=True)],
                    [each > size for each in found.sizes],
                    [None] * table.size if total is None else table.columns[total],
                ),
                reading,
            )

        return read

    def _is_of_twins(self, own: object) -> bool:
        """Whether nothing is asked of the relationships themselves."""
        asked = [item for _, item in self.connection.nodes]
        asked += [item for _, fields in self.connection.edges for _, item in fields]
        fields = [each for item in asked for each in (_fields_of(item))]
        is_plain = all(isinstance(each, FarTwin | Constant) for each in fields)
        return own is None and is_plain and not self.connection.asks("startCursor", "endCursor")


def _fields_of(item: object) -> list[object]:
    return [field for _, field in item.fields] if isinstance(item, Link) else [item]


def _link_reader(connection: Connection, writer: Writer, place: Place, link: str) -> ConnectionReader:
    lists: list[tuple[str, Objects]] = []
    for key, item in connection.nodes:
        lists.append((key, cast("Link", item).reader(writer, place, link)))
    for key, fields in connection.edges:
        sources: list[tuple[str, Source]] = []
        for each, item in fields:
            if isinstance(item, Link):
                sources.append((each, item.reader(writer, place, link)))
            else:
                sources.append((each, cast("Field", item).source(writer, place, link)))
        lists.append((key, ObjectReader(tuple(sources))))
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
    return f"({variable})-[{link}]-({far_end(link)})", along


def _cursor_of(text: str) -> tuple[str, str]:
    match decode_cursor(text):
        case [str(other), str(own)]:
            return other, own
        case _:
            raise cursor_error()


@dataclass(frozen=True, slots=True)
class _Ordering:
    """Puts relationships in the order of their cursors. own: their ids, where these were asked for."""

    own: Reader | None
    edge: tuple[str, str] | None  # the cursor
    size: int
    limit: int

    def pages(self, table: Table, index: int, reading: Reading) -> tuple[Nested, list[bool]]:
        """Relationships in order, those at or before the cursor left out; whether there were such.

        NeedsIdsError where several lead to one twin, and what ids are made of was not asked for.
        """
        if self.own is None:
            found = table.nested(index)
            if found.table.size and _are_parallel(found.table.columns[0], found.sizes):
                raise NeedsIdsError
            return found, [False] * table.size
        lists: Sequence[Sequence[Row]] = table.columns[index]
        pages = [self._page(rows, self.own, reading) for rows in lists]
        begun = [len(page) < len(rows) for page, rows in zip(pages, lists, strict=True)]
        return Nested.of(pages), begun

    def _page(self, rows: Sequence[Row], own: Reader, reading: Reading) -> Sequence[Row]:
        is_cut = len(rows) == self.limit
        kept, edge = rows, self.edge
        if edge is not None or _is_parallel(rows):
            ids = own(Table.of(rows), reading) if rows else ()
            ordered = sorted(zip((row[0].encode() for row in rows), ids, rows, strict=True), key=_two_ids)
            rows = [row for _, _, row in ordered]
            kept = rows
            if edge is not None:
                kept = [row for _, own_id, row in ordered if row[0] != edge[0] or own_id > edge[1]]
        if is_cut and (len(kept) <= self.size or kept[self.size][0] == rows[-1][0]):
            refuse(
                f"a page that ends within more than {_PARALLEL_MAX} relationships between the same two twins"
            )
        return kept


def _two_ids(row: tuple[bytes, str, Row]) -> tuple[bytes, str]:
    return row[:2]


def _is_parallel(rows: Sequence[Row]) -> bool:
    """Whether several of some relationships, in the order of their far ends, lead to one twin."""
    return any(one[0] == other[0] for one, other in pairwise(rows))


def _are_parallel(ends: Sequence[str], sizes: Sequence[int]) -> bool:
    """The same of many, one behind the other."""
    if len(set(ends)) == len(ends):
        return False
    return any(len(set(each)) < len(each) for each in cut(ends, sizes))
