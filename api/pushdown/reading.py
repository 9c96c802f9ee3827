"""Answers of Neo4j as data of GraphQL. Each thing is a list of values; all that were asked alike are read
together, column by column: to read each of some thousand lists by itself takes as long as Neo4j for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from api.schema.generated import leading_type_name, plain_type_name
from graph.ids import relationship_iri
from graph.stores.neo4j.script import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    """Things that were answered alike, by columns. Each column has `size` values."""

    size: int
    columns: Sequence[Column]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Table:
        """Of lists of values."""
        return cls(len(rows), list(zip(*rows, strict=True)))

    @classmethod
    def below(cls, lists: Sequence[Sequence[Row]]) -> Table:
        """Of the rows of all these lists, one behind the other."""
        return cls.of(list(chain.from_iterable(lists)))

    def take(self, places: Sequence[int]) -> Table:
        """The things at some places, in their order."""
        return Table(len(places), [[column[place] for place in places] for column in self.columns])


def cut(items: Sequence[Any], sizes: Iterable[int]) -> list[list[Any]]:
    """So many of the items for the first, so many for the next, ..."""
    rest = iter(items)
    return [list(islice(rest, size)) for size in sizes]


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


@dataclass(slots=True, eq=False)
class Place:
    """What a statement gives of one thing: expressions, each once, in the order of the list's values."""

    expressions: list[str] = field(default_factory=list[str])

    def index(self, expression: str) -> int:
        """Where the value of an expression stands."""
        if expression in self.expressions:
            return self.expressions.index(expression)
        self.expressions.append(expression)
        return len(self.expressions) - 1

    @property
    def text(self) -> str:
        return "[" + ", ".join(self.expressions) + "]"


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
