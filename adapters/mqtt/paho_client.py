# pyright: reportUnknownMemberType=false
"""MQTT by paho: the network thread only hands messages over, acknowledgements wait to be asked for."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from adapters.mqtt.config import RECEIVE_MAXIMUM
from adapters.mqtt.decode import Message
from adapters.mqtt.line import PahoLine
from adapters.mqtt.paho_reading import ReadingClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.client import Client, MQTTMessage

    from adapters.mqtt.chunks import Batch
    from adapters.mqtt.config import MqttConfig
    from adapters.pipeline import Link, Taker

FILTERS_PER_SUBSCRIBE_MAX = 500  # brokers cap packets; one packet for each chunk of filters
SEND_ON_NEW_SUBSCRIPTION = 1  # retain handling of MQTT 5: no flood of old values at every reconnect


class PahoClient:
    """Subscribes at every connect, hands messages to `taker`, acknowledges on request."""

    def __init__(self, config: MqttConfig, filters: Sequence[tuple[str, int]], taker: Taker) -> None:
        self._config = config
        self._filters = list(filters)
        self._taker = taker
        self._five = config.protocol == "5"
        self._line = PahoLine(
            config,
            config.protocol,
            clean=False,
            on_up=self._on_up,
            on_message=self._on_message,
            reconnect_s=(config.reconnect_s_min, config.reconnect_s_max),
            manual_ack=True,
            make=partial(ReadingClient, taker.offer_chunk, lambda: self._line.session, self._five),
        )
        self._client = self._line.client

    def open(self) -> None:
        """Connect in the background. Raises InputError where the settings cannot work."""
        self._line.secure()
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
        self._line.ended()

    def acknowledge(self, batch: Batch) -> None:
        for mid, qos in batch.promised(self._line.session):
            self._client.ack(mid, qos)

    @property
    def link(self) -> Link:
        return self._line.link

    def _on_up(self, client: Client) -> int:
        starts = range(0, len(self._filters), FILTERS_PER_SUBSCRIBE_MAX)
        for start in starts:
            client.subscribe(self._chunk(start))
        return len(starts)

    def _chunk(self, start: int) -> list[tuple[str, SubscribeOptions]] | list[tuple[str, int]]:
        chunk = self._filters[start : start + FILTERS_PER_SUBSCRIBE_MAX]
        if not self._five:
            return chunk
        handling = SEND_ON_NEW_SUBSCRIPTION
        return [(topic, SubscribeOptions(qos=qos, retainHandling=handling)) for topic, qos in chunk]

    def _on_message(self, message: MQTTMessage) -> None:
        self._taker.offer(
            Message(
                message.topic,
                bytes(message.payload),
                time.time_ns(),
                message.retain,
                message.qos,
                message.mid,
                self._line.session,
            )
        )
