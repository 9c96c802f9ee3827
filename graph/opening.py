"""Opening a site folder: its lock, its seal, its journal."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from graph.folders import make_folder
from graph.following import JOURNAL
from graph.ids import default_base
from graph.lock import WriterLock
from graph.migrating import migrate_site
from graph.readings.old import OldHistory, has_old_history, migrate_history
from graph.readings.store import HistoryReader, HistoryStore
from graph.sealing import break_seal
from graph.stores.protocol import Header
from graph.stores.sqlite import SqliteStore
from ontology.errors import ConflictError, Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.history import History
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


def prepare(folder: Path, schema: Schema) -> None:
    """The folder is about to be written: its seal is broken, older files are migrated. StoreError."""
    try:
        break_seal(folder)
    except OSError as error:
        raise StoreError(f"cannot write here: {error}", place=Place(path=str(folder))) from error
    migrate_site(folder, schema)
    migrate_history(folder)


def open_store(folder: Path, site: str, base: str | None, *, read_only: bool) -> SqliteStore:
    """The journal of a folder; the writer makes it where it is absent. StoreError, ConflictError."""
    path = folder / JOURNAL
    if read_only:
        return SqliteStore.open(path, read_only=True)
    with ExitStack() as undo:
        store = undo.enter_context(
            closing(SqliteStore.create(path, Header(site, base or default_base(site))))
        )
        _check_header(store, site, base)
        undo.pop_all()
    return store


def open_history(folder: Path, policy: HistoryPolicy | None, *, read_only: bool) -> History:
    """The readings of a folder; the writer makes their files where they are absent. StoreError."""
    if not read_only:
        return HistoryStore(folder, policy)
    return OldHistory(folder) if has_old_history(folder) else HistoryReader(folder)


def _check_header(store: SqliteStore, site: str, base: str | None) -> None:
    header = store.header
    if header.site != site:
        message = f"the folder holds site {header.site!r}, not {site!r}"
        raise StoreError(message, code="STORE_SITE", place=Place(path=str(store.path)))
    if base is None or base == header.base:
        return
    if store.head().sequence:
        message = f"site {site} has the base IRI {header.base}, fixed by its first import"
        raise ConflictError(message, code="SITE_BASE_FIXED", hint="leave --base out, or use another site")
    store.rebase(base)
