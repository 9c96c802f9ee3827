"""A day of many points with faults of every kind put in, from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.quality import PointRules, Rules
from graph.values import Readings

SECOND_NS = 10**9
START_NS = 1_760_000_000 * SECOND_NS
PERIOD_S = 10
FAULTS: tuple[str, ...] = (
    "nan", "impossible", "range", "rate", "spike", "drift", "stuck", "gap", "late", "duplicate", "conflict",
    "future",
)  # fmt: skip


@dataclass(frozen=True)
class Faulty:
    """Readings in the order in which they came; arrived_ns int64[n]; how often each kind was put in."""

    readings: Readings
    arrived_ns: npt.NDArray[np.int64]
    rules: tuple[PointRules, ...]
    injected: dict[str, int]

    @property
    def columns(self) -> Rules:
        return Rules.of(self.rules)


def rules_of(point: int) -> PointRules:
    """Every detector in some points, none in others."""
    if point % 7 == 6:
        return PointRules()
    return PointRules(
        lowest=-100.0,
        highest=200.0,
        minimum=-5.0,
        maximum=45.0,
        rate_per_s=0.9 if point % 7 != 1 else None,
        spike=8.0 if point % 7 != 2 else None,
        resolution=0.01 if point % 2 else None,
        drift=7.0 if point % 7 != 3 else None,
        drift_s=600.0,
        stuck_after_s=120.0 if point % 7 != 4 else None,
        gap_after_s=35.0 if point % 7 != 5 else None,
        late_after_s=300.0 if point % 3 else None,
    )


def faulty(points: int, ticks: int, seed: int) -> Faulty:
    """points * ticks readings, about one in fifty of them faulty."""
    rng = np.random.default_rng(seed)
    tick = np.repeat(np.arange(ticks), points)
    row = np.tile(np.arange(points, dtype=np.int32), ticks)
    phase = rng.uniform(0, 6.28, points)
    level = 20.0 + 8.0 * np.sin(tick / 900.0 + phase[row]) + rng.normal(0, 0.2, len(tick))
    values = level.reshape(ticks, points)
    times = (START_NS + tick * PERIOD_S * SECOND_NS + row).reshape(ticks, points)
    arrived = times + 50_000_000
    injected = dict.fromkeys(FAULTS, 0)
    for _ in range(points * ticks // 500):
        kind = str(rng.choice(FAULTS))
        point, at = int(rng.integers(points)), int(rng.integers(40, ticks - 60))
        _put(kind, values[:, point], times[:, point], arrived[:, point], at, rng)
        injected[kind] += 1
    stated = np.where(rng.random(len(tick)) < 0.01, rng.integers(0, 3, len(tick)), 0).astype(np.uint8)
    flat = np.ascontiguousarray(values.reshape(-1))
    readings = Readings(row, times.reshape(-1), flat.view(np.uint64), stated)
    return Faulty(readings, arrived.reshape(-1), tuple(rules_of(point) for point in range(points)), injected)


def _put(
    kind: str,
    values: npt.NDArray[np.float64],
    times: npt.NDArray[np.int64],
    arrived: npt.NDArray[np.int64],
    at: int,
    rng: np.random.Generator,
) -> None:
    long = slice(at, at + int(rng.integers(5, 50)))
    if kind == "nan":
        values[at] = rng.choice([np.nan, np.inf, -np.inf])
    elif kind == "impossible":
        values[at] = rng.choice([-400.0, 1e9])
    elif kind == "range":
        values[long] = 47.0
    elif kind == "rate":
        values[at] += 12.0
    elif kind == "spike":
        values[at] -= 3.5
    elif kind == "drift":
        values[at:] += np.minimum(np.arange(len(values) - at) * 0.02, 7.0)
    elif kind == "stuck":
        values[long] = values[at]
    elif kind == "gap":
        times[at:] += 60 * SECOND_NS
        arrived[at:] += 60 * SECOND_NS
    elif kind == "late":
        if rng.random() < 0.5:
            times[at] -= 25 * SECOND_NS
        else:
            arrived[at] += 900 * SECOND_NS
    elif kind == "duplicate":
        values[at], times[at] = values[at - 1], times[at - 1]
    elif kind == "conflict":
        times[at] = times[at - 1]
    else:
        times[at] += 3_600 * SECOND_NS
