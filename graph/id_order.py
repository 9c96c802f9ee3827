"""Twins in the order of their ids: compared as the bytes they are kept as, no text is made.

The order of UTF-8 is that of code points, so it is the order in which Python sorts the texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from graph.jit import kernel, load_word, read_only
from graph.strings import PAD_BYTES

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.columns import Rows
    from graph.snapshot import Snapshot

    Bytes: TypeAlias = npt.NDArray[np.uint8]
    Places: TypeAlias = npt.NDArray[np.int64]
    Numbers: TypeAlias = npt.NDArray[np.integer]

_KEY_BYTES: Final = 8
_RUN: Final = 12  # so many are sorted by insertion


def order_by_id(snapshot: Snapshot, rows: Rows, bounds: Places) -> Places:
    """int64[n]: places in `rows`, in each group by id, equal ones as they stand.

    bounds: group i holds the places bounds[i] to bounds[i + 1] - 1; int64[groups + 1], ascending
    """
    order = np.arange(len(rows))
    ranking = snapshot.twins.ids.ready_ranking()
    if ranking is not None and in_order(read_only(ranking.rank), read_only(rows), bounds):
        return order  # mostly they were made in the order of their ids
    data, start, length = _ids(snapshot, rows)
    sort_groups(data, start, length, bounds, order)
    return order


def bounds_of(owner: Rows, count: int) -> Places:
    """int64[n + 1]: where the items of each of n owners begin, the items being sorted by owner."""
    bounds = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=count), out=bounds[1:])
    return bounds


def _ids(snapshot: Snapshot, rows: Rows) -> tuple[Bytes, Places, Places]:
    """The ids of some rows as (start, length) in one array of bytes."""
    tables = snapshot.twins.ids.tables(rows)
    if len(tables) == 1:
        offsets = tables[0].strings.offsets
        start = offsets[tables[0].numbers]
        return read_only(tables[0].strings.data), start, offsets[np.asarray(tables[0].numbers) + 1] - start
    start, length = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for table in tables:
        offsets = table.strings.offsets
        length[table.places] = offsets[np.asarray(table.numbers) + 1] - offsets[table.numbers]
    np.cumsum(length[:-1], out=start[1:])
    data = np.empty(int(length.sum()) + PAD_BYTES, np.uint8)
    for table in tables:
        copy_all(
            read_only(table.strings.data),
            table.strings.offsets[table.numbers],
            data,
            start[table.places],
            length[table.places],
        )
    return read_only(data), start, length


@kernel
def in_order(rank: Numbers, rows: Numbers, bounds: Places) -> bool:
    """Whether the ranks of some rows ascend in each group."""
    for group in range(len(bounds) - 1):
        for place in range(bounds[group] + 1, bounds[group + 1]):
            if rank[rows[place - 1]] >= rank[rows[place]]:
                return False
    return True


@kernel
def copy_all(source: Bytes, begin: Places, target: Bytes, start: Places, length: Places) -> None:
    """Copies strings of one array into another."""
    for i in range(len(start)):
        for j in range(length[i]):
            target[start[i] + j] = source[begin[i] + j]


@kernel
def sort_groups(data: Bytes, start: Places, length: Places, bounds: Places, order: Places) -> None:
    """Sorts each group of places in `order` by string, then by place: runs by insertion, then merged."""
    keys = np.empty(len(start), np.uint64)
    spare = np.empty(len(start), np.int64)
    for group in range(len(bounds) - 1):
        low, high = bounds[group], bounds[group + 1]
        if high - low < 2:
            continue
        skip = _common(data, start, length, low, high)
        for i in range(low, high):
            keys[i] = _key(data, start[i] + skip, length[i] - skip)
        for begin in range(low, high, _RUN):
            _insert(data, start, length, keys, skip, order, begin, min(begin + _RUN, high))
        width = _RUN
        while width < high - low:
            for begin in range(low, high, 2 * width):
                middle = min(begin + width, high)
                _merge(
                    data,
                    start,
                    length,
                    keys,
                    skip,
                    order,
                    spare,
                    begin,
                    middle,
                    min(middle + width, high),
                )
            width *= 2


@kernel
def _common(data: Bytes, start: Places, length: Places, low: int, high: int) -> int:
    """How many bytes all strings of a group begin with."""
    first, shared = start[low], length[low]
    for i in range(low + 1, high):
        shared = min(shared, length[i])
        j = 0
        while j + 8 <= shared and load_word(data, first + j) == load_word(data, start[i] + j):
            j += 8
        while j < shared and data[first + j] == data[start[i] + j]:
            j += 1
        shared = j
    return shared


@kernel
def _key(data: Bytes, start: int, length: int) -> Any:
    """The first bytes of a string as a number that orders like them."""
    key = np.uint64(0)
    for j in range(_KEY_BYTES):
        key = key << np.uint64(8)
        if j < length:
            key |= np.uint64(data[start + j])
    return key


@kernel
def _less(data: Bytes, start: Places, length: Places, keys: Any, skip: int, a: int, b: int) -> bool:
    if keys[a] != keys[b]:
        return bool(keys[a] < keys[b])
    j = skip
    while j < length[a] and j < length[b]:
        one, other = data[start[a] + j], data[start[b] + j]
        if one != other:
            return bool(one < other)
        j += 1
    if length[a] != length[b]:
        return bool(length[a] < length[b])
    return a < b


@kernel
def _insert(
    data: Bytes, start: Places, length: Places, keys: Any, skip: int, order: Places,
    begin: int, end: int,
) -> None:  # fmt: skip
    for i in range(begin + 1, end):
        item, j = order[i], i
        while j > begin and _less(data, start, length, keys, skip, item, order[j - 1]):
            order[j] = order[j - 1]
            j -= 1
        order[j] = item


@kernel
def _merge(
    data: Bytes, start: Places, length: Places, keys: Any, skip: int, order: Places,
    spare: Places, begin: int, middle: int, end: int,
) -> None:  # fmt: skip
    if middle >= end or not _less(data, start, length, keys, skip, order[middle], order[middle - 1]):
        return
    for i in range(begin, middle):
        spare[i] = order[i]
    left, right = begin, middle
    for i in range(begin, end):
        if right >= end or (
            left < middle and not _less(data, start, length, keys, skip, order[right], spare[left])
        ):
            order[i] = spare[left]
            left += 1
        else:
            order[i] = order[right]
            right += 1
