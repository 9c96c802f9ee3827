"""How far the clocks of a source's devices are from ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

WINDOW: Final = 1_024
PER_BATCH_MAX: Final = 64


class Skew:
    """The median of arrival less stamp over the last readings that had a stamp of their own.

    Holds the way of a message as well: without a backlog, seconds are clocks. One thread adds, any reads.
    """

    def __init__(self) -> None:
        self._seconds = np.zeros(WINDOW)
        self._count = 0

    def add(self, stamps_ns: npt.NDArray[np.int64], arrived_ns: int) -> None:
        """Take a batch in: at most PER_BATCH_MAX of its readings, evenly."""
        step = max(len(stamps_ns) // PER_BATCH_MAX, 1)
        ages = (arrived_ns - stamps_ns[::step][:PER_BATCH_MAX]) / 1e9
        self._seconds[(self._count + np.arange(len(ages))) % WINDOW] = ages
        self._count += len(ages)

    @property
    def median_s(self) -> float | None:
        """Seconds that stamps lie behind arrival; negative: ahead. None: none had a stamp yet."""
        if not self._count:
            return None
        return round(float(np.median(self._seconds[: min(self._count, WINDOW)])), 6)
