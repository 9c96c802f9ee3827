"""Quality flags as columns."""

from __future__ import annotations

import numpy as np

from adapters.quality import FUTURE_TOLERANCE_NS, flag_times, flag_values
from graph.quality import Reason, quality_byte
from graph.values import Quality

RANGE = quality_byte(Quality.UNCERTAIN, Reason.RANGE)
FUTURE = quality_byte(Quality.UNCERTAIN, Reason.FUTURE)
NO_NUMBER = quality_byte(Quality.BAD, Reason.NOT_A_NUMBER)


def test_values_outside_limits_are_uncertain_and_those_that_are_no_numbers_bad():
    values = np.array([1.0, 5.0, -1.0, np.nan, np.inf, 3.0])
    minimum = np.array([0.0, 0.0, 0.0, 0.0, 0.0, np.nan])
    maximum = np.array([4.0, 4.0, 4.0, 4.0, 4.0, np.nan])
    stated = np.array([0, 0, 2, 0, 0, 1], np.uint8)
    assert flag_values(values, minimum, maximum, stated).tolist() == [0, RANGE, 2, NO_NUMBER, NO_NUMBER, 1]


def test_a_time_ahead_of_now_is_at_best_uncertain():
    now = 1_700_000_000_000_000_000
    times = np.array([now, now + FUTURE_TOLERANCE_NS, now + FUTURE_TOLERANCE_NS + 1, now + 10**15])
    stated = np.array([Quality.GOOD, Quality.GOOD, Quality.GOOD, Quality.BAD], np.uint8)
    assert flag_times(times, now, stated).tolist() == [0, 0, FUTURE, 2]
