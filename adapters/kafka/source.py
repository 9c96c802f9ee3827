"""Live telemetry by Kafka: offsets are committed after the readings were recorded.

A message may come twice, never not at all: what we did not commit is read again, by us or by the server that
has the partition then. While the queue is full nothing is taken from the client, whose own queue is bounded;
after a while the partitions are paused, so that we stay in the group however long the store refuses.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from adapters.kafka.client import RIGHTS, STATISTICS_MS, VAGUE, is_fatal, settings_of, standing_of, trouble
from adapters.kafka.decode import messages_of, split
from adapters.kafka.offsets import Offsets
from adapters.line_trouble import lost, refused_subscription
from adapters.pipeline import BoundDecoder, Link, Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.binding import Binding
    from adapters.kafka.config import KafkaConfig
    from adapters.kafka.offsets import Partition
    from adapters.mqtt.decode import Message
    from adapters.pipeline import SourceHealth
    from graph.twin import Twin
    from ontology.units import Units

TAKE_ROWS: Final = 5_000
POLL_S: Final = 0.1
FULL_S: Final = 0.01
# Without polls for longer than this the partitions are paused: a group expels members that do not poll.
PAUSE_AFTER_S: Final = 5.0
COMMIT_S: Final = 0.5
HEARTBEAT_MS_MAX: Final = 2_000  # also how soon a member hears of another one
SETTLE_S_MAX: Final = 10.0


class KafkaSource:
    """Topics feeding one site. `start` returns at once; connecting goes on in the background."""

    def __init__(self, config: KafkaConfig, bindings: Sequence[Binding], twin: Twin, units: Units) -> None:
        self._config = config
        self._address = config.link.address
        decoder = BoundDecoder(twin, bindings, units)
        self._pipeline = Pipeline(twin, config, decoder, self._acknowledge, reserve_rows=1)
        self._offsets = Offsets()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kafka-{config.site}", daemon=True)
        self._settings: dict[str, object] = {}
        self._take_rows = min(TAKE_ROWS, config.queue_rows_max)
        self._forget_line()
        self._connects = 0
        self._was_up = False
        self._refused: dict[str, str] = {}  # topics that we do not get, and why
        self._last_error: str | None = None

    @classmethod
    def start(cls, twin: Twin, config: KafkaConfig, bindings: Sequence[Binding], units: Units) -> KafkaSource:
        """Listen from now on. Raises InputError where the settings cannot work (no CA file, no password)."""
        source = cls(config, bindings, twin, units)
        source._settings = source._consumer_settings()
        source._thread.start()
        source._pipeline.start()
        return source

    def stop(self, timeout_s: float = 10.0) -> None:
        """Record and commit what was taken in, then leave; the cluster keeps the rest."""
        self._pipeline.close(timeout_s)
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._connected = False

    def health(self) -> SourceHealth:
        told = next(iter(self._refused.values()), None) or self._last_error
        return self._pipeline.health(Link(self._address, self._connected, self._connects, told))

    def _consumer_settings(self) -> dict[str, object]:
        config = self._config
        static = {"group.instance.id": config.link.client_id} if config.link.client_id else {}
        return {
            **settings_of(config.link),
            **static,  # started again, it takes its partitions back at once
            "group.id": config.group,
            "enable.auto.commit": False,
            "auto.offset.reset": config.start,
            "allow.auto.create.topics": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": config.session_timeout_s * 1_000,
            "heartbeat.interval.ms": min(config.session_timeout_s * 1_000 // 4, HEARTBEAT_MS_MAX),
            "topic.metadata.refresh.interval.ms": 30_000,
            "reconnect.backoff.ms": config.reconnect_s_min * 1_000,
            "reconnect.backoff.max.ms": max(config.reconnect_s_max, config.reconnect_s_min) * 1_000,
            "queued.max.messages.kbytes": config.queue_bytes_max >> 10,
            "statistics.interval.ms": STATISTICS_MS,
            "stats_cb": self._statistics_came,
            "error_cb": self._error_came,
            "on_commit": self._committed,
        }

    def _run(self) -> None:
        pause_s = float(self._config.reconnect_s_min)
        while not self._stop.is_set():
            try:
                self._listen()
            except KafkaException as error:
                self._note(error.args[0])
            if self._was_up and not self._is_broken:  # two of one name would expel each other for ever
                pause_s = float(self._config.reconnect_s_min)
            self._forget_line()
            self._stop.wait(pause_s)
            pause_s = min(pause_s * 2, float(self._config.reconnect_s_max))

    def _forget_line(self) -> None:
        """Nothing is ours, until a consumer says so."""
        self._connected = self._was_up = self._paused = self._is_broken = False
        self._ours: set[Partition] = set()
        self._pending: deque[list[Message]] = deque()
        self._polled_s = self._committed_s = time.monotonic()

    def _listen(self) -> None:
        """Until we stop, or the client cannot go on and a new one is needed."""
        consumer = Consumer(self._settings)
        try:
            topics = list(self._config.topics)
            consumer.subscribe(topics, on_assign=self._gained, on_revoke=self._losing, on_lost=self._lost)
            while not self._stop.is_set() and not self._is_broken:
                self._turn(consumer)
            self._settle(consumer)
        finally:
            self._offsets.forget(self._ours)
            consumer.close()

    def _turn(self, consumer: Consumer) -> None:
        self._feed()
        now_s = time.monotonic()
        if not self._pending:
            self._resume(consumer)
            self._take(consumer, POLL_S)
        elif self._paused or now_s - self._polled_s > PAUSE_AFTER_S:
            self._pause(consumer)
            self._take(consumer, POLL_S)
        else:
            self._stop.wait(FULL_S)
        if now_s - self._committed_s > COMMIT_S:
            self._committed_s = now_s
            self._commit(consumer)

    def _take(self, consumer: Consumer, wait_s: float) -> None:
        """Wait for a record, and take what the client has fetched besides."""
        self._polled_s = time.monotonic()
        first = consumer.poll(wait_s)
        if first is None:
            return
        records = [first, *consumer.consume(self._take_rows - 1, 0)]
        sound = [record for record in records if record.error() is None]
        for record in records if len(sound) < len(records) else ():
            self._record_failed(record.topic() or "", record.error())
        messages, after = messages_of(sound, self._ours, self._offsets.taken)
        if messages:
            self._offsets.took(len(messages), after)
            self._pending.extend(split(messages, self._config.queue_bytes_max))
            self._feed()

    def _feed(self) -> None:
        """Hand on what was taken, as far as there is room; nothing is ever shed."""
        while self._pending and self._hand_on(self._pending[0]):
            self._pending.popleft()

    def _hand_on(self, piece: list[Message]) -> bool:
        if len(piece) > 1:
            return self._pipeline.offer_whole(piece)
        return self._pipeline.has_room() and self._pipeline.offer(piece[0])

    def _pause(self, consumer: Consumer) -> None:
        if not self._paused:
            self._paused = True
            consumer.pause(consumer.assignment())

    def _resume(self, consumer: Consumer) -> None:
        if self._paused:
            self._paused = False
            consumer.resume(consumer.assignment())

    def _acknowledge(self, batch: Sequence[Message]) -> None:
        """From the pump: batches come in their order, so the last message speaks for all before it."""
        self._offsets.durable(batch[-1].mid)

    def _commit(self, consumer: Consumer, *, wait: bool = False) -> None:
        due = self._offsets.due()
        if not due:
            return
        offsets = [TopicPartition(topic, place, offset) for (topic, place), offset in due.items()]
        try:
            if wait:
                consumer.commit(offsets=offsets, asynchronous=False)
            else:
                consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException:
            self._offsets.again(due)

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """How a commit went: what did not reach the cluster is tried again while the partition is ours."""
        failed = {(each.topic, each.partition): each.offset for each in partitions if error or each.error}
        self._offsets.again({each: offset for each, offset in failed.items() if each in self._ours})

    def _settle(self, consumer: Consumer) -> None:
        """Commit all that was taken, once it is durable; what is not in time is read again."""
        ends_s = time.monotonic() + SETTLE_S_MAX
        while not self._offsets.is_settled and not self._stop.is_set() and time.monotonic() < ends_s:
            self._feed()
            time.sleep(FULL_S)
        if self._connected:
            self._commit(consumer, wait=True)

    def _gained(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._ours |= {(each.topic, each.partition) for each in partitions}
        for topic in {each.topic for each in partitions}:
            self._refused.pop(topic, None)
        self._paused = False  # the new ones are not; the next turn pauses all where it must
        self._came_up()

    def _losing(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others get these partitions: they begin where we committed."""
        self._settle(consumer)
        self._lost(consumer, partitions)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others have these partitions already: what of them is on its way is recorded here and there."""
        gone = {(each.topic, each.partition) for each in partitions}
        self._offsets.forget(gone)
        self._ours -= gone

    def _statistics_came(self, text: str) -> None:
        standing = standing_of(text)
        if standing.reached and standing.settled:
            self._came_up()
        elif self._connected and not standing.reached:
            self._connected = False
            self._last_error = self._last_error or lost("by the cluster")

    def _came_up(self) -> None:
        if not self._connected:
            self._connects += 1
        self._connected, self._was_up, self._last_error = True, True, None

    def _record_failed(self, topic: str, error: KafkaError | None) -> None:
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return
        if topic and error.code() in RIGHTS:
            self._refused[topic] = refused_subscription(self._address, error.str())
        else:
            self._error_came(error)

    def _error_came(self, error: KafkaError) -> None:
        if is_fatal(error):
            self._is_broken = True
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._connected = False
        if error.code() not in VAGUE or self._last_error is None:
            self._note(error)

    def _note(self, error: KafkaError) -> None:
        self._last_error = trouble(self._address, error, self._was_up)
