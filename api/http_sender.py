"""Commands by HTTP: one request to one listed place, through the one door out."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from adapters.commands import Receipt
from adapters.mqtt.command_sender import payload_of
from federation.egress import Egress, Request, place_of, send_out
from graph.times import time_text
from ontology.errors import AccessError, InputError, LimitError, StoreError

if TYPE_CHECKING:
    from adapters.command_config import HttpWay
    from adapters.commands import Order

_SUCCESS = range(200, 300)
_ANSWER_BYTES_MAX = 65_536
_REQUEST_S_MAX = 30.0


class HttpCommandSender:
    """Commands of one site to one gateway. An answer of 2xx is the device's acknowledgement."""

    def __init__(self, way: HttpWay, plain_hosts: frozenset[str]) -> None:
        """UsageError PEER_URL, InputError HTTP_TOKEN where the settings cannot work."""
        self._place = place_of(way.url)
        self._way = way
        self._plain_hosts = plain_hosts
        if way.token_env is not None and way.token_env not in os.environ:
            raise InputError(f"environment variable {way.token_env} is not set", code="HTTP_TOKEN")

    @property
    def is_ready(self) -> bool:
        return True

    def send(self, order: Order) -> Receipt:
        egress = Egress(
            frozenset({self._place}),
            self._plain_hosts,
            min(order.left_s, _REQUEST_S_MAX),
            _ANSWER_BYTES_MAX,
        )
        path = order.address if order.address.startswith("/") else f"/{order.address}"
        request = Request(self._place, self._way.method, path, self._headers(order), payload_of(order))
        try:
            reply = asyncio.run(send_out(egress, request))
        except AccessError as error:
            if error.code != "PEER_REDIRECTS":
                raise
            raise StoreError(error.message, code="COMMAND_REJECTED") from error
        except (LimitError, StoreError) as error:
            if error.code == "PEER_UNREACHABLE":
                raise StoreError(error.message, code="COMMAND_NOT_SENT") from error
            return Receipt.NOBODY  # it may have arrived: the point will tell, or the deadline
        if reply.status not in _SUCCESS:
            message = f"{self._place.url} answered with status {reply.status}"
            raise StoreError(message, code="COMMAND_REJECTED")
        return Receipt.DEVICE

    def close(self) -> None:
        """Nothing is kept open."""

    def _headers(self, order: Order) -> dict[str, str]:
        kind = "application/json" if order.payload == "json" else "text/plain; charset=utf-8"
        headers = {
            "content-type": kind,
            "idempotency-key": order.id,
            "x-command-expires": time_text(order.expires_ns),
        }
        if self._way.token_env is not None:
            headers["authorization"] = f"Bearer {os.environ[self._way.token_env]}"
        return headers
