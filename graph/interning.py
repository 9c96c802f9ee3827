"""Distinct byte strings and texts, numbered in order of first sight: for ids and for pools of values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from graph.multimap import Multimap
from graph.strings import (
    PAD_BYTES,
    SEED_BYTES,
    Hasher,
    Strings,
    decode_text,
    encode_text,
    pack_texts,
)
from graph.text_order import GrowingRanking
from ontology.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.multimap import Run
    from graph.text_order import Ranking

D = TypeVar("D", bound=np.generic)
NUMBERS_MAX = 2**31 - 2
_RECENT_MAX = 4096
_PAGE_TEXTS = 1024
_PAGES_MAX = 256


@dataclass(frozen=True, slots=True, eq=False)
class InternedParts:
    """What a table is saved as. Numbers are places in `strings`; `runs` is the index over their hashes."""

    strings: Strings
    runs: tuple[Run, ...]
    seed: bytes


class Interned:
    """Byte strings <-> numbers 0, 1, 2, ... Append-only; readers in any thread need no lock.

    About 16 bytes a string on top of its own: no objects, so a million cost neither memory nor time to load.
    """

    def __init__(self, parts: InternedParts | None = None) -> None:
        none = Strings(np.zeros(PAD_BYTES, np.uint8), np.zeros(1, np.int64))
        known = parts or InternedParts(none, (), os.urandom(SEED_BYTES))
        self.hasher = Hasher(known.seed)
        self._index = Multimap(known.runs)
        self._strings = known.strings  # with room behind the last; replaced as a whole when that is used up
        self._count = len(known.strings)
        self._ranking = GrowingRanking()
        self._lock = Lock()

    def adopt(self, parts: InternedParts) -> bool:
        """Become a saved table, where nothing was added yet: then True."""
        with self._lock:
            if self._count:
                return False
            self.hasher, self._index = Hasher(parts.seed), Multimap(parts.runs)
            self._strings, self._count = parts.strings, len(parts.strings)
            self._ranking = GrowingRanking()
        return True

    def make_room(self) -> None:
        """Copy what lies in a file to where more can be added: else the first `add` has to."""
        with self._lock:
            self._reserve(self._count + 1, int(self._strings.offsets[self._count]) + 1)

    def begins_with(self, strings: Strings) -> bool:
        """Whether the first strings of this table are these, in this order."""
        count, known = len(strings), self._strings
        if count > self._count or not np.array_equal(known.offsets[: count + 1], strings.offsets):
            return False
        return np.array_equal(known.data[: strings.nbytes], strings.data[: strings.nbytes])

    def __len__(self) -> int:
        return self._count

    def get(self, number: int) -> bytes:
        return self._strings.get(number)

    def take(self, numbers: Rows) -> Strings:
        return self._strings.take(numbers)

    def texts(self, numbers: Rows) -> list[str]:
        """Some of the strings, read as UTF-8."""
        return self._strings.slice(0, self._count).texts_at(numbers)

    def between(self, first: int, last: int) -> Strings:
        """The strings numbered first to last - 1."""
        return self._strings.slice(first, last)

    def ready_ranking(self) -> Ranking | None:
        """As `ranking`, where it is there already."""
        return self._ranking.ready(self._count)

    def ranking(self) -> Ranking:
        """All strings in order, and perhaps some that are added meanwhile. Sorted when first asked for."""
        return self._ranking.upto(self._count, lambda: self._strings.slice(0, self._count))

    def find(self, data: bytes) -> int:
        """The number of a string, -1 if it was never seen."""
        return self._find(self.hasher.of(data), data)

    def find_all(self, strings: Strings) -> npt.NDArray[np.int32]:
        """int32[n]: as `find`, for all."""
        return self._find_all(self.hasher.of_all(strings), strings)

    def add(self, data: bytes) -> int:
        """The number of a string, new if it was never seen."""
        key = self.hasher.of(data)
        with self._lock:
            known = self._find(key, data)
            if known >= 0:
                return known
            number = self._append_one(data)
            self._index.add(key, number)
        return number

    def add_all(self, strings: Strings) -> npt.NDArray[np.int32]:
        """int32[n]: as `add`, for all; new ones are numbered in their order."""
        keys = self.hasher.of_all(strings)
        with self._lock:
            numbers = self._find_all(keys, strings)
            new = np.flatnonzero(numbers < 0)
            if len(new):
                firsts, place = _distinct(keys[new], strings, new)
                start = self._append(strings if len(firsts) == len(strings) else strings.take(firsts))
                numbers[new] = start + place
                self._index.add_all(keys[firsts], np.arange(start, start + len(firsts), dtype=np.int32))
        return numbers

    def freeze(self) -> InternedParts:
        """All of it, immutable."""
        with self._lock:
            runs, count, strings = self._index.settle(), self._count, self._strings
        return InternedParts(Strings(strings.data, strings.offsets[: count + 1]), runs, self.hasher.seed)

    def extended(self) -> InternedParts:
        """The beginning of another table: what is added to that one is not added here.

        Nothing is copied before something is.
        """
        parts = self.freeze()
        data = parts.strings.data.view()
        data.flags.writeable = False  # the room behind the last string is ours
        return InternedParts(Strings(data, parts.strings.offsets), parts.runs, parts.seed)

    @property
    def nbytes(self) -> int:
        """Bytes in use; room for more is not in it."""
        return int(self._strings.offsets[self._count]) + 8 * self._count + self._index.nbytes

    def _find(self, key: int, data: bytes) -> int:
        strings = self._strings
        return next((number for number in self._index.rows(key) if strings.get(number) == data), -1)

    def _find_all(self, keys: npt.NDArray[np.uint32], strings: Strings) -> npt.NDArray[np.int32]:
        numbers = np.full(len(strings), -1, np.int32)
        places, found = self._index.matches(keys)
        same = self._strings.equal(found, strings, places)
        numbers[places[same]] = found[same]
        return numbers

    def _append(self, strings: Strings) -> int:
        """Put strings behind the last; the number of the first of them. Under the lock."""
        count, first = self._count, int(self._strings.offsets[self._count])
        self._reserve(count + len(strings), first + strings.nbytes)
        begin = int(strings.offsets[0])
        known = self._strings
        known.data[first : first + strings.nbytes] = strings.data[begin : begin + strings.nbytes]
        known.offsets[count + 1 : count + 1 + len(strings)] = strings.offsets[1:] + (first - begin)
        self._count = count + len(strings)
        return count

    def _append_one(self, data: bytes) -> int:
        count, first = self._count, int(self._strings.offsets[self._count])
        last = first + len(data)
        self._reserve(count + 1, last)
        self._strings.data[first:last] = np.frombuffer(data, np.uint8)
        self._strings.offsets[count + 1] = last
        self._count = count + 1
        return count

    def _reserve(self, count: int, size_bytes: int) -> None:
        """Room for so many strings of so many bytes in all. Readers keep the old arrays."""
        if count > NUMBERS_MAX:
            raise LimitError(f"more than {NUMBERS_MAX} distinct strings in one table")
        data, offsets = self._strings.data, self._strings.offsets
        if size_bytes + PAD_BYTES > len(data) or not data.flags.writeable:
            used = int(offsets[self._count])
            data = _grown(data[:used], size_bytes + PAD_BYTES)
        if count + 1 > len(offsets) or not offsets.flags.writeable:
            offsets = _grown(offsets[: self._count + 1], count + 1)
        if data is not self._strings.data or offsets is not self._strings.offsets:
            self._strings = Strings(data, offsets)


def _grown(known: npt.NDArray[D], needed: int) -> npt.NDArray[D]:
    """A copy with room for half as many again: memory that is never written costs nothing."""
    grown = np.zeros(needed + needed // 2, known.dtype)
    grown[: len(known)] = known
    return grown


def _distinct(
    keys: npt.NDArray[np.uint32], strings: Strings, places: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Those of `places` at which a string stands first, and for each place which of these it repeats."""
    order = np.argsort(keys, kind="stable")
    again = keys[order][1:] == keys[order][:-1]
    # Only strings that share their hash with another can be equal: few, unless the same text is added often.
    shared = np.zeros(len(keys), np.bool_)
    shared[order[1:][again]] = True
    shared[order[:-1][again]] = True
    firsts: dict[bytes, int] = {}
    is_first = np.ones(len(keys), np.bool_)
    stands_for = np.arange(len(keys))
    for place in np.flatnonzero(shared).tolist():
        first = firsts.setdefault(strings.get(int(places[place])), place)
        if first != place:
            is_first[place], stands_for[place] = False, first
    rank = (np.cumsum(is_first) - 1).astype(np.int32)
    return places[is_first], rank[stands_for]


