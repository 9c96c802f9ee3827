"""Readings over time: as they came, or aggregated over buckets, with gaps filled as asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from api.schema.enums import Fill
from api.schema.rows import read_value
from graph.history import Aggregate, bucketed
from graph.quality import reason_of, severity_of
from graph.values import ValueType
from ontology.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from api.schema.rows import TwinRow
    from graph.history import History, Samples
    from graph.readings.rollups import Rollup
    from graph.values import Quality

SAMPLES_MAX: Final = 10_000
_READ_MAX: Final = 1_000_000
_FOREVER_NS: Final = 2**63 - 1
_ROLLED: Final = frozenset((Aggregate.COUNT, Aggregate.SUM, Aggregate.MEAN, Aggregate.MIN, Aggregate.MAX))
_NUMERIC: Final = (ValueType.NUMBER, ValueType.BOOLEAN, ValueType.COUNTER)


@dataclass(frozen=True, slots=True)
class SampleRow:
    time: int
    value: float | None = None
    text: str | None = None
    state: str | None = None
    quality: Quality | None = None
    quality_reason: str | None = None
    aggregates: dict[str, float | None] | None = None
    resolution: int | None = None


def read_history(
    history: History,
    point: TwinRow,
    from_ns: int | None,
    to_ns: int | None,
    last: int | None,
    bucket_ns: int | None,
    aggregates: Sequence[Aggregate],
    fill: Fill,
) -> list[SampleRow]:
    """Samples in order of time, from_ns <= time < to_ns. HISTORY_INVALID; LimitError HISTORY_TOO_LONG."""
    if last is not None and not 0 <= last <= SAMPLES_MAX:
        raise InputError(f"`last` lies between 0 and {SAMPLES_MAX:,}", code="HISTORY_INVALID")
    low, high = 0 if from_ns is None else from_ns, _FOREVER_NS if to_ns is None else to_ns
    value_type = point.cohort.view.snapshot.value_type(point.row)
    if bucket_ns is None:
        return _raw(history, point.id, value_type, low, high, last)
    if bucket_ns <= 0 or value_type not in _NUMERIC:
        raise InputError("buckets need a duration above 0 and a point of numbers", code="HISTORY_INVALID")
    wanted = aggregates or (Aggregate.MEAN,)
    if value_type is ValueType.NUMBER and _ROLLED.issuperset(wanted):
        columns = _rolled(history.roll_up(point.id, low, high, bucket_ns), wanted)
    else:
        samples = _whole(history.range(point.id, low, high, _READ_MAX + 1), _READ_MAX)
        columns = _bucketed(_as_numbers(samples, value_type), bucket_ns, wanted)
    rows = _buckets(columns, bucket_ns, wanted, fill)
    return rows if last is None else rows[len(rows) - min(last, len(rows)) :]


def _raw(
    history: History, point: str, value_type: ValueType, low: int, high: int, last: int | None
) -> list[SampleRow]:
    if last is None:
        samples = _whole(history.range(point, low, high, SAMPLES_MAX + 1), SAMPLES_MAX)
    else:
        samples = history.range(point, low, high, last, newest=True)
    values = _values(samples, value_type)
    coarse = [0] * len(samples) if samples.resolution_ns is None else samples.resolution_ns.tolist()
    rows = zip(samples.times_ns.tolist(), values, samples.quality.tolist(), coarse, strict=True)
    return [
        SampleRow(
            time,
            *read_value(value, value_type is ValueType.CODE),
            severity_of(quality),
            reason_of(quality),
            resolution=span or None,
        )
        for time, value, quality, span in rows
    ]


def _whole(samples: Samples, limit: int) -> Samples:
    if len(samples) > limit:
        hint = "ask for a shorter time, for `last`, or for buckets"
        raise LimitError(f"more than {limit:,} readings", code="HISTORY_TOO_LONG", hint=hint)
    return samples


def _values(samples: Samples, value_type: ValueType) -> Sequence[object]:
    if samples.texts is not None:
        return samples.texts
    if value_type is ValueType.BOOLEAN:
        return (samples.words != 0).tolist()
    if value_type is ValueType.COUNTER:
        return samples.words.tolist()
    return [value if np.isfinite(value) else None for value in samples.numbers.tolist()]


def _as_numbers(samples: Samples, value_type: ValueType) -> Samples:
    """Booleans and counters as float words, readings without a number left out."""
    words = (
        samples.words if value_type is ValueType.NUMBER else samples.words.astype(np.float64).view(np.uint64)
    )
    keep = np.isfinite(words.view(np.float64))
    resolution = None if samples.resolution_ns is None else samples.resolution_ns[keep]
    return type(samples)(samples.times_ns[keep], words[keep], samples.quality[keep], resolution_ns=resolution)


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Buckets that hold anything: starts_ns int64[b], by aggregate float64[b], resolution_ns int64[b]."""

    starts_ns: npt.NDArray[np.int64]
    values: dict[Aggregate, npt.NDArray[np.float64]]
    resolution_ns: npt.NDArray[np.int64]


