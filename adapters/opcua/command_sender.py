"""Commands by OPC UA: one write of one node. A status of Good is the device's own acknowledgement."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from adapters.commands import Receipt
from adapters.opcua.sink import GOOD, NOT_SENT, UNSURE, OpcuaSink
from ontology.errors import StoreError

if TYPE_CHECKING:
    from adapters.commands import Order
    from adapters.opcua.config import Line


ASKED_AGAIN_S: Final = 1.0
LISTENS_S_MAX: Final = 0.5


class OpcuaCommandSender:
    """Commands of one site to one server. Each is a session of its own: nothing is kept to be sent again."""

    def __init__(self, line: Line) -> None:
        """InputError where the line is set up wrongly, at the first command."""
        self._line = line
        self._sink = OpcuaSink(line)
        self._away_until_s = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether somebody listens there now; till then commands wait, and expire. A no holds for a while."""
        now_s = time.monotonic()
        if now_s < self._away_until_s:
            return False
        if _listens(self._line.url):
            return True
        self._away_until_s = now_s + ASKED_AGAIN_S
        return False

    def send(self, order: Order) -> Receipt:
        value = order.value
        if not isinstance(value, bool | int | float | str):
            raise StoreError(f"{value!r} is no value of a node", code="COMMAND_REJECTED")
        try:
            status = asyncio.run(self._written(order.address, value, order.left_s))
        except TimeoutError:
            return Receipt.NOBODY  # it may have arrived: the point will tell
        if status == GOOD:
            return Receipt.DEVICE
        if status in UNSURE:
            return Receipt.NOBODY
        if status == NOT_SENT:
            raise StoreError("the server cannot be reached: nothing left", code="COMMAND_NOT_SENT")
        raise StoreError(f"the server refused: {status}", code="COMMAND_REJECTED")

    def close(self) -> None:
        """Nothing is kept open."""

    async def _written(self, address: str, value: float | bool | str, timeout_s: float) -> str:
        async with asyncio.timeout(timeout_s):
            return await self._sink.write(address, value)


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 4840), timeout=LISTENS_S_MAX).close()
    except OSError:
        return False
    return True
