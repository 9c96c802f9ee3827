"""The bytes of one answer while it is written. A piece is a place in it: (start, length)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import orjson

from api.compiled.kernels import (
    IRREGULAR,
    TIME_BYTES,
    join,
    spans,
    split,
    weave,
    write_numbered,
    write_quoted,
    write_times,
)
from graph.jit import read_only

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from graph.strings import Strings

    Bytes: TypeAlias = npt.NDArray[np.uint8]
    Places: TypeAlias = npt.NDArray[np.int64]

_FIRST_BYTES: Final = 1 << 14
ARENA_BYTES_MAX: Final = 1 << 29
"""An answer that needs more while it is written is left to the resolvers."""


class Deopt(Exception):
    """This request cannot be answered from columns: a value is irregular, or there is an error to tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """n pieces of the arena: int64[n] each. They may lie anywhere, overlap or be the same."""

    start: Places
    length: Places

    def __len__(self) -> int:
        return len(self.start)

    def take(self, places: npt.NDArray[np.integer]) -> Pieces:
        return Pieces(self.start[places], self.length[places])


@dataclass(frozen=True, slots=True, eq=False)
class Thread:
    """The literals between the pieces of an object: k + 1 for k pieces, made once when compiled."""

    text: Bytes
    cuts: Places

    @classmethod
    def of(cls, literals: Sequence[bytes]) -> Thread:
        cuts = np.cumsum([0, *map(len, literals)]).astype(np.int64)
        return cls(np.frombuffer(b"".join(literals) or b"\0", np.uint8), cuts)

    @property
    def size(self) -> int:
        return int(self.cuts[-1])


