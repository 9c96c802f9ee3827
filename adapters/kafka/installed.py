"""Whether the client of Kafka is here: an extra, since few want it and it brings a C library of 14 MB."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from ontology.errors import InputError

if TYPE_CHECKING:
    from adapters.kafka.config import KafkaLink
    from adapters.kafka.publisher import KafkaPublisher


def demand_client() -> None:
    """InputError KAFKA_NOT_INSTALLED where a table asks for Kafka and the client is not installed."""
    if importlib.util.find_spec("confluent_kafka") is None:
        message = "settings ask for Kafka, whose client confluent-kafka is not installed"
        raise InputError(message, code="KAFKA_NOT_INSTALLED", hint="pip install 'twinmesh[kafka]'")


def open_publisher(link: KafkaLink, timeout_s: float) -> KafkaPublisher:
    """A publisher, imported now: only who uses it has the client. InputError KAFKA_NOT_INSTALLED and those of
    KafkaPublisher.
    """
    demand_client()
    made: KafkaPublisher = importlib.import_module("adapters.kafka.publisher").KafkaPublisher(link, timeout_s)
    return made
