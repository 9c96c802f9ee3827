"""Vectorised quality of readings, in the terms of OPC UA (OPC 10000-8): good, uncertain, bad."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.values import Quality

if TYPE_CHECKING:
    import numpy.typing as npt

FUTURE_TOLERANCE_NS = 60 * 1_000_000_000  # clocks of devices drift; more than a minute ahead is doubtful


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
    quality = stated.copy()
    outside = (values < minimum) | (values > maximum)
    quality[outside] = np.maximum(quality[outside], np.uint8(Quality.UNCERTAIN))
    quality[~np.isfinite(values)] = Quality.BAD
    return quality


def flag_times(
    times_ns: npt.NDArray[np.int64], now_ns: int, quality: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Readings stamped more than a minute after `now_ns` are at best uncertain."""
    late = times_ns > now_ns + FUTURE_TOLERANCE_NS
    return np.where(late, np.maximum(quality, np.uint8(Quality.UNCERTAIN)), quality).astype(np.uint8)
