"""Opening an SQLite file that several processes may open at the same moment."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

_PAUSE_S: Final = 0.005


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
