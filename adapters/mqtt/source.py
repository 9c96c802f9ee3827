# pyright: reportUnknownMemberType=false
"""Live telemetry by MQTT: the network thread only enqueues bytes, a pump decodes batches and records them.

A message of QoS 1 or 2 is acknowledged after it was recorded, not before: what the broker was told is kept,
is kept. The session outlives the connection (MQTT 5: clean start off, with an expiry; 3.1.1: clean session
off), so what came while we were away arrives later. A message may come twice, never not at all.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from adapters.inbox import Inbox
from adapters.mqtt.config import RECEIVE_MAXIMUM
from adapters.mqtt.decode import Message, decode
from adapters.routing import Router
from ontology.errors import InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paho.mqtt.client import ConnectFlags, DisconnectFlags
    from paho.mqtt.reasoncodes import ReasonCode

    from adapters.binding import Binding
    from adapters.mqtt.config import MqttConfig
    from adapters.routing import BindingHealth, Route
    from graph.twin import Twin
    from graph.values import Readings
    from ontology.errors import Problem
    from ontology.units import Units

FILTERS_PER_SUBSCRIBE_MAX = 500  # brokers cap packets; one packet for each chunk of filters
RETRY_S_MIN, RETRY_S_MAX = 0.2, 10.0
SEND_ON_NEW_SUBSCRIPTION = 1  # retain handling of MQTT 5: no flood of old values at every reconnect


@dataclass(frozen=True, slots=True)
class MqttHealth:
    """Counts since the start. `unrouted` came on a topic without a known point; `shed` found no room."""

    address: str
    connected: bool
    connects: int
    received: int
    recorded: int
    unrouted: int
    shed: int
    queued: int
    last_error: str | None
    problems: tuple[Problem, ...]
    bindings: tuple[BindingHealth, ...]


class MqttSource:
    """One broker feeding one site. `start` returns at once; connecting goes on in the background."""

    def __init__(self, config: MqttConfig, bindings: Sequence[Binding], twin: Twin, units: Units) -> None:
        self._twin = twin
        self._router = Router(bindings, twin.snapshot(), units)
        self._inbox: Inbox[Message] = Inbox(config.queue_rows_max, RECEIVE_MAXIMUM)
        self._listener = _Listener(config, bindings, self._inbox)
        self._pump = threading.Thread(target=self._run, name=f"mqtt-pump-{config.site}", daemon=True)
        self._config = config
        self._recorded = 0
        self._unrouted = 0
        self._store_error: str | None = None

    @classmethod
    def start(cls, twin: Twin, config: MqttConfig, bindings: Sequence[Binding], units: Units) -> MqttSource:
        """Listen from now on. Raises InputError where the settings cannot work (no CA file, no password)."""
        source = cls(config, bindings, twin, units)
        source._listener.open()
        source._pump.start()
        return source

    def stop(self, timeout_s: float = 10.0) -> None:
        """Record and acknowledge what was taken in, then leave; the broker keeps what comes after."""
        self._inbox.close()
        self._pump.join(timeout_s)
        self._listener.close()

    def health(self) -> MqttHealth:
        listener = self._listener
        return MqttHealth(
            address=self._config.address,
            connected=listener.connected,
            connects=listener.session,
            received=listener.received,
            recorded=self._recorded,
            unrouted=self._unrouted,
            shed=self._inbox.shed,
            queued=len(self._inbox),
            last_error=self._store_error or listener.last_error,
            problems=self._router.problems,
            bindings=self._router.health(time.time_ns()),
        )

    def _run(self) -> None:
        while True:
            batch = self._inbox.take(self._config.batch_rows_max, self._config.batch_wait_s)
            if batch:
                self._keep(batch)
            elif self._inbox.closed:
                return

    def _keep(self, batch: Sequence[Message]) -> None:
        """Decode, record, acknowledge. While the store refuses, nothing is acknowledged."""
        self._router.refresh(self._twin.snapshot())
        self._unrouted += sum(not self._router.routes(message.topic) for message in batch)
        readings, routes = decode(batch, self._router, self._twin.intern_texts)
        if len(readings) and not self._record(readings):
            return
        self._count(routes)
        self._listener.acknowledge(batch)

    def _record(self, readings: Readings) -> bool:
        wait_s = RETRY_S_MIN
        while True:
            try:
                self._recorded += self._twin.record(readings)
                self._store_error = None
                return True
            except StoreError as error:
                self._store_error = str(error)
                if self._inbox.closed:
                    return False
                time.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_S_MAX)

    def _count(self, routes: Iterable[Route]) -> None:
        now_ns = time.time_ns()
        for route in routes:
            self._router.saw(route, now_ns)


class _Listener:
    """The paho client: subscribes at every connect, enqueues bytes, acknowledges on request."""

    def __init__(self, config: MqttConfig, bindings: Sequence[Binding], inbox: Inbox[Message]) -> None:
        self.connected = False
        self.session = 0
        self.received = 0
        self.last_error: str | None = None
        self._config = config
        self._inbox = inbox
        self._five = config.protocol == "5"
        self._filters = _filters(bindings)
        self._client = self._new_client()

    def open(self) -> None:
        self._secure()
        config = self._config
        if self._five:
            properties = Properties(PacketTypes.CONNECT)
            properties.ReceiveMaximum = min(RECEIVE_MAXIMUM, config.queue_rows_max)
            properties.SessionExpiryInterval = config.session_expiry_s
            self._client.connect_async(
                config.host, config.port, config.keepalive_s, clean_start=False, properties=properties
            )
        else:
            self._client.connect_async(config.host, config.port, config.keepalive_s)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self.connected = False

    def acknowledge(self, batch: Iterable[Message]) -> None:
        for message in batch:
            if message.qos and message.session == self.session:
                self._client.ack(message.mid, message.qos)

    def _new_client(self) -> Client:
        config = self._config
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=config.client_id,
            clean_session=None if self._five else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.on_message = self._on_message
        client.reconnect_delay_set(config.reconnect_s_min, config.reconnect_s_max)
        return client

    def _secure(self) -> None:
        config = self._config
        if config.tls:
            try:
                context = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
            except (OSError, ssl.SSLError) as error:
                raise InputError(f"{config.ca_file} cannot be used: {error}", code="MQTT_CA_FILE") from error
            self._client.tls_set_context(context)
        if config.password_env is not None and config.password_env not in os.environ:
            raise InputError(f"environment variable {config.password_env} is not set", code="MQTT_PASSWORD")
        if config.username is not None:
            password = os.environ[config.password_env] if config.password_env else None
            self._client.username_pw_set(config.username, password)

    def _on_connect(
        self,
        client: Client,
        _data: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _more: Properties | None,
    ) -> None:
        if reason.is_failure:
            self.last_error = f"refused: {reason}"
            return
        self.session += 1
        self.connected, self.last_error = True, None
        for start in range(0, len(self._filters), FILTERS_PER_SUBSCRIBE_MAX):
            client.subscribe(self._chunk(start))

    def _chunk(self, start: int) -> list[tuple[str, SubscribeOptions]] | list[tuple[str, int]]:
        chunk = self._filters[start : start + FILTERS_PER_SUBSCRIBE_MAX]
        if not self._five:
            return chunk
        handling = SEND_ON_NEW_SUBSCRIPTION
        return [(topic, SubscribeOptions(qos=qos, retainHandling=handling)) for topic, qos in chunk]

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _more: Properties | None,
    ) -> None:
        self.connected = False
        self.last_error = f"disconnected: {reason}" if reason.is_failure else None

    def _on_connect_fail(self, _client: Client, _data: object) -> None:
        self.last_error = f"no answer from {self._config.address}"

    def _on_message(self, client: Client, _data: object, message: MQTTMessage) -> None:
        self.received += 1
        item = Message(
            message.topic,
            bytes(message.payload),
            time.time_ns(),
            message.retain,
            message.qos,
            message.mid,
            self.session,
        )
        self._inbox.offer(item, keep=message.qos > 0)


def _filters(bindings: Sequence[Binding]) -> list[tuple[str, int]]:
    """Each subscription filter once, with the highest QoS that a binding asks for."""
    qos_by_filter: dict[str, int] = {}
    for binding in bindings:
        topic = binding.topic_filter
        qos_by_filter[topic] = max(binding.qos, qos_by_filter.get(topic, 0))
    return sorted(qos_by_filter.items())
