"""Noisy figures of several sites as one, with an error that holds for the sum of their noises.

Sites draw their noise apart from each other, so errors add up like the root of their squares, not like their
sum. How far a sum of Laplace draws strays is computed from its characteristic function, the product of
1 / (1 + b^2 w^2). Discrete Laplace, which sites draw, is at most one step further out than Laplace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from federation.privacy.door import Figures, ToldGroup

CHANCE: Final = 0.05
_POINTS: Final = 1 << 14
_WIDTH: Final = 60.0  # of the grid, in standard deviations: what is cut off is far below any chance asked for
_STEPS: Final = 2**20  # of `federation.privacy.rows`
_SURE: Final = 10.0  # so many scales are exceeded with a chance of e^-10


@dataclass(frozen=True, slots=True)
class Part:
    """A group as one site showed it."""

    figures: Figures
    group: ToldGroup

    @property
    def value(self) -> float:
        return self.group.value or 0.0

    @property
    def count(self) -> int:
        return max(self.group.count or 0, 1)

    @property
    def middle(self) -> float:
        lower, upper = self.figures.lower or 0.0, self.figures.upper or 0.0
        return lower + (upper - lower) / 2

    @property
    def half(self) -> float:
        return ((self.figures.upper or 0.0) - (self.figures.lower or 0.0)) / 2

    def scale(self, figure: str) -> float:
        return sum(noise.scale for noise in self.figures.noise if noise.figure == figure)

    @property
    def rounding(self) -> float:
        """What rounding to the site's grid can do to its sum."""
        rows = self.count + _SURE * self.scale("count")
        return rows * max(abs(self.figures.lower or 0.0), abs(self.figures.upper or 0.0)) / _STEPS


@dataclass(frozen=True, slots=True)
class Combined:
    """One group over all sites that showed it; error95 as in `GroupAnswer`."""

    value: float
    error95: float


def combine(op: str, parts: Sequence[Part]) -> Combined | None:
    """COUNT, SUM or MEAN over sites; None for quantiles, which do not add up, and where nobody shows it."""
    if not parts or op not in ("COUNT", "SUM", "MEAN"):
        return None
    if len(parts) == 1:
        return Combined(parts[0].value, parts[0].group.error95 or 0.0)
    if op == "COUNT":
        error = error_of_sum([part.scale("count") for part in parts], CHANCE) + len(parts)
        return Combined(sum(part.value for part in parts), error)
    if op == "SUM":
        error = error_of_sum([part.scale("sum") for part in parts], CHANCE)
        rounding = sum(part.rounding for part in parts)
        return Combined(sum(part.value for part in parts), error + rounding)
    return _mean(parts)


def _mean(parts: Sequence[Part]) -> Combined:
    """Weighed by the noisy counts.

    Around a middle m, each site's sum is off by its own noise and by that of its count times how far its own
    middle is from m; the mean of all lies within `reach` of m, so the count of all being off moves it by no
    more than `reach` times that.
    """
    count = sum(part.count for part in parts)
    value = sum(part.value * part.count for part in parts) / count
    middle = sum(part.middle for part in parts) / len(parts)
    reach = max(abs(part.middle - middle) + part.half for part in parts)
    counts = [part.scale("count") for part in parts]
    apart = [part.scale("count") * abs(part.middle - middle) for part in parts]
    sums = [part.scale("sum") for part in parts]
    total = error_of_sum([*sums, *apart], CHANCE / 2) + sum(part.rounding for part in parts)
    error = (total + reach * (error_of_sum(counts, CHANCE / 2) + len(parts))) / count
    return Combined(value, min(error, 2 * reach))


def error_of_sum(scales: Sequence[float], chance: float) -> float:
    """The sum of independent Laplace draws is that far from 0, on either side, with at most this chance."""
    widths = np.array([scale for scale in scales if scale > 0.0])
    if len(widths) < 2:
        return float(widths.sum()) * math.log(1 / chance)
    spread = math.sqrt(2.0 * float((widths**2).sum()))
    step = _WIDTH * spread / _POINTS
    waves = 2 * np.pi * np.fft.rfftfreq(_POINTS, step)
    spectrum = np.exp(-np.log1p(np.outer(widths, waves) ** 2).sum(axis=0))
    density = np.fft.irfft(spectrum, _POINTS)  # of steps, beginning at 0, and going round
    inside = density[0] + 2.0 * np.cumsum(density[1 : _POINTS // 2])
    place = int(np.searchsorted(inside, 1.0 - chance))
    return (place + 2) * step
