"""Durable SQLite files that several threads and processes share: opened, and written in transactions."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from graph.stores.faults import SQLITE_FAULTS

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_PAUSE_S: Final = 0.005


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection with the write-ahead log and `synchronous=FULL`; see `transaction`.

    Any thread may use it, one at a time. Raises SQLITE_FAULTS.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=timeout_s)
    try:
        use_log(connection, timeout_s)
        connection.execute("PRAGMA synchronous = FULL")
    except SQLITE_FAULTS:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """All that the block writes, durable once it ends well, or nothing of it. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def use_log(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switch to the write-ahead log (WAL).

    The first one to open a file changes it, and SQLite refuses the others meanwhile instead of waiting as it
    does everywhere else. Raises sqlite3.OperationalError SQLITE_BUSY after `timeout_s`.
    """
    ends_s = time.monotonic() + timeout_s
    while not _switched(connection, ends_s):
        time.sleep(_PAUSE_S)


def _switched(connection: sqlite3.Connection, ends_s: float) -> bool:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > ends_s:
            raise
        return False
    return True
