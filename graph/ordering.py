"""Order and pages. Rows are ordered by keys, ties by id; a cursor holds the keys and the id it stands at.

So a cursor means the same place however the graph has changed since: writes elsewhere move nothing.
Only the rows of a page are sorted: those before it are told apart by one pass over each key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import numpy as np

from graph.order_keys import Scalar, key_column
from graph.plan import PAGE_DEFAULT, PAGE_MAX
from ontology.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.keys import Ids
    from graph.order_keys import KeyColumn
    from graph.plan import OrderKey, PageRequest
    from graph.text_order import Ranking
    from graph.view import View

    Places: TypeAlias = npt.NDArray[np.int64]

# A walk along all ids looks at so many of them first, then at twice as many each time.
_FIRST_BLOCK: Final = 4096
# No number of a cursor is larger: it would be none of a column.
_NUMBER_MAX: Final = 10**308


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One page of rows, in order. `cursor(i)` is made only when asked."""

    rows: npt.NDArray[np.int32]
    has_previous: bool
    has_next: bool
    total: int
    _columns: tuple[KeyColumn, ...]
    _signature: str
    _places: Places  # position of each row in the columns
    _ids: Ids

    def cursor(self, index: int) -> str:
        place = int(self._places[index])
        values = [column.value(place) for column in self._columns]
        parts = [self._signature, values, self._ids.iri(int(self.rows[index]))]
        units = [column.unit for column in self._columns]
        return encode_cursor([*parts, units] if any(units) else parts)


class _Written(msgspec.Struct, array_like=True, frozen=True):
    """A cursor as it is written. Units stand in it only where a key is a number with one."""

    signature: str
    values: tuple[Scalar, ...]
    twin: str
    units: tuple[str | None, ...] | None = None


# Known to msgspec from here on: it may crash where two threads meet a type for the first time.
msgspec.json.Decoder(_Written)


