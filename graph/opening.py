"""Opening a site folder: its lock and its seal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.folders import make_folder
from graph.lock import WriterLock
from graph.sealing import break_seal
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.journals import Journal
    from ontology.schema import Schema

LOCK = "lock"


def take_lock(folder: Path, url: str | None) -> WriterLock:
    """Become the writer of a folder, made where it is absent. StoreError STORE_LOCKED and others."""
    try:
        make_folder(folder)
        return WriterLock.take(folder / LOCK, url)
    except OSError as error:
        raise StoreError(f"cannot write here: {error}", place=Place(path=str(folder))) from error


def prepare(folder: Path, journal: Journal, schema: Schema) -> None:
    """The folder is about to be written: its seal is broken, an older journal migrated. StoreError."""
    try:
        break_seal(folder)
    except OSError as error:
        raise StoreError(f"cannot write here: {error}", place=Place(path=str(folder))) from error
    journal.prepare(schema)
