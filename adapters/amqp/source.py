# pyright: reportUnknownMemberType=false
"""Live telemetry by AMQP 0-9-1: acknowledged after it was recorded; the prefetch slows the broker down.

A message may come twice, never not at all: what we did not acknowledge is delivered again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import aio_pika
from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from adapters.amqp.connecting import ClosedWhenRefused
from adapters.amqp.decode import message_of
from adapters.line_trouble import failed_to_connect
from adapters.line_trouble import lost as line_lost
from adapters.loops import new_loop
from adapters.mqtt.security import credentials, tls_context
from adapters.pipeline import BoundDecoder, Link, Pipeline

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

    from adapters.amqp.config import AmqpConfig
    from adapters.binding import Binding
    from adapters.mqtt.decode import Message
    from adapters.pipeline import SourceHealth
    from graph.twin import Twin
    from ontology.units import Units

ANSWER_S_MAX = 15.0
STEADY_S = 5.0
FAREWELL_S = 2.0
FAULTS = (OSError, TimeoutError, AMQPError, ChannelInvalidStateError)


class AmqpSource:
    """One queue feeding one site. `start` returns at once; connecting goes on in the background."""

    def __init__(self, config: AmqpConfig, bindings: Sequence[Binding], twin: Twin, units: Units) -> None:
        self._config = config
        # The broker sends no more than the prefetch: there is always room.
        self._pipeline = Pipeline(
            twin, config, BoundDecoder(twin, bindings, units), self._acknowledge, reserve_rows=config.prefetch
        )
        self._loop = new_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"amqp-{config.site}", daemon=True)
        self._context: ssl.SSLContext | None = None
        self._login: tuple[str | None, str | None] = (None, None)
        self._channel: AbstractChannel | None = None
        self._connected = False
        self._session = 0
        self._last_error: str | None = None

    @classmethod
    def start(cls, twin: Twin, config: AmqpConfig, bindings: Sequence[Binding], units: Units) -> AmqpSource:
        """Listen from now on. Raises InputError where the settings cannot work (no CA file, no password)."""
        source = cls(config, bindings, twin, units)
        source._context = tls_context(config)
        source._login = credentials(config)
        source._thread.start()
        source._pipeline.start()
        return source

    def stop(self, timeout_s: float = 10.0) -> None:
        """Record and acknowledge what was taken in, then leave; the broker keeps the rest."""
        self._pipeline.close(timeout_s)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout_s)
        self._connected = False

    def health(self) -> SourceHealth:
        link = Link(self._config.address, self._connected, self._session, self._last_error)
        return self._pipeline.health(link)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        pause_s = float(self._config.reconnect_s_min)
        while not self._stop.is_set():
            began_s = self._loop.time()
            try:
                await self._listen_once()
            except FAULTS as error:
                self._last_error = failed_to_connect(self._config.address, error)
            self._connected = False
            if self._loop.time() - began_s > STEADY_S:
                pause_s = float(self._config.reconnect_s_min)
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, float(self._config.reconnect_s_max))

    async def _listen_once(self) -> None:
        """Until the connection is lost or we stop."""
        connection = await asyncio.wait_for(self._connect(), ANSWER_S_MAX)
        lost = asyncio.Event()
        try:
            await asyncio.wait_for(self._consume(connection, lost), ANSWER_S_MAX)
            waits = [asyncio.ensure_future(event.wait()) for event in (lost, self._stop)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if lost.is_set():
                self._last_error = self._last_error or line_lost("by the broker")
        finally:
            self._connected = False
            await self._leave(connection)

    async def _connect(self) -> AbstractConnection:
        config = self._config
        name, password = self._login
        return await aio_pika.connect(
            host=config.host,
            port=config.port,
            login=name or "guest",
            password=password or "guest",
            virtualhost=config.vhost,
            ssl=config.tls,
            ssl_context=self._context,
            heartbeat=config.heartbeat_s,
            connection_class=ClosedWhenRefused,
        )

    async def _consume(self, connection: AbstractConnection, lost: asyncio.Event) -> None:
        config = self._config
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=config.prefetch)
        queue = await channel.declare_queue(config.queue, durable=True)
        for key in config.keys:
            await queue.bind(config.exchange, key)
        self._session += 1
        session, self._channel = self._session, channel

        def ended(_sender: object, error: BaseException | None) -> None:
            self._connected = False
            self._last_error = line_lost(error or "by the broker")
            lost.set()

        async def came(message: AbstractIncomingMessage) -> None:
            tag, key = message.delivery_tag or 0, message.routing_key or ""
            self._pipeline.offer(message_of(key, message.body, tag, session, time.time_ns()))

        channel.close_callbacks.add(ended)
        connection.close_callbacks.add(ended)
        await queue.consume(came)
        self._connected, self._last_error = True, None

    async def _leave(self, connection: AbstractConnection) -> None:
        try:
            await asyncio.wait_for(connection.close(), FAREWELL_S)
        except FAULTS:
            return

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _acknowledge(self, batch: Sequence[Message]) -> None:
        """All deliveries up to the last of the batch, with one word: they are recorded in their order."""
        last = batch[-1]
        if last.session == self._session and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._say_acknowledged(last), self._loop)

    async def _say_acknowledged(self, last: Message) -> None:
        if last.session != self._session or self._channel is None:
            return
        try:
            channel = await self._channel.get_underlay_channel()
            await channel.basic_ack(last.mid, multiple=True)
        except FAULTS:
            return  # the connection is gone: they are delivered again
