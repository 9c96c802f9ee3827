"""A replica: what a peer shares of one of its sites, kept here for when it is away. Never ours, never passed
on.

One SQLite file beside the sites, not among them: no writer, export, contract or peer of this folder reaches
it. A page and the cursor behind it are one transaction: whatever dies in between, the replica goes on where
it was, and a page that comes twice, late or out of order does not fit its cursor and changes nothing.

It is no journal, because pages pass through states that a journal would rightly refuse (a relationship before
its end, half a tree of parts); what it comes to at the end of a round is what the peer shares.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

import msgspec

from federation.sync_wire import garbage, hash_of, rows_of
from graph.folders import make_folder, sync_folder
from graph.stores.connecting import connect, transaction
from graph.stores.faults import SQLITE_FAULTS
from graph.values import ExternalId, RelationshipRecord, TwinRecord, Value
from ontology.errors import LimitError, Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from federation.sync_wire import LinkRow, Page, TwinRow

REPLICAS: Final = "replicas"
SUFFIX: Final = ".sqlite"
APPLICATION_ID: Final = 0x7457_5231  # "tWR1"
FORMAT_VERSION: Final = 1
BUSY_TIMEOUT_S: Final = 10.0
_TABLES: Final = (
    """CREATE TABLE about (
        one INTEGER PRIMARY KEY CHECK (one = 1), peer TEXT NOT NULL, site TEXT NOT NULL, base TEXT NOT NULL,
        cursor BLOB NOT NULL, copy INTEGER NOT NULL, last TEXT NOT NULL, whole INTEGER NOT NULL,
        revision INTEGER NOT NULL, time_ns INTEGER NOT NULL, synced_ns INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE twins (
        id TEXT PRIMARY KEY, body BLOB NOT NULL, copy INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE links (
        home TEXT NOT NULL, key BLOB NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
        body BLOB NOT NULL, PRIMARY KEY (home, key)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX links_by_source ON links (source)",
    "CREATE INDEX links_by_target ON links (target)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT_VERSION}",
)
_ABOUT: Final = "SELECT peer, site, base, cursor, copy, last, whole, revision, time_ns, synced_ns FROM about"
_PUT_ABOUT: Final = """UPDATE about SET
    cursor = ?, copy = ?, last = ?, whole = ?, revision = ?, time_ns = ?, synced_ns = ?"""


@dataclass(frozen=True, slots=True)
class About:
    """Whose replica this is, and how far it is.

    peer: fingerprint. cursor: behind the last page. copy: how often it was begun. last: the last id of the
    round. is_whole: it was once all that was shared. revision, time_ns: of the peer's site when it last was,
    and when that was written there. synced_ns: when that was here; 0: never.
    """

    peer: str
    site: str
    base: str
    cursor: bytes
    copy: int
    last: str
    is_whole: bool
    revision: int
    time_ns: int
    synced_ns: int

    def age_s(self, now_ns: int) -> float | None:
        """How long ago the peer was last heard to have no more news; None: never."""
        return max(0.0, (now_ns - self.synced_ns) / 1e9) if self.synced_ns else None


class Replica:
    """One open replica. Safe from any thread; other processes may have it open too. A context manager."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = RLock()

    @classmethod
    def open(cls, path: Path, peer: str, site: str, base: str) -> Replica:
        """The replica at a path, a new and empty one if there is none.

        StoreError REPLICA_FAILED; REPLICA_FOREIGN where it is one of another peer or base.
        """
        with _errors(path), ExitStack() as undo:
            make_folder(path.parent)
            connection = connect(path, BUSY_TIMEOUT_S)
            undo.callback(connection.close)
            with transaction(connection):
                _prepare(connection, path, (peer, site, base))
            sync_folder(path.parent)
            undo.pop_all()
        replica = cls(path, connection)
        about = replica.about()
        if (about.peer, about.site, about.base) != (peer, site, base):
            replica.close()
            hint = f"remove {path} to begin anew"
            message = f"this is a replica of site {about.site} at {about.base} of {about.peer}"
            raise StoreError(message, code="REPLICA_FOREIGN", place=Place(str(path)), hint=hint)
        return replica

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Replica:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading

    def about(self) -> About:
        with self._lock, _errors(self.path):
            row = self._connection.execute(_ABOUT).fetchone()
        peer, site, base, cursor, copy, last, whole, revision, time_ns, synced_ns = row
        return About(peer, site, base, cursor, copy, last, bool(whole), revision, time_ns, synced_ns)

    def counts(self) -> tuple[int, int]:
        """(twins, relationships)."""
        query = "SELECT (SELECT count(*) FROM twins), (SELECT count(*) FROM links)"
        with self._lock, _errors(self.path):
            twins, links = self._connection.execute(query).fetchone()
        return twins, links

    def hash(self) -> str:
        """Equal to that of what the peer shares, where the replica is whole and no older."""
        return hash_of(body for table in ("twins", "links") for body in self._bodies(table))

    def twins(self) -> Iterator[TwinRecord]:
        """All of them; the same twins in the same order each time."""
        return (_twin(msgspec.msgpack.decode(body)) for body in self._bodies("twins"))

    def links(self) -> Iterator[RelationshipRecord]:
        return (_link(msgspec.msgpack.decode(body)) for body in self._bodies("links"))

    # Writing

    def apply(self, page: Page, who: str, twins_max: int, now_ns: int) -> bool:
        """Take over a page, whole or not at all; durable on return. False: it does not belong here now.

        Raises StoreError PEER_GARBAGE for one that no honest peer sends, REPLICA_FAILED, and LimitError
        REPLICA_FULL.
        """
        twins, links = rows_of(page.records, who)
        with self._lock, _errors(self.path), transaction(self._connection):
            about = self.about()
            if about.cursor != page.at:
                return False
            last = "" if page.starts else about.last
            self._check(page, about, last, who)
            copy = about.copy + page.starts
            self._put(page, copy, twins, links)
            if page.sweeps:
                self._connection.execute("DELETE FROM twins WHERE copy < ?", (copy,))
                self._connection.execute("DELETE FROM links WHERE home NOT IN (SELECT id FROM twins)")
            self._check_size(twins_max)
            self._advance(page, about, copy, last, now_ns)
        return True

    def _put(self, page: Page, copy: int, twins: list[TwinRow], links: list[LinkRow]) -> None:
        run = self._connection.executemany
        gone = [(iri,) for iri in page.gone]
        run("DELETE FROM twins WHERE id = ?", gone)
        for column in ("home", "source", "target"):
            run(f"DELETE FROM links WHERE {column} = ?", gone)  # names of ours
        run("DELETE FROM links WHERE home = ?", [(row.id,) for row in twins])
        run("INSERT OR REPLACE INTO twins VALUES (?, ?, ?)", [(row.id, row.body, copy) for row in twins])
        told = [(row.home, row.key, row.source, row.target, row.body) for row in links]
        run("INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?, ?)", told)

    def _advance(self, page: Page, about: About, copy: int, last: str, now_ns: int) -> None:
        last = "" if page.ends else max(last, *page.records.ids)
        state = (about.revision, about.time_ns, about.synced_ns)
        if page.done:
            state = (page.revision, page.time_ns, now_ns)
        whole = page.done or (about.is_whole and not page.starts)
        self._connection.execute(_PUT_ABOUT, (page.cursor, copy, last, whole, *state))

    def _check(self, page: Page, about: About, last: str, who: str) -> None:
        records = page.records
        if (records.site, records.base) != (about.site, about.base):
            raise garbage(who, "it tells of another site than it was asked for")
        if not page.ends and (not records.ids or page.sweeps or page.done):
            raise garbage(who, "its pages lead nowhere")
        if len(set(records.ids)) < len(records.ids) or not set(page.gone).isdisjoint(records.ids):
            raise garbage(who, "a page tells of one twin twice")
        if last and records.ids and min(records.ids) <= last:
            raise garbage(who, "its pages go back")

    def _check_size(self, twins_max: int) -> None:
        twins, links = self.counts()
        if twins > twins_max or links > 8 * twins_max:
            hint = "raise `replica_twins_max` of [federation], or agree on less"
            raise LimitError(f"the replica has more than {twins_max:,} twins", code="REPLICA_FULL", hint=hint)

    def _bodies(self, table: str) -> Iterator[bytes]:
        with self._lock, _errors(self.path):
            for (body,) in self._connection.execute(f"SELECT body FROM {table}"):
                yield body


def replica_path(folder: Path, peer: str, site: str) -> Path:
    """Of a data folder; peer: its name."""
    return folder / REPLICAS / peer / f"{site}{SUFFIX}"


def replicas_of(folder: Path, peer: str) -> list[str]:
    """Names of the sites of a peer of which there is a replica, in order."""
    found = (folder / REPLICAS / peer).glob(f"*{SUFFIX}")
    return sorted(path.name.removesuffix(SUFFIX) for path in found)


def read_about(path: Path) -> About:
    """What a replica says of itself. StoreError REPLICA_FAILED."""
    with _errors(path):
        connection = connect(path, BUSY_TIMEOUT_S)
    with Replica(path, connection) as replica:
        return replica.about()


def _prepare(connection: sqlite3.Connection, path: Path, whose: tuple[str, str, str]) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) == (0, 0):
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute("INSERT INTO about VALUES (1, ?, ?, ?, x'', 0, '', 0, 0, 0, 0)", whose)
    elif (application, version) != (APPLICATION_ID, FORMAT_VERSION):
        message = f"no replica of format {FORMAT_VERSION}: application {application:#x}, format {version}"
        raise StoreError(message, code="REPLICA_FAILED", place=Place(str(path)))


def _twin(fields: list[Any]) -> TwinRecord:
    iri, kinds, name, local_id, outside, attributes = fields
    known = tuple(ExternalId(system, own) for system, own in outside)
    return TwinRecord(iri, tuple(kinds), name, local_id, _values(attributes), known)


def _link(fields: list[Any]) -> RelationshipRecord:
    source, relation, target, group, own_id, attributes = fields
    return RelationshipRecord(source, relation, target, group, own_id, _values(attributes))


def _values(attributes: list[Any]) -> dict[str, Value]:
    return {name: Value(value, unit) for name, value, unit in attributes}


@contextmanager
def _errors(path: Path) -> Generator[None]:
    try:
        yield
    except (*SQLITE_FAULTS, OSError) as error:
        raise StoreError(f"a replica: {error}", code="REPLICA_FAILED", place=Place(str(path))) from error
