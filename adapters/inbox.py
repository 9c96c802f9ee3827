"""A bounded queue between a protocol's thread and the pump: what does not fit is counted, never silent."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

Item = TypeVar("Item")

SLICE_S = 0.005
RESERVE_BYTES_FACTOR = 2  # what must not be shed may use as much memory again


class Inbox(Generic[Item]):
    """Many may offer, one takes. Holds at most `rows_max` items, and `reserve_rows` more of those that must
    not be shed (a broker that waits for their acknowledgement bounds them already).

    `bytes_max` bounds what the items say they weigh; only one thread may offer items with a weight. Threads
    that offer at the same time may pass `rows_max` by one item each: an item costs no lock.

    An item may be a run of several rows, which count as so many items; `split` gives the first rows of such a
    run, and the others. Only one thread may offer runs.
    """

    def __init__(
        self,
        rows_max: int,
        reserve_rows: int = 0,
        *,
        bytes_max: int = 1 << 62,
        split: Callable[[Item, int], tuple[Item, Item]] | None = None,
    ) -> None:
        self._rows_max = rows_max
        self._reserve_rows = reserve_rows
        self._bytes_max = bytes_max
        self._split = split
        self._items: deque[tuple[Item, int, int]] = deque()  # with rows and bytes
        self._more_in = self._more_out = 0  # rows of runs beyond one for each
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._idle = False
        self._shed = 0
        self._bytes_in = 0
        self._bytes_out = 0
        self._closed = False

    def has_room(self, *, keep: bool = False) -> bool:
        """Whether an item would be taken now."""
        rows = self._rows_max + (self._reserve_rows if keep else 0)
        weight = self._bytes_max * (RESERVE_BYTES_FACTOR if keep else 1)
        return len(self) < rows and self._bytes_in - self._bytes_out < weight and not self._closed

    def offer(self, item: Item, *, keep: bool = False, weight_bytes: int = 0) -> bool:
        """Put an item; False and counted as shed where there is no room. `keep` may use the reserve."""
        if not self.has_room(keep=keep):
            with self._lock:
                self._shed += 1
            return False
        if weight_bytes:
            self._bytes_in += weight_bytes
        self._items.append((item, 1, weight_bytes))
        if self._idle:
            self._wake.set()
        return True

    def fitting(self, weights_bytes: npt.NDArray[np.int64], *, keep: bool = False) -> int:
        """How many rows of these weights, from the first on, would be taken now."""
        factor = RESERVE_BYTES_FACTOR if keep else 1
        rows = self._rows_max + (self._reserve_rows if keep else 0) - len(self)
        left_bytes = self._bytes_max * factor - (self._bytes_in - self._bytes_out)
        # As of single items: one is taken as long as there is room before it.
        before = np.cumsum(weights_bytes[: max(rows, 0)]) - weights_bytes[: max(rows, 0)]
        return 0 if self._closed else int(np.searchsorted(before, left_bytes))

    def offer_run(self, run: Item, weights_bytes: npt.NDArray[np.int64]) -> None:
        """Put rows that fit, as `fitting` told."""
        self._bytes_in += (weight := int(weights_bytes.sum()))
        self._more_in += len(weights_bytes) - 1
        self._items.append((run, len(weights_bytes), weight))
        if self._idle:
            self._wake.set()

    def shed_rows(self, rows: int) -> None:
        """Count rows for which there was no room."""
        with self._lock:
            self._shed += rows

    def take(self, rows_max: int, wait_s: float, *, idle_s: float = 1.0) -> list[Item]:
        """Up to `rows_max` rows: waits up to `idle_s` for the first one, then `wait_s` for more to come."""
        if not self._items and not self._closed:
            self._sleep(idle_s)
        if not self._items:
            return []
        self._linger(rows_max, wait_s)
        taken: list[Item] = []
        while rows_max > 0 and self._items:
            item, rows, weight = self._items[0]
            if rows > rows_max and self._split is not None:
                item, rest = self._split(item, rows_max)
                left = weight * (rows - rows_max) // rows
                self._items[0] = rest, rows - rows_max, left
                self._more_out += rows_max
                self._bytes_out += weight - left
            else:
                self._items.popleft()
                self._more_out += rows - 1
                self._bytes_out += weight
            taken.append(item)
            rows_max -= rows
        return taken

    def close(self) -> None:
        """Take nothing more in; what is inside can still be taken."""
        self._closed = True
        self._wake.set()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def shed(self) -> int:
        return self._shed

    def __len__(self) -> int:
        return len(self._items) + self._more_in - self._more_out

    def _sleep(self, idle_s: float) -> None:
        """Until something comes. Who offers looks at `_idle` after it put the item in, we look for an item
        after we set `_idle`: one of us sees the other."""
        self._wake.clear()
        self._idle = True
        if not self._items and not self._closed:
            self._wake.wait(idle_s)
        self._idle = False

    def _linger(self, rows_max: int, wait_s: float) -> None:
        """Let a batch gather. Slices of sleep cost the offering thread nothing; a notify per item would."""
        until = time.monotonic() + wait_s
        while len(self) < rows_max and not self._closed and time.monotonic() < until:
            time.sleep(min(wait_s, SLICE_S))