def _rolled(rollup: Rollup, aggregates: Sequence[Aggregate]) -> _Columns:
    known = {
        Aggregate.COUNT: rollup.counts.astype(np.float64),
        Aggregate.SUM: rollup.sums,
        Aggregate.MEAN: rollup.means,
        Aggregate.MIN: rollup.lows,
        Aggregate.MAX: rollup.highs,
    }
    return _Columns(rollup.starts_ns, {one: known[one] for one in aggregates}, rollup.resolution_ns)


def _bucketed(samples: Samples, bucket_ns: int, aggregates: Sequence[Aggregate]) -> _Columns:
    """From readings; of those that are means of a longer time the longest is told."""
    columns = {aggregate: bucketed(samples, 0, bucket_ns, aggregate) for aggregate in aggregates}
    starts = next(iter(columns.values())).starts_ns
    coarsest = 0 if samples.resolution_ns is None else int(samples.resolution_ns.max(initial=0))
    values = {aggregate: column.values for aggregate, column in columns.items()}
    return _Columns(starts, values, np.full(len(starts), coarsest, np.int64))


def _buckets(
    columns: _Columns, bucket_ns: int, aggregates: Sequence[Aggregate], fill: Fill
) -> list[SampleRow]:
    """Buckets begin at whole multiples of their length since 1970."""
    starts = columns.starts_ns
    if not len(starts):
        return []
    shown = starts
    if fill is not Fill.NONE:
        if (starts[-1] - starts[0]) // bucket_ns >= SAMPLES_MAX:
            raise LimitError(
                f"more than {SAMPLES_MAX:,} buckets", code="HISTORY_TOO_LONG", hint="longer buckets"
            )
        shown = np.arange(int(starts[0]), int(starts[-1]) + 1, bucket_ns, dtype=np.int64)
    elif len(starts) > SAMPLES_MAX:
        raise LimitError(f"more than {SAMPLES_MAX:,} buckets", code="HISTORY_TOO_LONG", hint="longer buckets")
    filled = {aggregate: _filled(starts, values, shown, fill) for aggregate, values in columns.values.items()}
    coarse = columns.resolution_ns[np.searchsorted(starts, shown, side="right") - 1].tolist()
    return [
        SampleRow(
            time,
            value=filled[aggregates[0]][place],
            aggregates={aggregate.value: values[place] for aggregate, values in filled.items()},
            resolution=coarse[place] or None,
        )
        for place, time in enumerate(shown.tolist())
    ]


def _filled(
    starts: npt.NDArray[np.int64], values: npt.NDArray[np.float64], shown: npt.NDArray[np.int64], fill: Fill
) -> list[float | None]:
    if fill is Fill.LINEAR:
        return np.interp(shown, starts, values).tolist()
    place = np.searchsorted(starts, shown, side="right") - 1
    if fill is Fill.PREVIOUS:
        return values[place].tolist()
    known = starts[place] == shown
    return [
        value if here else None for value, here in zip(values[place].tolist(), known.tolist(), strict=True)
    ]
