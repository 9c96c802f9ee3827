"""Answers of Neo4j as data of GraphQL. Each thing is a list of values; all that were asked alike are read
together, column by column: to read each of some thousand lists by itself takes as long as Neo4j for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from api.schema.generated import leading_type_name, plain_type_name
from graph.ids import relationship_iri
from graph.stores.neo4j.script import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graphql import GraphQLSchema

    from ontology.schema import Schema
    from ontology.units import Units


class NeedsIdsError(Exception):
    """The statement is to be written again with what ids of relationships and types of twins are made of."""


@dataclass(slots=True, eq=False)
class Reading:
    """One statement's answer while it is read. objects: how many it held so far, as budgets count."""

    schema: GraphQLSchema
    ontology: Schema
    units: Units
    bases: Mapping[str, str]  # by site
    objects: int = 0
    _types: dict[str | tuple[str, ...], str] = field(default_factory=dict[str | tuple[str, ...], str])
    _names: dict[tuple[str, ...], list[str]] = field(default_factory=dict[tuple[str, ...], list[str]])

    def type_name(self, kinds: str | Sequence[str]) -> str:
        """The object type of a twin, as `resolve_twin_type` tells it.

        kinds: the name of the leading one (NeedsIdsError where that is not enough), or the IRIs of all
        """
        key = kinds if isinstance(kinds, str) else tuple(kinds)
        found = self._types.get(key)
        if found is None and isinstance(key, str):
            leading = self.ontology.kind(key).index if key else -1
            found = leading_type_name(self.ontology, leading)
            if found not in self.schema.type_map:
                raise NeedsIdsError
            self._types[key] = found
        elif found is None:
            known = [kind.index for kind in map(self.ontology.kind_by_iri, key) if kind is not None]
            found = leading_type_name(self.ontology, known[0] if known else -1)
            if found not in self.schema.type_map:
                found = plain_type_name(self.ontology, known)
            self._types[key] = found
        return found

    def kind_names(self, kinds: Sequence[str]) -> list[str]:
        key = tuple(kinds)
        found = self._names.get(key)
        if found is None:
            known = (kind for kind in map(self.ontology.kind_by_iri, key) if kind is not None)
            found = self._names[key] = [kind.name for kind in known]
        return found


Row: TypeAlias = "Sequence[Any]"
Column: TypeAlias = "Sequence[Any]"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Things that were answered alike, by columns. Each column has `size` values, or is `Nested`."""

    size: int
    columns: Sequence[Any]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Table:
        """Of lists of values."""
        return cls(len(rows), list(zip(*rows, strict=True)))

    def nested(self, index: int) -> Nested:
        """What stands below each, in a column."""
        column = self.columns[index]
        if isinstance(column, Nested):
            return column
        return Nested.of(column)

    def take(self, places: Sequence[int]) -> Table:
        """The things at some places, in their order."""
        if len(places) == self.size and list(places) == list(range(self.size)):
            return self
        return Table(
            len(places),
            [
                column.take(places) if isinstance(column, Nested) else [column[place] for place in places]
                for column in self.columns
            ],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Nested:
    """What stands below some things: so many for the first, so many for the next, ..., all in one table."""

    sizes: Sequence[int]
    table: Table

    @classmethod
    def of(cls, lists: Sequence[Sequence[Row]]) -> Nested:
        """Of lists of rows."""
        return cls(list(map(len, lists)), Table.of(list(chain.from_iterable(lists))))

    @property
    def starts(self) -> list[int]:
        """Where each one's begin."""
        return list(accumulate(self.sizes, initial=0))[:-1]

    def take(self, places: Sequence[int]) -> Nested:
        """What stands below the things at some places."""
        starts, sizes = self.starts, self.sizes
        kept = [one for place in places for one in range(starts[place], starts[place] + sizes[place])]
        return Nested([sizes[place] for place in places], self.table.take(kept))

    def first(self, most: int) -> Nested:
        """The first so many of each."""
        if max(self.sizes, default=0) <= most:
            return self
        sizes = [min(size, most) for size in self.sizes]
        kept = [
            one for start, size in zip(self.starts, sizes, strict=True) for one in range(start, start + size)
        ]
        return Nested(sizes, self.table.take(kept))


