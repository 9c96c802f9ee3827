"""How far the clock of a source is off: from when its readings arrived and what they are stamped with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

WINDOW: Final = 256


class ClockSkew:
    """The newest delays of one source, a bounded window. One thread at a time.

    A delay is the time of arrival less the stamp: how late readings are, and how far the clocks are apart.
    One message counts once, whatever it holds: its youngest reading.
    """

    def __init__(self) -> None:
        self._delays_ns = np.zeros(WINDOW, np.int64)
        self._seen = 0

    def add(self, received_ns: int, times_ns: npt.NDArray[np.int64]) -> None:
        """A message or batch that arrived at received_ns with readings of these times."""
        if len(times_ns):
            self._delays_ns[self._seen % WINDOW] = received_ns - int(times_ns.max())
            self._seen += 1

    @property
    def median_ns(self) -> int | None:
        """Half of the delays are lower; negative: the source's clock is ahead. None: nothing came yet."""
        if not self._seen:
            return None
        delays = np.sort(self._delays_ns[: min(self._seen, WINDOW)])
        return int(delays[(len(delays) - 1) // 2])
