# pyright: reportUnknownMemberType=false
"""MQTT by paho: the network thread only hands messages over, acknowledgements wait to be asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from adapters.mqtt.config import RECEIVE_MAXIMUM
from adapters.mqtt.decode import Message
from adapters.mqtt.paho_reading import ReadingClient
from adapters.mqtt.security import credentials, tls_context
from adapters.pipeline import Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paho.mqtt.client import ConnectFlags, DisconnectFlags
    from paho.mqtt.reasoncodes import ReasonCode

    from adapters.mqtt.config import MqttConfig
    from adapters.pipeline import Taker

FILTERS_PER_SUBSCRIBE_MAX = 500  # brokers cap packets; one packet for each chunk of filters
SEND_ON_NEW_SUBSCRIPTION = 1  # retain handling of MQTT 5: no flood of old values at every reconnect


class PahoClient:
    """Subscribes at every connect, hands messages to `taker`, acknowledges on request."""

    def __init__(self, config: MqttConfig, filters: Sequence[tuple[str, int]], taker: Taker) -> None:
        self._config = config
        self._filters = list(filters)
        self._taker = taker
        self._five = config.protocol == "5"
        self._connected = False
        self._session = 0
        self._last_error: str | None = None
        self._client = self._new_client()

    def open(self) -> None:
        """Connect in the background. Raises InputError where the settings cannot work."""
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
        self._connected = False

    def acknowledge(self, batch: Iterable[Message]) -> None:
        for message in batch:
            if message.qos and message.session == self._session:
                self._client.ack(message.mid, message.qos)

    @property
    def link(self) -> Link:
        return Link(self._config.address, self._connected, self._session, self._last_error)

    def _new_client(self) -> Client:
        config = self._config
        client = ReadingClient(
            self._taker.offer_all,
            lambda: self._session,
            self._five,
            callback_api_version=CallbackAPIVersion.VERSION2,
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
        context = tls_context(self._config)
        if context is not None:
            self._client.tls_set_context(context)
        username, password = credentials(self._config)
        if username is not None:
            self._client.username_pw_set(username, password)

    def _on_connect(
        self,
        client: Client,
        _data: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _more: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._last_error = f"refused: {reason}"
            return
        self._session += 1
        self._connected, self._last_error = True, None
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
        self._connected = False
        self._last_error = f"disconnected: {reason}" if reason.is_failure else None

    def _on_connect_fail(self, _client: Client, _data: object) -> None:
        self._last_error = f"no answer from {self._config.address}"

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._taker.offer(
            Message(
                message.topic,
                bytes(message.payload),
                time.time_ns(),
                message.retain,
                message.qos,
                message.mid,
                self._session,
            )
        )
