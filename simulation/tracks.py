"""What the readable reference of the cascade is written on: a clock of cells, and levels over time."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation.world import FULL

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Clock:
    """Time in whole cells, levels in whole steps (rule 1). Exact time: cells of one microsecond."""

    cell_us: int
    levels: int
    horizon_us: int

    @property
    def cells(self) -> int:
        return -(-self.horizon_us // self.cell_us)

    def span(self, cell: int) -> tuple[int, int]:
        """First and last microsecond of a cell; the last cell ends at the horizon."""
        return cell * self.cell_us, min((cell + 1) * self.cell_us, self.horizon_us) - 1

    def whole_down(self, duration_us: int) -> int:
        """Cells of a duration that helps."""
        return duration_us // self.cell_us

    def whole_up(self, duration_us: int) -> int:
        """Cells of a duration that hurts."""
        return -(-duration_us // self.cell_us)

    def level_down(self, level: int) -> int:
        """The lowest level of the step that a level lies in; a second time changes nothing."""
        step = level * self.levels // FULL
        return -(-step * FULL // self.levels)


class Track:
    """A value over time, piecewise constant, written left to right; `before` holds until the first piece."""

    def __init__(self, before: int = FULL, pieces: Sequence[tuple[int, int]] = ()) -> None:
        self._before = before
        self._times: list[int] = []
        self._values: list[int] = []
        for time_us, value in pieces:
            self.put(time_us, value)

    def put(self, time_us: int, value: int) -> None:
        """From time_us on the value holds. Equal neighbours are one piece."""
        if value != (self._values[-1] if self._values else self._before):
            self._times.append(time_us)
            self._values.append(value)

    def within(self, first_us: int, last_us: int) -> list[int]:
        """Every value taken from first_us to last_us, both included; none if they are out of order."""
        if first_us > last_us:
            return []
        begin, end = bisect_right(self._times, first_us), bisect_right(self._times, last_us)
        return [self._values[begin - 1] if begin else self._before, *self._values[begin:end]]

    @property
    def times(self) -> list[int]:
        return self._times

    @property
    def pieces(self) -> list[tuple[int, int]]:
        return list(zip(self._times, self._values, strict=True))