class Arena:
    """Grows as needed; places stay valid. Raises Deopt beyond its limit."""

    def __init__(self) -> None:
        self._data: Bytes = np.empty(_FIRST_BYTES, np.uint8)
        self._at = 0

    @property
    def nbytes(self) -> int:
        return len(self._data)

    def clear(self) -> None:
        """Begin anew, in the same memory."""
        self._at = 0

    def text(self, pieces: Pieces, place: int = 0) -> memoryview:
        """The bytes of one piece, not copied."""
        start = int(pieces.start[place])
        return self._data[start : start + int(pieces.length[place])].data

    def put(self, text: bytes) -> int:
        """Add some bytes; where they begin."""
        self._reserve(len(text))
        at = self._at
        self._data[at : at + len(text)] = np.frombuffer(text, np.uint8)
        self._at += len(text)
        return at

    def put_all(self, texts: Sequence[bytes]) -> Pieces:
        """One piece for each of some texts."""
        length = np.fromiter(map(len, texts), np.int64, len(texts))
        at = self.put(b"".join(texts))
        return Pieces(at + np.cumsum(length) - length, length)

    def repeat(self, text: bytes, count: int) -> Pieces:
        """The same piece n times."""
        made = _empty(count)
        made.start[:], made.length[:] = self.put(text), len(text)
        return made

    def quoted(self, data: Bytes, start: Places, length: Places) -> Pieces:
        """Texts of another array as JSON in quotes; null where the length is negative."""
        made, data = _empty(len(start)), read_only(data)
        # To add up what it takes costs more than to find out, in memory that was used before.
        while (at := write_quoted(self._data, self._at, data, start, length, made.start, made.length)) < 0:
            self._make_room(at)
        self._at = at
        return made

    def numbered(self, strings: Strings, numbers: npt.NDArray[np.integer], first: int = 0) -> Pieces:
        """Strings by number as JSON in quotes, numbered from `first` on; null for the number before that.

        Raises Deopt for numbers that nothing has.
        """
        made, data, offsets = _empty(len(numbers)), read_only(strings.data), read_only(strings.offsets)
        into = (made.start, made.length)
        places = read_only(numbers.astype(np.int64, copy=False))  # for other numbers it is compiled anew
        while (at := write_numbered(self._data, self._at, data, offsets, places, first, *into)) < 0:
            self._make_room(at)
        self._at = at
        return made

    def _make_room(self, refused: int) -> None:
        if refused == IRREGULAR:
            raise Deopt
        self._reserve(2 * len(self._data))

    def numbers(self, values: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> Pieces:
        """Numbers as JSON; NaN and infinity as null."""
        made = _empty(len(values))
        if len(values):
            text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
            split(np.frombuffer(text, np.uint8), self.put(text), made.start, made.length)
        return made

    def times(self, times_ns: Places) -> Pieces:
        """Times as JSON."""
        made = _empty(len(times_ns))
        self._reserve(TIME_BYTES * len(times_ns))
        self._at = write_times(self._data, self._at, times_ns, made.start, made.length)
        return made

    def woven(self, thread: Thread, slots: Sequence[Pieces], count: int) -> Pieces:
        """n texts that follow each other, each made of literals and one piece of every slot in turn."""
        made = _empty(count)
        table = np.empty((2, len(slots), count), np.int64)
        for number, pieces in enumerate(slots):
            table[0, number], table[1, number] = pieces.start, pieces.length
        self._reserve(int(table[1].sum()) + thread.size * count)
        self._at = weave(
            self._data, self._at, thread.text, thread.cuts, table[0], table[1], made.start, made.length
        )
        return made

    def joined(self, pieces: Pieces) -> Pieces:
        """Copies that follow each other, a comma behind each."""
        made = _empty(len(pieces))
        self._reserve(int(pieces.length.sum()) + len(pieces))
        self._at = join(self._data, self._at, pieces.start, pieces.length, made.start, made.length)
        return made

    def _reserve(self, count: int) -> None:
        needed = self._at + count
        if needed <= len(self._data):
            return
        if needed > ARENA_BYTES_MAX:
            raise Deopt
        data = np.empty(max(needed, 2 * len(self._data)), np.uint8)
        data[: self._at] = self._data[: self._at]
        self._data = data


class Arenas:
    """Arenas that were used before: memory that was written once costs much less than new memory."""

    def __init__(self, *, bytes_max: int = 64 << 20) -> None:
        self.bytes_max = bytes_max
        self._free: list[Arena] = []
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        return sum(arena.nbytes for arena in list(self._free))

    def take(self) -> Arena:
        with self._lock:
            return self._free.pop() if self._free else Arena()

    def give(self, arena: Arena) -> None:
        """Keep an arena that nobody reads any more, as far as there is room."""
        arena.clear()
        with self._lock:
            if arena.nbytes + sum(each.nbytes for each in self._free) <= self.bytes_max:
                self._free.append(arena)


def lists_of(bounds: Places, items: Pieces) -> Pieces:
    """The inside of n lists; list i holds items bounds[i] to bounds[i + 1] - 1, int64[n + 1].

    The items follow each other, with a comma behind each.
    """
    made = _empty(len(bounds) - 1)
    spans(bounds, items.start, items.length, made.start, made.length)
    return made


def by_code(arena: Arena, codes: npt.NDArray[np.integer], encode: Callable[[int], bytes]) -> Pieces:
    """A piece for each of n codes; each code that occurs is encoded once."""
    low = int(codes.min()) if len(codes) else 0
    if len(codes) and low == codes.max():
        return arena.repeat(encode(low), len(codes))  # mostly all are of one kind, one site, one unit
    shifted = codes - low if low else codes
    present = np.flatnonzero(np.bincount(shifted))
    pieces = arena.put_all([encode(int(code) + low) for code in present])
    place = np.zeros(int(present[-1]) + 1 if len(present) else 1, np.int64)
    place[present] = np.arange(len(present))
    return pieces.take(place[shifted])


def _empty(count: int) -> Pieces:
    table = np.empty((2, count), np.int64)
    return Pieces(table[0], table[1])
