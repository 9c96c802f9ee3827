"""`federation.sqlite` of a data folder: peers, contracts, the ledger, nonces. WAL and `synchronous=FULL`.

Contracts and the ledger are chains: each row carries the hash of the one before, and where a chain ends is
signed with the key of the folder. Rows are only added; several processes may write.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from graph.folders import sync_folder
from graph.stores.connecting import connect, transaction
from graph.stores.faults import SQLITE_FAULTS, means_corrupt
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

FEDERATION_FILE: Final = "federation.sqlite"
APPLICATION_ID: Final = 0x7457_4D46  # "tWMF"
FORMAT_VERSION: Final = 1
BUSY_TIMEOUT_S: Final = 5.0
Row: TypeAlias = tuple[Any, ...]

TABLES: Final = """
CREATE TABLE peers (
    fingerprint TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    sites TEXT NOT NULL,
    added_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE contracts (
    number INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    partner TEXT NOT NULL,
    version INTEGER NOT NULL,
    content BLOB NOT NULL,
    digest BLOB NOT NULL,
    UNIQUE (partner, version)
) STRICT;
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    partner TEXT NOT NULL,
    version INTEGER NOT NULL,
    content BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE INDEX ledger_of_partner ON ledger (partner, number);
-- The last row of each chain once more, signed: rows cut off at the end are missed.
CREATE TABLE ends (
    chain TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    digest BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
-- Envelopes that were accepted, as long as they could be sent again.
CREATE TABLE nonces (
    issuer TEXT NOT NULL,
    nonce TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (issuer, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_expiry ON nonces (expires_ms);
-- Nonces that expire up to here were forgotten: such an envelope is refused, whatever the clock says.
CREATE TABLE forgotten (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    until_ms INTEGER NOT NULL,
    boot TEXT NOT NULL
) STRICT;
INSERT INTO forgotten VALUES (1, 0, '');
"""


class FederationStore:
    """One open file. Safe from any thread; other processes may use it too. A context manager."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = RLock()

    @classmethod
    def open(cls, folder: Path) -> FederationStore:
        """The file of a data folder, made if there is none.

        StoreError FEDERATION_FAILED, FEDERATION_CORRUPT, STORE_VERSION.
        """
        path = folder / FEDERATION_FILE
        with _errors(path), ExitStack() as undo:
            is_new = not path.exists()
            if is_new:  # private from the first moment on
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = connect(path, BUSY_TIMEOUT_S)
            undo.callback(connection.close)
            _make_tables(connection)
            _check_version(connection, path)
            if is_new:
                sync_folder(folder)
            undo.pop_all()
        return cls(path, connection)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> FederationStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self, *, synced: bool = True) -> Generator[sqlite3.Connection]:
        """One transaction, durable when the block ends well. StoreError.

        synced False: it outlives the process but perhaps not a power loss, and costs no sync.
        """
        with self._lock, _errors(self.path):
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            with transaction(self._connection):
                yield self._connection

    def rows(self, query: str, *values: object) -> list[Row]:
        """All rows of a query that is limited. StoreError."""
        with self._lock, _errors(self.path):
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> Row | None:
        found = self.rows(query, *values)
        return found[0] if found else None

    def damage(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty: nothing."""
        try:
            found = self.rows("PRAGMA quick_check(100)")
        except StoreError as error:
            return [error.message]
        return [str(text) for (text,) in found if text != "ok"]


@contextmanager
def _errors(path: Path) -> Generator[None]:
    place = Place(str(path))
    try:
        yield
    except SQLITE_FAULTS as error:
        code = "FEDERATION_CORRUPT" if means_corrupt(error) else "FEDERATION_FAILED"
        raise StoreError(f"federation: {error}", code=code, place=place) from error
    except OSError as error:
        reason = f"federation: {error.strerror}"
        raise StoreError(reason, code="FEDERATION_FAILED", place=place) from error


def _make_tables(connection: sqlite3.Connection) -> None:
    """In one transaction; another process that was first has made them."""
    with transaction(connection):
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not ours or version != FORMAT_VERSION:
        message = f"the file is of format {version}, this program knows {FORMAT_VERSION}"
        raise StoreError(message, code="STORE_VERSION", place=Place(str(path)))
