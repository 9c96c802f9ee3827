"""One moment of a database as one file, whoever writes to it meanwhile."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from graph.files import sync_file
from graph.stores.faults import SQLITE_FAULTS, means_corrupt
from graph.stores.reading import connect_unchanged
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


def copy_database(source: Path, target: Path, code: str) -> None:
    """Copy in one step: the writer goes on and cannot make it begin again. Durable on return.

    Raises StoreError: JOURNAL_CORRUPT where the source is no whole database, else `code`. OSError.
    """
    with (
        copying(target, code),
        closing(connect_unchanged(source)) as reader,
        closing(sqlite3.connect(target, isolation_level=None)) as writer,
    ):
        writer.execute("PRAGMA synchronous = OFF")  # the file is synced as a whole
        reader.backup(writer)
        # Not in WAL mode: such a file is opened by readers without a byte of it changing.
        writer.execute("PRAGMA journal_mode = DELETE")
    sync_file(target)


@contextmanager
def copying(path: Path, code: str) -> Generator[None]:
    """Errors of SQLite as StoreError `code`, with what an operator can do about it."""
    try:
        yield
    except SQLITE_FAULTS as error:
        place = Place(path=str(path))
        if means_corrupt(error):
            hint = "run twinmesh verify, then restore a backup"
            raise StoreError(f"copying: {error}", code="JOURNAL_CORRUPT", place=place, hint=hint) from error
        full = getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
        hint = "the disk is full: make room, then repeat" if full else "nothing is left behind; then repeat"
        raise StoreError(f"copying: {error}", code=code, place=place, hint=hint) from error
