"""Which object type the twins of a snapshot have, as numbers by set of kinds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from api.schema.generated import leading_type_name, plain_type_name
from api.schema.subgraph import prefix_of

if TYPE_CHECKING:
    import numpy.typing as npt
    from graphql import GraphQLSchema

    from graph.kind_sets import KindSets
    from graph.snapshot import Snapshot

_TABLES_MAX: Final = 16
_NAMES_MAX: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class TypeTable:
    """names: object types; number: int32[codes of kind sets], index in `names`."""

    names: tuple[str, ...]
    number: npt.NDArray[np.int32]
    _known: dict[frozenset[str], npt.NDArray[np.bool_]] = field(
        default_factory=dict[frozenset[str], "npt.NDArray[np.bool_]"]
    )

    def is_one_of(self, names: frozenset[str]) -> npt.NDArray[np.bool_]:
        """bool[codes of kind sets]: whether their type is one of these; the same array each time."""
        known = self._known.get(names)
        if known is None:
            known = np.array([name in names for name in self.names], np.bool_)[self.number]
            if len(self._known) < _NAMES_MAX:
                self._known[names] = known
        return known


class Types:
    """The tables of the schemas in use; bounded, safe from any thread."""

    def __init__(self) -> None:
        self._tables: OrderedDict[tuple[int, int], tuple[GraphQLSchema, KindSets, TypeTable]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, schema: GraphQLSchema, snapshot: Snapshot) -> TypeTable:
        """The object types of all sets of kinds that the snapshot knows."""
        kind_sets = snapshot.kind_sets
        key = (id(schema), id(kind_sets))
        known = self._tables.get(key)
        if known is not None:
            return known[2]
        table = _table_of(schema, snapshot, kind_sets)
        with self._lock:
            # What the ids stand for is kept beside, so that they cannot become another one's.
            self._tables[key] = (schema, kind_sets, table)
            while len(self._tables) > _TABLES_MAX:
                self._tables.popitem(last=False)
        return table

    def keep_only(self, schema: GraphQLSchema) -> None:
        """Forget the tables of other schemas."""
        with self._lock:
            for key in [key for key, known in self._tables.items() if known[0] is not schema]:
                del self._tables[key]


def _table_of(schema: GraphQLSchema, snapshot: Snapshot, kind_sets: KindSets) -> TypeTable:
    ontology, prefix = snapshot.schema, prefix_of(schema)
    members: dict[int, list[int]] = {}
    for kind, code in zip(kind_sets.members.tolist(), kind_sets.owners.tolist(), strict=True):
        members.setdefault(code, []).append(kind)
    names: dict[str, int] = {}
    number: list[int] = []
    leading: list[int] = kind_sets.leading.tolist()
    for code, kind in enumerate(leading):
        name = leading_type_name(ontology, kind, prefix)
        name = name if name in schema.type_map else plain_type_name(ontology, members.get(code, ()), prefix)
        number.append(names.setdefault(name, len(names)))
    return TypeTable(tuple(names), np.array(number, np.int32))
