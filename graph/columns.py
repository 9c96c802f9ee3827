"""Typed columns in pages, copied on write: a snapshot costs one small table, a write only the pages it meets.

All pages of a column lie in one 2-D array, so reading and writing many rows is one numpy call. Slot 0 is the
page of zeros that every absent page shares; sparse columns cost only the pages they fill.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

PAGE_BITS = 10
PAGE_ROWS = 1 << PAGE_BITS
_PAGE_MASK = PAGE_ROWS - 1
# Below this many rows, plain item access beats the fixed cost of numpy's fancy indexing.
_FEW_ROWS = 12
_VERY_FEW_ROWS = 6
# From so many rows on, one gather from a flat view beats looking up pages, by three times.
_SOME_ROWS = 48
# Only for so many is one made where it costs more than nothing.
_MANY_ROWS = 1024
# A flat view is made for the sake of so large a share of a column's rows (as a shift): 1/8.
_FLATTEN_SHARE_BITS = 3

D = TypeVar("D", bound=np.generic)
D_co = TypeVar("D_co", bound=np.generic, covariant=True)
Rows: TypeAlias = "npt.NDArray[np.integer[Any]]"


class Taken(Protocol[D_co]):
    """A column, immutable or the writer's own. Rows never written read as zero."""

    def take(self, rows: Rows) -> npt.NDArray[D_co]:
        """The values of some rows, in their order."""
        ...

    def at(self, row: int) -> Any:
        """The value of one row as a Python scalar."""
        ...


class Reader(Taken[D_co], Protocol[D_co]):
    """An immutable column."""

    @property
    def flat(self) -> npt.NDArray[D_co]:
        """All rows as one read-only array; made at first use, then kept."""
        ...


