"""The detectors in plain Python, one reading after the other: what `adapters.quality.kernel` has to equal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adapters.quality import PointRules

MINUTE_NS = 60 * 10**9
NOTHING = float("nan")


def seconds(span_ns: int) -> float:
    return span_ns * 1e-9


def span_ns(limit_s: float | None) -> float:
    return math.inf if limit_s is None else round(limit_s * 1e9)


def limit(value: float | None, absent: float) -> float:
    return absent if value is None else value


@dataclass
class Run:
    value: float
    since_ns: int
    readings: int = 1


@dataclass
class Usual:
    """The running mean of a point and how far readings usually lie from it."""

    mean: float = 0.0
    deviation: float = 0.0
    readings: float = 0.0


@dataclass
class Level:
    fast: float
    slow: float
    at_ns: int


class Point:
    """One point of numbers with its rules."""

    def __init__(self, rules: PointRules) -> None:
        self.rules = rules
        self.newest: tuple[int, float, set[str]] | None = None
        self.run: Run | None = None
        self.trusted: tuple[float, int] | None = None
        self.usual = Usual()
        self.level: Level | None = None

    def judge(self, at_ns: int, value: float, arrived_ns: int, *, is_bad: bool) -> set[str]:
        if self.newest and (at_ns, bits(value)) == (self.newest[0], bits(self.newest[1])):
            return self.newest[2] | {"DUPLICATE"}
        found = self.of_time(at_ns, arrived_ns) | self.of_value(value)
        is_old = self.newest is not None and at_ns <= self.newest[0]
        if is_old or "FUTURE" in found:
            return found
        if self.newest is not None and at_ns - self.newest[0] > span_ns(self.rules.gap_after_s):
            found.add("GAP")
            self.run = None
        if not is_bad and not found & {"NOT_A_NUMBER", "IMPOSSIBLE"}:
            found |= self.stuck(at_ns, value) | self.rate(at_ns, value) | self.spike(value)
            if not found & {"RATE", "SPIKE"}:
                found |= self.drift(at_ns, value)
        self.newest = (at_ns, value, found)
        return found

    def of_time(self, at_ns: int, arrived_ns: int) -> set[str]:
        found: set[str] = set()
        if self.newest is not None and at_ns == self.newest[0]:
            found.add("CONFLICT")
        if self.newest is not None and at_ns < self.newest[0]:
            found.add("LATE")
        if arrived_ns - at_ns > span_ns(self.rules.late_after_s):
            found.add("LATE")
        if at_ns - arrived_ns > MINUTE_NS:
            found.add("FUTURE")
        return found

    def of_value(self, value: float) -> set[str]:
        rules = self.rules
        if not math.isfinite(value):
            return {"NOT_A_NUMBER"}
        if value < limit(rules.lowest, -math.inf) or value > limit(rules.highest, math.inf):
            return {"IMPOSSIBLE"}
        if value < limit(rules.minimum, -math.inf) or value > limit(rules.maximum, math.inf):
            return {"RANGE"}
        return set()

    def stuck(self, at_ns: int, value: float) -> set[str]:
        if self.run is None or self.run.value != value:
            self.run = Run(value, at_ns)
            return set()
        self.run.readings += 1
        is_long = at_ns - self.run.since_ns >= span_ns(self.rules.stuck_after_s)
        return {"STUCK"} if self.run.readings >= 3 and is_long else set()

    def rate(self, at_ns: int, value: float) -> set[str]:
        if self.rules.rate_per_s is None:
            return set()
        if self.trusted is not None:
            before, before_ns = self.trusted
            if abs(value - before) > self.rules.rate_per_s * seconds(at_ns - before_ns):
                return {"RATE"}
        self.trusted = (value, at_ns)
        return set()

    def spike(self, value: float) -> set[str]:
        if self.rules.spike is None:
            return set()
        usual, away, found = self.usual, value - self.usual.mean, set[str]()
        if usual.readings >= 32:
            most = self.rules.spike * max(usual.deviation, limit(self.rules.resolution, 0.0))
            if abs(away) > most:
                found, away = {"SPIKE"}, math.copysign(most, away)
        usual.readings += 1
        part = 1.0 / min(usual.readings, 128.0)
        usual.mean += part * away
        usual.deviation += part * (abs(away) - usual.deviation)
        return found

    def drift(self, at_ns: int, value: float) -> set[str]:
        if self.rules.drift is None:
            return set()
        span = seconds(round((self.rules.drift_s or 0.0) * 1e9))
        if self.level is None:
            self.level = Level(value, value, at_ns)
        else:
            passed, level = seconds(at_ns - self.level.at_ns), self.level
            level.fast += passed / (passed + span) * (value - level.fast)
            level.slow += passed / (passed + 16.0 * span) * (value - level.slow)
            level.at_ns = at_ns
        return {"DRIFT"} if abs(self.level.fast - self.level.slow) > self.rules.drift else set()


def bits(value: float) -> str:
    """Equal for the same 64 bits, as far as these tests send any."""
    return value.hex()
