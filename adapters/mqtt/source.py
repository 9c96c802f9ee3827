"""Live telemetry by MQTT.

A message of QoS 1 or 2 is acknowledged after it was recorded, not before: what the broker was told is kept,
is kept. The session outlives the connection (MQTT 5: clean start off, with an expiry; 3.1.1: clean session
off), so what came while we were away arrives later. A message may come twice, never not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.mqtt.chunks import Batch
from adapters.mqtt.config import RECEIVE_MAXIMUM
from adapters.mqtt.gmqtt_client import GmqttClient
from adapters.mqtt.packets import warm_up
from adapters.mqtt.paho_client import PahoClient
from adapters.pipeline import BoundDecoder, Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.binding import Binding
    from adapters.mqtt.config import MqttConfig
    from adapters.mqtt.decode import Message
    from adapters.pipeline import SourceHealth
    from graph.twin import Twin
    from ontology.units import Units


class MqttSource:
    """One broker feeding one site. `start` returns at once; connecting goes on in the background."""

    def __init__(self, config: MqttConfig, bindings: Sequence[Binding], twin: Twin, units: Units) -> None:
        decoder = BoundDecoder(twin, bindings, units)
        self._pipeline = Pipeline(twin, config, decoder, self._acknowledge, reserve_rows=RECEIVE_MAXIMUM)
        make = GmqttClient if config.client == "gmqtt" else PahoClient
        self._client = make(config, subscriptions(bindings, config.share), self._pipeline)

    @classmethod
    def start(cls, twin: Twin, config: MqttConfig, bindings: Sequence[Binding], units: Units) -> MqttSource:
        """Listen from now on. Raises InputError where the settings cannot work (no CA file, no password)."""
        source = cls(config, bindings, twin, units)
        warm_up()
        source._client.open()
        source._pipeline.start()
        return source

    def stop(self, timeout_s: float = 10.0) -> None:
        """Record and acknowledge what was taken in, then leave; the broker keeps what comes after."""
        self._pipeline.close(timeout_s)
        self._client.close()

    def health(self) -> SourceHealth:
        return self._pipeline.health(self._client.link)

    def _acknowledge(self, batch: Sequence[Message]) -> None:
        self._client.acknowledge(batch if isinstance(batch, Batch) else Batch(batch))


def subscriptions(bindings: Sequence[Binding], share: str = "") -> list[tuple[str, int]]:
    """Each subscription filter once, with the highest QoS that a binding asks for.

    share: servers that name the same group get each message once among them (MQTT 5, section 4.8.2).
    """
    qos_by_filter: dict[str, int] = {}
    for binding in bindings:
        topic = f"$share/{share}/{binding.topic_filter}" if share else binding.topic_filter
        qos_by_filter[topic] = max(binding.qos, qos_by_filter.get(topic, 0))
    return sorted(qos_by_filter.items())
