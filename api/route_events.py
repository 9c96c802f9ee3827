"""What routes carry: CloudEvents 1.0 in structured JSON, made of the logs of a site from a cursor on.

`id` is `SITE/KIND/NUMBER` and stays the same however often an event is sent: who receives twice can tell.
`sequence` is the number as text that sorts as it counts (the CloudEvents extension of that name).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import numpy as np

from adapters.alarm_desk import ALARM_RECORDS
from adapters.commands import RECORDS
from api.impact_log import CASCADE_RECORDS
from graph.feed import ReadingsEvent, newest_readings
from graph.quality import reason_of, severity_of
from graph.snapshot import read_word
from graph.times import time_text
from graph.values import Readings

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.binding import Pattern
    from api.route_config import RouteConfig
    from graph.feed import Watch
    from graph.snapshot import Snapshot
    from graph.stores.state_log import StateLog
    from graph.twin import Twin

_LOG = logging.getLogger("twinmesh.routes")
CONTENT_TYPE: Final = "application/cloudevents+json"
READINGS_PER_EVENT_MAX: Final = 5_000
PREFIX: Final = "dev.twinmesh"
PAGE_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event on its way. content None: nothing to send, the cursor moves on."""

    site: str
    kind: str
    position: int
    id: str
    content: bytes | None


class EventSource(Protocol):
    """Events of one kind of one site."""

    site: str
    kind: str

    def read(self, after: int) -> list[Outgoing]:
        """The next events behind a position, none where there are none yet."""
        ...

    def head(self) -> int:
        """The position of the newest event."""
        ...

    def close(self) -> None: ...


class ChangesSource:
    """Commits of a site; the position is the revision."""

    kind = "changes"

    def __init__(self, twin: Twin, notify: Callable[[], None]) -> None:
        self.site = twin.site
        self._twin = twin
        self._watch = twin.watch(notify=notify)  # only to be woken: what it holds is thrown away

    def read(self, after: int) -> list[Outgoing]:
        _empty(self._watch)
        found: list[Outgoing] = []
        for commit in self._twin.commits(after, PAGE_ROWS):
            data = {
                "site": self.site,
                "revision": str(commit.sequence),
                "author": commit.author,
                "message": commit.message,
                "touched": list(commit.touched),
                "touchesMore": commit.touches_more,
                "digest": commit.digest.hex(),
            }
            about = _About(self._twin.base, self.site, self.kind, commit.sequence, commit.time_ns)
            found.append(_event(about, "change.applied", None, data))
        return found

    def head(self) -> int:
        return self._twin.newest_revision()

    def close(self) -> None:
        self._watch.close()


class LogSource:
    """Alarms or commands of a site, or cascades of all of them; the position is the number in their log."""

    def __init__(
        self, kind: str, base: str, site: str, log: StateLog, route: RouteConfig, notify: Callable[[], None]
    ) -> None:
        self.kind = kind
        self.site = site
        self._base = base
        self._log = log
        self._route = route
        self._notify = notify
        log.listeners.append(notify)

    def read(self, after: int) -> list[Outgoing]:
        make = {"alarms": self._alarm, "commands": self._command, "impacts": self._impact}[self.kind]
        entries = self._log.entries(after, PAGE_ROWS)
        if entries and entries[0].number > after + 1:
            gone, name = entries[0].number - after - 1, self._route.name
            _LOG.error("route %s: %d %s were let go before they were delivered", name, gone, self.kind)
        return [
            make(_About(self._base, self.site, self.kind, entry.number, entry.time_ns), entry.content)
            for entry in entries
        ]

    def head(self) -> int:
        return self._log.head

    def close(self) -> None:
        self._log.listeners.remove(self._notify)

    def _alarm(self, about: _About, content: bytes) -> Outgoing:
        record = ALARM_RECORDS.decode(content)
        if record.severity not in self._route.severities or not _fits(self._route.points, record.point):
            return about.nothing
        if not self._route.work_orders:
            return _event(about, f"alarm.{record.status.lower()}", record.point, plain(record))
        if record.changed_ns != record.raised_ns:
            return about.nothing  # a later state of an alarm that has its order: shelved, back, raised again
        order = {
            "number": record.id,
            "asset": record.point,
            "priority": record.severity,
            "summary": record.message,
            "requested": time_text(record.raised_ns),
            "alarm": plain(record),
        }
        return _event(about, "workorder.requested", record.point, order)

    def _command(self, about: _About, content: bytes) -> Outgoing:
        record = RECORDS.decode(content)
        if not _fits(self._route.points, record.point):
            return about.nothing
        return _event(about, f"command.{record.status.lower()}", record.point, plain(record))

    def _impact(self, about: _About, content: bytes) -> Outgoing:
        """Of a route with sites: those that hit a twin there, with no twins of other sites."""
        record, sites = CASCADE_RECORDS.decode(content), self._route.sites
        is_hit = not sites or not record.hits.keys().isdisjoint(sites)
        if not is_hit or record.expected_cost < self._route.cost_min:
            return about.nothing
        told = plain(record)
        if sites:
            told["impacts"] = [item for item in record.impacts if item["site"] in sites]
        return _event(replace(about, base=told.pop("base")), "impact.simulated", None, told)


