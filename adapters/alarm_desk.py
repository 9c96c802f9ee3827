"""The alarms of one site: raised and cleared by rules over readings as they come, kept in a log of their own.

An alarm stays open until it is cleared and acknowledged; while it is open, the same rule over the same point
is the same alarm. Shelving hides it until a time; what happens meanwhile is kept.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from adapters.alarm_watch import RuleWatch
from graph.feed import ReadingsEvent
from graph.stores.state_log import NewState
from graph.values import Readings
from ontology.errors import ConflictError, InputError, NotFoundError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adapters.alarm_rules import AlarmRule
    from graph.snapshot import Snapshot
    from graph.stores.state_log import StateLog
    from graph.twin import Twin

_LOG = logging.getLogger("twinmesh.alarms")
IDLE_S: Final = 1.0
COMMENT_CHARS_MAX: Final = 1_000
SHELVED_NS_MAX: Final = 30 * 86_400 * 1_000_000_000


class AlarmRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An alarm as it stands: what the log holds. Times are Unix time in ns."""

    id: str
    site: str
    point: str
    rule: str
    severity: str
    message: str
    active: bool
    acknowledged: bool
    raised_ns: int
    changed_ns: int
    cleared_ns: int | None = None
    value: Any = None  # what the point said when the alarm changed last
    count: int = 1  # how often it was raised while it was open
    acknowledged_by: str | None = None
    shelved_until_ns: int | None = None
    shelved_by: str | None = None
    comment: str | None = None

    @property
    def began_ns(self) -> int:
        return self.raised_ns

    @property
    def is_open(self) -> bool:
        return self.active or not self.acknowledged

    @property
    def status(self) -> str:
        """SHELVED before all; else RAISED, ACKNOWLEDGED or CLEARED."""
        if self.shelved_until_ns is not None:
            return "SHELVED"
        if not self.active:
            return "CLEARED"
        return "ACKNOWLEDGED" if self.acknowledged else "RAISED"


ALARM_RECORDS: Final = msgspec.json.Decoder(AlarmRecord)


