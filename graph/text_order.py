"""The order of many byte strings, kept up while strings are added: who stands where, and what stands there.

Strings are compared eight bytes at a time, all at once; the order of UTF-8 is the order of `str`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, Final, overload

import numpy as np

from graph.strings import decode_text, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from graph.strings import Strings

_STEP: Final = 8
# How much of a word counts where only so many bytes of it (0 to 8) belong to the string.
_MASKS: Final = np.array([(1 << (8 * count)) - 1 for count in range(_STEP + 1)], np.uint64)
# So many new strings are put in place one by one; more, as a share of all (a shift), are sorted with them.
_ONE_BY_ONE_MIN: Final = 256
_ONE_BY_ONE_SHARE_BITS: Final = 7
# Sorted parts that change over more often than this are sorted anew instead of merged.
_TURNS_MAX: Final = 5_000
_MERGED_MAX: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Strings 0 to n - 1 in order.

    order: int32[n], their numbers; rank: int32[n], the place of each number; get: the string of a number
    """

    order: npt.NDArray[np.int32]
    rank: npt.NDArray[np.int32]
    get: Callable[[int], bytes]

    def __len__(self) -> int:
        return len(self.order)

    def place(self, text: str) -> tuple[int, bool]:
        """How many strings stand before a text, and whether the next one is the text itself."""
        data = encode_text(text)
        place = bisect_left(range(len(self.order)), data, key=self.at)
        return place, place < len(self.order) and self.at(place) == data

    def range(self, prefix: str) -> tuple[int, int]:
        """Places of the first string that begins with a text, and behind the last."""
        data = encode_text(prefix)
        low = bisect_left(range(len(self.order)), data, key=self.at)
        # No text has a byte of 255.
        return low, bisect_left(range(len(self.order)), data + b"\xff", low, key=self.at)

    def at(self, place: int) -> bytes:
        """The string at a place."""
        return self.get(int(self.order[place]))

    def first(self, count: int) -> Ranking:
        """Of the first `count` strings alone."""
        return self if count >= len(self) else _ranked(self.order[self.order < count], self.get)


@dataclass(frozen=True, slots=True, eq=False)
class TextsInOrder(Sequence[str]):
    """The texts of a ranking by place, decoded one at a time."""

    ranking: Ranking

    def __len__(self) -> int:
        return len(self.ranking)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        get, order = self.ranking.get, self.ranking.order
        if isinstance(index, slice):
            return [decode_text(get(number)) for number in order[index].tolist()]
        return decode_text(get(int(order[index])))


class GrowingRanking:
    """The ranking of a table to which strings are only added. Safe in any thread."""

    def __init__(self) -> None:
        self._known: Ranking | None = None
        self._lock = Lock()

    def ready(self, count: int) -> Ranking | None:
        """As `upto`, where it is there already."""
        known = self._known
        return known if known is not None and len(known) >= count else None

    def upto(self, count: int, strings: Callable[[], Strings]) -> Ranking:
        """A ranking of the first `count` strings at least; `strings` gives all there are."""
        known = self._known
        if known is not None and len(known) >= count:
            return known
        with self._lock:
            known = self._known
            if known is None or len(known) < count:
                known = self._known = _grown(known, strings())
            return known


def _grown(known: Ranking | None, strings: Strings) -> Ranking:
    first = 0 if known is None else len(known)
    new = len(strings) - first
    if known is None or new > max(_ONE_BY_ONE_MIN, first >> _ONE_BY_ONE_SHARE_BITS):
        return ranking_of(strings)
    numbers = sorted(range(first, len(strings)), key=strings.get)
    places = [bisect_left(range(first), strings.get(number), key=known.at) for number in numbers]
    order = np.insert(known.order, places, np.array(numbers, np.int32))
    return _ranked(order, strings.get)


def ranking_of(strings: Strings) -> Ranking:
    return _ranked(sort_strings(strings), strings.get)


def _ranked(order: npt.NDArray[np.int32], get: Callable[[int], bytes]) -> Ranking:
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Ranking(order, rank, get)


def sort_strings(strings: Strings) -> npt.NDArray[np.int32]:
    """int32[n]: the numbers of some strings in order; equal ones in order of number."""
    begin, lengths = strings.offsets[:-1], np.diff(strings.offsets)
    order = np.arange(len(strings), dtype=np.int32)
    group = np.zeros(len(strings), np.int32)  # where in `order` the strings begin that are equal so far
    shared = _shared_bytes(strings)
    live, step = np.arange(len(strings)), shared
    while len(live):
        numbers = order[live]
        left = np.clip(lengths[numbers] - step, -1, _STEP + 1)
        words = words_at(strings.data, begin[numbers] + step, left)
        # All are one group at first.
        sorting = np.lexsort((left, words, group[live]) if step > shared else (left, words))
        order[live] = numbers[sorting]
        number, firsts = _runs(group[live], words[sorting], left[sorting])
        group[live] = live[firsts][number]
        is_tie = np.bincount(number)[number] > 1
        live, step = live[is_tie & (left[sorting] > _STEP)], step + _STEP
    return order


