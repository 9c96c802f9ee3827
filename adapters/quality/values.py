"""What a single reading shows by itself, without those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.quality import Reason, quality_byte, worse
from graph.values import Quality

if TYPE_CHECKING:
    import numpy.typing as npt

FUTURE_TOLERANCE_NS = 60 * 1_000_000_000  # clocks of devices drift; more than a minute ahead is doubtful
_GOOD = np.uint8(Quality.GOOD)
_RANGE = np.uint8(quality_byte(Quality.UNCERTAIN, Reason.RANGE))
_NOT_A_NUMBER = np.uint8(quality_byte(Quality.BAD, Reason.NOT_A_NUMBER))
_FUTURE = np.uint8(quality_byte(Quality.UNCERTAIN, Reason.FUTURE))


def flag_values(
    values: npt.NDArray[np.float64],
    minimum: npt.NDArray[np.float64],
    maximum: npt.NDArray[np.float64],
    stated: npt.NDArray[np.uint8],
) -> npt.NDArray[np.uint8]:
    """The worse of the stated quality and what the value shows; all arrays of length n.

    Not finite is bad (a sensor that computes 0/0); outside minimum..maximum is uncertain
    (`EngineeringUnitsExceeded`). A limit of NaN does not limit.
    """
    outside = (values < minimum) | (values > maximum)
    shown = np.where(np.isfinite(values), np.where(outside, _RANGE, _GOOD), _NOT_A_NUMBER)
    return worse(stated, shown)


def flag_times(
    times_ns: npt.NDArray[np.int64], now_ns: int, quality: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Readings stamped more than a minute after `now_ns` are at best uncertain."""
    return worse(quality, np.where(times_ns > now_ns + FUTURE_TOLERANCE_NS, _FUTURE, _GOOD))
