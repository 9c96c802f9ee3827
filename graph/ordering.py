"""Order and pages. Rows are ordered by keys, ties by id; a cursor holds the keys and the id it stands at.

So a cursor means the same place however the graph has changed since: writes elsewhere move nothing.
Ids are compared only inside runs of equal keys, and sorted only where the page needs it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import heapq
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import msgspec
import numpy as np

from graph.attributes import Tag
from graph.cells import cells_of_twins, in_one_unit
from graph.plan import PAGE_DEFAULT, PAGE_MAX, Nulls, TextField
from ontology.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.plan import OrderKey, PageRequest
    from graph.view import View

Scalar: TypeAlias = "bool | int | float | str | None"
# Values of different types stand apart, in this order.
_NUMBERS, _BOOLEANS, _TEXTS, _ABSENT = range(4)
_KIND_OF_TAG: Final = {
    Tag.NUMBER: _NUMBERS,
    Tag.INTEGER: _NUMBERS,
    Tag.BOOLEAN: _BOOLEANS,
    Tag.TEXT: _TEXTS,
    Tag.JSON: _ABSENT,  # lists and objects have no order
    Tag.ABSENT: _ABSENT,
}
# Up to here a page is taken with a heap rather than by sorting the whole run.
_HEAP_MAX: Final = 2 * PAGE_MAX


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One page of rows, in order. `cursor(i)` is made only when asked."""

    rows: npt.NDArray[np.int32]
    has_previous: bool
    has_next: bool
    total: int
    _columns: tuple[_KeyColumn, ...]
    _signature: str
    _places: npt.NDArray[np.int64]  # position of each row in the columns
    _ids: tuple[str, ...]

    def cursor(self, index: int) -> str:
        place = int(self._places[index])
        values = [column.value(place) for column in self._columns]
        return encode_cursor([self._signature, values, self._ids[index]])


@dataclass(frozen=True, slots=True, eq=False)
class _KeyColumn:
    """One order key over n rows, made so that ascending (group, rank) is the order asked for.

    group: int8[n]; rank: float64[n]; texts: the distinct texts in order, for reading and placing cursors
    """

    group: npt.NDArray[np.int8]
    rank: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.int8]  # _NUMBERS ... _ABSENT
    texts: Sequence[str]
    sign: int  # -1 where descending
    nulls_first: bool

    def value(self, place: int) -> Scalar:
        """What a cursor keeps of this key."""
        kind, rank = int(self.kinds[place]), self.sign * float(self.rank[place])
        if kind == _TEXTS:
            return self.texts[int(rank)]
        if kind == _BOOLEANS:
            return rank != 0
        return rank if kind == _NUMBERS else None

    def compare(self, value: Scalar) -> npt.NDArray[np.int8]:
        """int8[n]: -1, 0 or 1 as each row stands before, at or after a cursor's value."""
        kind, rank = self._placed(value)
        group = _group(kind, self.sign, self.nulls_first)
        by_group = np.sign(self.group - np.int8(group)).astype(np.int8)
        return np.where(by_group != 0, by_group, np.sign(self.rank - self.sign * rank)).astype(np.int8)

    def _placed(self, value: Scalar) -> tuple[int, float]:
        if value is None:
            return _ABSENT, 0.0
        if isinstance(value, bool):
            return _BOOLEANS, float(value)
        if not isinstance(value, str):
            return _NUMBERS, float(value)
        place = bisect_left(self.texts, value)
        found = place < len(self.texts) and self.texts[place] == value
        return _TEXTS, place if found else place - 0.5


def page_of(view: View, rows: Rows, order: Sequence[OrderKey], request: PageRequest) -> Page:
    """One page of some distinct rows. PAGE_INVALID, PAGE_TOO_LARGE, CURSOR_INVALID."""
    size, forward = _checked_size(request)
    columns = tuple(_key_column(view, key, rows) for key in order)
    signature = _signature(order)
    sorting = _sort(columns, len(rows))
    runs = _Runs(view, rows, sorting, _run_starts(columns, sorting))
    low = runs.place(columns, _cursor(request.after, signature, len(columns)), past=True, default=0)
    high = runs.place(
        columns, _cursor(request.before, signature, len(columns)), past=False, default=len(rows)
    )
    high = max(low, high)
    begin, end = (low, min(high, low + size)) if forward else (max(low, high - size), high)
    places = runs.slice(begin, end)
    taken = np.asarray(rows[places], np.int32)
    view.budget.spend(len(taken))
    ids = tuple(view.snapshot.ids(taken))
    return Page(taken, begin > 0, end < len(rows), len(rows), columns, signature, places, ids)


