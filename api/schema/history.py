"""Readings over time, as answers show them: with gaps between buckets filled as asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from api.schema.enums import Fill
from api.schema.rows import read_value
from graph.quality import reason_of, severity_of
from graph.series import SAMPLES_MAX, BucketSeries
from graph.values import ValueType
from ontology.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.history import Samples
    from graph.series import Series
    from graph.values import Quality


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


@dataclass(frozen=True, slots=True)
class Shown:
    """How a series is shown. value_type: of the point; last: of buckets, when gaps are filled."""

    value_type: ValueType
    bucket_ns: int | None
    last: int | None
    fill: Fill


def sample_rows(series: Series, shown: Shown) -> list[SampleRow]:
    """In order of time. LimitError HISTORY_TOO_LONG where filling makes too many."""
    if not isinstance(series, BucketSeries):
        return _readings(series, shown.value_type)
    rows = _buckets(series, shown.bucket_ns or 1, shown.fill)
    return rows if shown.last is None else rows[len(rows) - min(shown.last, len(rows)) :]


def _readings(samples: Samples, value_type: ValueType) -> list[SampleRow]:
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


def _values(samples: Samples, value_type: ValueType) -> Sequence[object]:
    if samples.texts is not None:
        return samples.texts
    if value_type is ValueType.BOOLEAN:
        return (samples.words != 0).tolist()
    if value_type is ValueType.COUNTER:
        return samples.words.tolist()
    return [value if np.isfinite(value) else None for value in samples.numbers.tolist()]


def _buckets(series: BucketSeries, bucket_ns: int, fill: Fill) -> list[SampleRow]:
    """Buckets begin at whole multiples of their length since 1970."""
    starts = series.starts_ns
    if not len(starts):
        return []
    times = starts
    if fill is not Fill.NONE:
        if (starts[-1] - starts[0]) // bucket_ns >= SAMPLES_MAX:
            raise LimitError(
                f"more than {SAMPLES_MAX:,} buckets", code="HISTORY_TOO_LONG", hint="longer buckets"
            )
        times = np.arange(int(starts[0]), int(starts[-1]) + 1, bucket_ns, dtype=np.int64)
    filled = {
        aggregate.value: _filled(starts, values, times, fill) for aggregate, values in series.values.items()
    }
    first = next(iter(filled.values()))
    coarse = series.resolution_ns[np.searchsorted(starts, times, side="right") - 1].tolist()
    return [
        SampleRow(
            time,
            value=first[place],
            aggregates={name: values[place] for name, values in filled.items()},
            resolution=coarse[place] or None,
        )
        for place, time in enumerate(times.tolist())
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
