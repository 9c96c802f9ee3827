"""Packets of MQTT read by the chunk, held against a reader that goes packet by packet."""

from __future__ import annotations

import random

from adapters.mqtt.packets import MALFORMED, Other, Packets, acknowledgements
from tests.adapters.mqtt_streams import length, publish

OTHERS = (b"\xd0\x00", b"\x90\x04\x00\x01\x00\x00", b"\x40\x02\x00\x07", b"\x30\x00")


def test_chunks_are_read_as_single_packets_are() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(300):
        five, qos_max = draw.random() < 0.5, draw.choice([1, 2])
        sent: list[bytes] = []
        expected: list[tuple[str, bytes, bool, int, int] | bytes] = []
        for _ in range(draw.randint(0, 12)):
            if draw.random() < 0.2:
                packet = draw.choice(
                    [b"\xd0\x00", b"\x90\x04\x00\x01\x00\x00", b"\x40\x02\x00\x07", b"\x30\x00"]
                )
                expected.append(packet)
            else:
                topic, qos, mid = (
                    draw.choice(["a/b", "ü/1", "t" * 200, ""]),
                    draw.randint(0, 2),
                    draw.randint(1, 65535),
                )
                body, retained = draw.randbytes(draw.choice([0, 1, 40, 300])), draw.randint(0, 1)
                properties = draw.choice([b"", b"", b"\x01\x01"]) if five else None
                packet = publish(topic.encode(), body, qos, mid, properties, retained)
                plain = topic and qos <= qos_max and not properties
                told = (topic, body, bool(retained), qos, mid if qos else 0)
                expected.append(told if plain else packet)
            sent.append(packet)
        stream = b"".join(sent)
        found: list[tuple[str, bytes, bool, int, int] | bytes] = []
        rest = b""
        while stream or rest:
            cut = draw.randint(1, max(1, len(stream)))
            data, stream = rest + stream[:cut], stream[cut:]
            packets = Packets(data, five=five, qos_max=qos_max)
            for part in packets.parts(lambda: 3):
                if isinstance(part, Other):
                    found.append(part.packet)
                    assert part.head == 1 + len(length(len(part.packet) - part.head))
                else:
                    assert part.session == 3
                    found += [(m.topic, m.payload, m.retained, m.qos, m.mid) for m in part.messages()]
            rest = data[packets.taken :]
            if not stream:
                assert rest == b""
        assert found == expected


def test_what_is_cut_short_inside_is_left_to_the_library() -> None:
    for packet in (b"\x30\x03\x00\x09a", b"\x32\x04\x00\x01a\x00", b"\x30\x01\x00", b"\x32\x03\x00\x01a"):
        packets = Packets(packet, five=False, qos_max=2)
        assert list(packets.parts(lambda: 0)) == [Other(packet, 2)]
    assert list(Packets(b"\x30\x03\x00\x01a", five=True, qos_max=2).parts(lambda: 0)) == [
        Other(b"\x30\x03\x00\x01a", 2)
    ]


def test_a_length_that_is_none() -> None:
    assert Packets(b"\x30\xff\xff\xff\xff\x7f", five=False, qos_max=2).taken == MALFORMED
    assert Packets(b"\x30\xff\xff", five=False, qos_max=2).taken == 0


def test_acknowledgements_are_those_of_the_standard() -> None:
    """MQTT 3.1.1, sections 3.4 and 3.5; MQTT 5 allows the same where all went well."""
    assert acknowledgements([(1, 1), (0xABCD, 2)]) == b"\x40\x02\x00\x01\x50\x02\xab\xcd"
    assert acknowledgements([]) == b""
