"""Side files: what a site or a data folder keeps in SQLite besides journal and history. WAL, synced in full.

One way to make, open, write, read and check them; what differs stands in their `Format`.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias

from graph.folders import sync_folder
from graph.stores.connecting import connect, transaction
from graph.stores.faults import SQLITE_FAULTS, means_corrupt
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator
    from pathlib import Path
    from typing import Self

BUSY_TIMEOUT_S = 5.0
Row: TypeAlias = "tuple[Any, ...]"


@dataclass(frozen=True, slots=True)
class Format:
    """What a kind of side file holds, and how its errors are called.

    tables: statements that make an empty one, each ended by ";" and a line break. failed, corrupt: codes of
    errors of the disk, and of bytes that are wrong.
    """

    label: str
    application_id: int
    version: int
    tables: str
    failed: str
    corrupt: str


class SideFile:
    """One open file. Safe from any thread; other processes may use it too. A context manager."""

    def __init__(self, path: Path, connection: sqlite3.Connection, format: Format) -> None:
        self.path = path
        self._connection = connection
        self._format = format
        self._lock = RLock()

    @classmethod
    def open_file(cls, path: Path, format: Format) -> Self:
        """The file at a path, made if there is none, readable for its owner alone.

        StoreError `format.failed`, `format.corrupt`, STORE_VERSION.
        """
        with _errors(path, format), ExitStack() as undo:
            is_new = not path.exists()
            if is_new:  # private from the first moment on
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = connect(path, BUSY_TIMEOUT_S)
            undo.callback(connection.close)
            _make_tables(connection, format)
            _check_version(connection, path, format)
            if is_new:
                sync_folder(path.parent)
            undo.pop_all()
        return cls(path, connection, format)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self, *, synced: bool = True) -> Generator[sqlite3.Connection]:
        """One transaction, durable when the block ends well. StoreError.

        synced False: it outlives the process but perhaps not a power loss, and costs no sync.
        """
        with self._lock, _errors(self.path, self._format):
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            with transaction(self._connection):
                yield self._connection

    def rows(self, query: str, *values: object) -> list[Row]:
        """All rows of a query that is limited. StoreError."""
        with self._lock, _errors(self.path, self._format):
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
def _errors(path: Path, format: Format) -> Generator[None]:
    place = Place(str(path))
    try:
        yield
    except SQLITE_FAULTS as error:
        code = format.corrupt if means_corrupt(error) else format.failed
        raise StoreError(f"{format.label}: {error}", code=code, place=place) from error
    except OSError as error:
        reason = f"{format.label}: {error.strerror}"
        raise StoreError(reason, code=format.failed, place=place) from error


def _make_tables(connection: sqlite3.Connection, format: Format) -> None:
    """In one transaction; another process that was first has made them."""
    with transaction(connection):
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in format.tables.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {format.application_id}")
            connection.execute(f"PRAGMA user_version = {format.version}")


def _check_version(connection: sqlite3.Connection, path: Path, format: Format) -> None:
    ours = connection.execute("PRAGMA application_id").fetchone()[0] == format.application_id
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not ours or version != format.version:
        message = f"the file is of format {version}, this program knows {format.version}"
        raise StoreError(message, code="STORE_VERSION", place=Place(str(path)))
