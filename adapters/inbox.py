"""A bounded queue between a protocol's thread and the pump: what does not fit is counted, never silent."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """Many may offer, one takes. Holds at most `rows_max` items, and `reserve_rows` more of those that must
    not be shed (a broker that waits for their acknowledgement bounds them already)."""

    def __init__(self, rows_max: int, reserve_rows: int = 0) -> None:
        self._rows_max = rows_max
        self._reserve_rows = reserve_rows
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._shed = 0
        self._closed = False

    def offer(self, item: Item, *, keep: bool = False) -> bool:
        """Put an item; False and counted as shed where there is no room. `keep` may use the reserve."""
        with self._changed:
            if self._closed or len(self._items) >= self._rows_max + (self._reserve_rows if keep else 0):
                self._shed += 1
                return False
            self._items.append(item)
            if len(self._items) == 1:
                self._changed.notify()
            return True

    def take(self, rows_max: int, wait_s: float, *, idle_s: float = 1.0) -> list[Item]:
        """Up to `rows_max` items: waits up to `idle_s` for the first one, then `wait_s` for more to come."""
        with self._changed:
            if not self._items and not self._closed:
                self._changed.wait(idle_s)
            if not self._items:
                return []
        self._linger(rows_max, wait_s)
        with self._changed:
            return [self._items.popleft() for _ in range(min(rows_max, len(self._items)))]

    def close(self) -> None:
        """Take nothing more in; what is inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def shed(self) -> int:
        return self._shed

    def __len__(self) -> int:
        return len(self._items)

    def _linger(self, rows_max: int, wait_s: float) -> None:
        """Let a batch gather. Slices of sleep cost the offering thread nothing; a notify per item would."""
        until = time.monotonic() + wait_s
        while len(self._items) < rows_max and not self._closed and time.monotonic() < until:
            time.sleep(min(wait_s, 0.005))