def encode_cursor(parts: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode().rstrip("=")


def decode_cursor(text: str) -> object:
    """What `encode_cursor` was given; InputError CURSOR_INVALID."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise cursor_error() from error


def cursor_error() -> InputError:
    return InputError(
        "this is no cursor of this list", code="CURSOR_INVALID", hint="pass on endCursor as it is"
    )


def checked_first(first: int | None) -> int:
    """The page size that `first` asks for. PAGE_INVALID, PAGE_TOO_LARGE."""
    if first is None:
        return PAGE_DEFAULT
    if first < 0:
        raise InputError("a page cannot have a negative size", code="PAGE_INVALID")
    if first > PAGE_MAX:
        raise LimitError(f"a page holds at most {PAGE_MAX:,}", code="PAGE_TOO_LARGE", hint="follow endCursor")
    return first


def _checked_size(request: PageRequest) -> tuple[int, bool]:
    if request.first is not None and request.last is not None:
        raise InputError("give `first` or `last`, not both", code="PAGE_INVALID")
    return checked_first(request.first if request.last is None else request.last), request.last is None


def _cursor(text: str | None, signature: str, keys: int) -> tuple[list[Scalar], str] | None:
    if text is None:
        return None
    parts = decode_cursor(text)
    if not isinstance(parts, list) or len(cast("list[object]", parts)) != 3:
        raise cursor_error()
    given, values, twin = cast("list[object]", parts)
    if given != signature or not isinstance(twin, str) or not isinstance(values, list):
        raise cursor_error()
    scalars = cast("list[object]", values)
    if len(scalars) != keys or not all(isinstance(item, bool | int | float | str | None) for item in scalars):
        raise cursor_error()
    return cast("list[Scalar]", scalars), twin


def _signature(order: Sequence[OrderKey]) -> str:
    """Short mark of the order: a cursor of another order is refused instead of misread."""
    return hashlib.sha256(repr(tuple(order)).encode()).hexdigest()[:8]


# Keys


def _key_column(view: View, key: OrderKey, rows: Rows) -> _KeyColumn:
    kinds, rank, texts = _key_values(view, key.by, rows)
    sign, nulls_first = -1 if key.descending else 1, key.nulls is Nulls.FIRST
    table = np.array([_group(kind, sign, nulls_first) for kind in range(_ABSENT + 1)], np.int8)
    return _KeyColumn(table[kinds], sign * rank, kinds, texts, sign, nulls_first)


def _group(kind: int, sign: int, nulls_first: bool) -> int:
    if kind == _ABSENT:
        return -100 if nulls_first else 100
    return sign * kind


def _key_values(
    view: View, by: str, rows: Rows
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64], Sequence[str]]:
    if by in _TEXTS_OF_FIELD:
        return _ranked(_TEXTS_OF_FIELD[by](view, rows))
    cells, _ = in_one_unit(cells_of_twins(view, by, rows), view.units, None)
    kinds = np.array([_KIND_OF_TAG[tag] for tag in sorted(Tag)], np.int8)[cells.tag]
    is_text = kinds == _TEXTS
    _, text_rank, texts = _ranked([cells.text(code) for code in cells.word[is_text].tolist()])
    rank = np.where(kinds == _ABSENT, 0.0, cells.word)
    rank[is_text] = text_rank
    return kinds, rank, texts


def _ranked(
    texts: Sequence[str | None],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64], Sequence[str]]:
    distinct = sorted({text for text in texts if text is not None})
    ranks = {text: float(rank) for rank, text in enumerate(distinct)}
    kinds = np.fromiter((_ABSENT if text is None else _TEXTS for text in texts), np.int8, len(texts))
    return (
        kinds,
        np.fromiter((ranks.get(text or "", 0.0) for text in texts), np.float64, len(texts)),
        distinct,
    )


def _kind_names(view: View, rows: Rows) -> list[str | None]:
    kinds = view.snapshot.schema.kinds
    leading: list[int] = view.snapshot.kind[rows].tolist()
    return [kinds[kind].name if kind >= 0 else None for kind in leading]


def _site_names(view: View, rows: Rows) -> list[str | None]:
    return [view.snapshot.sites[site] for site in view.snapshot.twins.site.take(rows).tolist()]


def _ids(view: View, rows: Rows) -> list[str | None]:
    return list(view.snapshot.ids(rows))


def _local_ids(view: View, rows: Rows) -> list[str | None]:
    return list(view.snapshot.local_ids(rows))


def _names(view: View, rows: Rows) -> list[str | None]:
    return view.snapshot.names(rows)


_TEXTS_OF_FIELD = {
    TextField.ID.value: _ids,
    TextField.LOCAL_ID.value: _local_ids,
    TextField.NAME.value: _names,
    TextField.KIND.value: _kind_names,
    TextField.SITE.value: _site_names,
}


# Runs of equal keys


def _sort(columns: Sequence[_KeyColumn], count: int) -> npt.NDArray[np.int64]:
    """Positions in the order of the keys; inside a run of equal keys in no order yet."""
    if not columns:
        return np.arange(count)
    return np.lexsort([part for column in reversed(columns) for part in (column.rank, column.group)])


def _run_starts(columns: Sequence[_KeyColumn], sorting: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64[runs + 1]: where runs of equal keys begin, and the end."""
    if not len(sorting):
        return np.zeros(1, np.int64)
    changes = np.zeros(len(sorting), np.bool_)
    changes[0] = True
    for column in columns:
        for part in (column.group[sorting], column.rank[sorting]):
            changes[1:] |= part[1:] != part[:-1]
    return np.append(np.flatnonzero(changes), len(sorting))


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    view: View
    rows: Rows
    sorting: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def place(
        self,
        columns: Sequence[_KeyColumn],
        cursor: tuple[list[Scalar], str] | None,
        *,
        past: bool,
        default: int,
    ) -> int:
        """How many rows stand before a cursor; with `past` those at it count too."""
        if cursor is None:
            return default
        values, twin = cursor
        side = np.zeros(len(self.rows), np.int8)
        for column, value in zip(columns, values, strict=True):
            side = np.where(side != 0, side, column.compare(value))
        ids = self.view.snapshot.ids(self.rows[side == 0])
        before = sum(each < twin or (past and each == twin) for each in ids)
        return int(np.count_nonzero(side < 0)) + before

    def slice(self, begin: int, end: int) -> npt.NDArray[np.int64]:
        """Positions of the rows that stand at begin..end - 1 once every run is sorted by id."""
        if begin >= end:
            return np.zeros(0, np.int64)
        first = int(np.searchsorted(self.starts, begin, side="right")) - 1
        last = int(np.searchsorted(self.starts, end - 1, side="right")) - 1
        parts = [self._run(number, begin, end) for number in range(first, last + 1)]
        return np.concatenate(parts)

    def _run(self, number: int, begin: int, end: int) -> npt.NDArray[np.int64]:
        start, stop = int(self.starts[number]), int(self.starts[number + 1])
        places = self.sorting[start:stop]
        low, high = max(begin - start, 0), min(end, stop) - start
        if stop - start == 1:
            return places
        keyed = list(zip(self.view.snapshot.ids(self.rows[places]), places.tolist(), strict=True))
        if high <= _HEAP_MAX < len(keyed):
            chosen = heapq.nsmallest(high, keyed)[low:]
        elif len(keyed) - low <= _HEAP_MAX < len(keyed):
            chosen = heapq.nlargest(len(keyed) - low, keyed)[::-1][: high - low]
        else:
            chosen = sorted(keyed)[low:high]
        return np.array([place for _, place in chosen], np.int64)
