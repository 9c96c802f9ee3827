"""A thread that keeps the graph of a site in Neo4j behind its journal: it follows by sequence.

The journal is the truth, and it is written first. What a crash leaves undone is done as soon as the site is
opened again, not only with its next commit.
"""

from __future__ import annotations

import logging
import time
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final

from graph.feed import ReadingsEvent
from graph.following import Lag
from graph.stores.neo4j.connection import is_deadlock
from graph.stores.neo4j.differences import counts, foreign_change
from graph.stores.neo4j.foreign import ForeignChanges
from graph.stores.neo4j.projection import Projection
from graph.touching import all_touched
from graph.trouble import Medium
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.feed import Watch
    from graph.snapshot import Snapshot
    from graph.stores.neo4j.connection import Connection
    from graph.twin import Twin
    from graph.values import Commit

COMMITS_AT_ONCE: Final = 64
# How long the graph waits for more commits.
SETTLE_S: Final = 0.03
DEADLOCKS_MAX: Final = 20
# How long closing a site waits for its graph; what is missing then follows when it is opened again.
FINISH_S_MAX: Final = 30.0
# How long for a statement under way, which may wait for locks of another program for ever.
END_S_MAX: Final = 10.0
# How often the graph is compared with the columns; the pause is so many times longer than comparing took.
CHECK_S: Final = 60.0
# How often what a trigger noted is looked for.
NOTED_S: Final = 0.5
_CHECK_RATIO: Final = 50
# The same while there is trouble.
AGAIN_S: Final = 1.0
_AGAIN_RATIO: Final = 10
_LOG = logging.getLogger("twinmesh.graph")


