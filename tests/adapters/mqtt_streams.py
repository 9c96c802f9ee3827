"""Messages as they come over a line of MQTT, and what the kernels make of them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from adapters.mqtt.packets import Other, Packets

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from adapters.mqtt.chunks import Chunk
    from adapters.mqtt.decode import Message


def length(number: int) -> bytes:
    """How MQTT writes the length of a packet (OASIS MQTT 5.0, section 1.5.5)."""
    found = bytearray()
    while True:
        number, digit = divmod(number, 128)
        found.append(digit | (128 if number else 0))
        if not number:
            return bytes(found)


def publish(topic: bytes, body: bytes, qos: int, mid: int, properties: bytes | None, retained: int) -> bytes:
    rest = struct.pack("!H", len(topic)) + topic
    rest += struct.pack("!H", mid) if qos else b""
    rest += b"" if properties is None else length(len(properties)) + properties
    return bytes([0x30 | qos << 1 | retained]) + length(len(rest + body)) + rest + body


def in_chunks(messages: Sequence[Message], draw: random.Random) -> list[Chunk]:
    """As they come out of packets that a socket gave in pieces of any size."""
    stream = b"".join(
        publish(message.topic.encode(), message.payload, message.qos, message.mid, None, message.retained)
        for message in messages
    )
    chunks: list[Chunk] = []
    rest = b""
    while stream:
        cut = draw.choice([1, 100, 5_000, 200_000])
        data, stream = rest + stream[:cut], stream[cut:]
        packets = Packets(data, five=False, qos_max=2)
        for part in packets.parts(lambda: 1):
            assert not isinstance(part, Other)
            chunks.append(part)
        rest = data[packets.taken :]
    assert rest == b""
    return chunks
