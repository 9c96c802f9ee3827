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


def object_reader(fields: Sequence[tuple[str, Source]]) -> Reader:
    """An object of some fields, by key."""
    keys = [key for key, _ in fields]
    plain = [source for _, source in fields if isinstance(source, int)]
    if len(plain) == len(fields) and len(fields) > 1:
        take = itemgetter(*plain)
        return lambda row, _reading: dict(zip(keys, take(row), strict=True))

    def read(row: Row, reading: Reading) -> dict[str, Any]:
        return {
            key: row[source] if isinstance(source, int) else source(row, reading) for key, source in fields
        }

    return read


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
