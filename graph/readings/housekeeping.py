"""What a history does beside its work, in a thread of its own: flushing, merging, thinning what is old."""

from __future__ import annotations

import logging
import time
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final

from graph.readings.catalog import HOUR_NS, MINUTE_NS, NOTHING_LEFT, SegmentEntry
from graph.readings.columns import joined
from graph.readings.frames import disk_errors
from graph.readings.merging import merged
from graph.readings.policy import DAY_NS
from graph.readings.rollups import roll_up
from graph.readings.segments import UNIT_NS
from graph.readings.writing import unit_of, write_rollup, write_segment
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from graph.readings.columns import Columns
    from graph.readings.policy import HistoryPolicy
    from graph.readings.rollups import Rollup
    from graph.readings.segments import Segment
    from graph.readings.store import HistoryStore

_LOG = logging.getLogger("twinmesh.history")
_PAUSE_FIRST_S: Final = 0.1
_PAUSE_LONGEST_S: Final = 30.0


class _ClosingError(Exception):
    """The history is closed while something is written: that something is thrown away."""


class Keeper:
    """One thread; one thing at a time. What fails is told, and tried again after a pause."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._condition = Condition()
        self._thread = Thread(target=self._run, name="twinmesh-history", daemon=True)
        self._closing = False
        self._asked = 0  # how often somebody asked, and how many of these were seen to
        self._answered = 0
        self._looked_s = float("-inf")
        self.trouble: str | None = None

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        with self._condition:
            self._asked += 1
            self._condition.notify_all()

    def flush(self) -> None:
        """Wait until all frozen logs are in segments. StoreError."""
        self.settle()

    def settle(self) -> None:
        """Wait until there is nothing left to do. StoreError with what went wrong."""
        with self._condition:
            self._looked_s = float("-inf")
            self._asked += 1
            wanted = self._asked
            self._condition.notify_all()
            self._condition.wait_for(
                lambda: self._answered >= wanted or self._closing or self.trouble is not None
            )
            if self.trouble is not None:
                raise StoreError(f"history: {self.trouble}")

    def close(self) -> None:
        """What is under way is given up: logs hold it still."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause_s = 0.0
        while self._wait(pause_s):
            asked = self._asked
            try:
                with disk_errors(self._store.folder):
                    self._work()
            except _ClosingError:
                return
            except StoreError as error:
                _LOG.error("history %s: %s", self._store.folder, error)
                pause_s = min(max(2 * pause_s, _PAUSE_FIRST_S), _PAUSE_LONGEST_S)
                self._tell(error.message, self._answered)
            else:
                pause_s = 0.0
                self._tell(None, asked)

    def _tell(self, trouble: str | None, answered: int) -> None:
        with self._condition:
            self.trouble, self._answered = trouble, answered
            self._condition.notify_all()

    def _wait(self, pause_s: float) -> bool:
        """Until there may be something to do; False once closed."""
        with self._condition:
            if pause_s:
                self._condition.wait_for(lambda: self._closing, pause_s)
            else:
                rest_s = self._looked_s + self._store.policy.retention_s - time.monotonic()
                self._condition.wait_for(
                    lambda: self._closing or self._asked > self._answered, max(rest_s, 0.01)
                )
            return not self._closing

    def _work(self) -> None:
        while self._flush() or self._merge():
            self._check()
        if time.monotonic() - self._looked_s >= self._store.policy.retention_s:
            thin(self._store, time.time_ns())
            self._looked_s = time.monotonic()

    def _flush(self) -> bool:
        logs = self._store.frozen()
        if not logs:
            return False
        columns = joined([log.tail.view() for log in logs]).ordered()
        name = self._store.next_name()
        unit = unit_of(columns.times_ns)
        parts = self._stoppable(_parts(columns))
        entry = write_segment(self._store.folder, name, parts, unit, self._store.name_of)
        self._store.replace((), entry, flushed=logs[-1])
        return True

    def _merge(self) -> bool:
        chosen = choose(self._store.segments().segments, self._store.policy)
        if not chosen:
            return False
        unit = min((segment.entry.unit for segment in chosen), key=lambda unit: UNIT_NS[unit])
        parts = self._stoppable(merged(chosen))
        entry = write_segment(self._store.folder, self._store.next_name(), parts, unit, self._store.name_of)
        self._store.replace([segment.entry for segment in chosen], entry)
        return True

    def _stoppable(self, parts: Iterable[Columns]) -> Iterator[Columns]:
        for part in parts:
            self._check()
            yield part

    def _check(self) -> None:
        if self._closing:
            raise _ClosingError


