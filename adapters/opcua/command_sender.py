"""Commands by OPC UA: the value of a node is written; the point's reading confirms it.

The address of a command is a node id, as in bindings. Each order is one session and one write, never
repeated.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from adapters.commands import Receipt
from adapters.opcua.sink import GOOD, NOT_SENT, UNKNOWN, OpcuaSink
from ontology.errors import StoreError

if TYPE_CHECKING:
    from adapters.commands import Order
    from adapters.opcua.config import Line


class OpcuaCommandSender:
    """A `CommandSender` to one server. Safe from several threads: nothing is kept between orders."""

    def __init__(self, line: Line) -> None:
        self._sink = OpcuaSink(line)

    @property
    def is_ready(self) -> bool:
        """Whether the server is there shows when it is asked: an order to one that is away was not sent."""
        return True

    def send(self, order: Order) -> Receipt:
        """DEVICE once the server has written it, NOBODY where the line broke under way or time ran out.

        StoreError COMMAND_NOT_SENT where nothing left us, COMMAND_REJECTED with the status of the server.
        """
        value = order.value
        if not isinstance(value, bool | int | float | str):
            raise StoreError(f"{value!r} is no value of a node", code="COMMAND_REJECTED")
        status = asyncio.run(self._within(order.address, value, order.left_s))
        if status == GOOD:
            return Receipt.DEVICE
        if status == NOT_SENT:
            raise StoreError("the server is away", code="COMMAND_NOT_SENT")
        if status == UNKNOWN:
            return Receipt.NOBODY
        raise StoreError(f"the server says {status}", code="COMMAND_REJECTED")

    def close(self) -> None:
        """Nothing is open between orders."""

    async def _within(self, address: str, value: bool | float | str, left_s: float) -> str:
        try:
            return await asyncio.wait_for(self._sink.write(address, value), max(0.0, left_s))
        except TimeoutError:
            return UNKNOWN
