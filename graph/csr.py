"""Which relationships start or end at a twin: a sorted base and a small tail of newer ones.

Relationships are numbered in order of creation and never renumbered, so the tail is just the last numbers.
Dead ones stay in place and are filtered when read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from graph.values import Way

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.columns import Reader, Rows

    Found: TypeAlias = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]

# The tail is merged into the base when it is longer than this and than an eighth of the base.
TAIL_ROWS_MIN = 8192
_EDGE_BITS = 32
_EDGE_MASK = (1 << _EDGE_BITS) - 1


class Links(Protocol):
    """The relationships of a snapshot, walked from twins."""

    def expand(self, rows: Rows, way: Way, relations: npt.NDArray[np.bool_] | None) -> Found:
        """All living relationships of some twins.

        rows: twins, in any order, repeats allowed. relations: bool[relations of the schema], None for all.
        Returns (edges int32[k], owner int32[k]): `owner` counts positions in `rows` and ascends; the edges of
        one owner ascend.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Csr:
    """The first relationships, sorted by one end.

    Of row r: edges[start[r]:start[r + 1]]; int32[m], int64[n + 1].
    """

    edges: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]

    def find(self, rows: Rows) -> Found:
        """(edges, owner) as in `Links.expand`, dead ones included."""
        last = len(self.start) - 1
        begin = self.start[np.minimum(rows, last)]
        places, owner = _spread(begin, self.start[np.minimum(rows + 1, last)])
        return self.edges[places], owner


@dataclass(frozen=True, slots=True, eq=False)
class SortedTail:
    """The last relationships, sorted by one end. `keys` int64[m]: end << 32 | relationship, ascending."""

    keys: npt.NDArray[np.int64]

    def find(self, rows: Rows) -> Found:
        ends = rows.astype(np.int64) << _EDGE_BITS
        begin = np.searchsorted(self.keys, ends)
        places, owner = _spread(begin, np.searchsorted(self.keys, ends | _EDGE_MASK, side="right"))
        return (self.keys[places] & _EDGE_MASK).astype(np.int32), owner


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """Both directions of the first `count` relationships."""

    count: int
    out: Csr
    into: Csr

    @property
    def nbytes(self) -> int:
        return sum(part.edges.nbytes + part.start.nbytes for part in (self.out, self.into))


def empty_base() -> Base:
    nothing = Csr(np.zeros(0, np.int32), np.zeros(1, np.int64))
    return Base(0, nothing, nothing)


def build_base(source: Reader[np.int32], target: Reader[np.int32], count: int, twins: int) -> Base:
    edges = np.arange(count)
    return Base(count, _csr(source.take(edges), twins), _csr(target.take(edges), twins))


def _csr(ends: npt.NDArray[np.int32], twins: int) -> Csr:
    start = np.zeros(twins + 1, np.int64)
    np.cumsum(np.bincount(ends, minlength=twins), out=start[1:])
    return Csr((_sorted_keys(ends, 0) & _EDGE_MASK).astype(np.int32), start)


def _sorted_keys(ends: npt.NDArray[np.int32], first_edge: int) -> npt.NDArray[np.int64]:
    """Keys of relationships first_edge, first_edge + 1, ...: one sort of integers is stable and fast."""
    edges = np.arange(first_edge, first_edge + len(ends), dtype=np.int64)
    return np.sort((ends.astype(np.int64) << _EDGE_BITS) | edges)


def _spread(
    begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """All places of the ranges begin[i]..end[i], and which range each belongs to."""
    count = end - begin
    owner = np.repeat(np.arange(len(count), dtype=np.int32), count)
    first = np.cumsum(count) - count
    return np.arange(len(owner)) + np.repeat(begin - first, count), owner


def tail_is_long(base: Base, count: int) -> bool:
    return count - base.count > max(TAIL_ROWS_MIN, base.count >> 3)


@dataclass(slots=True, eq=False)
class SiteLinks:
    """`Links` of one site."""

    base: Base
    count: int
    source: Reader[np.int32]
    target: Reader[np.int32]
    relation: Reader[np.int32]
    alive: Reader[np.bool_]
    _tail: tuple[SortedTail, SortedTail] | None = field(default=None)

    def expand(self, rows: Rows, way: Way, relations: npt.NDArray[np.bool_] | None = None) -> Found:
        if way == Way.BOTH:
            outward = self.expand(rows, Way.OUT, relations)
            return merge_found(outward, self.expand(rows, Way.IN, relations))
        edges, owner = (self.base.out if way == Way.OUT else self.base.into).find(rows)
        if self.count > self.base.count:
            out, into = self._tail_index()
            edges, owner = merge_found((edges, owner), (out if way == Way.OUT else into).find(rows))
        keep = self.alive.take(edges)
        if relations is not None:
            keep &= relations[self.relation.take(edges)]
        return edges[keep], owner[keep]

    def _tail_index(self) -> tuple[SortedTail, SortedTail]:
        # Two readers may build it at once: both get the same.
        if self._tail is None:
            edges = np.arange(self.base.count, self.count)
            out, into = (
                _sorted_keys(ends.take(edges), self.base.count) for ends in (self.source, self.target)
            )
            self._tail = SortedTail(out), SortedTail(into)
        return self._tail


def merge_found(first: Found, second: Found) -> Found:
    """Two results over the same rows as one, each edge once per owner."""
    if not len(second[0]):
        return first
    if not len(first[0]):
        return second
    keys = np.concatenate(
        [(owner.astype(np.int64) << _EDGE_BITS) | edges for edges, owner in (first, second)]
    )
    keys = np.unique(keys)
    return (keys & _EDGE_MASK).astype(np.int32), (keys >> _EDGE_BITS).astype(np.int32)