def choose(segments: Sequence[Segment], policy: HistoryPolicy) -> list[Segment]:
    """Neighbours of about one size that become one; empty where there are none."""
    for level in range(32):
        bound = policy.flush_rows * policy.fan_in**level
        if bound > policy.merge_rows_max:
            return []
        run: list[Segment] = []
        for segment in segments:
            small = segment.has_readings and segment.entry.rows <= bound
            run = [*run, segment] if small else []
            if len(run) >= policy.fan_in:
                if _fits(run, policy):
                    return run
                run = run[1:]
    return []


def _fits(run: Sequence[Segment], policy: HistoryPolicy) -> bool:
    span = max(one.entry.to_ns for one in run) - min(one.entry.from_ns for one in run)
    bound = policy.span_ns_max
    rows = sum(one.entry.rows for one in run)
    return rows <= policy.merge_rows_max and (bound is None or span <= bound)


def thin(store: HistoryStore, now_ns: int) -> None:
    """Let go of what is older than the policy keeps, a segment at a time. OSError, StoreError."""
    for segment in store.segments().segments:
        wanted = resolution_at(segment.entry.to_ns, now_ns, store.policy)
        if wanted != segment.entry.resolution_ns and not _is_coarser(segment.entry.resolution_ns, wanted):
            store.replace([segment.entry], _thinned(store, segment, wanted))


def resolution_at(time_ns: int, now_ns: int, policy: HistoryPolicy) -> int:
    """How fine what is so old is kept."""
    age_days = (now_ns - time_ns) / DAY_NS
    tiers = ((policy.raw_days, 0), (policy.minute_days, MINUTE_NS), (policy.hour_days, HOUR_NS))
    for days, resolution in tiers:
        if not days or age_days <= days:
            return resolution
    return NOTHING_LEFT


def _is_coarser(first: int, second: int) -> bool:
    order = (0, MINUTE_NS, HOUR_NS, NOTHING_LEFT)
    return order.index(first) > order.index(second)


def _thinned(store: HistoryStore, segment: Segment, resolution_ns: int) -> SegmentEntry:
    """The entry that counts from now on; roll-ups that are still missing are written first."""
    entry = segment.entry
    files = {part: entry.file(part) for part in ("index", "minute", "hour")}
    for part, span_ns in (("minute", MINUTE_NS), ("hour", HOUR_NS)):
        if files[part] is None and resolution_ns in (MINUTE_NS, HOUR_NS) and span_ns >= resolution_ns:
            parts = _rollup_parts(segment, span_ns)
            files[part] = write_rollup(store.folder, entry.name, span_ns, parts)
    kept = {"index"}
    kept |= {"minute", "hour"} if resolution_ns == MINUTE_NS else set()
    kept |= {"hour"} if resolution_ns == HOUR_NS else set()
    left = tuple(file for part, file in files.items() if file is not None and part in kept)
    return SegmentEntry(entry.name, entry.rows, entry.from_ns, entry.to_ns, resolution_ns, entry.unit, left)


def _rollup_parts(segment: Segment, span_ns: int) -> Iterator[Rollup]:
    if segment.has_readings:
        return (roll_up(part, span_ns) for part in segment.streamed())
    return segment.rollups_streamed(MINUTE_NS)


def _parts(columns: Columns) -> Iterator[Columns]:
    for start in range(0, len(columns), 1 << 17):
        yield columns.take(slice(start, start + (1 << 17)))
