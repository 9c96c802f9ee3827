"""The last values of a site's points, out to MQTT topics, so that others can read the twin.

Each message is `{"value", "time", "quality"}`, retained unless told otherwise: who comes later gets the last
one. A broker that is slow or away gets the newest of each point once it is back: at most one value a point
waits, and what a newer one replaced is counted. Writers never wait.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from adapters.mqtt.publisher import Extras, Fate, MqttPublisher
from graph.feed import ReadingsEvent
from graph.quality import reason_of, severity_of
from graph.snapshot import read_word
from graph.times import time_text

if TYPE_CHECKING:
    from adapters.mqtt.publish_config import PublishConfig
    from graph.snapshot import Snapshot
    from graph.twin import Twin
    from graph.values import Readings

SEND_S_MAX: Final = 30.0
IDLE_S: Final = 0.5
ROUND_ROWS_MAX: Final = 1_000
_EXTRAS: Final = Extras(content_type="application/json")
_Reading = tuple[int, int, int]  # time in ns, word, quality


@dataclass(frozen=True, slots=True)
class PublishHealth:
    """Counts since the start. replaced: values that a newer one of their point overtook while they waited;
    shed: found no room (`queue_rows_max`); refused: the broker did not take them."""

    address: str
    connected: bool
    published: int
    replaced: int
    shed: int
    refused: int
    waiting: int
    last_error: str | None


class MqttSink:
    """One table at work, in a thread of its own."""

    def __init__(self, config: PublishConfig, twin: Twin) -> None:
        self._config = config
        self._twin = twin
        self._publisher = MqttPublisher(config.link)
        self._topics: dict[int, str | None] = {}  # by row; None: not for others
        self._waiting: dict[int, _Reading] = {}
        self._published = self._replaced = self._shed = self._refused = 0
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._watch = twin.watch(notify=self._woken.set)
        self._thread = threading.Thread(target=self._run, name=f"publish-{config.site}", daemon=True)

    @classmethod
    def start(cls, config: PublishConfig, twin: Twin) -> MqttSink:
        """Publish from now on, the last values first. InputError where the settings cannot work."""
        sink = cls(config, twin)
        sink._take_present()
        sink._thread.start()
        return sink

    def stop(self) -> None:
        self._stop.set()
        self._woken.set()
        self._thread.join()
        self._watch.close()
        self._publisher.close()

    def health(self) -> PublishHealth:
        return PublishHealth(
            self._config.link.address,
            self._publisher.is_ready,
            self._published,
            self._replaced,
            self._shed,
            self._refused,
            len(self._waiting),
            self._publisher.last_error,
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            self._woken.clear()
            self._take_new()
            if not (self._publisher.is_ready and self._send_some()):
                self._woken.wait(IDLE_S)

    def _take_present(self) -> None:
        snapshot = self._twin.snapshot()
        rows = np.flatnonzero(snapshot.alive & (snapshot.point_time_ns > 0)).astype(np.int32)
        twins = snapshot.twins
        columns = (twins.point_time.take(rows), twins.point_word.take(rows), twins.point_quality.take(rows))
        self._wait_with(rows.tolist(), *(column.tolist() for column in columns))

    def _take_new(self) -> None:
        while (event := self._watch.get(0)) is not None:
            if isinstance(event, ReadingsEvent):
                self._replaced += event.conflated
                self._take(event.readings)

    def _take(self, readings: Readings) -> None:
        columns = (readings.times_ns, readings.words, readings.quality)
        self._wait_with(readings.points.tolist(), *(column.tolist() for column in columns))

    def _wait_with(self, rows: list[int], times: list[int], words: list[int], quality: list[int]) -> None:
        waiting = self._waiting
        for row, *reading in zip(rows, times, words, quality, strict=True):
            if row in waiting:
                self._replaced += 1
            elif len(waiting) >= self._config.queue_rows_max:
                self._shed += 1
                continue
            waiting[row] = (reading[0], reading[1], reading[2])

    def _send_some(self) -> bool:
        """Some of what waits, at once; whether more may be sent now. What was lost waits again."""
        snapshot, config = self._twin.snapshot(), self._config
        found = [(row, self._waiting.pop(row)) for row in list(self._waiting)[:ROUND_ROWS_MAX]]
        topics = [self._topic(snapshot, row) for row, _ in found]
        sent = [(row, it, topic) for (row, it), topic in zip(found, topics, strict=True) if topic is not None]
        messages = [(topic, _content(snapshot, row, reading)) for row, reading, topic in sent]
        fates = self._publisher.publish_many(
            messages, _EXTRAS, qos=config.qos, timeout_s=SEND_S_MAX, retain=config.retain
        )
        for (row, reading, _), fate in zip(sent, fates, strict=True):
            if fate is Fate.LOST:
                self._waiting.setdefault(row, reading)
        self._published += fates.count(Fate.TAKEN)
        self._refused += fates.count(Fate.REFUSED)
        return bool(self._waiting) and Fate.LOST not in fates

    def _topic(self, snapshot: Snapshot, row: int) -> str | None:
        if not snapshot.alive[row]:
            return None
        if row not in self._topics:
            self._topics[row] = _topic_of(self._config, snapshot, row)
        return self._topics[row]


def _topic_of(config: PublishConfig, snapshot: Snapshot, row: int) -> str | None:
    name, kinds = snapshot.local_id(row), snapshot.kinds(row)
    if config.points is not None and config.points.match(name) is None:
        return None
    kind = snapshot.schema.kinds[kinds[0] if kinds else snapshot.schema.twin_kind].name
    names = {"site": config.site, "point": name, "kind": kind}
    return config.topic.fill({key: _plain(text) for key, text in names.items()})


def _plain(text: str) -> str:
    """Without the signs that mean something in a topic; slashes of an id are levels."""
    return "".join(f"%{ord(sign):02X}" if sign in "%+#\0" else sign for sign in text)


def _content(snapshot: Snapshot, row: int, reading: _Reading) -> bytes:
    time_ns, word, quality = reading
    value = read_word(word, snapshot.value_type(row), snapshot.pools)
    told: dict[str, object] = {
        "value": value, "time": time_text(time_ns), "quality": severity_of(quality).name,
    }  # fmt: skip
    reason = reason_of(quality)
    return msgspec.json.encode(told if reason is None else {**told, "reason": reason})
