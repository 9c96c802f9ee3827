"""Records of Kafka as messages: the topic, with slashes for its dots, and the key are the address."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from adapters.mqtt.decode import Message

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from confluent_kafka import Message as Record

    from adapters.kafka.offsets import Partition

_NS_PER_MS = 1_000_000


class Taken(NamedTuple):
    """Messages of some records; after: the offset behind the last record of each partition."""

    messages: list[Message]
    after: dict[Partition, int]


def messages_of(records: Sequence[Record], ours: Container[Partition], number: int) -> Taken:
    """Messages of records in partitions that are ours, numbered from `number` + 1 on.

    A record's own stamp counts as the time of arrival, so that what waited in Kafka while we were away keeps
    its time; one that is ahead of our clock counts as now. A record without a value has an empty payload.
    """
    now_ns = time.time_ns()
    roots: dict[str, str] = {}
    messages: list[Message] = []
    after: dict[Partition, int] = {}
    for record in records:
        topic, place = record.topic() or "", record.partition() or 0
        if (topic, place) not in ours:
            continue
        after[topic, place] = (record.offset() or 0) + 1
        root = roots.get(topic) or roots.setdefault(topic, topic.replace(".", "/"))
        key, (kind, stamp_ms) = record.key(), record.timestamp()
        address = root if key is None else f"{root}/{key.decode(errors='backslashreplace')}"
        arrival_ns = min(stamp_ms * _NS_PER_MS, now_ns) if kind and stamp_ms > 0 else now_ns
        number += 1
        messages.append(Message(address, record.value() or b"", arrival_ns, False, 1, number))
    return Taken(messages, after)


def split(messages: list[Message], bytes_max: int) -> list[list[Message]]:
    """In their order, in pieces that a queue of `bytes_max` takes whole: one piece, most often."""
    if sum([len(message.payload) for message in messages]) <= bytes_max // 2:
        return [messages] if messages else []
    return [[message] for message in messages]
