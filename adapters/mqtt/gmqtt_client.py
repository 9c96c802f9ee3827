# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportPrivateUsage=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""MQTT by gmqtt: an event loop of its own (uvloop where there is one), several times as fast as paho."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import gmqtt
from gmqtt.mqtt.package import Package

from adapters.line_trouble import failed_to_connect, refused_subscription
from adapters.line_trouble import lost as line_lost
from adapters.loops import new_loop
from adapters.mqtt.config import RECEIVE_MAXIMUM
from adapters.mqtt.decode import Message
from adapters.mqtt.packets import Other, Packets, acknowledgements
from adapters.mqtt.security import credentials, tls_context
from adapters.pipeline import Link

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Sequence

    from adapters.mqtt.chunks import Batch
    from adapters.mqtt.config import MqttConfig
    from adapters.pipeline import Taker

FILTERS_PER_SUBSCRIBE_MAX = 500
SEND_ON_NEW_SUBSCRIPTION = 1
ANSWER_S_MAX = 15.0
QOS_MAX = 2
REFUSED = 128  # codes of SUBACK from here on say no
GATHER_S = 0.001
GATHER_BYTES = 1 << 15
STEADY_S = 5.0  # a connection that lasted as long was good: the next pause is the shortest again
VERSIONS = {"5": 5, "3.1.1": 4}
QUIET = logging.getLogger("twinmesh.mqtt")


