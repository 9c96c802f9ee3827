"""Readings in columns, as the files of a history hold them: points and texts are numbers of its own."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

# How a word is read.
NUMBER: Final = 0  # the bits of a float64
WHOLE: Final = 1  # a whole number: a boolean, a counter
CODED: Final = 2  # the number of a text
_HEAD: Final = struct.Struct("<QI")
_ROOM_FIRST: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """points int32[n], times_ns int64[n], words uint64[n], quality uint8[n], kinds uint8[n]."""

    points: npt.NDArray[np.int32]
    times_ns: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint64]
    quality: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def arrays(self) -> tuple[npt.NDArray[np.generic], ...]:
        return self.points, self.times_ns, self.words, self.quality, self.kinds

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Columns:
        return Columns(
            self.points[rows], self.times_ns[rows], self.words[rows], self.quality[rows], self.kinds[rows]
        )

    def ordered(self) -> Columns:
        """By point and time, of equal ones the last."""
        if self._is_ordered():
            return self
        order = np.lexsort((self.times_ns, self.points))
        points, times = self.points[order], self.times_ns[order]
        last = np.ones(len(order), np.bool_)
        last[:-1] = (points[1:] != points[:-1]) | (times[1:] != times[:-1])
        return self.take(order[last])

    def _is_ordered(self) -> bool:
        same, later = self.points[1:] == self.points[:-1], self.times_ns[1:] > self.times_ns[:-1]
        return bool(((self.points[1:] > self.points[:-1]) | (same & later)).all())


def empty() -> Columns:
    return unpacked(_HEAD.pack(0, 0))[1]


def joined(parts: Sequence[Columns]) -> Columns:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return empty()
    return Columns(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.times_ns for part in parts]),
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.quality for part in parts]),
        np.concatenate([part.kinds for part in parts]),
    )


def packed(batch: int, columns: Columns) -> bytes:
    """As they stand in a frame of the log."""
    return b"".join((_HEAD.pack(batch, len(columns)), *(array.tobytes() for array in columns.arrays)))


def unpacked(payload: bytes | memoryview) -> tuple[int, Columns]:
    """The number of a batch and its readings."""
    batch, rows = _HEAD.unpack_from(payload)
    place = _HEAD.size
    times = place + 4 * rows
    words, quality = times + 8 * rows, times + 16 * rows
    return batch, Columns(
        np.frombuffer(payload, np.int32, rows, place),
        np.frombuffer(payload, np.int64, rows, times),
        np.frombuffer(payload, np.uint64, rows, words),
        np.frombuffer(payload, np.uint8, rows, quality),
        np.frombuffer(payload, np.uint8, rows, quality + rows),
    )


class Tail:
    """Readings that are in a log and in no segment yet, in order of arrival; grows. One thread adds."""

    def __init__(self) -> None:
        self._size = 0
        self._room = Columns(*(np.empty(_ROOM_FIRST, array.dtype) for array in empty().arrays))  # pyright: ignore[reportArgumentType]

    def __len__(self) -> int:
        return self._size

    def add(self, columns: Columns) -> None:
        needed = self._size + len(columns)
        if needed > len(self._room):
            self._grow(max(needed, 2 * len(self._room)))
        for room, array in zip(self._room.arrays, columns.arrays, strict=True):
            room[self._size : needed] = array
        self._size = needed

    def view(self) -> Columns:
        """What is there now; later additions do not change it."""
        return self._room.take(slice(0, self._size))

    def _grow(self, rows: int) -> None:
        grown = Columns(*(np.empty(rows, array.dtype) for array in self._room.arrays))  # pyright: ignore[reportArgumentType]
        for new, old in zip(grown.arrays, self._room.arrays, strict=True):
            new[: self._size] = old[: self._size]
        self._room = grown
