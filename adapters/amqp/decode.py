"""AMQP deliveries as messages: a routing key is an address with dots where bindings have slashes."""

from __future__ import annotations

from adapters.mqtt.decode import Message


def message_of(routing_key: str, body: bytes, delivery_tag: int, session: int, arrival_ns: int) -> Message:
    """A delivery that waits for its acknowledgement, as a message of QoS 1."""
    return Message(routing_key.replace(".", "/"), body, arrival_ns, False, 1, delivery_tag, session)
