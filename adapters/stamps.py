"""Times as columns: ISO 8601 texts and counts since 1970 -> Unix nanoseconds, without a loop over rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

NS_PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
TIME_MAX_NS = 1 << 62
_ZERO = ord("0")
_BARE = len("2026-01-12T12:00:00")
_MARKS = {4: "-", 7: "-", 10: "T", 13: ":", 16: ":"}
_DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def counts_ns(counts: npt.NDArray[np.int64] | npt.NDArray[np.float64], unit: str) -> npt.NDArray[np.int64]:
    """int64[n]: Unix ns of counts of a unit since 1970; 0 where that is before 1970 or after 2116."""
    factor = NS_PER_UNIT[unit]
    with np.errstate(invalid="ignore"):
        usable = (counts > 0) & (counts < TIME_MAX_NS // factor)
    safe = np.where(usable, counts, 0)
    whole = np.trunc(safe).astype(np.int64)
    parts = np.rint((safe - whole) * factor).astype(np.int64)
    return whole * factor + parts


def iso_ns(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """int64[n]: Unix ns of texts such as `2026-01-12T12:00:00.250Z`; 0 for what is written in another way.

    At most microseconds, the zone `Z` or `+00:00`. Another way is not wrong: ask `datetime` what it means.
    """
    found = np.zeros(len(texts), np.int64)
    lengths = np.array([len(text) for text in texts])
    for length in np.unique(lengths).tolist():
        at = np.flatnonzero(lengths == length)
        joined = "".join([texts[i] for i in at.tolist()]).encode("ascii", "replace")
        if len(joined) == length * len(at) and length > _BARE:
            found[at] = _of_one_length(np.frombuffer(joined, np.uint8).reshape(len(at), length))
    return found


def _of_one_length(chars: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    zone = chars[:, -1] == ord("Z")
    if zone.all():
        end = chars.shape[1] - 1
    else:
        end = chars.shape[1] - 6
        zone = (chars[:, end:] == np.frombuffer(b"+00:00", np.uint8)).all(axis=1)
    fraction = end - _BARE - 1
    if end < _BARE or fraction == 0 or fraction > 6:
        return np.zeros(len(chars), np.int64)
    right = zone & np.logical_and.reduce([chars[:, place] == ord(mark) for place, mark in _MARKS.items()])
    if fraction > 0:
        right &= chars[:, _BARE] == ord(".")
    places = [i for i in range(end) if i not in _MARKS and i != _BARE]
    digits = chars[:, places].astype(np.int64) - _ZERO
    right &= ((digits >= 0) & (digits <= 9)).all(axis=1)
    return np.where(right, _from_digits(digits, max(fraction, 0)), 0)


def _from_digits(digits: npt.NDArray[np.int64], fraction: int) -> npt.NDArray[np.int64]:
    """Of the digits YYYYMMDDhhmmss and `fraction` more; 0 where there is no such time."""

    def number(first: int, last: int) -> npt.NDArray[np.int64]:
        return digits[:, first:last] @ (10 ** np.arange(last - first - 1, -1, -1))

    year, month, day = number(0, 4), number(4, 6), number(6, 8)
    hour, minute, second = number(8, 10), number(10, 12), number(12, 14)
    part_ns = number(14, 14 + fraction) * 10 ** (9 - fraction) if fraction else 0
    leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    real = (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1970) & (year < 2116)
    real &= (day <= _DAYS[np.clip(month - 1, 0, 11)]) & ((month != 2) | (day <= 28 + leap))
    real &= (hour < 24) & (minute < 60) & (second < 60)
    days = _days_since_1970(year, month, day)
    return np.where(real, (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000 + part_ns, 0)


def _days_since_1970(
    year: npt.NDArray[np.int64], month: npt.NDArray[np.int64], day: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Of the Gregorian calendar, with years that begin in March so that the leap day is the last."""
    shifted = year - (month <= 2)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468