class Mirror:
    """Of one site that this process writes. `start` once, then `finish`."""

    def __init__(self, connection: Connection, twin: Twin, *, by_trigger: bool = True) -> None:
        """by_trigger: have changes of other programs noted by a trigger, where Neo4j allows one."""
        self._twin = twin
        self._connection = connection
        self.check_s = CHECK_S
        self._check_at_s = time.monotonic() + CHECK_S
        self._noted_at_s = self._again_at_s = 0.0
        self._complete_at_s = time.monotonic()
        self._counted: list[str] = []  # what comparing found last
        self._projection = Projection(connection, twin.site, lambda: twin.epoch)
        self._projection.batches.stopped = self._is_stopped
        self.foreign = ForeignChanges(connection, twin.site, lambda: twin.epoch, by_trigger=by_trigger)
        self.medium = Medium(twin.site, "graph", self._catch_up)
        self.medium.gauges = self._gauges
        self._prepared = False
        self._lock = Lock()  # of whoever projects: the thread, or the probe after trouble
        self._wake, self._stop = Event(), Event()
        self._sequence = -1
        self._thread = Thread(target=self._run, name=f"mirror-{twin.site}", daemon=True)

    @property
    def sequence(self) -> int:
        """The graph shows every commit up to here; -1: not even the first load is finished."""
        return self._sequence

    def lag(self) -> Lag:
        """How many commits the graph does not show yet, and for how long it has not been complete."""
        commits = max(0, self._twin.snapshot().revision - max(0, self._sequence))
        is_complete = self._sequence >= 0 and not commits
        return Lag(commits, 0.0 if is_complete else time.monotonic() - self._complete_at_s)

    def _gauges(self) -> dict[str, float]:
        lag = self.lag()
        return {
            "graph_lag_commits": lag.commits,
            "graph_lag_seconds": lag.age_s,
            "graph_foreign_twins": len(self.foreign.standing),
            "graph_foreign_by_trigger": int(self.foreign.means.by_trigger),
        }

    def check_soon(self) -> None:
        """Compare the graph with the columns now."""
        self._check_at_s = time.monotonic()
        self._wake.set()

    def start(self) -> None:
        self._wake.set()
        self._thread.start()

    def finish(self) -> None:
        """End; before that wait a while for what is missing, unless there is trouble."""
        self._wake.set()
        until_s = time.monotonic() + FINISH_S_MAX
        while self._works() and self._behind() and time.monotonic() < until_s:
            time.sleep(0.005)
        if self._behind():
            _LOG.warning("site %s: its graph is behind; it follows when the site is opened", self._twin.site)
        self._stop.set()
        self._wake.set()
        self.medium.close()
        self._thread.join(END_S_MAX)
        # A probe after trouble may still be at work; none begins from now on.
        if self._thread.is_alive() or not self._lock.acquire(timeout=END_S_MAX):
            _LOG.warning("site %s: a statement of its graph waits in Neo4j; it is given up", self._twin.site)
        else:
            self._lock.release()

    def _behind(self) -> bool:
        return self._sequence < self._twin.snapshot().revision

    def _works(self) -> bool:
        return self._thread.is_alive() and self.medium.trouble is None

    def _is_stopped(self) -> bool:
        return self._stop.is_set()

    def _run(self) -> None:
        with self._twin.watch(notify=self._wake.set) as watch:
            while not self._stop.is_set():
                self._wake.wait(min(NOTED_S, max(0.0, self._check_at_s - time.monotonic())))
                self._wake.clear()
                # Commits that come close together are shown together, and those who wait for them go first.
                self._stop.wait(SETTLE_S)
                is_due = self._is_due(watch) or time.monotonic() >= min(self._check_at_s, self._noted_at_s)
                if is_due and (self.medium.trouble is None or self._is_foreign()):
                    try:
                        self._catch_up()
                    except StoreError as error:
                        if not self._is_foreign():
                            self.medium.fail(error)

    def _is_foreign(self) -> bool:
        """Whether there is no other trouble than what somebody else changed: the graph can be written."""
        return self.medium.trouble is not None and self.medium.trouble.code == "STORE_FOREIGN_CHANGE"

    def _is_due(self, watch: Watch) -> bool:
        """Whether anything but readings came; empties the watch, which only wakes us up."""
        due = self._sequence < 0
        while (event := watch.get(0)) is not None:
            due = due or not isinstance(event, ReadingsEvent)
        return due

    def _catch_up(self) -> None:
        """Bring the graph to the newest commit. StoreError.

        Graphs of several sites meet in one twin, and transactions wait for each other: Neo4j ends one of
        them, which is no trouble, since every batch may be repeated.
        """
        for _ in range(DEADLOCKS_MAX):
            try:
                self._bring_up()
                return
            except StoreError as error:
                if not is_deadlock(error):
                    raise
            self._stop.wait(SETTLE_S)
        self._bring_up()

    def _bring_up(self) -> None:
        with self._lock:
            if self._stop.is_set():
                raise StoreError("the site is closed", code="STORE_FENCED")
            if not self._prepared:
                self._projection.prepare()
                self.foreign.prepare()
                self._prepared = True
            if self._sequence < 0:
                self._sequence = self._loaded()
            while self._sequence >= 0 and not self._stop.is_set():
                snapshot = self._twin.snapshot()
                if snapshot.revision == self._sequence:
                    self._complete_at_s = time.monotonic()
                    self._check(snapshot)
                    return
                commits = self._twin.commits(self._sequence, COMMITS_AT_ONCE)
                if not commits:
                    message = f"the journal of site {self._twin.site} ends at commit {self._sequence}"
                    raise StoreError(message, hint="was an older copy of the database restored?")
                snapshot = self._twin.snapshot()
                touched = _touched(commits, snapshot)
                if self._projection.update(snapshot, touched, commits[-1].sequence):
                    self._sequence = commits[-1].sequence
                # However many commits come, now and then the graph is just what a snapshot says.
                if self._sequence == snapshot.revision and time.monotonic() >= self._noted_at_s:
                    self._check(snapshot)

    def _check(self, snapshot: Snapshot) -> None:
        """Whether somebody else changed the graph, which shows just this snapshot: what was noted every time,
        and all now and then, sooner as long as there is trouble."""
        told = self.foreign.check(snapshot)
        began_s = time.monotonic()
        self._noted_at_s = began_s + NOTED_S
        if began_s >= (self._check_at_s if self.medium.trouble is None else self._again_at_s):
            self._counted = counts(self._connection, snapshot)
            now_s = time.monotonic()
            self._check_at_s = now_s + max(self.check_s, _CHECK_RATIO * (now_s - began_s))
            self._again_at_s = now_s + max(AGAIN_S, _AGAIN_RATIO * (now_s - began_s))
        told = list(dict.fromkeys([*told, *self._counted]))
        if told:
            raise foreign_change(self._connection, told)

    def _loaded(self) -> int:
        """Up to where the graph is; loads it where that was never done or not finished."""
        sequence = self._projection.sequence()
        if sequence is None or sequence < 0:
            self._projection.load(self._twin.snapshot())
            sequence = self._projection.sequence()
        return -1 if sequence is None else sequence


def _touched(commits: Sequence[Commit], snapshot: Snapshot) -> list[str]:
    """Every twin that some commits touch, once."""
    if any(commit.touches_more and commit.change.remove_relationships for commit in commits):
        # The ends of so many removed relationships are not told.
        return snapshot.ids(snapshot.living_rows)
    return list(dict.fromkeys(iri for commit in commits for iri in all_touched(commit)))
