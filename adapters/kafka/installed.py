"""Whether the client of Kafka is here: an extra, since few want it and it brings a C library of 14 MB."""

from __future__ import annotations

import importlib.util

from ontology.errors import InputError


def demand_client() -> None:
    """InputError KAFKA_NOT_INSTALLED where a table asks for Kafka and the client is not installed."""
    if importlib.util.find_spec("confluent_kafka") is None:
        message = "settings ask for Kafka, whose client confluent-kafka is not installed"
        raise InputError(message, code="KAFKA_NOT_INSTALLED", hint="pip install 'twinmesh[kafka]'")
