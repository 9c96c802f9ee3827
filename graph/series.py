"""What is asked of one point's readings over time, and what there is of it: as they came, or by buckets.

Apart from how it is shown, so that another server can be asked for the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from graph.history import Aggregate, Samples, bucketed
from graph.values import ValueType
from ontology.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.history import History
    from graph.readings.rollups import Rollup

SAMPLES_MAX: Final = 10_000
"""Readings, or buckets, in one answer."""
FOREVER_NS: Final = 2**63 - 1
_READ_MAX: Final = 1_000_000
_ROLLED: Final = frozenset((Aggregate.COUNT, Aggregate.SUM, Aggregate.MEAN, Aggregate.MIN, Aggregate.MAX))
_NUMERIC: Final = (ValueType.NUMBER, ValueType.BOOLEAN, ValueType.COUNTER)


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """Readings with from_ns <= time < to_ns. bucket_ns: None, readings as they came: of these the `last`.

    aggregates: of buckets; the first is what `value` shows.
    """

    from_ns: int = 0
    to_ns: int = FOREVER_NS
    last: int | None = None
    bucket_ns: int | None = None
    aggregates: tuple[Aggregate, ...] = ()

    @classmethod
    def of(
        cls,
        from_ns: int | None,
        to_ns: int | None,
        last: int | None,
        bucket_ns: int | None,
        aggregates: Sequence[Aggregate],
    ) -> SeriesQuery:
        """As users state it. InputError HISTORY_INVALID."""
        if last is not None and not 0 <= last <= SAMPLES_MAX:
            raise InputError(f"`last` lies between 0 and {SAMPLES_MAX:,}", code="HISTORY_INVALID")
        ends = (0 if from_ns is None else from_ns, FOREVER_NS if to_ns is None else to_ns)
        if bucket_ns is None:
            return cls(*ends, last)
        # How many of the last buckets are shown is decided when gaps are filled: all are read.
        return cls(*ends, None, bucket_ns, tuple(dict.fromkeys(aggregates)) or (Aggregate.MEAN,))

    def check_type(self, value_type: ValueType) -> None:
        """InputError HISTORY_INVALID where a point of this type has no buckets."""
        if self.bucket_ns is not None and (self.bucket_ns <= 0 or value_type not in _NUMERIC):
            message = "buckets need a duration above 0 and a point of numbers"
            raise InputError(message, code="HISTORY_INVALID")


@dataclass(frozen=True, slots=True, eq=False)
class BucketSeries:
    """Buckets that hold anything, ascending: starts_ns int64[b], by aggregate float64[b].

    resolution_ns int64[b]: how long a time the means stand for that it was made from; 0: readings.
    """

    starts_ns: npt.NDArray[np.int64]
    values: dict[Aggregate, npt.NDArray[np.float64]]
    resolution_ns: npt.NDArray[np.int64]


Series: TypeAlias = Samples | BucketSeries


def read_series(history: History, point: str, value_type: ValueType, query: SeriesQuery) -> Series:
    """`Samples` without buckets, else `BucketSeries`.

    InputError HISTORY_INVALID; LimitError HISTORY_TOO_LONG.
    """
    query.check_type(value_type)
    if query.bucket_ns is None:
        return _raw(history, point, query)
    if value_type is ValueType.NUMBER and _ROLLED.issuperset(query.aggregates):
        rollup = history.roll_up(point, query.from_ns, query.to_ns, query.bucket_ns)
        made = _rolled(rollup, query.aggregates)
    else:
        samples = history.range(point, query.from_ns, query.to_ns, _READ_MAX + 1)
        made = _bucketed(_as_numbers(_whole(samples, _READ_MAX), value_type), query)
    if len(made.starts_ns) > SAMPLES_MAX:
        raise LimitError(f"more than {SAMPLES_MAX:,} buckets", code="HISTORY_TOO_LONG", hint="longer buckets")
    return made


def _raw(history: History, point: str, query: SeriesQuery) -> Samples:
    if query.last is None:
        samples = history.range(point, query.from_ns, query.to_ns, SAMPLES_MAX + 1)
        return _whole(samples, SAMPLES_MAX)
    return history.range(point, query.from_ns, query.to_ns, query.last, newest=True)


def _whole(samples: Samples, limit: int) -> Samples:
    if len(samples) > limit:
        hint = "ask for a shorter time, for `last`, or for buckets"
        raise LimitError(f"more than {limit:,} readings", code="HISTORY_TOO_LONG", hint=hint)
    return samples


def _as_numbers(samples: Samples, value_type: ValueType) -> Samples:
    """Booleans and counters as float words, readings without a number left out."""
    words = (
        samples.words if value_type is ValueType.NUMBER else samples.words.astype(np.float64).view(np.uint64)
    )
    keep = np.isfinite(words.view(np.float64))
    resolution = None if samples.resolution_ns is None else samples.resolution_ns[keep]
    return Samples(samples.times_ns[keep], words[keep], samples.quality[keep], resolution_ns=resolution)


def _rolled(rollup: Rollup, aggregates: Sequence[Aggregate]) -> BucketSeries:
    known = {
        Aggregate.COUNT: rollup.counts.astype(np.float64),
        Aggregate.SUM: rollup.sums,
        Aggregate.MEAN: rollup.means,
        Aggregate.MIN: rollup.lows,
        Aggregate.MAX: rollup.highs,
    }
    return BucketSeries(rollup.starts_ns, {one: known[one] for one in aggregates}, rollup.resolution_ns)


def _bucketed(samples: Samples, query: SeriesQuery) -> BucketSeries:
    """From readings; of those that are means of a longer time the longest is told."""
    bucket_ns = query.bucket_ns or 1
    columns = {aggregate: bucketed(samples, 0, bucket_ns, aggregate) for aggregate in query.aggregates}
    starts = next(iter(columns.values())).starts_ns
    coarsest = 0 if samples.resolution_ns is None else int(samples.resolution_ns.max(initial=0))
    values = {aggregate: column.values for aggregate, column in columns.items()}
    return BucketSeries(starts, values, np.full(len(starts), coarsest, np.int64))
