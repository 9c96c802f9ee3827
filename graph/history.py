"""Readings over time: append, range, buckets.

The protocol; `graph.readings` keeps it in files.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from graph.quality import usable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.readings.rollups import Rollup

RANGE_ROWS_MAX = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Readings of one point, ascending in time: times_ns int64[n], words uint64[n], quality uint8[n].

    texts: what the words of a code or text point mean, str[n]; None for the others.
    resolution_ns: int64[n], 0 for a reading, else the span that this is the mean of, because the readings
    are no longer kept; None: all are readings.
    """

    times_ns: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint64]
    quality: npt.NDArray[np.uint8]
    texts: tuple[str, ...] | None = None
    resolution_ns: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.times_ns)

    @property
    def numbers(self) -> npt.NDArray[np.float64]:
        """float64[n]: the words of a number point."""
        return self.words.view(np.float64)


@dataclass(frozen=True, slots=True)
class LastValue:
    """The newest reading of a point. `text`: what the word of a code or text point means."""

    point: str
    time_ns: int
    word: int
    quality: int
    text: str | None


class Aggregate(StrEnum):
    COUNT = "COUNT"
    MIN = "MIN"
    MAX = "MAX"
    MEAN = "MEAN"
    SUM = "SUM"
    P05 = "P05"
    P50 = "P50"
    P95 = "P95"


class History(Protocol):
    """The readings of one site, by IRI of the point. Safe from any thread."""

    def numbers(self, points: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32[n]: the numbers of points, given now where they had none; durable on return.

        They hold as long as the history is open, and go faster than IRIs.
        """
        ...

    def append(
        self,
        points: Sequence[str] | npt.NDArray[np.int32],
        times_ns: npt.NDArray[np.int64],
        words: npt.NDArray[np.uint64],
        quality: npt.NDArray[np.uint8],
        texts: Sequence[str | None],
        kinds: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        """Add readings, all arrays n long; durable on return. The same point and time again replaces.

        points: IRIs, or `numbers` of them.

        texts: str[n], what the words of code and text points mean, None for others; empty: no such points.
        kinds: uint8[n], how words without a text are read: 0 as float64, 1 as whole numbers (booleans and
        counters); None: all as float64. Aggregates follow it.
        """
        ...

    def range(
        self, point: str, from_ns: int, to_ns: int, limit: int = RANGE_ROWS_MAX, *, newest: bool = False
    ) -> Samples:
        """Readings with from_ns <= time < to_ns: the first `limit` of them, or with `newest` the last."""
        ...

    def roll_up(self, point: str, from_ns: int, to_ns: int, bucket_ns: int) -> Rollup:
        """Aggregates of a point's numbers over spans that begin at whole multiples of bucket_ns since 1970.

        Only GOOD and UNCERTAIN finite readings count. from_ns <= time < to_ns.
        """
        ...

    def last_before(self, points: Sequence[str], time_ns: int) -> list[LastValue]:
        """Of each point the last reading at or before a time; none of points that have none there.

        Whatever its quality, and when it came. Never a mean: where readings were thinned away, there is none.
        """
        ...

    def last_values(self, after_batch: int = 0) -> tuple[int, list[LastValue]]:
        """Newest readings of the points that changed after a batch, and the number of the newest batch."""
        ...

    def recover(self) -> None:
        """After an append that failed: prove that it can be written again. Raises StoreError if not."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Aggregates of numbers over equal spans of time that hold any: starts_ns int64[b], values float64[b]."""

    starts_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def bucketed(samples: Samples, origin_ns: int, bucket_ns: int, aggregate: Aggregate) -> Buckets:
    """Aggregate a number point's samples over buckets that begin at origin_ns + k * bucket_ns.

    Quantiles are nearest-rank: always a value that was measured. Only GOOD and UNCERTAIN readings count.
    """
    counted = usable(samples.quality)
    times, numbers = samples.times_ns[counted], samples.numbers[counted]
    bucket = (times - origin_ns) // bucket_ns
    numbered, first, count = np.unique(bucket, return_index=True, return_counts=True)
    with np.errstate(over="ignore"):  # a sum beyond the largest number is infinite; who asked is told
        values = _reduce(numbers, first, count, aggregate) if len(first) else np.zeros(0)
    return Buckets(origin_ns + numbered * bucket_ns, values)


def _reduce(
    numbers: npt.NDArray[np.float64],
    first: npt.NDArray[np.intp],
    count: npt.NDArray[np.intp],
    aggregate: Aggregate,
) -> npt.NDArray[np.float64]:
    match aggregate:
        case Aggregate.COUNT:
            return count.astype(np.float64)
        case Aggregate.MIN:
            return np.minimum.reduceat(numbers, first)
        case Aggregate.MAX:
            return np.maximum.reduceat(numbers, first)
        case Aggregate.SUM:
            return np.add.reduceat(numbers, first)
        case Aggregate.MEAN:
            return np.add.reduceat(numbers, first) / count
        case Aggregate.P05 | Aggregate.P50 | Aggregate.P95:
            return _quantile(numbers, first, count, int(aggregate[1:]))


def _quantile(
    numbers: npt.NDArray[np.float64], first: npt.NDArray[np.intp], count: npt.NDArray[np.intp], percent: int
) -> npt.NDArray[np.float64]:
    owner = np.repeat(np.arange(len(first)), count)
    ordered = numbers[np.lexsort((numbers, owner))]
    rank = (percent * count + 99) // 100  # ceil in integers
    return ordered[first + rank - 1]
