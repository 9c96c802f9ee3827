"""Journals opened so that not a byte of them changes, as of one moment: to verify them and to copy them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

from graph.stores.faults import store_errors
from graph.stores.sqlite import SqliteStore, check_version, read_header
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path


def connect_unchanged(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing; it sees what is in the write-ahead log too. SQLITE_FAULTS."""
    options = "mode=ro" if os.access(path.parent, os.W_OK) else "mode=ro&immutable=1"
    address = f"file:{quote(str(path.absolute()))}?{options}"
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)


def open_unchanged(path: Path) -> SqliteStore:
    """A journal as of now, whatever is written while it is read.

    Raises StoreError STORE_MISSING, STORE_VERSION or JOURNAL_CORRUPT.
    """
    if not path.exists():
        raise StoreError("there is no journal", code="STORE_MISSING", place=Place(path=str(path)))
    with store_errors(path), ExitStack() as undo:
        connection = connect_unchanged(path)
        undo.callback(connection.close)
        connection.execute("BEGIN")
        version = check_version(connection, path)
        header = read_header(connection, path)
        undo.pop_all()
    return SqliteStore(path, connection, header, version)