@dataclass(frozen=True, slots=True)
class Cursor:
    values: tuple[Scalar, ...]
    units: tuple[str | None, ...]  # of values that are numbers
    twin: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What part of an order is asked for."""

    size: int
    forward: bool
    after: Cursor | None
    before: Cursor | None


def page_of(view: View, rows: Rows, order: Sequence[OrderKey], request: PageRequest) -> Page:
    """One page of some distinct rows. PAGE_INVALID, PAGE_TOO_LARGE, CURSOR_INVALID."""
    size, forward = checked_size(request)
    signature = signature_of(order)
    after, before = (read_cursor(text, signature, len(order)) for text in (request.after, request.before))
    wanted = _Wanted(size, forward, after, before)
    columns = tuple(key_column(view, key, rows) for key in order)
    ranking = view.snapshot.twins.ids.ranking()
    if not columns and _is_walk_cheaper(len(rows), len(ranking), size):
        taken, has_previous, has_next = _walked(ranking, rows, wanted)
        places = np.zeros(len(taken), np.int64)
    else:
        places, has_previous, has_next = _chosen(ranking, columns, rows, wanted)
        taken = np.asarray(rows[places], np.int32)
    view.budget.spend(len(taken))
    ids = view.snapshot.twins.ids
    return Page(taken, has_previous, has_next, len(rows), columns, signature, places, ids)


def ordered_rows(view: View, rows: Rows, order: Sequence[OrderKey]) -> npt.NDArray[np.int32]:
    """All of some distinct rows in order."""
    columns = [key_column(view, key, rows) for key in order]
    rank = view.snapshot.twins.ids.ranking().rank[rows]
    keys = [rank, *(part for column in reversed(columns) for part in (column.rank, column.group))]
    return np.asarray(rows[np.lexsort(keys)], np.int32)


# By keys


def _chosen(
    ranking: Ranking, columns: Sequence[KeyColumn], rows: Rows, wanted: _Wanted
) -> tuple[Places, bool, bool]:
    """(places in `rows` of a page, whether rows stand before it, whether behind it)."""
    rank = ranking.rank[rows]
    low, high = 0, len(rows)
    is_open = np.ones(len(rows), np.bool_) if wanted.after or wanted.before else None
    if wanted.after and is_open is not None:
        is_open &= _side(ranking, columns, rank, wanted.after) > 0
        low = len(rows) - int(np.count_nonzero(is_open))
    if wanted.before and is_open is not None:
        ahead = _side(ranking, columns, rank, wanted.before) < 0
        high = max(low, int(np.count_nonzero(ahead)))
        is_open &= ahead
    size = min(wanted.size, high - low)
    keys = [part for column in columns for part in (column.group, column.rank)]
    open_places = np.arange(len(rows)) if is_open is None else np.flatnonzero(is_open)
    places = least([*keys, rank], open_places, size, forward=wanted.forward)
    begin = low if wanted.forward else high - size
    return places, begin > 0, begin + size < len(rows)


def _side(
    ranking: Ranking, columns: Sequence[KeyColumn], rank: npt.NDArray[np.int32], cursor: Cursor
) -> npt.NDArray[np.int8]:
    """int8[n]: -1, 0 or 1 as rows stand before, at or after a cursor."""
    first, behind = _span(ranking, cursor.twin)
    side = np.zeros(len(rank), np.int8)
    for column, value, unit in zip(columns, cursor.values, cursor.units, strict=True):
        side = np.where(side != 0, side, column.compare(value, unit))
    by_id = (rank >= behind).astype(np.int8) - (rank < first).astype(np.int8)
    return np.where(side != 0, side, by_id)


def _span(ranking: Ranking, iri: str) -> tuple[int, int]:
    """Places of an id, from the first to behind the last: a twin told by its site and the stub of it that
    another site has are two rows."""
    first, is_there = ranking.place(iri)
    behind = first + is_there
    while is_there and behind < len(ranking) and ranking.at(behind) == ranking.at(first):
        behind += 1
    return first, behind


def least(keys: Sequence[npt.NDArray[np.number[Any]]], places: Places, size: int, *, forward: bool) -> Places:
    """The first `size` of some places in the order of the keys, or the last ones; in order.

    Each key is looked at only where those before it are equal at the edge of the page.
    """
    sure: list[Places] = []
    for key in keys:
        if len(places) <= size or not size:
            break
        values = key[places]
        edge = size - 1 if forward else len(values) - size
        bound = np.partition(values, edge)[edge]
        within = values < bound if forward else values > bound
        sure.append(places[within])
        size -= len(sure[-1])
        places = places[values == bound]
    found = np.concatenate([*sure, places[:size]])
    return found[np.lexsort([key[found] for key in reversed(keys)])]


# By id alone


def _is_walk_cheaper(rows: int, ids: int, size: int) -> bool:
    """Whether the page is met sooner by walking along all ids than by ranking the rows."""
    return rows > _FIRST_BLOCK and (size + 1) * ids < rows * rows


def _walked(ranking: Ranking, rows: Rows, wanted: _Wanted) -> tuple[npt.NDArray[np.int32], bool, bool]:
    """(rows of a page, whether some stand before it, whether behind it): a walk along the order of ids."""
    order = ranking.order
    is_row = np.zeros(len(order), np.bool_)
    is_row[rows] = True
    low, high = 0, len(order)
    if wanted.after:
        low = _span(ranking, wanted.after.twin)[1]
    if wanted.before:
        high = max(low, _span(ranking, wanted.before.twin)[0])
    places = _next(is_row, order, low, high, wanted.size, forward=wanted.forward)
    begin = low if wanted.forward else high
    first = int(places[0]) if len(places) else begin
    last = int(places[-1]) + 1 if len(places) else begin
    begins = first if not wanted.forward else low
    ends = last if wanted.forward else high
    has_previous = len(_next(is_row, order, 0, begins, 1, forward=False)) > 0
    has_next = len(_next(is_row, order, ends, len(order), 1, forward=True)) > 0
    return order[places], has_previous, has_next


def _next(
    is_row: npt.NDArray[np.bool_],
    order: npt.NDArray[np.int32],
    low: int,
    high: int,
    size: int,
    *,
    forward: bool,
) -> Places:
    """The first `size` places from low to high - 1 at which a wanted row stands, or the last; ascending."""
    found = [np.zeros(0, np.int64)]
    block = _FIRST_BLOCK
    while size > 0 and low < high:
        begin, end = (low, min(high, low + block)) if forward else (max(low, high - block), high)
        here = begin + np.flatnonzero(is_row[order[begin:end]])
        here = here[:size] if forward else here[-size:]
        found.append(here)
        size -= len(here)
        low, high = (end, high) if forward else (low, begin)
        block *= 2
    return np.concatenate(found if forward else found[::-1])


# Cursors


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


def checked_size(request: PageRequest) -> tuple[int, bool]:
    if request.first is not None and request.last is not None:
        raise InputError("give `first` or `last`, not both", code="PAGE_INVALID")
    return checked_first(request.first if request.last is None else request.last), request.last is None


def read_cursor(text: str | None, signature: str, keys: int) -> Cursor | None:
    if text is None:
        return None
    try:
        read = msgspec.convert(decode_cursor(text), _Written)
    except msgspec.ValidationError as error:
        raise cursor_error() from error
    if read.signature != signature or {len(read.values), len(read.units or read.values)} != {keys}:
        raise cursor_error()
    if any(isinstance(value, int) and abs(value) > _NUMBER_MAX for value in read.values):
        raise cursor_error()
    return Cursor(read.values, read.units or (None,) * keys, read.twin)


def signature_of(order: Sequence[OrderKey]) -> str:
    """Short mark of the order: a cursor of another order is refused instead of misread."""
    return _sign(order) if order else _NO_ORDER


def _sign(order: Sequence[OrderKey]) -> str:
    return hashlib.sha256(repr(tuple(order)).encode()).hexdigest()[:8]


_NO_ORDER: Final = _sign(())
