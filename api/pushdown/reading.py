"""Answers of Neo4j as data of GraphQL: each thing is a list of values, read by the place they stand at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from api.schema.generated import leading_type_name, plain_type_name
from graph.ids import relationship_iri
from graph.stores.neo4j.rows import TAGGED
from graph.stores.neo4j.script import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graphql import GraphQLSchema

    from ontology.schema import Schema
    from ontology.units import Units

_TAG_SIZE: Final = len(TAGGED)
_UNITS: Final = msgspec.json.Decoder(dict[str, str])
_ANY: Final = msgspec.json.Decoder()
_UNITS_KEPT: Final = 4_096


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
Reader: TypeAlias = Callable[[Row, Reading], Any]
# What a field is read from: a place, or more than one by a reader.
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


@dataclass(frozen=True, slots=True, eq=False)
class ObjectReader:
    """Makes an object of each row: values at places first, then what takes more to read."""

    keys: tuple[str, ...]
    take: Callable[[Row], tuple[Any, ...]]
    others: tuple[tuple[str, Reader], ...]

    def __call__(self, row: Row, reading: Reading) -> dict[str, Any]:
        # With something at every key from the beginning, so that keys stay in order.
        made = dict(zip(self.keys, self.take(row), strict=True))
        for key, reader in self.others:
            made[key] = reader(row, reading)
        return made

    def many(self, rows: Sequence[Row], reading: Reading) -> list[dict[str, Any]]:
        if len(self.others) == len(self.keys) == 1:
            [(key, reader)] = self.others
            return [{key: reader(row, reading)} for row in rows]
        if self.others:
            return [self(row, reading) for row in rows]
        keys, take = self.keys, self.take
        return [dict(zip(keys, take(row), strict=True)) for row in rows]


@dataclass(frozen=True, slots=True, eq=False)
class TypedReader:
    """As the types of twins say. index: of what tells the type."""

    index: int
    by_type: Mapping[str, ObjectReader]

    def __call__(self, row: Row, reading: Reading) -> Any:
        return self._of(row[self.index], reading)(row, reading)

    def many(self, rows: Sequence[Row], reading: Reading) -> list[Any]:
        index = self.index
        if rows and isinstance(rows[0][index], str):
            readers = {self._of(kinds, reading) for kinds in {row[index] for row in rows}}
            if len(readers) == 1:
                return readers.pop().many(rows, reading)
        return [self(row, reading) for row in rows]

    def _of(self, kinds: Any, reading: Reading) -> ObjectReader:
        reader = self.by_type.get(reading.type_name(kinds))
        return reader or refuse("a twin of a type that its place does not allow")


def object_reader(fields: Sequence[tuple[str, Source]]) -> ObjectReader:
    """An object of some fields, by key."""
    plain = [source for _, source in fields if isinstance(source, int)]
    places = [source if isinstance(source, int) else plain[0] for _, source in fields] if plain else []
    others = tuple((key, source) for key, source in fields if not isinstance(source, int))
    return ObjectReader(tuple(key for key, _ in fields), _taking(places, len(fields)), others)


def _taking(places: Sequence[int], count: int) -> Callable[[Row], tuple[Any, ...]]:
    """So many values: those at some places, or none that mean anything."""
    if len(places) > 1:
        return itemgetter(*places)
    if places:
        only = places[0]
        return lambda row: (row[only],)
    nothing = (None,) * count
    return lambda _row: nothing


def value_of(stored: Any) -> Any:
    """A value as it was stated."""
    if isinstance(stored, str) and stored.startswith(TAGGED):
        return _ANY.decode(stored[_TAG_SIZE:])
    return stored


@lru_cache(maxsize=_UNITS_KEPT)
def units_of(text: str | None) -> Mapping[str, str]:
    """By attribute, the unit that a twin or relationship states."""
    return {} if text is None else _UNITS.decode(text)


def edge_id(reading: Reading, own: Sequence[str | None], name: str, source: str, target: str) -> str:
    """As `Snapshot.edge_id`. own: its properties `_id`, `_group` and `_site`; name: of the relation."""
    stated, group, site = own
    if stated:
        return stated
    base, relation = reading.bases[site or ""], reading.ontology.relation(name).iri
    return relationship_iri(base, source, relation, target, group or "")