class GmqttClient:
    """As `PahoClient`. A connection that breaks is made anew with a growing pause; the session stays."""

    def __init__(self, config: MqttConfig, filters: Sequence[tuple[str, int]], taker: Taker) -> None:
        self._config = config
        self._filters = list(filters)
        self._taker = taker
        self._connected = False
        self._session = 0
        self._unanswered = 0  # subscriptions: connected is who may wait for messages
        self._last_error: str | None = None
        self._loop = new_loop()
        self._stop = asyncio.Event()
        self._client: Any = None
        self._thread = threading.Thread(target=self._run, name=f"gmqtt-{config.site}", daemon=True)
        self._context: ssl.SSLContext | None = None

    def open(self) -> None:
        """Connect in the background. Raises InputError where the settings cannot work."""
        self._context = tls_context(self._config)
        credentials(self._config)
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(ANSWER_S_MAX)
        self._connected = False

    def acknowledge(self, batch: Batch) -> None:
        session = self._session
        promised = batch.promised(session)
        if promised and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send_acknowledgements, promised, session)

    @property
    def link(self) -> Link:
        return Link(self._config.address, self._connected, self._session, self._last_error)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        pause_s = float(self._config.reconnect_s_min)
        while not self._stop.is_set():
            lost = asyncio.Event()
            self._client = self._new_client(lost)
            began_s = self._loop.time()
            if await self._connect(self._client):
                await self._until(lost)
            if self._loop.time() - began_s > STEADY_S:
                pause_s = float(self._config.reconnect_s_min)
            self._connected = False
            await self._leave(self._client)
            if not self._stop.is_set():
                await self._pause(pause_s)
                pause_s = min(pause_s * 2, float(self._config.reconnect_s_max))

    async def _until(self, lost: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (lost, self._stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    async def _connect(self, client: Any) -> bool:
        config = self._config
        try:
            await asyncio.wait_for(
                client.connect(
                    config.host,
                    config.port,
                    ssl=self._context or False,
                    keepalive=config.keepalive_s,
                    version=VERSIONS[config.protocol],
                ),
                ANSWER_S_MAX,
            )
        except (OSError, TimeoutError, gmqtt.MQTTConnectError) as error:
            self._last_error = failed_to_connect(config.address, error)
            return False
        return True

    async def _leave(self, client: Any) -> None:
        try:
            await asyncio.wait_for(client.disconnect(), 1.0)
        except (OSError, TimeoutError, AttributeError):  # gmqtt has no connection to close
            return

    def _new_client(self, lost: asyncio.Event) -> Any:
        config = self._config
        properties: dict[str, int] = {}
        if config.protocol == "5":
            properties = {
                "receive_maximum": min(RECEIVE_MAXIMUM, config.queue_rows_max),
                "session_expiry_interval": config.session_expiry_s,
            }
        client: Any = gmqtt.Client(
            config.client_id,
            clean_session=False,
            optimistic_acknowledgement=False,
            logger=QUIET,
            **properties,
        )
        client.set_config({"reconnect_retries": 0})
        username, password = credentials(config)
        if username is not None:
            client.set_auth_credentials(username, password)
        self._listen_to(client, lost)
        return client

    def _listen_to(self, client: Any, lost: asyncio.Event) -> None:
        config = self._config

        def connected(_client: Any, _flags: int, _code: int, _properties: Any) -> None:
            self._session += 1
            self._last_error = None
            self._read_packets_of(client)
            handling = SEND_ON_NEW_SUBSCRIPTION if config.protocol == "5" else 0
            starts = range(0, len(self._filters), FILTERS_PER_SUBSCRIBE_MAX)
            self._unanswered = len(starts)
            self._connected = not starts
            for start in starts:
                client.subscribe(
                    [
                        gmqtt.Subscription(topic, qos, retain_handling_options=handling)
                        for topic, qos in self._filters[start : start + FILTERS_PER_SUBSCRIBE_MAX]
                    ]
                )

        def disconnected(_client: Any, _packet: Any, exc: Exception | None = None) -> None:
            if self._connected or self._unanswered:  # who was never let in is told why
                self._last_error = line_lost(exc or "by the broker")
            self._connected, self._unanswered = False, 0
            lost.set()

        def subscribed(_client: Any, _mid: int, granted: Any, _properties: Any) -> None:
            refused = [code for code in granted if code >= REFUSED]
            if refused:
                self._last_error = refused_subscription(config.address, f"code {refused[0]}")
            self._unanswered -= 1
            self._connected = self._unanswered <= 0

        def came(_client: Any, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> None:
            self._taker.offer(
                Message(topic, payload, time.time_ns(), bool(properties["retain"]), qos, 0, self._session)
            )

        client.on_connect, client.on_disconnect, client.on_message = connected, disconnected, came
        client.on_subscribe = subscribed
        # gmqtt acknowledges by itself, or after a coroutine for each message; we know batches and their ends.
        handler = client._package_handler
        # It would also connect again by itself, once, beside us.
        handler._reconnect_callback = _never
        handler._handle_qos_1_publish_packet = self._promised(1)
        handler._handle_qos_2_publish_packet = self._promised(2)

    def _read_packets_of(self, client: Any) -> None:
        """Plain messages come by the chunk, everything else as gmqtt reads it."""
        connection, handler = client._connection, client._package_handler
        five, session = self._config.protocol == "5", self._session

        def read(data: bytes) -> int:
            packets = Packets(data, five=five, qos_max=QOS_MAX)
            if handler.current_connection is not connection:
                return packets.taken
            connection._last_data_in = time.monotonic()
            for part in packets.parts(lambda: session):
                if isinstance(part, Other):
                    connection.put_package(Package(part.packet[0], part.packet[part.head :]))
                else:
                    self._taker.offer_chunk(part)
            return packets.taken

        connection._protocol._read_packet = read
        _gather(connection._protocol)

    def _promised(self, qos: int) -> Callable[[int, bytes, str, dict[str, Any]], None]:
        def came(mid: int, payload: bytes, topic: str, properties: dict[str, Any]) -> None:
            self._taker.offer(
                Message(topic, payload, time.time_ns(), bool(properties["retain"]), qos, mid, self._session)
            )

        return came

    def _send_acknowledgements(self, promised: Iterable[tuple[int, int]], session: int) -> None:
        if session != self._session or not (self._connected or self._unanswered):
            return
        connection = self._client._connection
        if not connection.is_closing():
            connection.send_package(acknowledgements(promised))


def _gather(protocol: Any) -> None:
    """Where chunks are small and follow each other, let them gather for a moment.

    To be woken for each small write of a broker costs it, and us, more than the message itself.
    """
    plain, reader = protocol.read, protocol._hard_reader
    last_s, last_bytes = 0.0, GATHER_BYTES

    async def read(size: int) -> bytes:
        nonlocal last_s, last_bytes
        if last_bytes < GATHER_BYTES and time.monotonic() - last_s < 5 * GATHER_S and not reader._paused:
            protocol._transport.pause_reading()
            await asyncio.sleep(GATHER_S)
            protocol._transport.resume_reading()
        data = await plain(size)
        last_s, last_bytes = time.monotonic(), len(data)
        return data

    protocol.read = read


async def _never(*, delay: bool = False) -> None:
    """Reconnecting is our own loop's business."""
