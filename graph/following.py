"""Following: a process that only reads stays close behind the one that writes the same folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.stores.sqlite import SqliteStore
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.snapshot import Snapshot
    from graph.stores.protocol import Head, Header, Store

JOURNAL = "journal.sqlite"
# How long after its folder a site's journal may take to be there.
_SETTLED_NS = 5_000_000_000
# Commits that are taken over without letting a reader in between.
TAKEN_AT_ONCE_MAX = 256
# A tail of so many bytes at most is taken over by whoever reads, where a thread of its own follows as well.
LIGHT_TAIL_BYTES = 1 << 18
# How long a reader waits for the newest commits to be taken over; after that it gets what is there.
FRESH_WAIT_S = 0.05
# So long a follower shows what it has while its journal cannot be reached, as long as /readyz lets it.
AWAY_S_MAX = 10.0
_AWAY = frozenset({"STORE_UNREACHABLE", "STORE_HALTED"})


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a follower may be behind the process that writes.

    commits: on disk and not taken over. age_s: so long ago, at the latest, it had everything.
    """

    commits: int
    age_s: float


class Away:
    """Whether the journal can be looked at. Around every look; while it cannot be reached, a follower that
    a thread keeps close behind shows for a while what it has."""

    def __init__(self) -> None:
        self._error: StoreError | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._error = None
        if isinstance(error, StoreError) and error.code in _AWAY:
            self._error = error

    def bridged(self, fresh_s: float) -> bool:
        """Whether to show what was there at `fresh_s`; raises why not once that is too long ago."""
        if self._error is None:
            return False
        if time.monotonic() - fresh_s > AWAY_S_MAX:
            raise self._error
        return True


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot and the version of the state it shows."""

    version: int
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class JournalFile:
    """Which file a journal is: a backup restored or a format migrated puts another one in its place."""

    device: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> JournalFile:
        """The file that is there now; StoreError STORE_MISSING."""
        try:
            found = path.stat()
        except OSError as error:
            message = f"the journal is gone: {error.strerror}"
            raise StoreError(message, code="STORE_MISSING", place=Place(path=str(path))) from error
        return cls(found.st_dev, found.st_ino)


def newest_head(path: Path, opened: object, store: Store, taken: Head) -> Head | None:
    """The last commit that is on disk; None where the journal is another one than was followed so far.

    path: where the journal lies. opened, store: as it was opened. taken: the last commit taken over.
    """
    if JournalFile.at(path) != opened:
        return None
    # As long as a site is empty it may get another base IRI.
    if not taken.sequence and _header(path) != store.header:
        return None
    head = store.head()
    return None if head != taken and head.sequence <= taken.sequence else head


class Discovery:
    """The folders of sites, and whether it is worth while to list them again. Safe from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: tuple[int, int] | None = None  # (the folder's time of change, when it was listed)

    def may_have_news(self) -> bool:
        """Whether a site may have appeared since the last listing. Costs one look at the folder.

        A folder that changed a moment before it was listed may have changed again within the same tick of
        the clock, and a site's journal is made a moment after its folder.
        """
        changed_ns = self._changed_ns()
        known = self._listed
        return known is None or changed_ns != known[0] or known[1] < changed_ns + _SETTLED_NS

    def names(self) -> list[str]:
        """Names of all folders that hold a journal, in order."""
        self._listed = (self._changed_ns(), time.time_ns())
        return sorted(path.parent.name for path in self._folder.glob(f"*/{JOURNAL}"))

    def _changed_ns(self) -> int:
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0


def is_being_made(path: Path) -> bool:
    """Whether a journal that cannot be opened is perhaps only not ready yet."""
    try:
        return time.time_ns() - path.parent.stat().st_mtime_ns < _SETTLED_NS
    except OSError:
        return True


def _header(path: Path) -> Header:
    store = SqliteStore.open(path, read_only=True)
    store.close()
    return store.header