class ReadingsSource:
    """Readings of a site as they come: several in one event. The position counts events.

    Who falls behind gets the newest of each point, and is told how many were left out. After a restart
    every point's last reading is sent once more.
    """

    kind = "readings"

    def __init__(self, twin: Twin, points: Pattern | None, notify: Callable[[], None]) -> None:
        self.site = twin.site
        self._twin = twin
        self._points = points
        self._watch = twin.watch(notify=notify)
        self._waiting: Outgoing | None = None
        self._sent_to = 0
        snapshot = twin.snapshot()
        rows = np.flatnonzero(snapshot.alive & (snapshot.point_time_ns > 0)).astype(np.int32)
        twins = snapshot.twins
        self._held: list[Readings] = [
            Readings(
                rows, twins.point_time.take(rows), twins.point_word.take(rows), twins.point_quality.take(rows)
            )
        ]
        self._left_out = 0

    def read(self, after: int) -> list[Outgoing]:
        if self._waiting is not None and self._waiting.position > after:
            return [self._waiting]
        rows = sum(len(each) for each in self._held)
        while rows < READINGS_PER_EVENT_MAX and (event := self._watch.get(0)) is not None:
            if isinstance(event, ReadingsEvent):
                self._held.append(event.readings)
                self._left_out += event.conflated
                rows += len(event.readings)
        self._waiting = self._made(after + 1)
        return [] if self._waiting is None else [self._waiting]

    def head(self) -> int:
        return 0

    def close(self) -> None:
        self._watch.close()

    def _made(self, position: int) -> Outgoing | None:
        if not self._held:
            return None
        several, self._held = self._held, []
        total = sum(len(each) for each in several)
        readings = several[0] if len(several) == 1 else _joined(several)
        if total > READINGS_PER_EVENT_MAX:
            readings = newest_readings(several)
        left_out, self._left_out = self._left_out + total - len(readings), 0
        snapshot = self._twin.snapshot()
        items = _items(snapshot, readings, self._points)
        if not items:
            return None
        about = _About(self._twin.base, self.site, self.kind, position, int(readings.times_ns.max()))
        return _event(about, "readings.recorded", None, {"readings": items, "conflated": left_out})


@dataclass(frozen=True, slots=True)
class _About:
    base: str
    site: str
    kind: str
    position: int
    time_ns: int

    @property
    def id(self) -> str:
        return f"{self.site}/{self.kind}/{self.position}"

    @property
    def nothing(self) -> Outgoing:
        return Outgoing(self.site, self.kind, self.position, self.id, None)


def plain(record: msgspec.Struct) -> dict[str, Any]:
    """A record as its event tells it: times as text, names as GraphQL spells them."""
    found: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(record).items():
        if name in ("request", "seen_ns"):
            continue  # our own book-keeping
        if name.endswith("_ns"):
            name, value = name.removesuffix("_ns"), None if value is None else time_text(value)
        first, *rest = name.split("_")
        found[first + "".join(word.capitalize() for word in rest)] = value
    return found


def _event(about: _About, type: str, subject: str | None, data: dict[str, Any]) -> Outgoing:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": about.id,
        "source": about.base,
        "type": f"{PREFIX}.{type}",
        "time": time_text(about.time_ns),
        "datacontenttype": "application/json",
        "sequence": f"{about.position:020d}",
        **({} if subject is None else {"subject": subject}),
        "data": data,
    }
    return Outgoing(about.site, about.kind, about.position, about.id, msgspec.json.encode(event))


def _items(snapshot: Snapshot, readings: Readings, points: Pattern | None) -> list[dict[str, Any]]:
    ids = snapshot.ids(readings.points)
    found: list[dict[str, Any]] = []
    for place, (row, iri) in enumerate(zip(readings.points.tolist(), ids, strict=True)):
        if points is not None and points.match(snapshot.local_id(row)) is None and not _fits(points, iri):
            continue
        value = read_word(int(readings.words[place]), snapshot.value_type(row), snapshot.pools)
        byte = int(readings.quality[place])
        time_ns = int(readings.times_ns[place])
        found.append({"point": iri, "time": time_text(time_ns), "value": value, **_quality(byte)})
    return found


def _quality(byte: int) -> dict[str, str]:
    """How far a reading is believed; why, where somebody told."""
    reason = reason_of(byte)
    told = {"quality": severity_of(byte).name}
    return told if reason is None else {**told, "reason": reason}


def _joined(parts: list[Readings]) -> Readings:
    return Readings(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.times_ns for part in parts]),
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )


def _fits(points: Pattern | None, iri: str) -> bool:
    """Whether a pattern stands for an IRI, or for what follows its last slash."""
    return points is None or any(points.match(text) is not None for text in (iri, iri.rpartition("/")[2]))


def _empty(watch: Watch) -> None:
    while watch.get(0) is not None:
        pass
