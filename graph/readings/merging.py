"""Several segments as one, a part at a time: memory holds a row group of each, whatever their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.readings.columns import empty, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.readings.columns import Columns
    from graph.readings.segments import Segment


def merged(segments: Sequence[Segment]) -> Iterator[Columns]:
    """Readings by point and time; where several segments have the same, that of the last counts."""
    cursors = [_Cursor(segment) for segment in segments]
    while ready := [cursor for cursor in cursors if cursor.fill()]:
        # Up to where the first of them has to be read on: nothing before that can still come.
        bounds = [cursor.bound for cursor in ready if not cursor.is_last]
        bound = min(bounds) if bounds else None
        yield joined([cursor.taken(bound) for cursor in ready]).ordered()


class _Cursor:
    """How far one segment is merged."""

    def __init__(self, segment: Segment) -> None:
        self._parts = segment.streamed()
        self._columns = empty()
        self._next = next(self._parts, None)

    def fill(self) -> bool:
        """Have something to merge; False at the end."""
        if not len(self._columns) and self._next is not None:
            self._columns, self._next = self._next, next(self._parts, None)
        return bool(len(self._columns))

    @property
    def is_last(self) -> bool:
        return self._next is None

    @property
    def bound(self) -> tuple[int, int]:
        """Point and time of the last reading at hand."""
        return int(self._columns.points[-1]), int(self._columns.times_ns[-1])

    def taken(self, bound: tuple[int, int] | None) -> Columns:
        """What does not lie behind a point and time; it is gone from here."""
        columns = self._columns
        end = len(columns) if bound is None else _end(columns, *bound)
        self._columns = columns.take(slice(end, None))
        return columns.take(slice(0, end))


def _end(columns: Columns, point: int, time_ns: int) -> int:
    low, high = np.searchsorted(columns.points, [point, point + 1])
    return int(low + np.searchsorted(columns.times_ns[low:high], time_ns, side="right"))