class PagedColumn(Generic[D]):
    """The writer's side of a column. Not thread-safe: only the one writer touches it."""

    def __init__(self, dtype: type[D]) -> None:
        self._pages: npt.NDArray[D] = np.zeros((1, PAGE_ROWS), dtype)
        self._table = np.zeros(1, np.int32)  # page -> slot; the last entry stays 0 for all rows beyond
        self._used = 1
        self._shared = (
            1  # slots below this belong to a snapshot too (or are the zero page): never written again
        )
        self._frozen: FrozenColumn[D] | None = None
        self._frozen_rows = -1

    @classmethod
    def of(cls, pages: npt.NDArray[D], table: npt.NDArray[np.int32]) -> PagedColumn[D]:
        """A column that was saved: `pages` begin with the page of zeros, `table` says where each page lies.

        The pages are used in place; the first write copies them.
        """
        column = cls(pages.dtype.type)
        column._pages, column._table = pages, table.copy()
        column._used = column._shared = len(pages)
        return column

    def at(self, row: int) -> Any:
        page = min(row >> PAGE_BITS, len(self._table) - 1)
        return self._pages[self._table[page], row & _PAGE_MASK].item()

    def take(self, rows: Rows) -> npt.NDArray[D]:
        return _take(self._pages, self._table, rows)

    def set(self, row: int, value: Any) -> None:
        """Write one row."""
        page = row >> PAGE_BITS
        if page >= len(self._table) - 1 or self._table[page] < self._shared:
            self._own(np.array([page]))
        self._pages[self._table[page], row & _PAGE_MASK] = value
        self._frozen = None

    def write(self, rows: Sequence[int] | Rows, values: Sequence[Any] | npt.NDArray[Any]) -> None:
        """Write many rows; where a row stands twice, the last value wins. A `range` of rows goes fastest."""
        if isinstance(rows, range) and rows.step == 1 and len(rows) >= _FEW_ROWS:
            self._write_range(rows, np.asarray(values, self._pages.dtype))
            return
        if len(rows) < _FEW_ROWS:
            for row, value in zip(rows, values, strict=True):
                self.set(int(row), value)
            return
        where = np.asarray(rows, np.int64)
        pages = where >> PAGE_BITS
        self._own(np.unique(pages))
        self._pages[self._table[pages], where & _PAGE_MASK] = values
        self._frozen = None

    def freeze(self, rows: int) -> FrozenColumn[D]:
        """The first `rows` rows, immutable; the same object as before if nothing was written since."""
        if self._frozen is None or self._frozen_rows != rows:
            self._frozen = FrozenColumn(self._pages, self._table.copy(), rows)
            self._frozen_rows = rows
            self._shared = self._used
        return self._frozen

    def owned(self, rows: Rows) -> tuple[npt.NDArray[D], npt.NDArray[np.int32]]:
        """Pages and table, to write these rows (at least one, none below zero) in place, and nothing else."""
        self._own(np.flatnonzero(np.bincount(rows >> PAGE_BITS)))
        self._frozen = None
        return self._pages, self._table

    def _write_range(self, rows: range, values: npt.NDArray[D]) -> None:
        first, last = rows.start >> PAGE_BITS, (rows.stop - 1) >> PAGE_BITS
        self._own(np.arange(first, last + 1))
        self._frozen = None
        slots = self._table[first : last + 1]
        if len(slots) > 1 and not bool((np.diff(slots) == 1).all()):
            where = np.arange(rows.start, rows.stop)
            self._pages[self._table[where >> PAGE_BITS], where & _PAGE_MASK] = values
            return
        # The pages of new rows lie in one piece: then it is one copy.
        piece = self._pages[slots[0] : slots[0] + len(slots)].reshape(-1)
        start = rows.start & _PAGE_MASK
        piece[start : start + len(rows)] = values

    def _own(self, pages: Rows) -> None:
        """Make every one of these pages writable: new, or copied from the page that a snapshot shares."""
        self._reach(int(pages.max()))
        if not (self._table[pages] < self._shared).any():
            return
        self._reserve(len(pages))
        shared = pages[self._table[pages] < self._shared]
        slots = np.arange(self._used, self._used + len(shared), dtype=np.int32)
        filled = self._table[shared] > 0  # a new page is zeros already
        self._pages[slots[filled]] = self._pages[self._table[shared[filled]]]
        self._table[shared] = slots
        self._used += len(shared)

    def _reach(self, page: int) -> None:
        missing = page + 2 - len(self._table)
        if missing > 0:
            self._table = np.concatenate((self._table, np.zeros(missing, np.int32)))

    def _reserve(self, slots: int) -> None:
        """Room for so many more slots. Snapshots keep the old array; garbage is left behind in it."""
        if self._used + slots <= len(self._pages):
            return
        live = np.flatnonzero(self._table)
        # Room for as many copies again as half the column: copying is then paid by what it makes room for.
        pages = np.zeros((1 + len(live) + len(live) // 2 + slots, PAGE_ROWS), self._pages.dtype)
        pages[1 : 1 + len(live)] = self._pages[self._table[live]]
        self._table = np.zeros_like(self._table)
        self._table[live] = np.arange(1, 1 + len(live), dtype=np.int32)
        self._pages, self._used, self._shared = pages, 1 + len(live), 1

    @property
    def filled(self) -> bool:
        """False while no row was ever written."""
        return self._used > 1

    @property
    def pages_in_use(self) -> int:
        """Pages written since the array was made, those that only snapshots still read included."""
        return self._used - 1

    @property
    def nbytes(self) -> int:
        return self._pages.nbytes + self._table.nbytes


@dataclass(slots=True, eq=False)
class FrozenColumn(Generic[D]):
    """A column as it was when frozen. Its pages are never written again (see `PagedColumn._shared`)."""

    _pages: npt.NDArray[D]
    _table: npt.NDArray[np.int32]
    _rows: int
    _flat: npt.NDArray[D] | None = field(default=None)
    _lies_flat: bool | None = field(default=None)  # whether a flat view costs nothing; None: not looked yet

    @property
    def flat(self) -> npt.NDArray[D]:
        if self._flat is None:
            self._flat = self._flatten()
        return self._flat

    def take(self, rows: Rows) -> npt.NDArray[D]:
        count = len(rows)
        if count >= _SOME_ROWS and self._is_flat_for(count):
            # Rows outside read as zero: the flat view has none for them. As unsigned numbers, those below
            # zero lie far behind its end too, so numpy itself finds all of them.
            if rows.dtype == np.int32:
                with suppress(IndexError):
                    return self.flat.take(rows.view(np.uint32))
            elif rows.min() >= 0 and rows.max() < self._rows:
                return self.flat.take(rows)
        return _take(self._pages, self._table, rows)

    def at(self, row: int) -> Any:
        page = min(row >> PAGE_BITS, len(self._table) - 1)
        return self._pages[self._table[page], row & _PAGE_MASK].item()

    @property
    def dtype(self) -> np.dtype[D]:
        return self._pages.dtype

    @property
    def filled_pages(self) -> npt.NDArray[np.int64]:
        """Numbers of the pages that were ever written, ascending."""
        return np.flatnonzero(self._table)

    @property
    def page_count(self) -> int:
        return len(self._table) - 1

    def pages_changed(self, before: FrozenColumn[D] | None) -> npt.NDArray[np.int64]:
        """Numbers of the pages that may differ from an earlier state of the same column, ascending.

        Pages are never written in place once they are frozen, so those that lie where they lay are the same.
        """
        if before is None or before._pages is not self._pages:
            return self.filled_pages
        size = max(len(self._table), len(before._table))
        now, then = (np.pad(table, (0, size - len(table))) for table in (self._table, before._table))
        return np.flatnonzero(now != then)

    def pages_at(self, pages: Rows) -> npt.NDArray[D]:
        """[n, PAGE_ROWS]: whole pages, zeros for those never written."""
        return self._pages[self._table[np.minimum(pages, len(self._table) - 1)]]

    def _is_flat_for(self, count: int) -> bool:
        """Whether so many rows are read faster through the flat view: if it is there, free, or used well."""
        if self._flat is not None:
            return True
        if self._lies_flat is None:
            self._lies_flat = _in_order(self._slots())
        return self._lies_flat or (count >= _MANY_ROWS and count >= self._rows >> _FLATTEN_SHARE_BITS)

    def _slots(self) -> npt.NDArray[np.int32]:
        pages = np.arange((self._rows + PAGE_ROWS - 1) >> PAGE_BITS)
        return self._table[np.minimum(pages, len(self._table) - 1)]

    def _flatten(self) -> npt.NDArray[D]:
        slots = self._slots()
        # Bulk-loaded columns lie in order: then the flat view costs nothing.
        stack = self._pages[slots[0] : slots[0] + len(slots)] if _in_order(slots) else self._pages[slots]
        flat = stack.reshape(-1)[: self._rows]
        flat.flags.writeable = False
        return flat


@dataclass(frozen=True, slots=True, eq=False)
class ConstantColumn(Generic[D]):
    """The same value in every row."""

    value: D
    rows: int

    @property
    def flat(self) -> npt.NDArray[D]:
        return np.broadcast_to(self.value, self.rows)

    def take(self, rows: Rows) -> npt.NDArray[D]:
        return np.full(len(rows), self.value)

    def at(self, row: int) -> Any:
        return self.value.item()


def _in_order(slots: npt.NDArray[np.int32]) -> bool:
    return len(slots) > 0 and slots[0] > 0 and bool((np.diff(slots) == 1).all())


def _take(pages: npt.NDArray[D], table: npt.NDArray[np.int32], rows: Rows) -> npt.NDArray[D]:
    if len(rows) <= _VERY_FEW_ROWS:
        last = len(table) - 1
        found = [pages[table[min(row >> PAGE_BITS, last)], row & _PAGE_MASK] for row in rows.tolist()]
        return np.array(found, pages.dtype)
    slots = table[np.minimum(rows >> PAGE_BITS, len(table) - 1)]
    if len(rows) < _FEW_ROWS:
        return pages[slots, rows & _PAGE_MASK]
    # In one dimension numpy gathers twice as fast.
    return pages.reshape(-1)[(slots.astype(np.int64) << PAGE_BITS) | (rows & _PAGE_MASK)]
