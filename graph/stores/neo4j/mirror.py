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
from graph.stores.neo4j.connection import is_deadlock
from graph.stores.neo4j.differences import counts, foreign_change
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
# How often the graph is compared with the columns; the pause is so many times longer than comparing took.
CHECK_S: Final = 60.0
_CHECK_RATIO: Final = 50
_LOG = logging.getLogger("twinmesh.graph")


class Mirror:
    """Of one site that this process writes. `start` once, then `finish`."""

    def __init__(self, connection: Connection, twin: Twin) -> None:
        self._twin = twin
        self._connection = connection
        self.check_s = CHECK_S
        self._check_at_s = time.monotonic() + CHECK_S
        self._projection = Projection(connection, twin.site, lambda: twin.epoch)
        self._projection.stopped = self._is_stopped
        self.medium = Medium(twin.site, "graph", self._catch_up)
        self._prepared = False
        self._lock = Lock()  # of whoever projects: the thread, or the probe after trouble
        self._wake, self._stop = Event(), Event()
        self._sequence = -1
        self._thread = Thread(target=self._run, name=f"mirror-{twin.site}", daemon=True)

    @property
    def sequence(self) -> int:
        """The graph shows every commit up to here; -1: not even the first load is finished."""
        return self._sequence

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
        self._thread.join()
        # A probe after trouble may still be at work; none begins from now on.
        self._lock.acquire()
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
                self._wake.wait(max(0.0, self._check_at_s - time.monotonic()))
                self._wake.clear()
                # Commits that come close together are shown together, and those who wait for them go first.
                self._stop.wait(SETTLE_S)
                is_due = self._is_due(watch) or time.monotonic() >= self._check_at_s
                if is_due and self.medium.trouble is None:
                    try:
                        self._catch_up()
                    except StoreError as error:
                        self.medium.fail(error)

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
                self._prepared = True
            if self._sequence < 0:
                self._sequence = self._loaded()
            while self._sequence >= 0 and not self._stop.is_set():
                if not self._behind():
                    self._check()
                    return
                commits = self._twin.commits(self._sequence, COMMITS_AT_ONCE)
                if not commits:
                    message = f"the journal of site {self._twin.site} ends at commit {self._sequence}"
                    raise StoreError(message, hint="was an older copy of the database restored?")
                snapshot = self._twin.snapshot()
                touched = _touched(commits, snapshot)
                if self._projection.update(snapshot, touched, commits[-1].sequence):
                    self._sequence = commits[-1].sequence

    def _check(self) -> None:
        """Now and then, and as long as there is trouble: whether somebody else changed the graph."""
        began_s = time.monotonic()
        if began_s < self._check_at_s and self.medium.trouble is None:
            return
        snapshot = self._twin.snapshot()
        if snapshot.revision != self._sequence:
            return  # more commits came meanwhile, and with them another look
        told = counts(self._connection, snapshot)
        took_s = time.monotonic() - began_s
        self._check_at_s = time.monotonic() + max(self.check_s, _CHECK_RATIO * took_s)
        if told:
            raise foreign_change(self._connection, told)

    def _loaded(self) -> int:
        """Up to where the graph is; loads it where that was never done or not finished."""
        progress = self._projection.progress()
        if progress is None or not progress.loaded:
            self._projection.load(self._twin.snapshot())
            progress = self._projection.progress()
        return progress.sequence if progress is not None else -1


def _touched(commits: Sequence[Commit], snapshot: Snapshot) -> list[str]:
    """Every twin that some commits touch, once."""
    if any(commit.touches_more and commit.change.remove_relationships for commit in commits):
        # The ends of so many removed relationships are not told.
        return snapshot.ids(snapshot.living_rows)
    return list(dict.fromkeys(iri for commit in commits for iri in all_touched(commit)))