class InternedTexts:
    """Texts <-> numbers 0, 1, 2, ...; see `Interned`."""

    def __init__(self, parts: InternedParts | None = None) -> None:
        self.table = Interned(parts)
        self._recent: dict[str, int] = {}  # what was asked for lately: most texts are asked for again at once
        self._pages: dict[int, list[str]] = {}  # texts read lately, whole pages of them; they never change

    def __len__(self) -> int:
        return len(self.table)

    def text(self, number: int) -> str:
        return decode_text(self.table.get(number))

    def texts(self, numbers: Rows) -> list[str]:
        """Some of the texts. Making the objects is most of the work, so dense ranges are kept for a while."""
        if len(numbers) < _PAGE_TEXTS:
            return self.table.texts(numbers)
        low, high = int(numbers.min()), int(numbers.max()) + 1
        if low < 0 or len(numbers) < (high - low) >> 1:
            return self.table.texts(numbers)
        texts = self._between(low, high)
        if len(numbers) == high - low and bool((numbers[1:] > numbers[:-1]).all()):
            return texts
        return list(itemgetter(*(numbers - low).tolist())(texts))

    def find(self, text: str) -> int:
        """The number of a text, -1 if it was never seen."""
        known = self._recent.get(text)
        return self._remember(text, self.table.find(encode_text(text))) if known is None else known

    def find_all(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32[n]: as `find`, for all."""
        return self.table.find_all(pack_texts(texts))

    def add(self, text: str) -> int:
        """The number of a text, new if it was never seen."""
        known = self._recent.get(text)
        return self._remember(text, self.table.add(encode_text(text))) if known is None else known

    def add_all(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32[n]: as `add`, for all; new ones are numbered in their order."""
        return self.table.add_all(pack_texts(texts))

    def _between(self, low: int, high: int) -> list[str]:
        found: list[str] = []
        for first in range(low - low % _PAGE_TEXTS, high, _PAGE_TEXTS):
            page = self._page(first, high)
            found += page[max(low - first, 0) : high - first]
        return found

    def _page(self, first: int, high: int) -> list[str]:
        """The texts from `first` on, up to `high` at least where the page is not full yet."""
        known = self._pages.get(first)
        if known is not None:
            return known
        last = first + _PAGE_TEXTS
        if last > len(self.table):
            return self.table.texts(np.arange(first, high))
        page = self.table.texts(np.arange(first, last))
        if len(self._pages) >= _PAGES_MAX:
            self._pages.clear()
        self._pages[first] = page
        return page

    def _remember(self, text: str, number: int) -> int:
        if number >= 0:
            if len(self._recent) >= _RECENT_MAX:
                self._recent.clear()
            self._recent[text] = number
        return number
