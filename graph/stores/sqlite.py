"""The journal in SQLite: WAL and `synchronous=FULL`, so that a commit is on disk before it is acknowledged.

With NORMAL a power loss took every acknowledged row (notes/trust.md fact 3).
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from graph.stores.chain import first_digest, follows
from graph.stores.protocol import Answer, Entry, Head, Header
from ontology.errors import Place, Problem, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

APPLICATION_ID = 0x7457_4D31  # "tWM1"
FORMAT_VERSION = 1
FETCH_ROWS = 256

_TABLES = """
CREATE TABLE commits (
    sequence INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    author TEXT NOT NULL,
    message TEXT NOT NULL,
    payload BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE answers (
    key TEXT PRIMARY KEY,
    request BLOB NOT NULL,
    revision INTEGER NOT NULL,
    result BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE header (one INTEGER PRIMARY KEY CHECK (one = 1), site TEXT NOT NULL, base TEXT NOT NULL) STRICT;
-- The last commit once more: without it, a journal cut off at the end would still be a valid chain.
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;
"""
_ENTRY_COLUMNS = "sequence, time_ns, author, message, payload, digest"


class SqliteStore:
    """One journal file. Used by one thread at a time; other processes may read the file meanwhile."""

    def __init__(self, path: Path, connection: sqlite3.Connection, header: Header) -> None:
        self.path = path
        self.header = header
        self._connection = connection

    @classmethod
    def create(cls, path: Path, header: Header) -> SqliteStore:
        """The journal of a site: the existing one, else a new one that says `header`."""
        with _store_errors(path):
            connection = _connect(path)
            # A crash right after the file was made leaves an empty database: that is a new journal too.
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                _make_tables(connection, header)
            connection.close()
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> SqliteStore:
        """An existing journal. Raises StoreError STORE_VERSION for one that this program does not know."""
        if not path.exists():
            raise StoreError("there is no journal", code="STORE_MISSING", place=Place(path=str(path)))
        with _store_errors(path):
            connection = _connect(path)
            if read_only:
                connection.execute("PRAGMA query_only = ON")
            with ExitStack() as undo:
                undo.callback(connection.close)
                _check_version(connection, path)
                site, base = connection.execute("SELECT site, base FROM header").fetchone()
                undo.pop_all()
        return cls(path, connection, Header(site, base))

    def rebase(self, base: str) -> None:
        """Give a journal without commits another base IRI."""
        header = Header(self.header.site, base)
        with _store_errors(self.path), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE header SET base = ?", (base,))
            connection.execute("UPDATE head SET digest = ?", (first_digest(header),))
        self.header = header

    def head(self) -> Head:
        row = self._row("SELECT sequence, time_ns, digest FROM commits ORDER BY sequence DESC LIMIT 1")
        return Head(*row) if row else Head(0, 0, first_digest(self.header))

    def append(self, entries: Sequence[Entry], answers: Sequence[Answer]) -> None:
        rows = [(e.sequence, e.time_ns, e.author, e.message, e.payload, e.digest) for e in entries]
        replies = [(a.key, a.request, a.revision, a.result) for a in answers]
        with _store_errors(self.path), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.executemany("INSERT INTO answers VALUES (?, ?, ?, ?)", replies)
            if entries:
                last = entries[-1]
                connection.execute("UPDATE head SET sequence = ?, digest = ?", (last.sequence, last.digest))

    def answer(self, key: str) -> Answer | None:
        row = self._row("SELECT key, request, revision, result FROM answers WHERE key = ?", key)
        return Answer(*row) if row else None

    def entries(self, after: int = 0, until: int | None = None) -> Iterator[Entry]:
        last = 2**63 - 1 if until is None else until
        query = f"SELECT {_ENTRY_COLUMNS} FROM commits WHERE sequence > ? AND sequence <= ? ORDER BY sequence"
        with _store_errors(self.path), closing(self._connection.execute(query, (after, last))) as cursor:
            while rows := cursor.fetchmany(FETCH_ROWS):
                yield from (Entry(*row) for row in rows)

    def sequence_at(self, time_ns: int) -> int:
        """Times ascend with sequences, so the primary key is the index over time: no second tree to write."""
        low, high = 0, self.head().sequence
        while low < high:
            middle = (low + high + 1) // 2
            row = self._row("SELECT time_ns FROM commits WHERE sequence = ?", middle)
            if row is None or row[0] > time_ns:
                high = middle - 1
            else:
                low = middle
        return low

    def verify(self) -> list[Problem]:
        try:
            damaged = [
                text for (text,) in self._connection.execute("PRAGMA quick_check(100)") if text != "ok"
            ]
            return [self._problem(text, None) for text in damaged] + self._verify_chain()
        except (sqlite3.DatabaseError, StoreError) as error:
            return [self._problem(f"unreadable: {error}", None)]

    def close(self) -> None:
        self._connection.close()

    def _verify_chain(self) -> list[Problem]:
        """Walk the chain; after a break go on from what is stored, so that every broken place is named."""
        problems: list[Problem] = []
        sequence, digest = 0, first_digest(self.header)
        for entry in self.entries():
            wrong = follows(entry, digest, sequence)
            if wrong:
                problems.append(self._problem(wrong, entry.sequence))
            sequence, digest = entry.sequence, entry.digest
        if self._row("SELECT sequence, digest FROM head") != (sequence, digest):
            problems.append(
                self._problem(f"commits after {sequence} are missing or the head is wrong", sequence)
            )
        return problems

    def _problem(self, message: str, sequence: int | None) -> Problem:
        item = None if sequence is None else f"commit {sequence}"
        return Problem("JOURNAL_CORRUPT", message, Place(path=str(self.path), item=item), "restore a backup")

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        with _store_errors(self.path):
            return self._connection.execute(query, values).fetchone()


@contextmanager
def _store_errors(path: Path) -> Generator[None]:
    """Errors of SQLite as StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        code = "JOURNAL_CORRUPT" if _means_corrupt(error) else "STORE_FAILED"
        raise StoreError(f"journal: {error}", code=code, place=Place(path=str(path))) from error


def _means_corrupt(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _connect(path: Path) -> sqlite3.Connection:
    # The Twin lets one thread at a time in, but not always the same one.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _make_tables(connection: sqlite3.Connection, header: Header) -> None:
    with connection:
        connection.executescript(f"BEGIN; {_TABLES}")
        connection.execute("INSERT INTO header VALUES (1, ?, ?)", (header.site, header.base))
        connection.execute("INSERT INTO head VALUES (1, 0, ?)", (first_digest(header),))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise StoreError("not a journal of twinmesh", code="STORE_VERSION", place=Place(path=str(path)))
    if version > FORMAT_VERSION:
        message = f"the journal has format {version}, this program knows up to {FORMAT_VERSION}"
        hint = "use the newer twinmesh that wrote it"
        raise StoreError(message, code="STORE_VERSION", place=Place(path=str(path)), hint=hint)
