"""Last readings as they were at a time: columns of a snapshot of the past, read from history on demand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy as np

from graph.values import ValueType

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.history import History
    from graph.snapshot import Snapshot

D = TypeVar("D", bound=np.generic)
_POINTS_AT_ONCE: Final = 8192


def with_readings_at(
    snapshot: Snapshot, history: History, time_ns: int, check_time: Callable[[], None]
) -> Snapshot:
    """A site's snapshot whose points show what its history holds as their last readings at or before a time.

    check_time: called between portions of what is read; raises where it takes too long. What is not asked
    for is not read. Columns raise StoreError where the history cannot be read.
    """
    known = _ReadingsAt(snapshot, history, time_ns, check_time)
    columns = {
        "point_time": _Column(known, known.times_ns),
        "point_word": _Column(known, known.words),
        "point_quality": _Column(known, known.quality),
    }
    return replace(snapshot, twins=replace(snapshot.twins, **columns), first_pages={})


class _ReadingsAt:
    """times_ns int64[size], words uint64[size], quality uint8[size]: of rows that were filled."""

    def __init__(
        self, snapshot: Snapshot, history: History, time_ns: int, check_time: Callable[[], None]
    ) -> None:
        self.times_ns = np.zeros(snapshot.size, np.int64)
        self.words = np.zeros(snapshot.size, np.uint64)
        self.quality = np.zeros(snapshot.size, np.uint8)
        self._is_filled = ~snapshot.alive
        self._snapshot, self._history, self._time_ns = snapshot, history, time_ns
        self._check_time = check_time
        self._lock = Lock()

    def fill(self, rows: Rows) -> None:
        """Read what is not known of some rows yet."""
        with self._lock:
            inside = rows[rows < len(self.times_ns)]
            missing = np.unique(inside[~self._is_filled[inside]])
            for start in range(0, len(missing), _POINTS_AT_ONCE):
                self._check_time()
                self._read(missing[start : start + _POINTS_AT_ONCE])

    def _read(self, rows: Rows) -> None:
        snapshot, intern = self._snapshot, self._snapshot.pools.texts.intern
        iris = snapshot.ids(rows)
        row_of = dict(zip(iris, zip(rows.tolist(), _coded(snapshot, rows), strict=True), strict=True))
        for value in self._history.last_before(iris, self._time_ns):
            row, is_coded = row_of[value.point]
            if is_coded == (value.text is not None):  # else it was a point of another type
                self.times_ns[row], self.quality[row] = value.time_ns, value.quality
                self.words[row] = value.word if value.text is None else intern(value.text)
        self._is_filled[rows] = True


def _coded(snapshot: Snapshot, rows: Rows) -> list[bool]:
    """Which points have words that are codes of texts."""
    column = snapshot.attribute("valueType")
    if column is None:
        return [False] * len(rows)
    stated = [column.value(row) for row in rows.tolist()]
    coded = (ValueType.CODE, ValueType.TEXT)
    return [value is not None and value.value in coded for value in stated]


@dataclass(frozen=True, slots=True, eq=False)
class _Column(Generic[D]):
    """One of the three. Rows beyond the last read as zero, as in other columns."""

    known: _ReadingsAt
    values: npt.NDArray[D]

    @property
    def flat(self) -> npt.NDArray[D]:
        self.known.fill(np.arange(len(self.values)))
        whole = self.values.view()
        whole.flags.writeable = False
        return whole

    def take(self, rows: Rows) -> npt.NDArray[D]:
        self.known.fill(rows)
        return self.values[rows]

    def at(self, row: int) -> Any:
        self.known.fill(np.array([row]))
        return self.values[row].item()