def cut(items: Sequence[Any], sizes: Sequence[int]) -> list[Sequence[Any]]:
    """So many of the items for the first, so many for the next, ..."""
    return [items[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]


def cut_in_order(items: Sequence[Any], sizes: Sequence[int], by: Column) -> list[list[Any]]:
    """As `cut`, each one's in the order of a column. Some short lists are sorted here in less time than Neo4j
    takes to make ready for each of them."""
    at = by.__getitem__
    ends = accumulate(sizes)
    return [
        [items[place] for place in sorted(range(end - size, end), key=at)]
        for size, end in zip(sizes, ends, strict=True)
    ]


def made_of(keys: Sequence[str], columns: Sequence[Column], size: int) -> list[dict[str, Any]]:
    """So many objects, of which each has a value of each column by the column's key."""
    # One or two fields are asked most often, and so written it takes half of the time.
    if len(keys) == 1:
        [only], [values] = keys, columns
        return [{only: value} for value in values]
    if len(keys) == 2:
        (one, other), (first, second) = keys, columns
        return [{one: value, other: beside} for value, beside in zip(first, second, strict=True)]
    if not keys:
        return [{} for _ in range(size)]
    return [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]


# What a field has for each thing of a table.
Reader: TypeAlias = Callable[[Table, Reading], Column]
# What a field is read from: a column, or more than one by a reader.
Source: TypeAlias = "int | Reader"


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """Nodes that stand below a thing. match: MATCH ... WHERE ...; limit: how it goes on, up to a RETURN."""

    variable: str
    place: Place
    match: str
    limit: str

    @property
    def listed(self) -> str:
        """The nodes as an expression."""
        return f"COLLECT {{ {self.match} {self.limit} RETURN {self.variable} }}"

    @property
    def text(self) -> str:
        """What is asked of them, as an expression."""
        return f"COLLECT {{ {self.match} {self.limit} RETURN {self.place.text} }}"


@dataclass(slots=True, eq=False)
class Place:
    """What a statement gives of one thing: expressions, each once, in the order of the list's values.

    branches: those of the expressions that `api.pushdown.gathering` may put otherwise.
    """

    expressions: list[str] = field(default_factory=list[str])
    branches: dict[int, Branch] = field(default_factory=dict[int, Branch])

    def index(self, expression: str) -> int:
        """Where the value of an expression stands."""
        if expression in self.expressions:
            return self.expressions.index(expression)
        self.expressions.append(expression)
        return len(self.expressions) - 1

    def branch(self, branch: Branch) -> int:
        """Where what stands below is: see `Table.nested`."""
        self.expressions.append(branch.text)
        self.branches[len(self.expressions) - 1] = branch
        return len(self.expressions) - 1

    @property
    def text(self) -> str:
        return "[" + ", ".join(self.expressions) + "]"

    @property
    def text_without_branches(self) -> str:
        """The same with null for each branch."""
        texts = ("null" if i in self.branches else text for i, text in enumerate(self.expressions))
        return "[" + ", ".join(texts) + "]"


class Objects(Protocol):
    """Makes an object of each thing of a table."""

    def __call__(self, table: Table, reading: Reading) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True, eq=False)
class ObjectReader:
    """Objects of some fields, by key, all of the same."""

    fields: tuple[tuple[str, Source], ...]

    def __call__(self, table: Table, reading: Reading) -> list[dict[str, Any]]:
        if not table.size:
            return []
        columns = [
            table.columns[source] if isinstance(source, int) else source(table, reading)
            for _, source in self.fields
        ]
        return made_of([key for key, _ in self.fields], columns, table.size)


@dataclass(frozen=True, slots=True, eq=False)
class TypedReader:
    """As the types of twins say. index: of what tells the type."""

    index: int
    by_type: Mapping[str, ObjectReader]

    def __call__(self, table: Table, reading: Reading) -> list[dict[str, Any]]:
        if not table.size:
            return []
        kinds = table.columns[self.index]
        keys: Sequence[Any] = kinds if isinstance(kinds[0], str) else [tuple(each) for each in kinds]
        readers = {key: self._of(key, reading) for key in dict.fromkeys(keys)}
        if len({id(reader) for reader in readers.values()}) == 1:
            return readers[keys[0]](table, reading)
        return self._mixed([readers[key] for key in keys], table, reading)

    def _mixed(self, readers: Sequence[ObjectReader], table: Table, reading: Reading) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = [{}] * table.size
        places: dict[int, list[int]] = {}
        for place, reader in enumerate(readers):
            places.setdefault(id(reader), []).append(place)
        for mine in places.values():
            for place, found in zip(mine, readers[mine[0]](table.take(mine), reading), strict=True):
                made[place] = found
        return made

    def _of(self, kinds: str | tuple[str, ...], reading: Reading) -> ObjectReader:
        reader = self.by_type.get(reading.type_name(kinds))
        return reader or refuse("a twin of a type that its place does not allow")


def edge_id(reading: Reading, own: Sequence[str | None], name: str, source: str, target: str) -> str:
    """As `Snapshot.edge_id`. own: its properties `_id`, `_group` and `_site`; name: of the relation."""
    stated, group, site = own
    if stated:
        return stated
    base, relation = reading.bases[site or ""], reading.ontology.relation(name).iri
    return relationship_iri(base, source, relation, target, group or "")
