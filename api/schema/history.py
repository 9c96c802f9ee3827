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
    from graph.values import Quality

SAMPLES_MAX: Final = 10_000
_READ_MAX: Final = 1_000_000
_FOREVER_NS: Final = 2**63 - 1
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
    samples = _whole(history.range(point.id, low, high, _READ_MAX + 1), _READ_MAX)
    rows = _buckets(_as_numbers(samples, value_type), bucket_ns, aggregates or (Aggregate.MEAN,), fill)
    return rows if last is None else rows[len(rows) - min(last, len(rows)) :]


def _raw(
    history: History, point: str, value_type: ValueType, low: int, high: int, last: int | None
) -> list[SampleRow]:
    if last is None:
        samples = _whole(history.range(point, low, high, SAMPLES_MAX + 1), SAMPLES_MAX)
    else:
        samples = history.range(point, low, high, last, newest=True)
    values = _values(samples, value_type)
    return [
        SampleRow(
            time, *read_value(value, value_type is ValueType.CODE), severity_of(quality), reason_of(quality)
        )
        for time, value, quality in zip(
            samples.times_ns.tolist(), values, samples.quality.tolist(), strict=True
        )
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
    return type(samples)(samples.times_ns[keep], words[keep], samples.quality[keep])


def _buckets(
    samples: Samples, bucket_ns: int, aggregates: Sequence[Aggregate], fill: Fill
) -> list[SampleRow]:
    """Buckets begin at whole multiples of their length since 1970."""
    columns = {aggregate: bucketed(samples, 0, bucket_ns, aggregate) for aggregate in aggregates}
    starts = next(iter(columns.values())).starts_ns
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
    filled = {aggregate: _filled(starts, column.values, shown, fill) for aggregate, column in columns.items()}
    return [
        SampleRow(
            time,
            value=filled[aggregates[0]][place],
            aggregates={aggregate.value: values[place] for aggregate, values in filled.items()},
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
