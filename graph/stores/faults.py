"""What SQLite raises, and what it means for a journal."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

# Python reads SQLite's messages as UTF-8: a damaged table definition that is quoted in one cannot be read.
SQLITE_FAULTS = (sqlite3.Error, UnicodeDecodeError)

# A text that is none, or a table that is gone: every statement was right when the journal was made.
_DAMAGED = ("Could not decode to UTF-8", "no such table", "no such column", "no such index")


@contextmanager
def store_errors(path: Path) -> Generator[None]:
    """Errors of SQLite as StoreError: JOURNAL_CORRUPT or STORE_FAILED."""
    try:
        yield
    except SQLITE_FAULTS as error:
        raise as_store_error(path, error) from error


def as_store_error(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
    code = "JOURNAL_CORRUPT" if means_corrupt(error) else "STORE_FAILED"
    return StoreError(f"journal: {error}", code=code, place=Place(path=str(path)))


def means_corrupt(error: Exception) -> bool:
    """Whether the bytes are wrong, and not the disk, a lock or the question."""
    if isinstance(error, UnicodeDecodeError) or str(error).startswith(_DAMAGED):
        return True
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
