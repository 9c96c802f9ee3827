"""A Kafka of the tests' own with users and rights, and what tests put into it and find in it."""

from __future__ import annotations

import contextlib
import json

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from bench import kafka_server
from bench.jars import MissingError
from tests.api.certificates import Authority
from tests.conftest import missing

T0 = 1_768_219_200_000_000_000
USER, PASSWORD = "twinmesh", "s3cret"
WAIT_S = 120


@contextlib.contextmanager
def secured(folder):
    """A server that speaks TLS alone. Our user reads and writes topics `c.*` and groups `g*`, no others."""
    try:
        kafka_server.fetch()
    except MissingError as error:
        missing(f"Kafka: {error}")
    folder.mkdir(exist_ok=True)
    authority = Authority(folder, "site")
    pair = authority.pair("kafka")
    users = {kafka_server.ADMIN: "adm1n", USER: PASSWORD}
    security = kafka_server.Security(authority.file, pair.certificate, pair.key, users)
    with kafka_server.running(folder / "home", security) as server:
        rights = [
            AclBinding(
                kind, prefix, ResourcePatternType.PREFIXED, f"User:{USER}", "*", what, AclPermissionType.ALLOW
            )
            for kind, prefix, what in (
                (ResourceType.TOPIC, "c.", AclOperation.READ),
                (ResourceType.TOPIC, "c.", AclOperation.WRITE),
                (ResourceType.GROUP, "g", AclOperation.READ),
            )
        ]
        admin = AdminClient(dict(server.client()))
        for made in admin.create_acls(rights).values():
            made.result(WAIT_S)
        yield server


def publish(server, records, **settings):
    """Records (topic, key, body); the cluster has confirmed each when this returns."""
    refused = []

    def delivered(error, _record):
        if error is not None:
            refused.append(error)

    producer = Producer({**server.client(), "linger.ms": 5, **settings})
    for topic, key, body in records:
        producer.produce(topic, body, key, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(WAIT_S) == 0
    assert not refused, refused[:3]


def readings(first, last, topic, point="FREE"):
    return [(topic, point, json.dumps({"value": n, "t": T0 + n}).encode()) for n in range(first, last)]


def committed(server, group, topic, partitions=1):
    """The sum of what a group committed in a topic."""
    consumer = Consumer({**server.client(), "group.id": group})
    try:
        found = consumer.committed([TopicPartition(topic, n) for n in range(partitions)], WAIT_S)
    finally:
        consumer.close()
    return sum(max(each.offset, 0) for each in found)


def records_of(server, topic, count):
    """The first records of a topic's only partition."""
    consumer = Consumer({**server.client(), "group.id": "reader", "enable.auto.commit": False})
    found = []
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        for _ in range(WAIT_S * 2):
            found += [each for each in consumer.consume(count - len(found), 0.5) if each.error() is None]
            if len(found) == count:
                return found
    finally:
        consumer.close()
    raise AssertionError(f"{len(found)} of {count} records of {topic}")
