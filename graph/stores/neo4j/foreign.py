"""What other programs changed in the graph of a site: at once where a trigger notes it, else by comparing."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.stores.neo4j.differences import (
    TOLD_MAX,
    TWINS_PER_BATCH,
    counts,
    differing,
    differing_rows,
    strangers,
    unlike,
)
from graph.stores.neo4j.notes import SUSPECTS_MAX, Notes, compare_all, remove
from graph.stores.neo4j.trigger import Means, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from graph.snapshot import Snapshot
    from graph.stores.neo4j.connection import Connection

# How often the trigger's own state is looked at: always, and while Neo4j has not taken it up yet.
MEANS_S: Final = 60.0
WAITING_S: Final = 1.0
COMPARING: Final = "comparing was asked for ([store] foreign_changes)"
_LOG = logging.getLogger("twinmesh.graph")


class ForeignChanges:
    """Of one site. Used by one thread at a time; raises StoreError.

    epoch: of the writer. by_trigger: whether to install a trigger where that is allowed; without it one that
    is there is taken away.
    """

    def __init__(
        self, connection: Connection, site: str, epoch: Callable[[], int], *, by_trigger: bool
    ) -> None:
        self._connection, self._site, self._epoch = connection, site, epoch
        self._wanted = by_trigger
        self._trigger = Trigger(connection)
        self._notes = Notes(connection, site)
        self._is_prepared = False
        self._look_at_s = 0.0
        self._sweep = _Sweep(connection)
        self.means = Means(by_trigger=False, reason="not looked at yet")
        self.standing: frozenset[str] = frozenset()

    def prepare(self) -> None:
        """Before the graph is written: the trigger is there, or not, as it was asked for."""
        if not self._wanted:
            self._trigger.drop()
            remove(self._connection)
            self.means = Means(by_trigger=False, reason=COMPARING)
            return
        self._install()

    def check(self, snapshot: Snapshot) -> list[str]:
        """What was noted, and is not as the snapshot says, in words. The graph shows just this snapshot."""
        if not self._wanted:
            return []
        if time.monotonic() >= self._look_at_s:
            self._install()
        if not self.means.by_trigger:
            return []
        return self._compared(snapshot)

    def _compared(self, snapshot: Snapshot) -> list[str]:
        watch = self._notes.peek()
        if watch.is_quiet:
            self.standing = frozenset()
            return []
        taken = self._notes.take()
        wrong = differing(self._connection, snapshot, {*taken.ids, *watch.suspects})
        told: list[str] = []
        clean = 0
        if taken.whole:
            wrong |= self._sweep.step(snapshot, taken.whole)
            if self._sweep.is_done:
                clean = taken.whole
                told = counts(self._connection, snapshot)
                if told:
                    wrong |= strangers(self._connection, snapshot, SUSPECTS_MAX)
        if clean or taken.turn != watch.handled or wrong != {*watch.suspects}:
            self._notes.settle(taken.turn, wrong, self._epoch(), clean=clean)
        self._tell(wrong)
        return [*map(unlike, sorted(wrong)[:TOLD_MAX]), *told]

    def _tell(self, wrong: set[str]) -> None:
        fresh = sorted(wrong - self.standing)
        if fresh:
            more = f" and {len(fresh) - TOLD_MAX} more" if len(fresh) > TOLD_MAX else ""
            some = ", ".join(fresh[:TOLD_MAX]) + more
            _LOG.warning("site %s: another program changed in Neo4j %s", self._site, some)
        self.standing = frozenset(wrong)

    def _install(self) -> None:
        before = self.means
        self.means = self._trigger.install()
        if not self._is_prepared and (self.means.by_trigger or self.means.waits):
            self._notes.prepare()
            self._is_prepared = True
        if before.waits and self.means.by_trigger:
            compare_all(self._connection)  # what was changed before it was active is known to nobody
        if self.means != before:
            _LOG.info("site %s: changes of others in Neo4j: %s", self._site, self.means.reason)
        self._look_at_s = time.monotonic() + (WAITING_S if self.means.waits else MEANS_S)


class _Sweep:
    """Comparing everything, a batch at a time, so that the graph is not kept from following."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._for = 0
        self._row = 0

    @property
    def is_done(self) -> bool:
        return not self._for

    def step(self, snapshot: Snapshot, asked: int) -> set[str]:
        """The ids that differ in the next batch. asked: the turn that wants it; another one begins anew."""
        if self._for != asked:
            self._for, self._row = asked, 0
        until = min(self._row + TWINS_PER_BATCH, snapshot.size)
        rows = np.arange(self._row, until, dtype=np.int64)
        wrong = differing_rows(self._connection, snapshot, rows)
        self._row = until
        if until == snapshot.size:
            self._for = 0
        return wrong
