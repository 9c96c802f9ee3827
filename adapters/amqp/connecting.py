# pyright: reportUnknownMemberType=false
"""Connections by AMQP 0-9-1 that are closed at once where the broker refuses them.

aio-pika leaves those to the garbage collector, which may come by in a thread that has another loop, or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aio_pika

if TYPE_CHECKING:
    from aio_pika.abc import TimeoutType


class ClosedWhenRefused(aio_pika.Connection):
    """As `connection_class` of `aio_pika.connect`."""

    async def connect(self, timeout: TimeoutType = None) -> None:
        """Raises what aio-pika raises; then, and when it is cancelled, nothing is left open."""
        is_open = False
        try:
            await super().connect(timeout)
            is_open = True
        finally:
            if not is_open:
                await self.close()
