"""Columns of a change: a million twins as a few arrays instead of a million records.

A `Change` may carry `Columns` beside its records. They mean exactly what the records they stand for would
mean: every twin is put, every relationship is put, each with the origin of its block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from graph.values import ExternalId, JSONValue

    Texts: TypeAlias = Sequence[str | None]
    Ints: TypeAlias = npt.NDArray[np.int32]
    Places: TypeAlias = npt.NDArray[np.integer[Any]]
    Plain: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[np.bool_]
    Values: TypeAlias = Plain | Sequence[str] | Sequence[JSONValue]


@dataclass(frozen=True, slots=True, eq=False)
class AttributeColumn:
    """One attribute of the items of a block that state it; values of one type, in one unit.

    values: float64[k], int64[k], bool[k], or k texts (or other JSON values; None clears what was there).
    rows:   int32[k], items of the block, ascending; None: all of them, in order.
    unit:   UCUM code or None. origin: None: that of the block.

    An attribute of several types or units stands in several columns that share no item.
    """

    name: str
    values: Values
    rows: Ints | None = None
    unit: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TwinColumns:
    """`count` twins with the next `count` ids of `Columns.ids`.

    kind_sets: kind IRIs of each set, leading one first; kinds: int32[count], which set is whose.
    names, local_ids: `count` texts or None each; None: no twin has any.
    external_ids: by item.
    """

    count: int
    kind_sets: tuple[tuple[str, ...], ...]
    kinds: Ints
    names: Texts | None = None
    local_ids: Texts | None = None
    attributes: tuple[AttributeColumn, ...] = ()
    external_ids: Mapping[int, tuple[ExternalId, ...]] = field(
        default_factory=dict[int, "tuple[ExternalId, ...]"]
    )
    origin: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RelationshipColumns:
    """m relationships.

    sources, targets: int32[m], places in `Columns.ids`.
    relation_names: IRIs of canonical relations; relations: int32[m], which is whose.
    group_names, groups: likewise the names of need groups; groups None: all are in the default group.
    own_ids: m IRIs or None each (None: the id follows from the key); None: no relationship has its own.
    stated_names, stated: IRIs of the inverse predicates that stood in the file; -1: none did.
    """

    sources: Ints
    targets: Ints
    relation_names: tuple[str, ...]
    relations: Ints
    group_names: tuple[str, ...] = ("",)
    groups: Ints | None = None
    own_ids: Texts | None = None
    attributes: tuple[AttributeColumn, ...] = ()
    stated_names: tuple[str, ...] = ()
    stated: Ints | None = None
    origin: str | None = None

    @property
    def count(self) -> int:
        return len(self.sources)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Blocks of twins and of relationships, and one table of the ids that they use.

    ids: IRIs, first those of the twins, block after block, then ends that the columns do not put.
    """

    ids: Sequence[str]
    twins: tuple[TwinColumns, ...] = ()
    relationships: tuple[RelationshipColumns, ...] = ()

    @property
    def twin_count(self) -> int:
        return sum(block.count for block in self.twins)

    @property
    def relationship_count(self) -> int:
        return sum(block.count for block in self.relationships)

    def __len__(self) -> int:
        return self.twin_count + self.relationship_count

    def starts(self) -> list[int]:
        """The place in `ids` at which each block of twins begins."""
        return list(accumulate((block.count for block in self.twins[:-1]), initial=0))[: len(self.twins)]


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What became of the items of one block."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


def all_texts(values: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """True if a sequence holds texts only."""
    return set(map(type, values)) <= {str}
