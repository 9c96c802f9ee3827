"""What the client is told of a cluster, and what its errors mean for a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from confluent_kafka import KafkaError

from adapters.line_trouble import (
    lost,
    no_answer,
    not_encrypted,
    refused_certificate,
    refused_subscription,
    refused_us,
)
from adapters.mqtt.security import credentials, tls_context

if TYPE_CHECKING:
    from adapters.kafka.config import KafkaLink

STATISTICS_MS: Final = 1_000
_LOGIN: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
RIGHTS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._FENCED,
    }
)
# Said after the reason, and of no server in particular: it must not hide what was told before.
VAGUE: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE})


class _Server(msgspec.Struct):
    state: str


class _Group(msgspec.Struct):
    state: str
    join_state: str


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Server] = {}
    cgrp: _Group | None = None


_read_statistics = msgspec.json.Decoder(_Statistics).decode


def settings_of(link: KafkaLink) -> dict[str, object]:
    """Settings of a consumer or producer. InputError where they cannot work (no CA file, no password)."""
    tls_context(link)  # says what is wrong with a CA file
    name, password = credentials(link)
    settings: dict[str, object] = {
        "bootstrap.servers": ",".join(link.servers),
        "client.id": link.client_id or "twinmesh",
        "security.protocol": ("SASL_" if name else "") + ("SSL" if link.tls else "PLAINTEXT"),
        "log_level": 0,  # what matters comes by the callbacks
        "socket.connection.setup.timeout.ms": 10_000,
    }
    if link.ca_file is not None:
        settings["ssl.ca.location"] = str(link.ca_file)
    if name:
        settings |= {"sasl.mechanism": link.sasl, "sasl.username": name, "sasl.password": password}
    return settings


def trouble(address: str, error: KafkaError, was_up: bool) -> str:
    """What an error of the client says about a line, with its code in front."""
    code, said = error.code(), error.str()
    if code == KafkaError._SSL:
        refused = "certificate" in said.casefold()
        return refused_certificate(address, said) if refused else not_encrypted(address, said)
    if code in _LOGIN:
        return refused_us(address, said)
    if code in RIGHTS or code == KafkaError._FATAL:  # such as a member of our name that took our place
        return refused_subscription(address, said)
    return lost(said) if was_up else no_answer(address, said)


def is_fatal(error: KafkaError) -> bool:
    """Whether a client cannot go on, and a new one is needed."""
    return error.fatal() or error.code() == KafkaError._FATAL


class Standing(NamedTuple):
    """reached: a server of the cluster, and the one that leads the group. settled: no hand-over goes on."""

    reached: bool
    settled: bool


def standing_of(statistics: str) -> Standing:
    """How a consumer stands, by the statistics that the client gives."""
    told = _read_statistics(statistics)
    group = told.cgrp
    if group is None:
        return Standing(False, False)
    is_reached = group.state == "up" and any(server.state == "UP" for server in told.brokers.values())
    return Standing(is_reached, group.join_state == "steady")
