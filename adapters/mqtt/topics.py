"""Topics -> numbers, for kernels: nothing is made for a topic that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.mqtt.chunks import FIELDS, TOPIC, TOPIC_END
from graph.jit import kernel, load_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

PAD: Final = 16
"""Bytes behind the last topic of a buffer: words are read whole."""
UNKNOWN: Final = -1
_FIRST_TOPICS: Final = 1_024
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
_WORD: Final = 8
_BITS: Final = np.uint64(8)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
# A kernel is compiled with these: those of `Chunk.found`.
_TOPIC_END: Final = TOPIC_END
_TOPIC: Final = TOPIC


class TopicTable:
    """Numbers 0, 1, 2, ... of topics that were added. One thread at a time."""

    def __init__(self) -> None:
        self._clear()

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        """Forget all."""
        self._clear()

    def add(self, topics: Sequence[bytes]) -> None:
        """Topics that are not known yet get the next numbers, in their order."""
        for topic in topics:
            if self._used + len(topic) + PAD > len(self._texts):
                self._texts = np.concatenate((self._texts, np.zeros(len(self._texts) + len(topic), np.uint8)))
            if self._count >= len(self._ends):
                self._ends = np.concatenate((self._ends, np.zeros_like(self._ends)))
            self._texts[self._used : self._used + len(topic)] = np.frombuffer(topic, np.uint8)
            self._used += len(topic)
            self._ends[self._count] = self._used
            self._count += 1
        if 2 * self._count > len(self._slots):
            size = 1 << (4 * self._count - 1).bit_length()
            self._slots, self._placed = np.full(size, UNKNOWN, np.int32), 0
        _place(self._slots, self._texts, self._ends, self._placed, self._count)
        self._placed = self._count

    def look(self, data: npt.NDArray[np.uint8], found: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """int32[n]: numbers of topics in padded bytes, UNKNOWN where there is none; found: see `Chunk`."""
        numbers = np.empty(len(found), np.int32)
        _look(data, found, self._slots, self._texts, self._ends, numbers)
        return numbers

    def _clear(self) -> None:
        self._count = self._placed = self._used = 0
        self._texts = np.zeros(_FIRST_TOPICS * 32, np.uint8)
        self._ends = np.zeros(_FIRST_TOPICS, np.int64)
        self._slots = np.full(4 * _FIRST_TOPICS, UNKNOWN, np.int32)


def warm_up() -> None:
    """Compile, or load what was compiled."""
    table = TopicTable()
    table.add([b"a"])
    table.look(np.frombuffer(b"a" + bytes(PAD), np.uint8), np.array([[1] + [0] * (FIELDS - 1)], np.int64))


@kernel
def _hash(data: npt.NDArray[np.uint8], start: int, end: int) -> np.uint64:
    value = np.uint64(end - start) * _MIX
    while start < end:
        word = load_word(data, start)
        if end - start < _WORD:
            word &= _ALL >> (_BITS * np.uint64(_WORD - (end - start)))
        value = (value ^ word) * _MIX
        value ^= value >> _HALF
        start += _WORD
    return value


@kernel
def _place(
    slots: npt.NDArray[np.int32],
    texts: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
    first: int,
    count: int,
) -> None:
    """Numbers first to count - 1 into the slots; there is room."""
    mask = np.uint64(len(slots) - 1)
    for number in range(first, count):
        at = _hash(texts, ends[number - 1] if number else 0, ends[number]) & mask
        while slots[at] >= 0:
            at = (at + np.uint64(1)) & mask
        slots[at] = number


@kernel
def _look(
    data: npt.NDArray[np.uint8],
    found: npt.NDArray[np.int64],
    slots: npt.NDArray[np.int32],
    texts: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int32],
) -> None:
    mask = np.uint64(len(slots) - 1)
    for i in range(len(found)):
        first, end = found[i, _TOPIC], found[i, _TOPIC_END]
        at = _hash(data, first, end) & mask
        number = -1
        while slots[at] >= 0:
            candidate = slots[at]
            begin = ends[candidate - 1] if candidate else 0
            if ends[candidate] - begin == end - first:
                place, other = first, begin
                while place < end and data[place] == texts[other]:
                    place += 1
                    other += 1
                if place == end:
                    number = candidate
                    break
            at = (at + np.uint64(1)) & mask
        numbers[i] = number
