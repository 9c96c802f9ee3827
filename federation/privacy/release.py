"""One noisy answer: pure but for OpenDP's randomness; no budget is looked at here.

Promise: for columns that differ in all rows of one twin, the answers' distributions differ by a factor of at
most e^epsilon. A group costs the whole epsilon, split between its count and its value; as a twin is in one
group only, many groups cost no more than one. All that follows the two noisy integers (threshold, division,
bounds, error) looks at nothing but them and public numbers.

A group is shown if its noisy count reaches a threshold above the smallest size allowed, so high that a
group that is too small passes with a chance of at most `SMALL_SHOWN_CHANCE`. The true count decides nothing
by itself: whoever adds one twin of their own learns no more from a group that appears than epsilon allows.

Not promised: constant time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from federation.privacy.question import MICRO, Aggregate
from federation.privacy.rows import Grid, grid_of, rows_by_group

if TYPE_CHECKING:
    import numpy.typing as npt

    from federation.privacy.mechanism import Measurement, Mechanisms
    from federation.privacy.question import Column, Question

SMALL_SHOWN_CHANCE: Final = 0.01
ERROR_CHANCE: Final = 0.05
CANDIDATES: Final = 1_025  # of a quantile, evenly over the bounds
# The part of epsilon, in percent, that the count of a group gets. A mean divides by it, so it must be good.
_COUNT_PERCENT: Final = {
    Aggregate.COUNT: 100,
    Aggregate.SUM: 25,
    Aggregate.MEAN: 50,
    Aggregate.QUANTILE: 25,
}


@dataclass(frozen=True, slots=True)
class Noise:
    """What was added to a figure of every group; it depends on the question alone.

    scale and error95 (exceeded with a chance of 5 % at most) are in `unit`: "rows", "value" or "ranks".
    """

    figure: str
    scale: float
    unit: str
    error95: float


@dataclass(frozen=True, slots=True)
class GroupAnswer:
    """One group. A suppressed one says nothing else, neither its value nor its count.

    error95: the value is at most so far from that of the clamped data, with a chance of 95 % (taken before
    groups are suppressed); None where it can only be told in ranks (QUANTILE: see `Released.noise`).
    count: the noisy one that decided; it is paid for, and means of several sites are weighed by it.
    """

    group: str
    suppressed: bool
    value: float | None
    error95: float | None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """A noisy answer. threshold: the noisy count that a group must reach to be shown."""

    aggregate: Aggregate
    threshold: int
    noise: tuple[Noise, ...]
    groups: tuple[GroupAnswer, ...]


@dataclass(frozen=True, slots=True)
class _Figure:
    """The figure of a question beside the count, ready to be drawn for each group.

    count_error and value_error: together they are exceeded with a chance of 5 % at most.
    """

    aggregate: Aggregate
    grid: Grid
    measurement: Measurement
    noise: Noise
    count_error: float
    value_error: float

    def draw(self, values: npt.NDArray[np.float64], count: int) -> tuple[float, float | None]:
        """A new draw for one group, with its error95. count: the noisy one."""
        drawn = self.measurement.release(self.grid.numbers(values)) * self.grid.step
        match self.aggregate:
            case Aggregate.MEAN:
                return self._mean(drawn, count)
            case Aggregate.QUANTILE:
                return self.grid.origin + drawn, None
            case _:
                rows_at_most = max(count, 0) + self.count_error
                return drawn, self.value_error + rows_at_most * self.grid.step / 2

    def _mean(self, drawn: float, count: int) -> tuple[float, float]:
        """The sum around the middle, by the count. No row is further from the middle than `half`."""
        rows, half = max(count, 1), self.grid.step * self.grid.upper
        value = self.grid.origin + min(max(drawn / rows, -half), half)
        error = (self.value_error + half * self.count_error) / rows + self.grid.step / 2
        return value, min(error, 2 * half)


def release(question: Question, column: Column, size_min: int, mechanisms: Mechanisms) -> Released:
    """The noisy answer to a question that was checked. Costs `question.epsilon_micro`."""
    count_micro = question.epsilon_micro * _COUNT_PERCENT[question.aggregate] // 100
    counting = mechanisms.count(count_micro)
    threshold = size_min - 1 + math.ceil(mechanisms.error(counting.scale, 2 * SMALL_SHOWN_CHANCE))
    count_noise = Noise("count", counting.scale, "rows", mechanisms.error(counting.scale, ERROR_CHANCE))
    figure = _figure(question, question.epsilon_micro - count_micro, counting.scale, mechanisms)
    answers: list[GroupAnswer] = []
    for name, values in zip(question.groups, rows_by_group(column, len(question.groups)), strict=True):
        count = counting.release(np.zeros(len(values), np.int64))
        # Drawn for every group, shown or not: the work does not tell which ones are suppressed.
        drawn = figure.draw(values, count) if figure else (float(max(count, 0)), count_noise.error95)
        shown = count >= threshold
        value, error = drawn if shown else (None, None)
        answers.append(GroupAnswer(name, not shown, value, error, count if shown else None))
    noise = (count_noise, figure.noise) if figure else (count_noise,)
    return Released(question.aggregate, threshold, noise, tuple(answers))


def _figure(question: Question, micro: int, count_scale: float, mechanisms: Mechanisms) -> _Figure | None:
    """What is drawn beside the count, for `micro`; None for COUNT."""
    if question.bounds is None or question.aggregate is Aggregate.COUNT:
        return None
    grid = grid_of(question.aggregate, question.bounds)
    count_error = mechanisms.error(count_scale, ERROR_CHANCE / 2)
    if question.aggregate is Aggregate.QUANTILE:
        measurement, noise = _quantile(question, grid, micro, mechanisms)
    else:
        measurement = mechanisms.total(micro, grid.lower, grid.upper)
        error = mechanisms.error(measurement.scale, ERROR_CHANCE) * grid.step
        noise = Noise("sum", measurement.scale * grid.step, "value", error)
    value_error = mechanisms.error(measurement.scale, ERROR_CHANCE / 2) * grid.step
    return _Figure(question.aggregate, grid, measurement, noise, count_error, value_error)


def _quantile(
    question: Question, grid: Grid, micro: int, mechanisms: Mechanisms
) -> tuple[Measurement, Noise]:
    """In ranks the error of permute-and-flip is at most that of the exponential mechanism.

    (McKenna and Sheldon 2020.) That is beyond 2 / epsilon * (ln(candidates) + t) with a chance of e^-t.
    """
    candidates = np.linspace(grid.lower, grid.upper, CANDIDATES).astype(np.int64)
    share = 0.5 if question.quantile is None else question.quantile
    scale_ranks = 2 * MICRO / micro
    error = scale_ranks * math.log(CANDIDATES / ERROR_CHANCE)
    measurement = mechanisms.quantile(micro, candidates, share)
    return measurement, Noise("quantile", scale_ranks, "ranks", error)
