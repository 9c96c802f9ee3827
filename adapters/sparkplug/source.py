# pyright: reportUnknownMemberType=false
"""Live telemetry by Sparkplug B: the connection of a host application, which tells its STATE."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from adapters.mqtt.config import RECEIVE_MAXIMUM
from adapters.mqtt.decode import Message
from adapters.mqtt.line import PahoLine
from adapters.pipeline import Pipeline
from adapters.sparkplug.decode import BOOLEAN, Metric, Payload, encode_payload
from adapters.sparkplug.host import NAMESPACE, REBIRTH, SparkplugHost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.client import Client, MQTTMessage

    from adapters.pipeline import SourceHealth
    from adapters.sparkplug.config import SparkplugConfig
    from graph.twin import Twin
    from ontology.units import Units

FAREWELL_S_MAX = 2.0


class SparkplugSource:
    """One broker's edges feeding one site. `start` returns at once; connecting goes on in the background."""

    def __init__(self, config: SparkplugConfig, twin: Twin, units: Units) -> None:
        self._config = config
        self._host = SparkplugHost(config, twin, units, self._ask_for_birth)
        self._pipeline = Pipeline(twin, config, self._host, self._acknowledge, reserve_rows=RECEIVE_MAXIMUM)
        self._state_topic = f"{NAMESPACE}/STATE/{config.host_id}"
        self._state_ms = 0
        self._line = PahoLine(
            config,
            "3.1.1",
            clean=True,
            on_up=self._on_up,
            on_message=self._on_message,
            reconnect_s=(config.reconnect_s_min, config.reconnect_s_max),
            manual_ack=True,
        )
        self._client = self._line.client
        self._client.on_pre_connect = self._before_connect
        self._before_connect(self._client, None)

    @classmethod
    def start(cls, twin: Twin, config: SparkplugConfig, units: Units) -> SparkplugSource:
        """Listen from now on. Raises InputError where the settings cannot work (no CA file, no password)."""
        source = cls(config, twin, units)
        source._line.secure()
        source._client.connect_async(config.host, config.port, config.keepalive_s)
        source._client.loop_start()
        source._pipeline.start()
        return source

    def stop(self, timeout_s: float = 10.0) -> None:
        """Record what was taken in, say that we are offline, leave."""
        self._pipeline.close(timeout_s)
        if self._line.connected:
            self._client.publish(self._state_topic, self._state(False), qos=1, retain=True).wait_for_publish(
                FAREWELL_S_MAX
            )
        self._client.disconnect()
        self._client.loop_stop()
        self._line.ended()

    def health(self) -> SourceHealth:
        return self._pipeline.health(self._line.link)

    def _before_connect(self, client: Client, _data: object) -> None:
        """The will and what we say once we are connected bear the same time."""
        self._state_ms = time.time_ns() // 1_000_000
        client.will_set(self._state_topic, self._state(False), qos=1, retain=True)

    def _state(self, online: bool) -> str:
        return json.dumps({"online": online, "timestamp": self._state_ms})

    def _on_up(self, client: Client) -> int:
        filters = [f"{NAMESPACE}/{group}/#" for group in self._config.groups] or [f"{NAMESPACE}/#"]
        client.subscribe([(each, 1) for each in {*filters, self._state_topic}])
        client.publish(self._state_topic, self._state(True), qos=1, retain=True)
        self._host.forget()
        return 1

    def _on_message(self, message: MQTTMessage) -> None:
        client = self._client
        topic, payload = message.topic, bytes(message.payload)
        if topic.startswith(f"{NAMESPACE}/STATE/"):
            client.ack(message.mid, message.qos)
            if topic == self._state_topic and _says_offline(payload):  # the will of a connection before this
                client.publish(self._state_topic, self._state(True), qos=1, retain=True)
            return
        if message.retain or topic.split("/")[2:3] in (["NCMD"], ["DCMD"]):
            client.ack(message.mid, message.qos)
            return
        now_ns, session = time.time_ns(), self._line.session
        self._pipeline.offer(Message(topic, payload, now_ns, False, message.qos, message.mid, session))

    def _acknowledge(self, batch: Sequence[Message]) -> None:
        for message in batch:
            if message.qos and message.session == self._line.session:
                self._client.ack(message.mid, message.qos)

    def _ask_for_birth(self, group: str, node: str) -> None:
        now_ms = time.time_ns() // 1_000_000
        metric = Metric(name=REBIRTH, timestamp_ms=now_ms, datatype=BOOLEAN, value=True)
        self._client.publish(f"{NAMESPACE}/{group}/NCMD/{node}", encode_payload(Payload(now_ms, (metric,))))


def _says_offline(payload: bytes) -> bool:
    try:
        document = json.loads(payload)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("online") is False
