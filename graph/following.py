"""Following: a process that only reads stays close behind the one that writes the same folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.stores.sqlite import SqliteStore
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.stores.protocol import Head, Header, Store

# Commits that are taken over without letting a reader in between.
TAKEN_AT_ONCE_MAX = 256
# How long a reader waits for the newest commits to be taken over; after that it gets what is there.
FRESH_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a follower may be behind the process that writes.

    commits: on disk and not taken over. age_s: so long ago, at the latest, it had everything.
    """

    commits: int
    age_s: float


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


def was_replaced(path: Path, opened: JournalFile, store: Store, taken: Head) -> bool:
    """Whether what a follower has taken over is no longer the beginning of what the journal says.

    path: where the journal lies. opened, store: as it was opened. taken: the last commit taken over.
    """
    if JournalFile.at(path) != opened:
        return True
    if not taken.sequence:
        return _header(path) != store.header  # as long as a site is empty it may get another base IRI
    head = store.head()
    return head != taken and head.sequence <= taken.sequence


def _header(path: Path) -> Header:
    store = SqliteStore.open(path, read_only=True)
    store.close()
    return store.header
