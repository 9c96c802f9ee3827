"""Data changes of OPC UA as columns, and single ones for what does not fit a column."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

# What a word of `Changes` holds.
NONE: Final = 0  # no value came
BOOLEAN: Final = 1  # 0 or 1
SIGNED: Final = 2  # an int64
UNSIGNED: Final = 3  # a uint64
FLOAT: Final = 4  # the bits of a float64
ODD: Final = 5  # nothing: the value is in `odd`
_WORD_MAX = (1 << 64) - 1
_SIGNED_MIN = -(1 << 63)


class DataChange(NamedTuple):
    """One notification. `value` is None where the server gave none; `time_ns` is the source's, else the
    server's, else 0."""

    address: str
    value: object
    status: int
    time_ns: int
    arrival_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Notifications in the order they came; all arrays have length n.

    handles: int32[n], places in the list of addresses; words: uint64[n], read by kinds: uint8[n];
    status: uint32[n], status codes; times_ns, arrivals_ns: int64[n], Unix time, 0 where neither source nor
    server gave one; odd: by row, values that are neither numbers nor booleans.
    """

    handles: npt.NDArray[np.int32]
    words: npt.NDArray[np.uint64]
    kinds: npt.NDArray[np.uint8]
    status: npt.NDArray[np.uint32]
    times_ns: npt.NDArray[np.int64]
    arrivals_ns: npt.NDArray[np.int64]
    odd: Mapping[int, object] = field(default_factory=dict[int, object])

    def __len__(self) -> int:
        return len(self.handles)

    def rows(self, start: int, stop: int) -> Changes:
        """Some of them, as views."""
        at = slice(start, stop)
        odd = {row - start: value for row, value in self.odd.items() if start <= row < stop}
        return Changes(
            self.handles[at], self.words[at], self.kinds[at], self.status[at],
            self.times_ns[at], self.arrivals_ns[at], odd,
        )  # fmt: skip

    def single(self, row: int, addresses: Sequence[str]) -> DataChange:
        """One of them by itself."""
        return DataChange(
            addresses[int(self.handles[row])], self.value(row), int(self.status[row]),
            int(self.times_ns[row]), int(self.arrivals_ns[row]),
        )  # fmt: skip

    def value(self, row: int) -> object:
        """None, a bool, an int, a float, or what is odd."""
        kind, word = int(self.kinds[row]), self.words[row]
        if kind == BOOLEAN:
            return bool(word)
        if kind == SIGNED:
            return int(word.view(np.int64))
        if kind == UNSIGNED:
            return int(word)
        if kind == FLOAT:
            return float(word.view(np.float64))
        return self.odd.get(row)


def changes_of(singles: Sequence[tuple[int, object, int, int]], arrival_ns: int) -> Changes:
    """Columns of (handle, value, status, time_ns) that arrived together."""
    n = len(singles)
    words, kinds = np.zeros(n, np.uint64), np.zeros(n, np.uint8)
    odd: dict[int, object] = {}
    for row, (_, value, _, _) in enumerate(singles):
        kinds[row], words[row] = word_of(value)
        if kinds[row] == ODD:
            odd[row] = value
    return Changes(
        np.array([handle for handle, _, _, _ in singles], np.int32), words, kinds,
        np.array([status for _, _, status, _ in singles], np.uint32),
        np.array([time_ns for _, _, _, time_ns in singles], np.int64), np.full(n, arrival_ns, np.int64), odd,
    )  # fmt: skip


def word_of(value: object) -> tuple[int, int]:
    """Kind and word of a value."""
    if value is None:
        return NONE, 0
    if isinstance(value, bool):
        return BOOLEAN, int(value)
    if isinstance(value, int) and _SIGNED_MIN <= value < 0:
        return SIGNED, value & _WORD_MAX
    if isinstance(value, int) and 0 <= value <= _WORD_MAX:
        return UNSIGNED, value
    if isinstance(value, float):
        return FLOAT, int(np.float64(value).view(np.uint64))
    return ODD, 0


def concatenated(blocks: Sequence[Changes]) -> Changes:
    """One after the other."""
    if len(blocks) == 1:
        return blocks[0]
    odd: dict[int, object] = {}
    start = 0
    for block in blocks:
        odd.update({start + row: value for row, value in block.odd.items()})
        start += len(block)
    return Changes(
        np.concatenate([block.handles for block in blocks]),
        np.concatenate([block.words for block in blocks]),
        np.concatenate([block.kinds for block in blocks]),
        np.concatenate([block.status for block in blocks]),
        np.concatenate([block.times_ns for block in blocks]),
        np.concatenate([block.arrivals_ns for block in blocks]),
        odd,
    )
