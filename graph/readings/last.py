"""The newest reading of each point, and in which batch it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from graph.jit import read_only
from graph.newest import Stamped, put_flat
from graph.readings.columns import Columns

if TYPE_CHECKING:
    import numpy.typing as npt

_T = TypeVar("_T", bound=np.generic)
_NEVER: Final = -(2**63)


class LastTable:
    """By number of a point. One thread at a time."""

    def __init__(self) -> None:
        self._times = np.zeros(0, np.int64)
        self._words = np.zeros(0, np.uint64)
        self._quality = np.zeros(0, np.uint8)
        self._kinds = np.zeros(0, np.uint8)
        self._batches = np.zeros(0, np.int64)
        self.newest_batch = 0

    def put(self, columns: Columns, batch: int, points_known: int) -> None:
        """Readings in order of arrival; where two have the same time, the later counts."""
        self._grow(points_known)
        given = Stamped(columns.points, columns.times_ns, columns.words, columns.quality)
        kinds = read_only(np.ascontiguousarray(columns.kinds))
        own = (self._times, self._words, self._quality, self._kinds, self._batches)
        put_flat(given.points, given.times_ns, given.words, given.quality, kinds, batch, *own)
        self.newest_batch = max(self.newest_batch, batch)

    def newer(self, columns: Columns, points_known: int) -> Columns:
        """Those that are later than what is known of their points."""
        self._grow(points_known)
        return columns.take(columns.times_ns > self._times[columns.points])

    def since(self, batch: int) -> Columns:
        """Newest readings that came after a batch, in order of their points."""
        if batch >= self.newest_batch:
            points = np.zeros(0, np.int32)
        else:
            points = np.flatnonzero((self._batches > batch) & (self._times != _NEVER)).astype(np.int32)
        return Columns(
            points, self._times[points], self._words[points], self._quality[points], self._kinds[points]
        )

    def _grow(self, points: int) -> None:
        more = points - len(self._times)
        if more <= 0:
            return
        room = max(more, len(self._times) // 2)
        self._times = np.concatenate((self._times, np.full(room, _NEVER, np.int64)))
        self._words = _longer(self._words, room)
        self._quality = _longer(self._quality, room)
        self._kinds = _longer(self._kinds, room)
        self._batches = _longer(self._batches, room)


def _longer(array: npt.NDArray[_T], room: int) -> npt.NDArray[_T]:
    return np.concatenate((array, np.zeros(room, array.dtype)))
