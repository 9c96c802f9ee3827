"""The states that things went through, in order: a side file whose rows are only added and form a hash chain.

A row holds the whole new state of one subject (a command, an alarm). What it replaces stays: the file is its
own audit trail, and a reader with a cursor misses nothing. A log whose format has `TAIL` may let its oldest
entries go; the digest of the last one that went stays, so that what is left is still a chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from graph.stores.side_file import Format, SideFile

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

PAGE_ROWS_MAX: Final = 1_000
OPEN_MAX: Final = 10_000
FETCH_ROWS: Final = 256

TABLES: Final = """
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    subject TEXT NOT NULL,
    content BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE INDEX entries_of_subject ON entries (subject, number);
-- Where each subject stands now: follows from the entries, and is held against them by `verify`.
CREATE TABLE subjects (
    subject TEXT PRIMARY KEY,
    first INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL,
    key TEXT UNIQUE,
    label TEXT NOT NULL,
    is_open INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX subjects_open ON subjects (is_open, first);
CREATE INDEX subjects_of_label ON subjects (label, first);
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;
"""
TAIL: Final = """
CREATE TABLE tail (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;
"""
"""Behind TABLES: a log with a limit. The tail is the newest entry that is gone."""
_ENTRY = "number, time_ns, subject, content"
_NEWEST = (
    "SELECT e.number, e.time_ns, e.subject, e.content FROM subjects s JOIN entries e ON e.number = s.last"
)
_PUT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?)"
_PUT_SUBJECT = """INSERT INTO subjects VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (subject) DO UPDATE SET
    last = excluded.last, is_open = excluded.is_open"""


@dataclass(frozen=True, slots=True)
class NewState:
    """A state to add. key: under which the subject can be found again; label: what it is about (an IRI).

    Both count at the first state of a subject alone.
    """

    subject: str
    time_ns: int
    content: bytes
    label: str
    is_open: bool
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    number: int
    time_ns: int
    subject: str
    content: bytes


class StateLog(SideFile):
    """One open log. Safe from any thread."""

    @classmethod
    def open(cls, path: Path, format: Format) -> StateLog:
        """The log at a path, made if there is none. StoreError, see `SideFile.open_file`."""
        log = cls.open_file(path, format)
        with log.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO head VALUES (1, 0, ?)", (_first(format),))
        return log

    @property
    def listeners(self) -> list[Callable[[], None]]:
        """Called after every append, from its thread: they may only wake somebody."""
        return self._listeners

    def __init__(self, path: Path, connection: sqlite3.Connection, format: Format) -> None:
        super().__init__(path, connection, format)
        self._listeners: list[Callable[[], None]] = []

    def append(self, states: Sequence[NewState]) -> int:
        """Add states, all or none; durable on return. Returns the number of the last one. StoreError."""
        with self.writing() as connection:
            number, digest = connection.execute("SELECT number, digest FROM head").fetchone()
            for state in states:
                number += 1
                digest = _chain(digest, number, state.time_ns, state.subject, state.content)
                row = (number, state.time_ns, state.subject, state.content, digest)
                connection.execute(_PUT, row)
                about = (state.subject, number, number, state.key, state.label, int(state.is_open))
                connection.execute(_PUT_SUBJECT, about)
            connection.execute("UPDATE head SET number = ?, digest = ?", (number, digest))
        for listener in tuple(self._listeners):
            listener()
        return number

    def trim(self, number: int) -> None:
        """Let entries up to a number go; no subject may have any above it. For logs with TAIL. StoreError."""
        with self.writing() as connection:
            found = connection.execute("SELECT number, digest FROM entries WHERE number = ?", (number,))
            if (last := found.fetchone()) is None:
                return
            connection.execute("INSERT OR REPLACE INTO tail VALUES (1, ?, ?)", last)
            connection.execute("DELETE FROM subjects WHERE last <= ?", (number,))
            connection.execute("DELETE FROM entries WHERE number <= ?", (number,))

    @property
    def oldest(self) -> int:
        """The number of the oldest entry that is kept; 0: none."""
        found = self.row("SELECT coalesce(min(number), 0) FROM entries")
        return found[0] if found else 0

    @property
    def head(self) -> int:
        """The number of the newest entry; 0: none."""
        found = self.row("SELECT number FROM head")
        return found[0] if found else 0

    def newest(self, subject: str) -> Entry | None:
        """The newest state of a subject."""
        return _entry(self.row(f"{_NEWEST} WHERE s.subject = ?", subject))

    def by_key(self, key: str) -> Entry | None:
        """The newest state of the subject with that key."""
        return _entry(self.row(f"{_NEWEST} WHERE s.key = ?", key))

    def open_ones(self) -> list[Entry]:
        """The newest states of the subjects that are open, oldest subject first."""
        rows = self.rows(f"{_NEWEST} WHERE s.is_open = 1 ORDER BY s.first LIMIT ?", OPEN_MAX)
        return [Entry(*row) for row in rows]

    def count_open(self) -> int:
        found = self.row("SELECT count(*) FROM subjects WHERE is_open = 1")
        return found[0] if found else 0

    def page(
        self, before: int | None = None, *, label: str | None = None, open_only: bool = False, limit: int = 50
    ) -> list[tuple[int, Entry]]:
        """Newest subjects first, each with the number of its first entry, which `before` goes on from."""
        tests = ["s.first < ?"]
        conditions: list[object] = [2**62 if before is None else before]
        if label is not None:
            tests.append("s.label = ?")
            conditions.append(label)
        if open_only:
            tests.append("s.is_open = 1")
        query = f"""SELECT s.first, e.number, e.time_ns, e.subject, e.content FROM subjects s
            JOIN entries e ON e.number = s.last WHERE {" AND ".join(tests)} ORDER BY s.first DESC LIMIT ?"""
        rows = self.rows(query, *conditions, min(limit, PAGE_ROWS_MAX))
        return [(row[0], Entry(*row[1:])) for row in rows]

    def states(self, subject: str) -> list[Entry]:
        """What a subject went through, oldest first."""
        query = f"SELECT {_ENTRY} FROM entries WHERE subject = ? ORDER BY number LIMIT ?"
        return [Entry(*row) for row in self.rows(query, subject, PAGE_ROWS_MAX)]

    def entries(self, after: int, limit: int = FETCH_ROWS) -> list[Entry]:
        """Entries with a number above `after`, in order."""
        query = f"SELECT {_ENTRY} FROM entries WHERE number > ? ORDER BY number LIMIT ?"
        return [Entry(*row) for row in self.rows(query, after, limit)]


def check_states(connection: sqlite3.Connection, format: Format) -> list[str]:
    """What is wrong with a log that a connection reads: every broken place, in words. SQLITE_FAULTS."""
    damaged = [text for (text,) in connection.execute("PRAGMA quick_check(100)") if text != "ok"]
    return damaged or [*_broken(connection, format), *_misled(connection)]


def _broken(connection: sqlite3.Connection, format: Format) -> Iterator[str]:
    """Breaks of the chain; after one it goes on from what is stored."""
    number, digest = _before(connection, format)
    for row in connection.execute("SELECT number, time_ns, subject, content, digest FROM entries ORDER BY 1"):
        if row[0] != number + 1:
            yield f"entry {row[0]} stands where {number + 1} belongs"
        if row[4] != _chain(digest, *row[:4]):
            yield f"entry {row[0]} does not match its digest"
        number, digest = row[0], row[4]
    if connection.execute("SELECT number, digest FROM head").fetchone() != (number, digest):
        yield f"entries after {number} are missing or the head is wrong"


def _before(connection: sqlite3.Connection, format: Format) -> tuple[int, bytes]:
    """Number and digest of what the oldest entry was chained to."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'tail'").fetchone()
    tail = connection.execute("SELECT number, digest FROM tail").fetchone() if known else None
    return tail or (0, _first(format))


def _misled(connection: sqlite3.Connection) -> Iterable[str]:
    """Subjects that do not stand where the entries say."""
    query = """SELECT coalesce(s.subject, e.subject) FROM subjects s FULL OUTER JOIN
        (SELECT subject, min(number) AS first, max(number) AS last FROM entries GROUP BY subject) AS e
        USING (subject) WHERE s.first IS NOT e.first OR s.last IS NOT e.last LIMIT 100"""
    return [f"{subject} does not stand where its entries say" for (subject,) in connection.execute(query)]


def _first(format: Format) -> bytes:
    return sha256(f"twinmesh {format.label}".encode()).digest()


def _chain(previous: bytes, number: int, time_ns: int, subject: str, content: bytes) -> bytes:
    """sha256(previous digest + header + content), as the journal does it."""
    digest = sha256(previous)
    digest.update(msgspec.msgpack.encode((number, time_ns, subject)))
    digest.update(content)
    return digest.digest()


def _entry(row: tuple[object, ...] | None) -> Entry | None:
    return None if row is None else Entry(*row)  # pyright: ignore[reportArgumentType]
