"""Rules of a point from a stretch of its past that is taken for sound: one way for all points, nothing tuned.

Quantiles rather than extremes bear the faults that such a stretch may hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.quality.rules import PointRules

if TYPE_CHECKING:
    import numpy.typing as npt

READINGS_MIN: Final = 100
_OUTER: Final = 0.001  # the part at either end that limits do not trust
_MARGIN: Final = 0.1  # of the span between the limits, added on both sides
_RATE_TIMES: Final = 1.5
_STUCK_TIMES: Final = 3
_STUCK_READINGS_MIN: Final = 12
_GAP_TIMES: Final = 3


def learn(times_ns: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> PointRules:
    """Limits, fastest change, longest stand-still and longest silence of readings in any order.

    No rule for what the readings cannot tell: of a point that never changed nobody knows how fast it may, or
    how long it may stand still. ValueError for fewer than READINGS_MIN numbers.
    """
    order = np.argsort(times_ns, kind="stable")
    fit = order[np.isfinite(values[order])]
    if len(fit) < READINGS_MIN:
        raise ValueError(f"{len(fit)} numbers are too few to learn from; {READINGS_MIN} are needed")
    seconds, numbers = times_ns[fit] / 1e9, values[fit]
    steps_s = np.diff(seconds)
    period_s = float(np.median(steps_s[steps_s > 0])) if (steps_s > 0).any() else 0.0
    if not period_s or numbers.min() == numbers.max():
        return PointRules(gap_after_s=_GAP_TIMES * period_s or None)
    low, high = np.quantile(numbers, (_OUTER, 1 - _OUTER), method="inverted_cdf").tolist()
    margin = _MARGIN * (high - low)
    return PointRules(
        minimum=low - margin,
        maximum=high + margin,
        rate_per_s=_rate(steps_s, numbers),
        stuck_after_s=_stuck_s(seconds, numbers, period_s),
        gap_after_s=_GAP_TIMES * period_s,
    )


def _rate(steps_s: npt.NDArray[np.float64], numbers: npt.NDArray[np.float64]) -> float:
    moved = steps_s > 0
    rates = np.abs(np.diff(numbers))[moved] / steps_s[moved]
    return _RATE_TIMES * float(rates.max())


def _stuck_s(seconds: npt.NDArray[np.float64], numbers: npt.NDArray[np.float64], period_s: float) -> float:
    ends = np.flatnonzero(np.append(np.diff(numbers) != 0, True))
    starts = np.append(0, ends[:-1] + 1)
    longest = float((seconds[ends] - seconds[starts]).max())
    return max(_STUCK_TIMES * longest, _STUCK_READINGS_MIN * period_s)
