"""Plausible signals, the same for the same time: functions of a time, without state and without a clock."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_NS = 3_600_000_000_000
DAY_H = 24.0
TICK_NS = 60_000_000_000  # noise changes once a minute

Sample: TypeAlias = "float | bool | int | str"
Signal: TypeAlias = "Callable[[str, int], Sample]"  # (id of the point, Unix time in ns) -> value


def daily(
    mean: float, swing: float, *, peak_hour: float = 15.0, noise: float = 0.0, digits: int = 2
) -> Signal:
    """A value that swings once a day around `mean`, highest at `peak_hour` UTC, plus noise up to `noise`."""

    def value(point: str, time_ns: int) -> Sample:
        phase = 2 * math.pi * (hour_of_day(time_ns) - peak_hour) / DAY_H
        return round(mean + swing * math.cos(phase) + noise * jitter(point, time_ns), digits)

    return value


def working(busy: float, idle: float, *, start: float = 6.0, end: float = 22.0, noise: float = 0.0) -> Signal:
    """`busy` from hour `start` to hour `end` of each day, `idle` otherwise, plus noise while busy."""

    def value(point: str, time_ns: int) -> Sample:
        if not start <= hour_of_day(time_ns) < end:
            return idle
        return round(busy + noise * jitter(point, time_ns), 1)

    return value


def running(states: tuple[str, ...], *, minutes: int = 90) -> Signal:
    """States in turn: the first one lasts `minutes`, each of the others a tenth of that."""
    short = minutes // 10
    period = minutes + short * (len(states) - 1)

    def value(_point: str, time_ns: int) -> Sample:
        minute = time_ns // TICK_NS % period
        return states[0] if minute < minutes else states[1 + (minute - minutes) // short]

    return value


def counting(per_hour: int) -> Signal:
    """A counter that never falls: pieces made since midnight of 1 January 2026."""
    since_ns = 1_767_225_600_000_000_000

    def value(_point: str, time_ns: int) -> Sample:
        return max(0, (time_ns - since_ns) * per_hour // HOUR_NS)

    return value


def switched(on_from: float = 0.0, on_to: float = DAY_H) -> Signal:
    """True between two hours of each day."""

    def value(_point: str, time_ns: int) -> Sample:
        return on_from <= hour_of_day(time_ns) < on_to

    return value


def hour_of_day(time_ns: int) -> float:
    return time_ns % (24 * HOUR_NS) / HOUR_NS


def jitter(point: str, time_ns: int) -> float:
    """A number from -1 to 1 that depends on the point and the minute alone."""
    digest = blake2b(f"{point} {time_ns // TICK_NS}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 0x7FFF_FFFF - 1.0
