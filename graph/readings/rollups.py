"""Roll-ups: count, sum, least and greatest of the numbers of each point in each span of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graph.quality import usable
from graph.readings.columns import CODED, NUMBER

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.readings.columns import Columns


@dataclass(frozen=True, slots=True, eq=False)
class Rollup:
    """By point and start: points int32[b], starts_ns int64[b], counts int64[b], sums, lows, highs float64[b].

    resolution_ns int64[b]: how fine what it was made from is; 0: readings.
    """

    points: npt.NDArray[np.int32]
    starts_ns: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    sums: npt.NDArray[np.float64]
    lows: npt.NDArray[np.float64]
    highs: npt.NDArray[np.float64]
    resolution_ns: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def means(self) -> npt.NDArray[np.float64]:
        return self.sums / self.counts

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice) -> Rollup:
        return Rollup(
            self.points[rows],
            self.starts_ns[rows],
            self.counts[rows],
            self.sums[rows],
            self.lows[rows],
            self.highs[rows],
            self.resolution_ns[rows],
        )


def numbers_of(columns: Columns) -> npt.NDArray[np.float64]:
    """float64[n]: the words as numbers; NaN where they are codes of texts."""
    numbers = columns.words.view(np.float64)
    if (columns.kinds == NUMBER).all():
        return numbers
    whole = columns.words.astype(np.float64)
    return np.where(columns.kinds == NUMBER, numbers, np.where(columns.kinds == CODED, np.nan, whole))


def roll_up(columns: Columns, bucket_ns: int) -> Rollup:
    """Readings sorted by point and time, over spans that begin at whole multiples of bucket_ns since 1970."""
    numbers = numbers_of(columns)
    keep = usable(columns.quality) & np.isfinite(numbers)
    numbers, points = numbers[keep], columns.points[keep]
    starts = columns.times_ns[keep] // bucket_ns * bucket_ns
    first = _firsts(points, starts)
    if not len(first):
        return _nothing()
    with np.errstate(over="ignore"):  # a sum beyond the largest number is infinite; who asked is told
        sums = np.add.reduceat(numbers, first)
    counts = np.diff(np.append(first, len(numbers)))
    low, high = np.minimum.reduceat(numbers, first), np.maximum.reduceat(numbers, first)
    return Rollup(points[first], starts[first], counts, sums, low, high, np.zeros(len(first), np.int64))


def combined(parts: Sequence[Rollup], bucket_ns: int | None = None) -> Rollup:
    """Several as one, in order of point and start; over longer spans where `bucket_ns` says so."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return _nothing()
    all_of = _concatenated(parts)
    starts = all_of.starts_ns if bucket_ns is None else all_of.starts_ns // bucket_ns * bucket_ns
    order = np.lexsort((starts, all_of.points)) if len(parts) > 1 else np.arange(len(starts))
    points, starts = all_of.points[order], starts[order]
    first = _firsts(points, starts)
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(all_of.sums[order], first)
    return Rollup(
        points[first],
        starts[first],
        np.add.reduceat(all_of.counts[order], first),
        sums,
        np.minimum.reduceat(all_of.lows[order], first),
        np.maximum.reduceat(all_of.highs[order], first),
        np.maximum.reduceat(all_of.resolution_ns[order], first),
    )


def _concatenated(parts: Sequence[Rollup]) -> Rollup:
    if len(parts) == 1:
        return parts[0]
    return Rollup(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.starts_ns for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.sums for part in parts]),
        np.concatenate([part.lows for part in parts]),
        np.concatenate([part.highs for part in parts]),
        np.concatenate([part.resolution_ns for part in parts]),
    )


def _firsts(points: npt.NDArray[np.int32], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Where another point or span begins, of columns in that order."""
    new = np.ones(len(points), np.bool_)
    new[1:] = (points[1:] != points[:-1]) | (starts[1:] != starts[:-1])
    return np.flatnonzero(new)


def _nothing() -> Rollup:
    whole, real = np.zeros(0, np.int64), np.zeros(0)
    return Rollup(np.zeros(0, np.int32), whole, whole, real, real, real, whole)
