"""Which relationships start or end at a twin: a sorted base and a small tail of newer ones.

Relationships are numbered in order of creation and never renumbered, so the tail is just the last numbers.
Dead ones stay in place and are filtered when read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from graph.multimap import distinct, merge_runs, spread
from graph.values import Way

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.columns import Reader, Rows

    Found: TypeAlias = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]

# The tail is merged into the base when it is longer than this and than an eighth of the base.
TAIL_ROWS_MIN = 8192
# Pieces of the tail are merged where the earlier one is less than so many times as long.
_PIECE_RATIO = 4
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

    Of row r: edges[start[r]:start[r + 1]]; int32[m], int32[n + 1].
    """

    edges: npt.NDArray[np.int32]
    start: npt.NDArray[np.int32]

    def find(self, rows: Rows) -> Found:
        """(edges, owner) as in `Links.expand`, dead ones included."""
        last = len(self.start) - 1
        begin = self.start[np.minimum(rows, last)].astype(np.int64)
        places, owner = spread(begin, self.start[np.minimum(rows + 1, last)].astype(np.int64))
        return self.edges[places], owner


@dataclass(frozen=True, slots=True, eq=False)
class SortedEnds:
    """Some relationships, sorted by one end. `keys` int64[m]: end << 32 | relationship, ascending."""

    keys: npt.NDArray[np.int64]

    def find(self, rows: Rows) -> Found:
        ends = rows.astype(np.int64) << _EDGE_BITS
        begin = np.searchsorted(self.keys, ends)
        places, owner = spread(begin, np.searchsorted(self.keys, ends | _EDGE_MASK, side="right"))
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
    nothing = Csr(np.zeros(0, np.int32), np.zeros(1, np.int32))
    return Base(0, nothing, nothing)


def build_base(source: Reader[np.int32], target: Reader[np.int32], count: int, twins: int) -> Base:
    edges = np.arange(count)
    return Base(count, _csr(source.take(edges), twins), _csr(target.take(edges), twins))


def _csr(ends: npt.NDArray[np.int32], twins: int) -> Csr:
    start = np.zeros(twins + 1, np.int32)
    np.cumsum(np.bincount(ends, minlength=twins), out=start[1:])
    return Csr((_sorted_keys(ends, 0) & _EDGE_MASK).astype(np.int32), start)


def _sorted_keys(ends: npt.NDArray[np.int32], first_edge: int) -> npt.NDArray[np.int64]:
    """Keys of relationships first_edge, first_edge + 1, ...: one sort of integers is stable and fast."""
    edges = np.arange(first_edge, first_edge + len(ends), dtype=np.int64)
    return np.sort((ends.astype(np.int64) << _EDGE_BITS) | edges)


def tail_is_long(base: Base, count: int) -> bool:
    return count - base.count > max(TAIL_ROWS_MIN, base.count >> 3)


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Both directions of the relationships before `last` that no earlier piece has."""

    last: int
    out: SortedEnds
    into: SortedEnds


class Tail:
    """The relationships from `first` on, in sorted pieces: what comes new is sorted alone, then merged.

    Shared by the snapshots on one base. Readers bring it up to date; where two do so at once, one of them
    works for nothing.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._pieces: tuple[_Piece, ...] = ()

    def upto(self, count: int, source: Reader[np.int32], target: Reader[np.int32]) -> tuple[_Piece, ...]:
        """Pieces with all relationships below `count`, and perhaps later ones."""
        pieces = self._pieces
        first = pieces[-1].last if pieces else self._first
        if first < count:
            edges = np.arange(first, count)
            ends = (SortedEnds(_sorted_keys(column.take(edges), first)) for column in (source, target))
            pieces = self._pieces = _merged([*pieces, _Piece(count, *ends)])
        return pieces

    @property
    def nbytes(self) -> int:
        return sum(piece.out.keys.nbytes + piece.into.keys.nbytes for piece in self._pieces)


def _merged(pieces: list[_Piece]) -> tuple[_Piece, ...]:
    """A piece joins the one before where that is not much longer: so they are few, and seldom merged."""
    while len(pieces) > 1 and len(pieces[-2].out.keys) < _PIECE_RATIO * len(pieces[-1].out.keys):
        new, old = pieces.pop(), pieces.pop()
        out = SortedEnds(merge_runs(old.out.keys, new.out.keys))
        pieces.append(_Piece(new.last, out, SortedEnds(merge_runs(old.into.keys, new.into.keys))))
    return tuple(pieces)


@dataclass(slots=True, eq=False)
class SiteLinks:
    """`Links` of one site: the base and what came after it."""

    base: Base
    tail: Tail
    count: int
    source: Reader[np.int32]
    target: Reader[np.int32]
    relation: Reader[np.int32]
    alive: Reader[np.bool_]

    def expand(self, rows: Rows, way: Way, relations: npt.NDArray[np.bool_] | None = None) -> Found:
        if way == Way.BOTH:
            outward = self.expand(rows, Way.OUT, relations)
            return merge_found(outward, self.expand(rows, Way.IN, relations))
        edges, owner = self._find(rows, way)
        keep = self.alive.take(edges)
        if relations is not None:
            keep &= relations[self.relation.take(edges)]
        return edges[keep], owner[keep]

    def _find(self, rows: Rows, way: Way) -> Found:
        found = (self.base.out if way == Way.OUT else self.base.into).find(rows)
        if self.count > self.base.count:
            for piece in self.tail.upto(self.count, self.source, self.target):
                edges, owner = (piece.out if way == Way.OUT else piece.into).find(rows)
                known = edges < self.count
                found = merge_found(found, (edges[known], owner[known]))
        return found


def merge_found(first: Found, second: Found) -> Found:
    """Two results over the same rows as one, each edge once per owner."""
    if not len(second[0]):
        return first
    if not len(first[0]):
        return second
    keys = np.concatenate(
        [(owner.astype(np.int64) << _EDGE_BITS) | edges for edges, owner in (first, second)]
    )
    keys = distinct(keys)
    return (keys & _EDGE_MASK).astype(np.int32), (keys >> _EDGE_BITS).astype(np.int32)
