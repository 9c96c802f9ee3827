"""Words of names, local ids and outside ids: which twins have a word that begins so.

A word is found by its first 16 bytes, kept as two numbers that order as the bytes do; longer ones are
compared with the texts themselves. The index belongs to a site and serves all its snapshots: what differs
between the moment it was made and a snapshot is told from the columns, and indexed apart. It is made when
first asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.columns import PAGE_ROWS, FrozenColumn
from graph.multimap import distinct
from graph.strings import encode_text
from graph.words import TOKEN, Tokens, haystacks, tokens_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.columns import Reader
    from graph.snapshot import Snapshot

    Rows = npt.NDArray[np.int32]
    Words = npt.NDArray[np.uint64]

_WORD_BYTES: Final = 8
# Larger sites are read through for each question: the index would take too much memory.
ROWS_MAX: Final = 8_000_000
# Changes since the index was made are kept apart until they are so many, or such a share of all (a shift).
_CHANGED_MIN: Final = 4096
_CHANGED_SHARE_BITS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Postings:
    """Rows by key, in no order and with repeats: of keys[i] they are rows[start[i]:start[i + 1]].

    first, second: uint64[k], ascending together; start: int64[k + 1]
    """

    first: Words
    second: Words
    start: npt.NDArray[np.int64]
    rows: Rows

    def between(self, first: tuple[int, int], second: tuple[int, int]) -> Rows:
        """Rows of keys whose parts lie in these ranges; `first` is one number where `second` counts."""
        low, high = _range(self.first, *first)
        if len(self.second):
            more = _range(self.second[low:high], *second)
            low, high = low + more[0], low + more[1]
        return self.rows[self.start[low] : self.start[high]]


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """All words by their first eight bytes, and those that are longer by their first sixteen."""

    short: _Postings
    long: _Postings

    @classmethod
    def of(cls, tokens: Tokens) -> _Table:
        nothing = np.zeros(0, np.uint64)
        is_long = tokens.left > _WORD_BYTES
        long = _postings(tokens.first[is_long], tokens.second[is_long], tokens.rows[is_long])
        return cls(_postings(tokens.first, nothing, tokens.rows), long)

    def rows_with(self, word: bytes) -> Rows:
        """Rows with a word that begins so, as far as 16 bytes tell."""
        if len(word) <= _WORD_BYTES:
            return self.short.between(_span(word), (0, 0))
        head, tail = word[:_WORD_BYTES], word[_WORD_BYTES : 2 * _WORD_BYTES]
        return self.long.between(_span(head), _span(tail))


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """What the words of a moment follow from."""

    name: Reader[np.int32]
    local: Reader[np.int32]
    external: Reader[np.int32]
    size: int

    @classmethod
    def of(cls, snapshot: Snapshot) -> _Columns:
        twins = snapshot.twins
        return cls(twins.name, twins.local, twins.external, snapshot.size)

    def is_same(self, other: _Columns) -> bool:
        pairs = ((self.name, other.name), (self.local, other.local), (self.external, other.external))
        return self.size == other.size and all(one is two for one, two in pairs)

    def changed(self, before: _Columns) -> Rows:
        """Rows that differ from an earlier (or later) moment, ascending."""
        pairs = ((self.name, before.name), (self.local, before.local), (self.external, before.external))
        found = [np.arange(before.size, self.size, dtype=np.int64)]
        found += [_differing(now, then, min(self.size, before.size)) for now, then in pairs]
        return distinct(np.concatenate(found)).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    columns: _Columns
    table: _Table


@dataclass(frozen=True, slots=True, eq=False)
class _Since:
    """What differs from `base` at a moment: the rows, and their words then."""

    base: _Made
    columns: _Columns
    rows: Rows
    table: _Table


class WordIndex:
    """The words of one site. Safe in any thread; what it takes is bounded by `ROWS_MAX`."""

    def __init__(self) -> None:
        self._known: _Since | None = None
        self._lock = Lock()

    def find(self, snapshot: Snapshot, words: Sequence[str]) -> Rows | None:
        """Rows of a snapshot of the site, dead ones too, in which each word begins a word; ascending.

        None: there are too many rows for an index.
        """
        if snapshot.size > ROWS_MAX:
            return None
        now = self._at(snapshot)
        wanted = [encode_text(word) for word in words]
        rows = _all_with(now.base.table, wanted, max(snapshot.size, now.base.columns.size))
        rows = rows[rows < snapshot.size]
        if len(now.rows):
            is_old = np.zeros(snapshot.size, np.bool_)
            is_old[now.rows] = True
            newer = _all_with(now.table, wanted, snapshot.size)
            rows = distinct(np.concatenate((rows[~is_old[rows]], newer)))
        if any(len(word) > 2 * _WORD_BYTES for word in wanted):
            rows = rows[matches(snapshot, rows, words)]
        return rows

    def _at(self, snapshot: Snapshot) -> _Since:
        columns, known = _Columns.of(snapshot), self._known
        if known is not None and known.columns.is_same(columns):
            return known
        with self._lock:
            known = self._known
            base = None if known is None else known.base
            rows = None if base is None else columns.changed(base.columns)
            if base is None or rows is None or len(rows) > _most(base.columns.size):
                table = _Table.of(tokens_of(snapshot, np.arange(snapshot.size, dtype=np.int32)))
                base, rows = _Made(columns, table), np.zeros(0, np.int32)
            self._known = _Since(base, columns, rows, _Table.of(tokens_of(snapshot, rows)))
            return self._known


def matches(snapshot: Snapshot, rows: Rows, words: Sequence[str]) -> npt.NDArray[np.bool_]:
    """bool[n]: rows in which each word begins a word, read from the texts themselves."""
    starts = "".join(rf"(?=.*?(?<!{TOKEN}){re.escape(word)})" for word in words)
    pattern = re.compile(starts, re.DOTALL)
    return np.fromiter((bool(pattern.match(text)) for text in haystacks(snapshot, rows)), np.bool_, len(rows))


def _most(size: int) -> int:
    return max(_CHANGED_MIN, size >> _CHANGED_SHARE_BITS)


def _all_with(table: _Table, words: Sequence[bytes], size: int) -> Rows:
    """Rows that have each word; the rarest word first."""
    found = sorted((table.rows_with(word) for word in words), key=len)
    rows = distinct(found[0]) if len(found[0]) < size >> 4 else _marked(found[0], size)
    for others in found[1:]:
        if not len(rows):
            break
        is_there = np.zeros(size, np.bool_)
        is_there[others] = True
        rows = rows[is_there[rows]]
    return rows


def _marked(rows: Rows, size: int) -> Rows:
    is_there = np.zeros(size, np.bool_)
    is_there[rows] = True
    return np.flatnonzero(is_there).astype(np.int32)


def _postings(first: Words, second: Words, rows: Rows) -> _Postings:
    order = np.lexsort((second, first)) if len(second) else np.argsort(first)
    first, second, rows = first[order], second[order] if len(second) else second, rows[order]
    is_new = np.ones(len(first), np.bool_)
    is_new[1:] = first[1:] != first[:-1]
    if len(second):
        is_new[1:] |= second[1:] != second[:-1]
    start = np.append(np.flatnonzero(is_new), len(first))
    return _Postings(first[is_new], second[is_new] if len(second) else second, start, rows)


def _span(word: bytes) -> tuple[int, int]:
    """The least and the largest number of eight bytes that begin so."""
    missing = _WORD_BYTES - len(word)
    return int.from_bytes(word + bytes(missing), "big"), int.from_bytes(word + b"\xff" * missing, "big")


def _range(keys: Words, low: int, high: int) -> tuple[int, int]:
    begin = int(keys.searchsorted(np.uint64(low)))
    return begin, int(keys.searchsorted(np.uint64(high), "right"))


def _differing(now: Reader[np.int32], then: Reader[np.int32], size: int) -> npt.NDArray[np.int64]:
    if now is then:
        return np.zeros(0, np.int64)
    if isinstance(now, FrozenColumn) and isinstance(then, FrozenColumn):
        pages = distinct(np.concatenate((now.pages_changed(then), then.pages_changed(now))))
        page, place = np.nonzero(now.pages_at(pages) != then.pages_at(pages))
        rows = pages[page] * PAGE_ROWS + place
        return rows[rows < size]
    return np.flatnonzero(now.flat[:size] != then.flat[:size])
