"""Numbers -> rows, append-only, in sorted arrays: an index of eight bytes a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Run: TypeAlias = npt.NDArray[np.int64]

N = TypeVar("N", bound="np.number[Any]")
# Single entries wait in a dict; so many, or a share of all, then become a sorted run.
PENDING_MIN = 4096
_PENDING_SHARE_BITS = 4
# A run is merged into the one before it when that is less than so many times as long.
_RUN_RATIO = 4
_ROW_BITS = 32
_ROW_MASK = (1 << _ROW_BITS) - 1


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """All entries. Runs are int64[k], ascending: (key - 2**31) << 32 | row. Only `pending` still grows."""

    runs: tuple[Run, ...] = ()
    pending: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])


class Multimap:
    """Keys from 0 to 2**32 - 1 and the rows entered under each.

    One thread at a time writes, any may read meanwhile: `_parts` is replaced as a whole, and what it holds
    only ever grows. Rows that a reader should not see yet are larger than those of its snapshot.
    """

    def __init__(self, runs: Sequence[Run] = ()) -> None:
        self._parts = _Parts(tuple(runs))
        self._waiting = 0
        self._sorted = sum(map(len, runs))

    def __len__(self) -> int:
        return self._sorted + self._waiting

    def add(self, key: int, row: int) -> None:
        pending = self._parts.pending
        pending[key] = (*pending.get(key, ()), row)
        self._waiting += 1
        if self._waiting > max(PENDING_MIN, self._sorted >> _PENDING_SHARE_BITS):
            self.settle()

    def add_all(self, keys: npt.NDArray[np.uint32], rows: npt.NDArray[np.int32]) -> None:
        """Enter many at once."""
        if len(keys) < PENDING_MIN:
            for key, row in zip(keys.tolist(), rows.tolist(), strict=True):
                self.add(key, row)
            return
        self.settle()
        self._append(np.sort(_pack(keys, rows)))

    def rows(self, key: int) -> list[int]:
        """The rows under a key, ascending."""
        parts = self._parts
        found = list(parts.pending.get(key, ()))
        first = (key - _KEY_SHIFT) << _ROW_BITS
        for run in parts.runs:
            begin = int(run.searchsorted(first))
            if begin < len(run) and run[begin] <= (first | _ROW_MASK):
                end = int(run.searchsorted(first | _ROW_MASK, "right"))
                found.extend((run[begin:end] & _ROW_MASK).tolist())
        return sorted(found)

    def matches(self, keys: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """All (place in `keys`, row) pairs with that key: int64[k], int32[k], in no special order."""
        parts = self._parts
        order = np.argsort(keys, kind="stable")
        first = _pack(keys[order], np.zeros(len(keys), np.int32))
        places, rows = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
        for run in (*parts.runs, _run_of(parts.pending)) if parts.pending else parts.runs:
            begin = run.searchsorted(first)
            where, owner = spread(begin, run.searchsorted(first | _ROW_MASK, "right"))
            places.append(order[owner])
            rows.append((run[where] & _ROW_MASK).astype(np.int32))
        return np.concatenate(places), np.concatenate(rows)

    def settle(self) -> tuple[Run, ...]:
        """Sort what is pending; returns all runs. Only for the writer."""
        if self._waiting:
            run = _run_of(self._parts.pending)
            self._waiting = 0
            self._append(run)
        return self._parts.runs

    @property
    def nbytes(self) -> int:
        return 8 * len(self)

    def _append(self, run: Run) -> None:
        runs = [*self._parts.runs, run]
        self._sorted += len(run)
        while len(runs) > 1 and len(runs[-2]) < _RUN_RATIO * len(runs[-1]):
            last = runs.pop()
            runs[-1] = merge_runs(runs[-1], last)
        self._parts = _Parts(tuple(runs))


def merge_runs(first: Run, second: Run) -> Run:
    """Two ascending arrays as one."""
    # A stable sort of two ascending runs is a merge.
    return np.sort(np.concatenate((first, second)), kind="stable")


def distinct(numbers: npt.NDArray[N]) -> npt.NDArray[N]:
    """Some numbers, ascending, each once. `np.unique` hashes them: ten times slower where most differ."""
    ordered = np.sort(numbers)
    is_new = np.ones(len(ordered), np.bool_)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_new]


def spread(
    begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """All places of the ranges begin[i]..end[i], and which range each belongs to."""
    count = end - begin
    owner = np.repeat(np.arange(len(count), dtype=np.int32), count)
    first = np.cumsum(count) - count
    return np.arange(len(owner)) + np.repeat(begin - first, count), owner


# Keys are shifted so that packed entries order as signed numbers.
_KEY_SHIFT = 1 << 31


def _pack(keys: npt.NDArray[np.uint32], rows: npt.NDArray[np.int32]) -> Run:
    return ((keys.astype(np.int64) - _KEY_SHIFT) << _ROW_BITS) | rows


def _run_of(pending: dict[int, tuple[int, ...]]) -> Run:
    # A copy first: the writer may add to the dict while a reader walks it.
    known = list(pending.copy().items())
    keys = np.array([key for key, rows in known for _ in rows], np.uint32)
    return np.sort(_pack(keys, np.array([row for _, rows in known for row in rows], np.int32)))
