"""Opening a site folder: its lock and its seal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.folders import make_folder
from graph.lock import WriterLock
from graph.readings.old import OldHistory, has_old_history, migrate_history
from graph.readings.store import HistoryReader, HistoryStore
from graph.sealing import break_seal
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.history import History
    from graph.journals import Journal
    from graph.readings.policy import HistoryPolicy
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
    """The folder is about to be written: its seal is broken, older files are migrated. StoreError."""
    try:
        break_seal(folder)
    except OSError as error:
        raise StoreError(f"cannot write here: {error}", place=Place(path=str(folder))) from error
    journal.prepare(schema)
    migrate_history(folder)


def open_history(folder: Path, policy: HistoryPolicy | None, *, read_only: bool) -> History:
    """The readings of a folder; the writer makes their files where they are absent. StoreError."""
    if not read_only:
        return HistoryStore(folder, policy)
    return OldHistory(folder) if has_old_history(folder) else HistoryReader(folder)
