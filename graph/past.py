"""Reading the journal itself: what was written when, and the site as it was.

On a connection of its own, so that reading never meets an open transaction of the writer.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

from graph.checkpoints import verify_checkpoints
from graph.writer import read_commits, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from graph.snapshot import Snapshot
    from graph.state import State
    from graph.stores.protocol import Head, Store
    from graph.values import Commit
    from ontology.errors import Problem

_SNAPSHOTS_MAX: Final = 4


class Past:
    """The journal of one site for readers. All methods are safe from any thread, and raise StoreError."""

    def __init__(self, store: Store, begin: Callable[[Store, int], tuple[State, Head | None]]) -> None:
        """begin: the state at or before a revision, and up to where the journal is in it."""
        self._store = store
        self._begin = begin
        self._lock = Lock()  # guards the store
        self._known: dict[int, Snapshot] = {}

    @property
    def newest_revision(self) -> int:
        with self._lock:
            return self._store.head().sequence

    def revision_at(self, time_ns: int) -> int:
        with self._lock:
            return self._store.sequence_at(time_ns)

    def commits(self, after: int, limit: int) -> list[Commit]:
        with self._lock:
            return read_commits(self._store.entries(after, after + limit))

    def digest_at(self, revision: int) -> bytes | None:
        with self._lock:
            return self._store.digest_at(revision)

    def snapshot(self, revision: int) -> Snapshot:
        """The site at a revision, without last readings. A few are kept."""
        known = self._known.get(revision)
        if known is None:
            known = self._known[revision] = self._replayed(revision)
            while len(self._known) > _SNAPSHOTS_MAX:
                self._known.pop(next(iter(self._known)))
        return known

    def verify(self, folder: Path) -> list[Problem]:
        """As `Twin.verify`; folder: of the site."""
        with self._lock:
            return [*self._store.verify(), *verify_checkpoints(folder, self._store)]

    @contextmanager
    def paused(self) -> Generator[None]:
        """Nobody reads meanwhile."""
        with self._lock:
            yield

    def replace(self, store: Store) -> None:
        """Another journal stands in this one's place; while `paused`."""
        self._store.close()
        self._store = store
        self._known.clear()

    def close(self) -> None:
        with self._lock:
            self._store.close()

    def _replayed(self, revision: int) -> Snapshot:
        with self._lock:
            state, head = self._begin(self._store, revision)
            replay(state, self._store, head, until=revision)
        return state.freeze()
