"""The detectors over a batch, compiled. Plain and equal to the bit: tests/adapters/quality_reference.py.

A reading that is no number, impossible, or told to be bad by its device is masked before anything learns from
it: one NaN in a running mean would stay in it for ever. What came late, twice, or from the future changes no
state either, so that a message that a broker sends again gets the same flags again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from graph.jit import kernel
from graph.quality import Reason

if TYPE_CHECKING:
    import numpy.typing as npt

STUCK_READINGS_MIN: Final = 3
LEARNT_MIN: Final = 32
"""Readings before a point's usual deviation is known."""
WINDOW: Final = 128.0
"""Readings that the running mean and deviation stand for."""
SLOW: Final = 16.0
"""How many times longer the slow mean of the drift detector remembers."""

# All columns are numbered here: a compiled kernel does not see changes in other files.
# Columns of `Rules.numbers`, of `Rules.spans_ns`.
LOWEST, HIGHEST, MINIMUM, MAXIMUM, RATE, SPIKE, RESOLUTION, DRIFT = range(8)
STUCK, GAP, LATE, FUTURE, STALE, DRIFT_SPAN, IS_NUMBER = range(7)
NUMBERS: Final = 8
SPANS: Final = 8
# Columns of the state of a point: floats and times.
RUN_VALUE, TRUSTED, MEAN, DEVIATION, FAST, SLOW_MEAN, LEARNT = range(7)
NEWEST, WORD, FLAGS, ARRIVED, RUN_SINCE, RUN, TRUSTED_AT, VALUE_AT = range(8)
FLOATS: Final = 8  # seven, and one that fills a cache line
TIMES: Final = 8

_BAD: Final = 2
_NOT_A_NUMBER: Final = 1 << int(Reason.NOT_A_NUMBER)
_IMPOSSIBLE: Final = 1 << int(Reason.IMPOSSIBLE)
_RANGE: Final = 1 << int(Reason.RANGE)
_RATE: Final = 1 << int(Reason.RATE)
_SPIKE: Final = 1 << int(Reason.SPIKE)
_DRIFT: Final = 1 << int(Reason.DRIFT)
_STUCK: Final = 1 << int(Reason.STUCK)
_GAP: Final = 1 << int(Reason.GAP)
_LATE: Final = 1 << int(Reason.LATE)
_DUPLICATE: Final = 1 << int(Reason.DUPLICATE)
_CONFLICT: Final = 1 << int(Reason.CONFLICT)
_FUTURE: Final = 1 << int(Reason.FUTURE)


