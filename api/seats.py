"""A bound on what may be open at once: sockets and event streams together."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ontology.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Generator


class Seats:
    """Counts open streams. Used from one event loop."""

    def __init__(self, seats_max: int) -> None:
        self._seats_max = seats_max
        self._taken = 0

    @contextmanager
    def taken(self) -> Generator[None]:
        """Hold a seat for the block. LimitError STREAMS_FULL where none is left."""
        self.check()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def check(self) -> None:
        if self._taken >= self._seats_max:
            raise LimitError(f"{self._taken} streams are open", code="STREAMS_FULL", hint="try again later")
