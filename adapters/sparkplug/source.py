# pyright: reportUnknownMemberType=false
"""Live telemetry by Sparkplug B: the connection of a host application, which tells its STATE."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from adapters.mqtt.config import RECEIVE_MAXIMUM
from adapters.mqtt.decode import Message
from adapters.mqtt.security import credentials, tls_context
from adapters.pipeline import Link, Pipeline
from adapters.sparkplug.decode import BOOLEAN, Metric, Payload, encode_payload
from adapters.sparkplug.host import NAMESPACE, REBIRTH, SparkplugHost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.client import ConnectFlags, DisconnectFlags
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

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
        self._connected = False
        self._session = 0
        self._last_error: str | None = None
        self._client = self._new_client()

    @classmethod
    def start(cls, twin: Twin, config: SparkplugConfig, units: Units) -> SparkplugSource:
        """Listen from now on. Raises InputError where the settings cannot work (no CA file, no password)."""
        source = cls(config, twin, units)
        source._secure()
        source._client.connect_async(config.host, config.port, config.keepalive_s)
        source._client.loop_start()
        source._pipeline.start()
        return source

    def stop(self, timeout_s: float = 10.0) -> None:
        """Record what was taken in, say that we are offline, leave."""
        self._pipeline.close(timeout_s)
        if self._connected:
            self._client.publish(self._state_topic, self._state(False), qos=1, retain=True).wait_for_publish(
                FAREWELL_S_MAX
            )
        self._client.disconnect()
        self._client.loop_stop()
        self._connected = False

    def health(self) -> SourceHealth:
        link = Link(self._config.address, self._connected, self._session, self._last_error)
        return self._pipeline.health(link)

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._config.client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        client.on_pre_connect = self._before_connect
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.on_message = self._on_message
        client.reconnect_delay_set(self._config.reconnect_s_min, self._config.reconnect_s_max)
        self._client = client
        self._before_connect(client, None)
        return client

    def _secure(self) -> None:
        context = tls_context(self._config)
        if context is not None:
            self._client.tls_set_context(context)
        username, password = credentials(self._config)
        if username is not None:
            self._client.username_pw_set(username, password)

    def _before_connect(self, client: Client, _data: object) -> None:
        """The will and what we say once we are connected bear the same time."""
        self._state_ms = time.time_ns() // 1_000_000
        client.will_set(self._state_topic, self._state(False), qos=1, retain=True)

    def _state(self, online: bool) -> str:
        return json.dumps({"online": online, "timestamp": self._state_ms})

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
        self._host.forget()
        filters = [f"{NAMESPACE}/{group}/#" for group in self._config.groups] or [f"{NAMESPACE}/#"]
        client.subscribe([(each, 1) for each in {*filters, self._state_topic}])
        client.publish(self._state_topic, self._state(True), qos=1, retain=True)

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

    def _on_message(self, client: Client, _data: object, message: MQTTMessage) -> None:
        topic, payload = message.topic, bytes(message.payload)
        if topic.startswith(f"{NAMESPACE}/STATE/"):
            client.ack(message.mid, message.qos)
            if topic == self._state_topic and _says_offline(payload):  # the will of a connection before this
                client.publish(self._state_topic, self._state(True), qos=1, retain=True)
            return
        if message.retain or topic.split("/")[2:3] in (["NCMD"], ["DCMD"]):
            client.ack(message.mid, message.qos)
            return
        now_ns = time.time_ns()
        self._pipeline.offer(Message(topic, payload, now_ns, False, message.qos, message.mid, self._session))

    def _acknowledge(self, batch: Sequence[Message]) -> None:
        for message in batch:
            if message.qos and message.session == self._session:
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
