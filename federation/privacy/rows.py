"""From a column as the site holds it to integers on a public grid: one row for each twin.

Every step works row by row, or twin by twin: a twin more or less changes one row of the result, no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from federation.privacy.question import Aggregate

if TYPE_CHECKING:
    import numpy.typing as npt

    from federation.privacy.question import Bounds, Column

# Finer than any noise that is allowed: with epsilon at its largest the noise is 100,000 steps wide.
STEPS: Final = 2**20


@dataclass(frozen=True, slots=True)
class Grid:
    """value = origin + step * number; numbers lie in lower .. upper, none beyond +-STEPS."""

    origin: float
    step: float
    lower: int
    upper: int

    def numbers(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """int64[n]: the nearest number of each (finite) value; values beyond the grid go to its ends."""
        low = self.origin + self.step * self.lower
        high = self.origin + self.step * self.upper
        steps = np.rint((np.clip(values, low, high) - self.origin) / self.step)
        return np.clip(steps, self.lower, self.upper).astype(np.int64)


def grid_of(aggregate: Aggregate, bounds: Bounds) -> Grid:
    """A sum counts from 0, all else from the middle of the bounds: there one row weighs half as much."""
    if aggregate is not Aggregate.SUM:
        return Grid(bounds.middle, (bounds.upper - bounds.lower) / (2 * STEPS), -STEPS, STEPS)
    step = max(abs(bounds.lower), abs(bounds.upper)) / STEPS
    return Grid(0.0, step, max(round(bounds.lower / step), -STEPS), min(round(bounds.upper / step), STEPS))


def rows_by_group(column: Column, groups: int) -> list[npt.NDArray[np.float64]]:
    """The values of each group: the first usable row of every twin, and no other.

    Usable: valid, finite, in a group. A reading that is no number or infinite counts as missing.
    """
    usable = np.flatnonzero(column.valid & np.isfinite(column.values) & (column.groups >= 0))
    first = np.unique(column.twins[usable], return_index=True)[1]
    kept = usable[first]
    order = kept[np.argsort(column.groups[kept], kind="stable")]
    ends = np.searchsorted(column.groups[order], np.arange(groups + 1))
    values = column.values[order]
    return [values[ends[group] : ends[group + 1]] for group in range(groups)]
