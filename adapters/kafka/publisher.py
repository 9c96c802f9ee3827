"""Sending by Kafka: one record at a time, confirmed by all replicas that are in step (`acks=all`), and
written once however often the client sends it (idempotent).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from adapters.kafka.client import RIGHTS, VAGUE, is_fatal, settings_of, trouble
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Message as Record

    from adapters.kafka.config import KafkaLink

_REFUSED: Final = RIGHTS | {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_MSG,
    KafkaError.POLICY_VIOLATION,
}
_GIVE_UP_SHARE: Final = 0.8  # of the time for a record; the client tells of one that timed out a bit later
_POLL_S: Final = 0.1
_CLOSE_S: Final = 2.0


class KafkaPublisher:
    """A producer, made anew after an error that it cannot get over. For one thread."""

    def __init__(self, link: KafkaLink, timeout_s: float) -> None:
        """timeout_s: for a record to be confirmed. InputError where the settings cannot work."""
        self._address = link.address
        self._timeout_s = timeout_s
        self._last: KafkaError | None = None
        self._settings = {
            **settings_of(link),
            "enable.idempotence": True,  # which asks for acks=all
            "linger.ms": 0,
            "message.timeout.ms": round(timeout_s * _GIVE_UP_SHARE * 1_000),
            "request.timeout.ms": round(timeout_s * 1_000),
            "topic.metadata.propagation.max.ms": round(timeout_s * 500),
            "reconnect.backoff.max.ms": 5_000,
            "error_cb": self._error_came,
        }
        self._producer: Producer | None = None

    def publish(self, topic: str, key: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Send a record and wait until it is confirmed.

        StoreError KAFKA_REFUSED: the cluster does not take it; KAFKA_UNCONFIRMED: it may have, or not.
        """
        reports: list[KafkaError | None] = []

        def came(error: KafkaError | None, _record: Record) -> None:
            reports.append(error)

        self._producer = self._producer or Producer(self._settings)
        packed: list[tuple[str, str | bytes | None]] = [
            (name, text.encode()) for name, text in headers.items()
        ]
        try:
            self._producer.produce(topic, content, key.encode(), on_delivery=came, headers=packed)
        except (KafkaException, BufferError) as error:
            self._renew()
            raise StoreError(f"Kafka: {error}", code="KAFKA_UNCONFIRMED") from error
        ends_s = time.monotonic() + self._timeout_s
        while not reports and time.monotonic() < ends_s:
            self._producer.poll(_POLL_S)
        if not reports or reports[0] is not None:
            self._failed(reports[0] if reports else None)
        self._last = None

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(_CLOSE_S)
            self._producer = None

    def _failed(self, error: KafkaError | None) -> None:
        """Raise what became of a record."""
        if error is None or is_fatal(error):
            self._renew()
        told = self._last if error is None or error.code() in (*VAGUE, KafkaError._MSG_TIMED_OUT) else error
        why = "no answer in time" if told is None else trouble(self._address, told, False)
        is_refused = error is not None and error.code() in _REFUSED
        raise StoreError(f"Kafka: {why}", code="KAFKA_REFUSED" if is_refused else "KAFKA_UNCONFIRMED")

    def _renew(self) -> None:
        """Let go of this producer and of what it still holds: it is sent again by who asked for it."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def _error_came(self, error: KafkaError) -> None:
        if error.code() not in VAGUE or self._last is None:
            self._last = error