def _runs(*keys: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(run of each place, where each run begins) of places with equal keys that follow each other."""
    fresh = np.ones(len(keys[0]), np.bool_)
    fresh[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.cumsum(fresh) - 1, np.flatnonzero(fresh)


def _shared_bytes(strings: Strings) -> int:
    """With how many bytes (a multiple of eight) all of them begin."""
    begin, lengths = strings.offsets[:-1], np.diff(strings.offsets)
    shortest, step = int(lengths.min(initial=0)) if len(strings) else 0, 0
    while step + _STEP <= shortest:
        words = words_at(strings.data, begin + step, np.full(len(begin), _STEP))
        if words.min() != words.max():
            break
        step += _STEP
    return step


def words_at(
    data: npt.NDArray[np.uint8], places: npt.NDArray[np.int64], left: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """uint64[n]: the eight bytes at some places, as numbers that order as the bytes do.

    left: how many of them count, the others read as zero; 0 or less: none, then the place may lie anywhere.
    data: `Strings.data`, of eight bytes at least.
    """
    all_words = np.ndarray((len(data) - _STEP + 1,), "<u8", data, strides=(1,))
    words = all_words[np.minimum(places, len(data) - _STEP)]
    return (words & _MASKS[np.clip(left, 0, _STEP)]).byteswap()


# Several rankings as one


class MergedRankings:
    """Rankings of several tables as one, kept as long as no table gets new strings. Safe in any thread."""

    def __init__(self) -> None:
        self._known: tuple[_Merged, ...] = ()

    def of(self, parts: Sequence[Ranking], sizes: Sequence[int], sort: Callable[[], Ranking]) -> Ranking:
        """The ranking of the first `sizes` strings of each part, whose numbers follow each other.

        sort: ranks them from nothing, where the parts mix too much.
        """
        known = self.ready(parts, sizes)
        if known is not None:
            return known
        made = _merge([part.first(size) for part, size in zip(parts, sizes, strict=True)]) or sort()
        self._known = (_Merged(tuple(parts), tuple(sizes), made), *self._known[: _MERGED_MAX - 1])
        return made

    def ready(self, parts: Sequence[Ranking], sizes: Sequence[int]) -> Ranking | None:
        """As `of`, where it is there already."""
        return next((known.ranking for known in self._known if known.is_of(parts, sizes)), None)


@dataclass(frozen=True, slots=True, eq=False)
class _Merged:
    parts: tuple[Ranking, ...]
    sizes: tuple[int, ...]
    ranking: Ranking

    def is_of(self, parts: Sequence[Ranking], sizes: Sequence[int]) -> bool:
        if self.sizes != tuple(sizes):
            return False
        return all(one is other for one, other in zip(self.parts, parts, strict=True))


def _merge(parts: Sequence[Ranking]) -> Ranking | None:
    """None where the parts mix too much."""
    cuts = _turns(parts)
    if cuts is None:
        return None
    starts = [0, *accumulate(map(len, parts))]
    pieces = [parts[part].order[low:high] + np.int32(starts[part]) for part, low, high in cuts]

    def get(number: int) -> bytes:
        part = bisect_right(starts, number) - 1
        return parts[part].get(number - starts[part])

    return _ranked(np.concatenate([np.zeros(0, np.int32), *pieces]), get)


def _turns(parts: Sequence[Ranking]) -> list[tuple[int, int, int]] | None:
    """(part, first, last + 1): whose turn it is, and for how long; equal strings in order of parts."""
    places = [0] * len(parts)
    cuts: list[tuple[int, int, int]] = []
    while True:
        heads = sorted(
            (part.at(place), number)
            for number, (part, place) in enumerate(zip(parts, places, strict=True))
            if place < len(part)
        )
        if not heads:
            return cuts
        if len(cuts) >= _TURNS_MAX:
            return None
        turn = heads[0][1]
        low = places[turn]
        high = len(parts[turn]) if len(heads) == 1 else _until(parts[turn], low + 1, heads[1], turn)
        cuts.append((turn, low, high))
        places[turn] = high


def _until(part: Ranking, low: int, other: tuple[bytes, int], number: int) -> int:
    """The place of the first string from `low` on that has to wait for another part's."""
    return bisect_left(range(len(part)), other, low, key=lambda place: (part.at(place), number))
