# pyright: reportUnknownMemberType=false
"""Sending by AMQP 0-9-1: persistent messages that the broker confirms; a lost connection is made anew."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from concurrent.futures import TimeoutError as LateError
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import aio_pika
from aio_pika.exceptions import AMQPError, DeliveryError

from adapters.amqp.connecting import ClosedWhenRefused
from ontology.errors import InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange

T = TypeVar("T")
CONNECT_S: Final = 10.0
_CLOSE_S: Final = 5.0


class AmqpPublisher:
    """One connection, opened at the first message. Safe from several threads; it has its own event loop."""

    def __init__(self, url_env: str, exchange: str) -> None:
        """exchange "": the default one, where the routing key names a queue. InputError AMQP_URL."""
        url = os.environ.get(url_env)
        if url is None:
            raise InputError(f"environment variable {url_env} is not set", code="AMQP_URL")
        self._url = url
        self._exchange_name = exchange
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._loop = asyncio.new_event_loop()
        self._opening = asyncio.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name="amqp-out", daemon=True)
        self._thread.start()

    def publish(
        self,
        routing_key: str,
        content: bytes,
        *,
        message_id: str,
        content_type: str,
        timeout_s: float,
        expires_s: float | None = None,
    ) -> bool:
        """Send once and wait for the confirmation. False: no queue takes what has this routing key.

        StoreError AMQP_NOT_CONNECTED: nothing left; AMQP_UNCONFIRMED: it may have.
        """
        message = aio_pika.Message(
            content,
            message_id=message_id,
            content_type=content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            expiration=None if expires_s is None else timedelta(seconds=expires_s),
        )
        exchange = self._wait(self._open(), timeout_s, "AMQP_NOT_CONNECTED")
        try:
            self._wait(_sent(exchange, message, routing_key), timeout_s, "AMQP_UNCONFIRMED")
        except DeliveryError:
            return False
        return True

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(2 * _CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[object, object, T], timeout_s: float, code: str) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except DeliveryError:
            raise
        except (LateError, AMQPError, OSError, RuntimeError) as error:
            future.cancel()
            raise StoreError(f"AMQP: {error or type(error).__name__}", code=code) from error

    async def _open(self) -> AbstractExchange:
        async with self._opening:
            if self._exchange is None or self._channel is None or self._channel.is_closed:
                await self._close()
                self._connection = await aio_pika.connect(
                    self._url, timeout=CONNECT_S, connection_class=ClosedWhenRefused
                )
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                name = self._exchange_name
                self._exchange = (
                    await self._channel.get_exchange(name) if name else self._channel.default_exchange
                )
            return self._exchange

    async def _close(self) -> None:
        """Let go of the connection, also of one that the broker broke."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(AMQPError, OSError, RuntimeError, TimeoutError):
                await asyncio.wait_for(connection.close(), _CLOSE_S)


async def _sent(exchange: AbstractExchange, message: aio_pika.Message, routing_key: str) -> None:
    await exchange.publish(message, routing_key, mandatory=True)
