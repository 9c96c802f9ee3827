"""One call for a batch of readings of any sources: `flag`. Any cut into batches gives the same flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.quality.kernel import ARRIVED, FLOATS, NEWEST, STALE, TIMES, detect, grade
from adapters.quality.rules import OFF_NS
from graph.quality import Reason, quality_byte
from graph.values import Quality

if TYPE_CHECKING:
    import numpy.typing as npt

    from adapters.quality.rules import Rules
    from graph.values import Readings

SEVERITY: Final = {
    Reason.NOT_A_NUMBER: Quality.BAD,
    Reason.IMPOSSIBLE: Quality.BAD,
    Reason.RANGE: Quality.UNCERTAIN,
    Reason.RATE: Quality.UNCERTAIN,
    Reason.SPIKE: Quality.UNCERTAIN,
    Reason.DRIFT: Quality.UNCERTAIN,
    Reason.STUCK: Quality.UNCERTAIN,
    Reason.STALE: Quality.UNCERTAIN,
    Reason.CONFLICT: Quality.UNCERTAIN,
    Reason.FUTURE: Quality.UNCERTAIN,
    # These say what happened around a value; it is no worse for that.
    Reason.GAP: Quality.GOOD,
    Reason.LATE: Quality.GOOD,
    Reason.DUPLICATE: Quality.GOOD,
}
DEAD_AFTER: Final = 10
"""A reading that is stale for so many times its time is bad."""
STALE_BYTE: Final = quality_byte(Quality.UNCERTAIN, Reason.STALE)
DEAD_BYTE: Final = quality_byte(Quality.BAD, Reason.STALE)
_WORST_FIRST: Final = np.array(sorted(SEVERITY, key=lambda code: (-SEVERITY[code], code)), np.uint8)
_BYTES: Final = np.zeros(32, np.uint8)
for _reason, _severity in SEVERITY.items():
    _BYTES[_reason] = quality_byte(_severity, _reason)


@dataclass(slots=True, eq=False)
class PointStates:
    """What the detectors remember of each point: floats float64[rows, FLOATS], times int64[rows, TIMES]."""

    floats: npt.NDArray[np.float64]
    times: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: int) -> PointStates:
        return cls(np.zeros((rows, FLOATS)), np.zeros((rows, TIMES), np.int64))

    def __len__(self) -> int:
        return len(self.times)

    def grow(self, rows: int) -> None:
        """Room for so many points; what is known stays."""
        more = rows - len(self)
        if more > 0:
            self.floats = np.concatenate((self.floats, np.zeros((more, FLOATS))))
            self.times = np.concatenate((self.times, np.zeros((more, TIMES), np.int64)))

    @property
    def newest_ns(self) -> npt.NDArray[np.int64]:
        """int64[rows]: the newest stamp of each point; 0: none."""
        return self.times[:, NEWEST]

    @property
    def arrived_ns(self) -> npt.NDArray[np.int64]:
        """int64[rows]: when something last came of each point; 0: never."""
        return self.times[:, ARRIVED]


def flag(
    readings: Readings, rules: Rules, states: PointStates, now_ns: int | npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """uint8[n]: the quality of readings in the order in which they came; the stated one, or a worse one.

    All points lie below the lengths of `rules` and `states`, which is brought up to date.
    now_ns: when they arrived; one time, or int64[n].
    """
    return graded(flags_of(readings, rules, states, now_ns), readings.quality)


def flags_of(
    readings: Readings, rules: Rules, states: PointStates, now_ns: int | npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """int64[n]: every reason that holds, as bits `1 << Reason`; see `flag`. ValueError for a point beyond."""
    points = readings.points
    known = min(len(rules), len(states))
    if len(points) and not 0 <= int(points.min()) <= int(points.max()) < known:
        raise ValueError(f"points beyond the {known} that there are rules and states of")
    flags = np.zeros(len(points), np.int64)
    words = np.ascontiguousarray(readings.words)
    detect(
        points,
        readings.times_ns,
        words.view(np.int64),
        words.view(np.float64),
        readings.quality,
        np.atleast_1d(np.asarray(now_ns, np.int64)),
        rules.numbers,
        rules.spans_ns,
        states.floats,
        states.times,
        flags,
    )
    return flags


def graded(flags: npt.NDArray[np.int64], stated: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8[n]: quality bytes of flags, or the stated ones where these are worse."""
    out = np.empty(len(flags), np.uint8)
    grade(flags, stated, _WORST_FIRST, _BYTES, out)
    return out


def stale(
    rules: Rules, states: PointStates, since_ns: int, now_ns: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    """(rows, quality bytes) of all points from which nothing came for too long.

    since_ns: since when we listen; before, nothing could come. One pass over all points, no loop.
    """
    span = rules.spans_ns[: len(states), STALE]
    silent = now_ns - np.maximum(states.arrived_ns[: len(span)], since_ns)
    rows = np.flatnonzero((span < OFF_NS) & (silent > span))
    dead = silent[rows] > span[rows] * DEAD_AFTER
    return rows, np.where(dead, np.uint8(DEAD_BYTE), np.uint8(STALE_BYTE)).astype(np.uint8)
