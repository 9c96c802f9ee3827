"""What a contract says of levels that leave in cascades: in how many steps, how often they may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from simulation.tracks import Track
from simulation.world import FULL

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_US: Final = 3_600_000_000
LEVELS_MAX: Final = 4_096
STEP_HOURS_MAX: Final = 8_760.0
Pieces: TypeAlias = list[tuple[int, int]]
"""As `federation.joint.pieces.Pieces`."""


@dataclass(frozen=True, slots=True)
class Coarse:
    """levels: steps between down and full; 0: exact. step_us: levels change at whole multiples; 0: exact."""

    levels: int = 0
    step_us: int = 0

    def __str__(self) -> str:
        steps = f"{self.levels} levels" if self.levels else "exact levels"
        return f"{steps}, {self.step_us / HOUR_US:g} h" if self.step_us else f"{steps}, exact times"

    def is_finer(self, other: Coarse) -> bool:
        """Whether this tells anything that the other one does not."""
        finer_levels = other.levels > 0 and (self.levels == 0 or self.levels > other.levels)
        return finer_levels or self.step_us < other.step_us

    def level(self, level: int, *, up: bool) -> int:
        """The next step above or below; of those told, down and full are always two."""
        if not self.levels:
            return level
        steps = -(-level * self.levels // FULL) if up else level * self.levels // FULL
        return steps * FULL // self.levels if up else -(-steps * FULL // self.levels)

    def pieces(self, pieces: Pieces, horizon_us: int, *, up: bool) -> Pieces:
        """Levels over time, nowhere below these (up) or nowhere above, that tell no more than agreed."""
        exact, told = Track(pieces=pieces), Track()
        for first_us, last_us in self._cells(exact.times, horizon_us):
            values = exact.within(first_us, last_us)
            told.put(first_us, self.level(max(values) if up else min(values), up=up))
        return told.pieces

    def _cells(self, times: list[int], horizon_us: int) -> Iterator[tuple[int, int]]:
        """First and last microsecond of the cells in which something changes, and of those behind them."""
        if not self.step_us:
            ends = [*times[1:], horizon_us]
            yield from ((first, end - 1) for first, end in zip(times, ends, strict=False))
            return
        cells = {cell for time_us in times for cell in (time_us // self.step_us, time_us // self.step_us + 1)}
        for cell in sorted(cells):
            first_us = cell * self.step_us
            if first_us < horizon_us:
                yield first_us, min(first_us + self.step_us, horizon_us) - 1

    def hours(self, hours: float, *, up: bool) -> float:
        """Hours as whole steps."""
        if not self.step_us:
            return hours
        step = self.step_us / HOUR_US
        return (-(-hours // step) if up else hours // step) * step


def signal_changes(old: Coarse | None, new: Coarse | None) -> Iterator[tuple[bool, str]]:
    """What changes, a line, and whether it widens what may be learnt."""
    was, becomes = old or Coarse(), new or Coarse()
    if was != becomes:
        yield becomes.is_finer(was), f"signal: {was} -> {becomes}"