@kernel
def detect(
    points: npt.NDArray[np.int32],
    times_ns: npt.NDArray[np.int64],
    words: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    stated: npt.NDArray[np.uint8],
    arrived_ns: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float64],
    spans_ns: npt.NDArray[np.int64],
    floats: npt.NDArray[np.float64],
    times: npt.NDArray[np.int64],
    flags: npt.NDArray[np.int64],
) -> None:
    """flags[i] = bits `1 << Reason` of reading i. `floats` and `times` are the states of the points, by row.

    words and values are the same 64 bits; numbers and spans_ns are those of `Rules`; arrived_ns has one time
    for all, or one for each.
    """
    for i in range(len(points)):
        row, at, word, value = points[i], times_ns[i], words[i], values[i]
        arrived = arrived_ns[i] if len(arrived_ns) > 1 else arrived_ns[0]
        newest = times[row, NEWEST]
        times[row, ARRIVED] = max(times[row, ARRIVED], arrived)
        if at == newest and word == times[row, WORD]:
            flags[i] = times[row, FLAGS] | _DUPLICATE
            continue
        found = 0
        fresh = at > newest
        if not fresh:
            found |= _CONFLICT if at == newest else _LATE
        if arrived - at > spans_ns[row, LATE]:
            found |= _LATE
        if at - arrived > spans_ns[row, FUTURE]:
            found |= _FUTURE
            fresh = False
        is_number = spans_ns[row, IS_NUMBER] == 1
        is_value = (stated[i] & 3) < _BAD
        if is_number:
            if not np.isfinite(value):
                found |= _NOT_A_NUMBER
                is_value = False
            elif value < numbers[row, LOWEST] or value > numbers[row, HIGHEST]:
                found |= _IMPOSSIBLE
                is_value = False
            elif value < numbers[row, MINIMUM] or value > numbers[row, MAXIMUM]:
                found |= _RANGE
        if not fresh:
            flags[i] = found
            continue
        if newest != 0 and at - newest > spans_ns[row, GAP]:
            found |= _GAP
            times[row, RUN] = 0
        if is_value:
            # Stuck: the same value again, or the same word of a text.
            same = value == floats[row, RUN_VALUE] if is_number else word == times[row, WORD]
            if same and times[row, RUN] > 0:
                times[row, RUN] += 1
                if (
                    times[row, RUN] >= STUCK_READINGS_MIN
                    and at - times[row, RUN_SINCE] >= spans_ns[row, STUCK]
                ):
                    found |= _STUCK
            else:
                times[row, RUN] = 1
                times[row, RUN_SINCE] = at
                floats[row, RUN_VALUE] = value
        if is_value and is_number:
            rate = numbers[row, RATE]
            if rate == rate:
                seconds = (at - times[row, TRUSTED_AT]) * 1e-9
                if times[row, TRUSTED_AT] != 0 and abs(value - floats[row, TRUSTED]) > rate * seconds:
                    found |= _RATE
                else:
                    floats[row, TRUSTED] = value
                    times[row, TRUSTED_AT] = at
            spike = numbers[row, SPIKE]
            if spike == spike:
                seen = floats[row, LEARNT]
                away = value - floats[row, MEAN]
                if seen >= LEARNT_MIN:
                    limit = spike * max(floats[row, DEVIATION], numbers[row, RESOLUTION])
                    if abs(away) > limit:
                        found |= _SPIKE
                        # A new level is learnt in the end, a single spike hardly.
                        away = limit if away > 0.0 else -limit
                seen += 1.0
                part = 1.0 / min(seen, WINDOW)
                floats[row, MEAN] += part * away
                floats[row, DEVIATION] += part * (abs(away) - floats[row, DEVIATION])
                floats[row, LEARNT] = seen
            drift = numbers[row, DRIFT]
            if drift == drift and found & (_RATE | _SPIKE) == 0:
                if times[row, VALUE_AT] == 0:
                    floats[row, FAST] = value
                    floats[row, SLOW_MEAN] = value
                else:
                    seconds = (at - times[row, VALUE_AT]) * 1e-9
                    span = spans_ns[row, DRIFT_SPAN] * 1e-9
                    floats[row, FAST] += seconds / (seconds + span) * (value - floats[row, FAST])
                    floats[row, SLOW_MEAN] += (
                        seconds / (seconds + SLOW * span) * (value - floats[row, SLOW_MEAN])
                    )
                times[row, VALUE_AT] = at
                if abs(floats[row, FAST] - floats[row, SLOW_MEAN]) > drift:
                    found |= _DRIFT
        times[row, NEWEST] = at
        times[row, WORD] = word
        times[row, FLAGS] = found
        flags[i] = found


@kernel
def grade(
    flags: npt.NDArray[np.int64],
    stated: npt.NDArray[np.uint8],
    reasons: npt.NDArray[np.uint8],
    bytes_of: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint8],
) -> None:
    """out[i] = the worse of the stated byte and the worst reason among the flags, as `graph.quality.worse`.

    reasons: codes, the worst first; bytes_of: the byte of each code.
    """
    for i in range(len(flags)):
        best = stated[i]
        if flags[i]:
            for place in range(len(reasons)):
                if flags[i] >> reasons[place] & 1:
                    byte = bytes_of[reasons[place]]
                    own, other = byte & 3, best & 3
                    if own > other or (own == other and (best < 4 or byte < best)):
                        best = byte
                    break
        out[i] = best
