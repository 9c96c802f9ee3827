"""Rules of quality, one set for each point, as columns that the detectors read.

All are in the unit of the point and in seconds; what is not given is not looked for. The rules of a point
come from its kind (`ontology/data/limits_by_kind.tsv`), from its attributes, and from its binding, the later
over the earlier.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.quality.kernel import (
    DRIFT,
    DRIFT_SPAN,
    FUTURE,
    GAP,
    HIGHEST,
    IS_NUMBER,
    LATE,
    LOWEST,
    MAXIMUM,
    MINIMUM,
    NUMBERS,
    RATE,
    RESOLUTION,
    SPANS,
    SPIKE,
    STALE,
    STUCK,
)
from adapters.quality.values import FUTURE_TOLERANCE_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

OFF_NS: Final = 1 << 61
SPAN_S_MAX: Final = 10 * 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class PointRules:
    """Of one point; None: not looked for.

    lowest, highest:    what the quantity can be at all; outside is BAD
    minimum, maximum:   limits of this point; outside is UNCERTAIN
    rate_per_s:         the fastest change, against the last value that was not too fast itself
    spike:              times the usual deviation from the running mean; `resolution` is its least deviation
    drift, drift_s:     how far the mean of about drift_s may lie from that of sixteen times as long
    stuck_after_s:      how long at least three readings in a row may be the same
    gap_after_s:        how far apart readings may be
    late_after_s:       how long after its stamp a reading may arrive
    stale_after_s:      how long the last reading stands without a newer one; BAD after ten times as long
    """

    lowest: float | None = None
    highest: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    rate_per_s: float | None = None
    spike: float | None = None
    resolution: float | None = None
    drift: float | None = None
    drift_s: float | None = None
    stuck_after_s: float | None = None
    gap_after_s: float | None = None
    late_after_s: float | None = None
    stale_after_s: float | None = None

    def over(self, other: PointRules) -> PointRules:
        """These rules, and those of `other` where there is none here."""
        stated = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return replace(other, **stated)


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Rules of all points by row, in the columns of `adapters.quality.kernel`.

    numbers: float64[rows, NUMBERS], NaN: none; spans_ns: int64[rows, SPANS], OFF_NS: none
    """

    numbers: npt.NDArray[np.float64]
    spans_ns: npt.NDArray[np.int64]

    @classmethod
    def none(cls, rows: int) -> Rules:
        """For points of numbers without a rule: only what needs none is looked for."""
        spans_ns = np.full((rows, SPANS), OFF_NS, np.int64)
        spans_ns[:, FUTURE] = FUTURE_TOLERANCE_NS
        spans_ns[:, IS_NUMBER] = 1
        numbers = np.full((rows, NUMBERS), np.nan)
        numbers[:, RESOLUTION] = 0.0
        return cls(numbers, spans_ns)

    @classmethod
    def of(cls, points: Sequence[PointRules]) -> Rules:
        """Of points of numbers, row by row."""
        rules = cls.none(len(points))
        for row, point in enumerate(points):
            rules.put(np.array([row]), point)
        return rules

    def __len__(self) -> int:
        return len(self.numbers)

    def put(self, rows: npt.NDArray[np.integer], point: PointRules) -> None:
        """Set what `point` states for some rows; only while the rules are being made."""
        for column, name in _NUMBER_COLUMNS.items():
            value = getattr(point, name)
            if value is not None:
                self.numbers[rows, column] = value
        for column, name in _SPAN_COLUMNS.items():
            value = getattr(point, name)
            if value is not None:
                self.spans_ns[rows, column] = round(min(value, SPAN_S_MAX) * 1e9)


_NUMBER_COLUMNS: Final = {
    LOWEST: "lowest",
    HIGHEST: "highest",
    MINIMUM: "minimum",
    MAXIMUM: "maximum",
    RATE: "rate_per_s",
    SPIKE: "spike",
    RESOLUTION: "resolution",
    DRIFT: "drift",
}
_SPAN_COLUMNS: Final = {
    STUCK: "stuck_after_s",
    GAP: "gap_after_s",
    LATE: "late_after_s",
    STALE: "stale_after_s",
    DRIFT_SPAN: "drift_s",
}
_NAMES: Final = tuple(each.name for each in fields(PointRules))
