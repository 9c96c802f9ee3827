"""How often: a bucket of tokens for each who asks. In memory, bounded, safe from any thread."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Final

from ontology.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_MAX: Final = 4_096


class Rates:
    """Full buckets to begin with. Where too many ask, the one that asked longest ago is forgotten."""

    def __init__(self, kept_max: int = KEPT_MAX, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._kept_max = kept_max
        self._clock_s = clock_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when counted
        self._lock = Lock()

    def take(self, who: str, per_minute: int) -> None:
        """Spend one token of somebody. LimitError RATE_LIMITED."""
        now = self._clock_s()
        with self._lock:
            tokens, then = self._buckets.pop(who, (float(per_minute), now))
            tokens = min(float(per_minute), tokens + (now - then) * per_minute / 60)
            allowed = tokens >= 1
            self._buckets[who] = (tokens - 1 if allowed else tokens, now)
            while len(self._buckets) > self._kept_max:
                self._buckets.popitem(last=False)
        if not allowed:
            message = f"more than {per_minute} requests a minute"
            raise LimitError(message, code="RATE_LIMITED", hint="ask less often")
