"""Readings as they come in: which are kept, and what their words mean."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np

from graph.values import Readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.history import History, LastValue
    from graph.state import State


class PointNumbers:
    """What a history calls the points of a state, by their rows: asked for once. Safe from any thread."""

    def __init__(self) -> None:
        self._ids: object = None
        self._known = np.zeros(0, np.int32)
        self._lock = Lock()

    def look(self, state: State, points: npt.NDArray[np.int32]) -> Numbered:
        """Under the lock of the twin: numbers of points, as far as they are known, and who has none."""
        with self._lock:
            ids = state.twins.ids
            if self._ids is not ids:  # rows may mean other twins now
                self._ids, self._known = ids, np.zeros(0, np.int32)
            more = len(ids) - len(self._known)
            if more > 0:
                room = np.full(more + len(ids) // 8, -1, np.int32)
                self._known = np.concatenate((self._known, room))
            numbers = self._known[points]
            rows = np.unique(points[numbers < 0]) if (numbers < 0).any() else points[:0]
            return Numbered(numbers, rows, ids.iris(rows) if len(rows) else [], ids)

    def complete(
        self, found: Numbered, points: npt.NDArray[np.int32], history: History
    ) -> npt.NDArray[np.int32]:
        """int32[n]: numbers of all. StoreError."""
        if not len(found.rows):
            return found.numbers
        given = history.numbers(found.iris)
        with self._lock:
            if self._ids is found.ids:
                self._known[found.rows] = given
        numbers, without = found.numbers, found.numbers < 0
        numbers[without] = given[np.searchsorted(found.rows, points[without])]
        return numbers


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """numbers int32[n], -1 for points of `rows`, int32[u] in order, whose IRIs are `iris`."""

    numbers: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]
    iris: Sequence[str]
    ids: object


def living(state: State, readings: Readings) -> Readings:
    """The readings whose points are living twins."""
    points = readings.points
    known = (points >= 0) & (points < state.twins.size)
    known[known] = state.twins.alive.take(points[known])
    if known.all():
        return readings
    return Readings(points[known], readings.times_ns[known], readings.words[known], readings.quality[known])


def texts_of(state: State, readings: Readings) -> list[str | None]:
    """What the words of code and text points mean; empty where no point is one."""
    coded = state.coded_points(readings.points)
    if not coded.any():
        return []
    value = state.pools.texts.value
    words = readings.words.tolist()
    return [value(word) if is_code else None for word, is_code in zip(words, coded.tolist(), strict=True)]


class Judge(Protocol):
    """Says of readings how far they can be believed; see `Twin.judge`."""

    def judged(self, readings: Readings, arrived_ns: int) -> Readings:
        """The same readings with a quality that is not better."""
        ...

    def counts(self) -> dict[str, int]:
        """How often each reason was found since the start, by its name."""
        ...


def doubt(state: State, readings: Readings) -> Readings:
    """Last values that are still those of `readings`, now of their quality; which ones."""
    known = living(state, readings)
    same = state.twins.point_time.take(known.points) == known.times_ns
    state.twins.point_quality.write(known.points[same], known.quality[same])
    return Readings(known.points[same], known.times_ns[same], known.words[same], known.quality[same])


def kinds_of(state: State, readings: Readings) -> npt.NDArray[np.uint8] | None:
    """How the words of points that are no texts are read, see `History.append`; None: all as numbers."""
    whole = state.whole_points(readings.points)
    return whole.astype(np.uint8) if whole.any() else None


def write_last_values(state: State, values: Sequence[LastValue]) -> Readings:
    """Newest readings into the columns; those of living twins, as readings."""
    rows = state.twins.ids.rows_of([value.point for value in values])
    known = zip(rows.tolist(), values, strict=True)
    kept = [(row, value) for row, value in known if row >= 0]
    intern = state.pools.texts.intern
    words = [intern(value.text) if value.text is not None else value.word for _, value in kept]
    readings = Readings(
        np.array([row for row, _ in kept], np.int32),
        np.array([value.time_ns for _, value in kept], np.int64),
        np.array(words, np.uint64),
        np.array([value.quality for _, value in kept], np.uint8),
    )
    state.write_last_values(readings)
    return living(state, readings)
