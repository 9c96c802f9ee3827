"""The journal in SQLite: WAL and `synchronous=FULL`, so that a commit is on disk before it is acknowledged.

With NORMAL a power loss took every acknowledged row (notes/trust.md fact 3).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graph.folders import sync_folder
from graph.stores.chain import first_digest
from graph.stores.faults import SQLITE_FAULTS, as_store_error, store_errors
from graph.stores.layout import (
    APPLICATION_ID,
    FORMAT_VERSION,
    HEAD_COLUMNS,
    HeadRow,
    answer_digest,
    make_tables,
)
from graph.stores.protocol import Answer, Entry, Head, Header
from graph.stores.proving import answer_problems, chain_problems
from ontology.errors import Place, Problem, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

FETCH_ROWS = 256
PAGE_BYTES = 2048
LOG_PAGES = 2048  # the log is written into the file when it holds so many
LOG_FRAME_BYTES = PAGE_BYTES + 24
_ENTRY_COLUMNS = "sequence, time_ns, author, message, payload, digest"
_PUT_COMMIT = "INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?)"
_PUT_ANSWER = "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?)"
_MOVE_HEAD = """UPDATE head SET sequence = ?, digest = ?, epoch = ?, answers_first = ?, answers_last = ?,
    seal = ? WHERE epoch = ? AND sequence = ?"""
_FENCED_HINT = "another process became the writer of this site: restart this one, or stop it"
# Transactions that a reader or a backup may hold are waited for.
BUSY_TIMEOUT_S = 5.0


class SqliteStore:
    """One journal file. Used by one thread at a time; other processes may read the file meanwhile."""

    def __init__(self, path: Path, connection: sqlite3.Connection, header: Header, version: int) -> None:
        self.path = path
        self.header = header
        self.version = version
        self._connection = connection
        self._held: HeadRow | None = None  # as this writer left it; None: not the writer

    @classmethod
    def create(cls, path: Path, header: Header) -> SqliteStore:
        """The journal of a site: the existing one, else a new one that says `header`."""
        if not path.exists() or not path.stat().st_size:
            _make(path, header)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> SqliteStore:
        """An existing journal. Raises StoreError STORE_VERSION for one that this program does not know."""
        if not path.exists():
            raise StoreError("there is no journal", code="STORE_MISSING", place=Place(path=str(path)))
        with store_errors(path):
            connection = _connect(path)
            if read_only:
                connection.execute("PRAGMA query_only = ON")
            with ExitStack() as undo:
                undo.callback(connection.close)
                version = check_version(connection, path)
                header = read_header(connection, path)
                undo.pop_all()
        return cls(path, connection, header, version)

    # The writer

    @property
    def epoch(self) -> int:
        """The number of this writer; 0 where it is none (or no longer)."""
        return self._held.epoch if self._held else 0

    def take_over(self) -> int:
        """Become the writer: every earlier one is fenced off from now on. Returns the new epoch."""
        self._held = None
        with store_errors(self.path):
            self._checkpoint()
            self._held = self._bump(None)
        return self._held.epoch

    def recover(self) -> None:
        """After an error of the medium: a new connection, and proof that it can be written again.

        Raises StoreError as long as it cannot, STORE_FENCED if another writer took over meanwhile.
        """
        held = self._held
        with suppress(sqlite3.Error):
            self._connection.close()
        with store_errors(self.path):
            self._connection = _connect(self.path)
            if self._checkpoint():
                raise StoreError("journal: readers hold it", place=Place(path=str(self.path)))
            self._held = self._bump(held.epoch if held else None)

    def rebase(self, base: str) -> None:
        """Give a journal without commits another base IRI."""
        header = Header(self.header.site, base)
        with self._transaction() as connection:
            connection.execute("UPDATE header SET base = ?", (base,))
            row = replace(self._sealed_head(), digest=first_digest(header))
            connection.execute("UPDATE head SET digest = ?, seal = ?", (row.digest, row.seal))
            self._held = self._held and row
        self.header = header

    def append(self, entries: Sequence[Entry], answers: Sequence[Answer]) -> None:
        held = self._held
        if held is None:
            raise self._fenced("this is not the writer of the journal")
        last = entries[-1] if entries else held
        moved = held.moved(last.sequence, last.digest, len(answers))
        # Spelt out and not in `_transaction`: this is where a single write spends its time.
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._move_head(held, moved)
            for e in entries:
                row = (e.sequence, e.time_ns, e.author, e.message, e.payload, e.digest)
                connection.execute(_PUT_COMMIT, row)
            if answers:
                self._put_answers(held, moved, answers)
            connection.execute("COMMIT")
        except SQLITE_FAULTS as error:
            raise as_store_error(self.path, error) from error
        finally:
            if connection.in_transaction:
                self._roll_back()
        self._held = moved

    # Reading

    def head(self) -> Head:
        row = self._row("SELECT sequence, time_ns, digest FROM commits ORDER BY sequence DESC LIMIT 1")
        return Head(*row) if row else Head(0, 0, first_digest(self.header))

    def answer(self, key: str) -> Answer | None:
        row = self._row("SELECT key, request, revision, result FROM answers WHERE key = ?", key)
        return Answer(*row) if row else None

    def answers(self) -> Iterator[Answer]:
        query = "SELECT key, request, revision, result FROM answers ORDER BY number"
        with store_errors(self.path), closing(self._connection.execute(query)) as cursor:
            while rows := cursor.fetchmany(FETCH_ROWS):
                yield from (Answer(*row) for row in rows)

    def entries(self, after: int = 0, until: int | None = None) -> Iterator[Entry]:
        last = 2**63 - 1 if until is None else until
        query = f"SELECT {_ENTRY_COLUMNS} FROM commits WHERE sequence > ? AND sequence <= ? ORDER BY sequence"
        with store_errors(self.path), closing(self._connection.execute(query, (after, last))) as cursor:
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

    def digest_at(self, sequence: int) -> bytes | None:
        if not sequence:
            return first_digest(self.header)
        row = self._row("SELECT digest FROM commits WHERE sequence = ?", sequence)
        return row[0] if row else None

    def verify(self) -> list[Problem]:
        try:
            damaged = [
                text for (text,) in self._connection.execute("PRAGMA quick_check(100)") if text != "ok"
            ]
            problems = [self._problem(text, None) for text in damaged] + self._verify_chain()
            return problems if self.version == 1 else problems + self._verify_answers()
        except (*SQLITE_FAULTS, StoreError) as error:
            return [self._problem(f"unreadable: {error}", None)]
        except (TypeError, ValueError, OverflowError) as error:
            # A bit that flips in the head of a record gives a column another type.
            return [self._problem(f"a value is of the wrong type: {error}", None)]

    def close(self) -> None:
        self._connection.close()

    def _verify_chain(self) -> list[Problem]:
        head = self._row("SELECT sequence, digest FROM head")
        return chain_problems(
            self.header, self.entries(), (head[0], head[1]) if head else None, self._problem
        )

    def _verify_answers(self) -> list[Problem]:
        query = "SELECT number, digest, key, request, revision, result FROM answers ORDER BY number"
        return answer_problems(*self._head_row(), self._connection.execute(query), self._problem)

    # Inside

    def _head_row(self) -> tuple[HeadRow, bytes]:
        """The head and the seal that is stored with it."""
        row = self._row(f"SELECT {HEAD_COLUMNS} FROM head")
        if row is None:
            raise StoreError("the head is missing", code="JOURNAL_CORRUPT", place=Place(path=str(self.path)))
        return HeadRow(*row[:-1]), row[-1]

    def _sealed_head(self) -> HeadRow:
        """The head to write on from. A damaged one would be sealed anew, and its damage never be found."""
        head, seal = self._head_row()
        if seal != head.seal:
            place = Place(path=str(self.path), item="head")
            raise StoreError("the head does not match its seal", code="JOURNAL_CORRUPT", place=place)
        return head

    def _bump(self, expected: int | None) -> HeadRow:
        """Write the next epoch; with `expected` only if nobody else did so meanwhile."""
        if self.version < FORMAT_VERSION:
            message = f"a journal of format {self.version} can be read only"
            place = Place(path=str(self.path))
            raise StoreError(message, code="STORE_VERSION", place=place, hint="twinmesh migrate")
        with self._transaction():
            row = self._sealed_head()
            if expected not in (None, row.epoch):
                raise self._fenced(f"the journal is at epoch {row.epoch}, this writer had {expected}")
            self._reserve_log()
            self._move_head(row, row.next_epoch())
        return row.next_epoch()

    def _move_head(self, before: HeadRow, after: HeadRow) -> None:
        """Write the head if it is still the one this writer left behind."""
        values = (*after.columns, before.epoch, before.sequence)
        if self._connection.execute(_MOVE_HEAD, values).rowcount != 1:
            raise self._fenced(f"the journal is no longer at epoch {before.epoch}")

    def _put_answers(self, held: HeadRow, moved: HeadRow, answers: Sequence[Answer]) -> None:
        for number, answer in enumerate(answers, held.answers_last + 1):
            fields = (answer.key, answer.request, answer.revision, answer.result)
            self._connection.execute(_PUT_ANSWER, (number, *fields, answer_digest(number, answer)))
        if moved.answers_first != held.answers_first:
            self._connection.execute("DELETE FROM answers WHERE number < ?", (moved.answers_first,))

    def _roll_back(self) -> None:
        with store_errors(self.path):
            self._connection.execute("ROLLBACK")

    def _checkpoint(self) -> bool:
        """Write all that the log holds into the file once more, and sync it; True if readers were in the way.

        After an fsync that failed, pages may look written and be lost with the power; written again they
        are not. A process that died of such an error leaves the same behind, so every writer begins here.
        """
        return self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] != 0

    def _reserve_log(self) -> None:
        """Fill the empty log with zeros, which SQLite takes for no log at all.

        To sync what lies inside a file is a third cheaper than to sync a file that grew. Only inside a
        transaction, so that nobody else begins to write the log meanwhile.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        try:
            with log.open("r+b") as file:
                if file.seek(0, os.SEEK_END) == 0:
                    file.write(bytes(LOG_PAGES * LOG_FRAME_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            reason = f"journal: no room for its log: {error.strerror}"
            raise StoreError(reason, place=Place(path=str(log))) from error

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        connection = self._connection
        with store_errors(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    self._roll_back()

    def _fenced(self, message: str) -> StoreError:
        place = Place(path=str(self.path))
        return StoreError(message, code="STORE_FENCED", place=place, hint=_FENCED_HINT)

    def _problem(self, message: str, item: str | None) -> Problem:
        return Problem("JOURNAL_CORRUPT", message, Place(path=str(self.path), item=item), "restore a backup")

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        with store_errors(self.path):
            return self._connection.execute(query, values).fetchone()


def _make(path: Path, header: Header) -> None:
    """A new journal, whole under its name or not there at all, whenever the process ends.

    SQLite makes a file in steps; one that was left between two of them cannot be read without being written.
    """
    draft = path.with_name(f"{path.name}.draft")
    try:
        for ending in ("", "-wal", "-shm", "-journal"):
            draft.with_name(f"{draft.name}{ending}").unlink(missing_ok=True)
        with store_errors(path), closing(_connect(draft)) as connection:
            make_tables(connection, header)
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        message = f"cannot make the journal: {error.strerror}"
        raise StoreError(message, place=Place(path=str(path))) from error


def _connect(path: Path) -> sqlite3.Connection:
    # The Twin lets one thread at a time in, but not always the same one.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S)
    # Small pages: a commit writes two, and less to sync is sooner synced. Only a new file takes them.
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    return connection


def read_header(connection: sqlite3.Connection, path: Path) -> Header:
    row = connection.execute("SELECT site, base FROM header").fetchone()
    if row is None:
        raise StoreError("the header is missing", code="JOURNAL_CORRUPT", place=Place(path=str(path)))
    return Header(*row)


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise StoreError("not a journal of twinmesh", code="STORE_VERSION", place=Place(path=str(path)))
    if version > FORMAT_VERSION:
        message = f"the journal has format {version}, this program knows up to {FORMAT_VERSION}"
        hint = "use the newer twinmesh that wrote it"
        raise StoreError(message, code="STORE_VERSION", place=Place(path=str(path)), hint=hint)
    return version