class AlarmDesk:
    """Alarms of one site. A context manager: it listens from the start to the end of the block."""

    def __init__(
        self,
        twin: Twin,
        log: StateLog,
        rules: Sequence[AlarmRule],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.site = twin.site
        self.log = log
        self.conflated = 0  # readings that came faster than they could be looked at
        self._twin = twin
        self._clock_ns = clock_ns
        self._lock = threading.Lock()  # of the open alarms and of the order of states
        self._open = {
            (record.rule, record.point): record
            for record in (ALARM_RECORDS.decode(entry.content) for entry in log.open_ones())
        }
        snapshot = twin.snapshot()
        self._revision = snapshot.revision
        self._followed_s = time.monotonic()
        self._watches = [RuleWatch(rule, snapshot) for rule in rules if rule.site in (None, twin.site)]
        self._closed = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alarms-{twin.site}", daemon=True)

    def __enter__(self) -> AlarmDesk:
        self._watch = self._twin.watch(notify=self._woken.set)
        self._begin()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._woken.set()
        self._thread.join()
        self._watch.close()

    # What people do

    def acknowledge(self, alarm_id: str, who: str, comment: str | None) -> AlarmRecord:
        """NotFoundError ALARM_UNKNOWN, ConflictError ALARM_STATE where it was acknowledged before."""
        with self._lock:
            record = self._get_open(alarm_id)
            if record.acknowledged:
                message = f"the alarm was acknowledged by {record.acknowledged_by}"
                raise ConflictError(message, code="ALARM_STATE")
            told = _comment(comment) or record.comment
            return self._change(record, acknowledged=True, acknowledged_by=who, comment=told)

    def shelve(self, alarm_id: str, who: str, until_ns: int, comment: str | None) -> AlarmRecord:
        """Hide an alarm until a time; a time that has passed brings it back. InputError ALARM_SHELVE."""
        with self._lock:
            record, now_ns = self._get_open(alarm_id), self._clock_ns()
            if until_ns - now_ns > SHELVED_NS_MAX:
                raise InputError("an alarm is shelved for 30 days at most", code="ALARM_SHELVE")
            until = until_ns if until_ns > now_ns else None
            told = _comment(comment) or record.comment
            return self._change(record, shelved_until_ns=until, shelved_by=who, comment=told)

    def get(self, alarm_id: str) -> AlarmRecord | None:
        found = self.log.newest(alarm_id)
        return None if found is None else ALARM_RECORDS.decode(found.content)

    def counts(self) -> dict[str, int]:
        """Open alarms by status."""
        with self._lock:
            states = [record.status for record in self._open.values()]
        return {state: states.count(state) for state in ("RAISED", "ACKNOWLEDGED", "SHELVED", "CLEARED")}

    def _get_open(self, alarm_id: str) -> AlarmRecord:
        found = next((each for each in self._open.values() if each.id == alarm_id), None)
        if found is not None:
            return found
        known = self.get(alarm_id)
        if known is None:
            raise NotFoundError(f"no alarm {alarm_id!r}", code="ALARM_UNKNOWN")
        raise ConflictError("the alarm is over", code="ALARM_STATE")

    def _change(self, record: AlarmRecord, **changes: object) -> AlarmRecord:
        changed = msgspec.structs.replace(record, changed_ns=self._clock_ns(), **changes)
        self._keep([changed])
        return changed

    # The thread

    def _run(self) -> None:
        while not self._closed:
            waits = any(watch.waits for watch in self._watches)
            self._woken.wait(0.1 if waits else IDLE_S)
            self._woken.clear()
            try:
                self._look()
            except TwinmeshError as error:
                # The disk, most likely. What could not be written down is judged anew from the last values.
                _LOG.error("alarms of %s: %s", self.site, error)
                self._revision = -1
        self._watch.close()

    def _look(self) -> None:
        while (event := self._watch.get(0)) is not None:
            if isinstance(event, ReadingsEvent):
                self.conflated += event.conflated
                self._judge(self._followed(), event.readings)
        now_ns = self._clock_ns()
        snapshot = self._followed()
        for watch in self._watches:
            raised = watch.raise_due(now_ns)
            self._tell(snapshot, watch, raised, np.zeros_like(raised))
        self._unshelve(now_ns)

    def _begin(self) -> None:
        """What points say already; and open alarms of rules or points that are gone."""
        snapshot = self._twin.snapshot()
        rows = np.flatnonzero(snapshot.alive & (snapshot.point_time_ns > 0)).astype(np.int32)
        twins = snapshot.twins
        last = Readings(
            rows, twins.point_time.take(rows), twins.point_word.take(rows), twins.point_quality.take(rows)
        )
        for watch in self._watches:
            watch.active[:] = False
            places = {iri: place for place, iri in enumerate(snapshot.ids(watch.rows))}
            for (rule, point), record in self._open.items():
                if rule == watch.rule.name and point in places:
                    watch.active[places[point]] = record.active
        self._judge(snapshot, last)
        known = {(watch.rule.name, iri) for watch in self._watches for iri in snapshot.ids(watch.rows)}
        now_ns = self._clock_ns()
        gone = [record for key, record in self._open.items() if key not in known and record.active]
        self._keep(
            [
                msgspec.structs.replace(each, active=False, cleared_ns=now_ns, changed_ns=now_ns)
                for each in gone
            ]
        )

    def _followed(self) -> Snapshot:
        """The newest state; points that came or went since are looked for once a second at most."""
        snapshot, now_s = self._twin.snapshot(), time.monotonic()
        if snapshot.revision != self._revision and now_s - self._followed_s >= IDLE_S:
            self._revision, self._followed_s = snapshot.revision, now_s
            for watch in self._watches:
                watch.follow(snapshot)
            self._begin()
        return snapshot

    def _judge(self, snapshot: Snapshot, readings: Readings) -> None:
        for watch in self._watches:
            raised, cleared = watch.judge(snapshot, readings)
            self._tell(snapshot, watch, raised, cleared)

    def _tell(self, snapshot: Snapshot, watch: RuleWatch, raised: Any, cleared: Any) -> None:
        """Write down what a rule found: those raised first, so that none is cleared that never was."""
        now_ns = self._clock_ns()
        for mask, make in ((raised, self._raised), (cleared, self._cleared)):
            rows = watch.rows[mask].tolist()
            if rows:
                with self._lock:
                    self._keep([new for row in rows for new in make(watch.rule, snapshot, row, now_ns)])

    def _raised(self, rule: AlarmRule, snapshot: Snapshot, row: int, now_ns: int) -> Iterator[AlarmRecord]:
        point, value = snapshot.id(row), snapshot.point_value(row)
        known = self._open.get((rule.name, point))
        if known is not None:
            count = known.count + (not known.active)
            acknowledged = known.acknowledged and known.active
            yield msgspec.structs.replace(
                known, active=True, acknowledged=acknowledged, count=count, value=value, changed_ns=now_ns
            )
            return
        message = rule.message or f"{rule.name}: {snapshot.local_id(row)} is {rule.says}"
        yield AlarmRecord(
            id=secrets.token_hex(12),
            site=self.site,
            point=point,
            rule=rule.name,
            severity=rule.severity,
            message=message,
            active=True,
            acknowledged=False,
            raised_ns=now_ns,
            changed_ns=now_ns,
            value=value,
        )

    def _cleared(self, rule: AlarmRule, snapshot: Snapshot, row: int, now_ns: int) -> Iterator[AlarmRecord]:
        known = self._open.get((rule.name, snapshot.id(row)))
        if known is not None and known.active:
            value = snapshot.point_value(row)
            yield msgspec.structs.replace(
                known, active=False, cleared_ns=now_ns, changed_ns=now_ns, value=value
            )

    def _unshelve(self, now_ns: int) -> None:
        with self._lock:
            due = [
                record
                for record in self._open.values()
                if record.shelved_until_ns is not None and record.shelved_until_ns <= now_ns
            ]
            self._keep(
                [msgspec.structs.replace(each, shelved_until_ns=None, changed_ns=now_ns) for each in due]
            )

    def _keep(self, records: Sequence[AlarmRecord]) -> None:
        """Write states down, all in one transaction; only then they are so."""
        if not records:
            return
        self.log.append(
            [
                NewState(each.id, each.changed_ns, msgspec.json.encode(each), each.point, each.is_open)
                for each in records
            ]
        )
        for each in records:
            if each.is_open:
                self._open[each.rule, each.point] = each
            else:
                self._open.pop((each.rule, each.point), None)


def _comment(text: str | None) -> str | None:
    if text is not None and len(text) > COMMENT_CHARS_MAX:
        raise InputError(f"a comment has at most {COMMENT_CHARS_MAX:,} characters", code="ALARM_COMMENT")
    return text
