"""Where the journals of sites are: in files of the data folder, or in a database that several servers share.

A `Mesh` is opened with `Journals`; a `Twin` gets its `Journal` from there and knows no more of it.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Protocol

from graph.following import JOURNAL, Discovery, JournalFile, is_being_made, newest_head
from graph.ids import default_base
from graph.migrating import migrate_site
from graph.stores.protocol import Header, Store
from graph.stores.sqlite import SqliteStore
from ontology.errors import ConflictError, Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.snapshot import Snapshot
    from graph.stores.protocol import Head
    from graph.twin import Twin
    from ontology.errors import Problem
    from ontology.schema import Schema


class RebasableStore(Store, Protocol):
    """A store whose base IRI may change as long as it is empty."""

    def rebase(self, base: str) -> None: ...


class Journal(Protocol):
    """The journal of one site. All methods raise StoreError."""

    def prepare(self, schema: Schema) -> None:
        """The writer is about to open it: bring it to this program's format."""
        ...

    def open_writer(self, site: str, base: str | None) -> RebasableStore:
        """Made where it is absent; not yet the one that may write, see `Store.take_over`."""
        ...

    def open_reader(self) -> Store:
        """Once more, to read only. STORE_MISSING."""
        ...

    def identity(self) -> object:
        """What tells this journal from another one that stands in its place later. STORE_MISSING."""
        ...

    def newest_head(self, opened: object, store: Store, taken: Head) -> Head | None:
        """The last commit there is; None where the journal is another one than was followed so far.

        opened: its identity then. store: as it was opened. taken: the last commit taken over.
        """
        ...


class Journals(Protocol):
    """The journals of all sites of one data folder."""

    def names(self) -> list[str]:
        """Names of all sites that have a journal, in order. StoreError."""
        ...

    def may_have_news(self) -> bool:
        """Whether a site may have appeared since `names` was called last."""
        ...

    def journal(self, site: str) -> Journal: ...

    def is_being_made(self, site: str) -> bool:
        """Whether a journal that cannot be opened is perhaps only not ready yet."""
        ...

    def opened(self, twin: Twin) -> None:
        """A site of this process is open: whatever goes on beside it begins."""
        ...

    def closing(self, twin: Twin) -> None:
        """A site is about to be closed; what goes on beside it ends."""
        ...

    def announce(self, url: str) -> None:
        """Where the process that writes can be reached, for those that it keeps from writing."""
        ...

    def refusal(self, site: str) -> StoreError | None:
        """What to tell who may not write a site; None: what the lock of its folder says. StoreError."""
        ...

    def compared(self, snapshot: Snapshot) -> tuple[list[Problem], list[str]]:
        """What else is kept of a site beside its journal, held against it: what is wrong, and what could not
        be compared. StoreError."""
        ...

    def close(self) -> None: ...


class LocalJournal:
    """A journal in SQLite, in the folder of its site."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / JOURNAL

    def prepare(self, schema: Schema) -> None:
        migrate_site(self._folder, schema)

    def open_writer(self, site: str, base: str | None) -> SqliteStore:
        with ExitStack() as undo:
            header = Header(site, base or default_base(site))
            store = undo.enter_context(closing(SqliteStore.create(self._path, header)))
            check_header(store, site, base, str(self._path))
            undo.pop_all()
        return store

    def open_reader(self) -> SqliteStore:
        return SqliteStore.open(self._path, read_only=True)

    def identity(self) -> JournalFile:
        return JournalFile.at(self._path)

    def newest_head(self, opened: object, store: Store, taken: Head) -> Head | None:
        return newest_head(self._path, opened, store, taken)


class LocalJournals:
    """The journals under `DIR/sites/`."""

    def __init__(self, folder: Path) -> None:
        self._sites = folder / "sites"
        self._discovery = Discovery(self._sites)

    def names(self) -> list[str]:
        return self._discovery.names()

    def may_have_news(self) -> bool:
        return self._discovery.may_have_news()

    def journal(self, site: str) -> LocalJournal:
        return LocalJournal(self._sites / site)

    def is_being_made(self, site: str) -> bool:
        return is_being_made(self._sites / site / JOURNAL)

    def opened(self, twin: Twin) -> None:
        """Nothing goes on beside."""

    def closing(self, twin: Twin) -> None:
        """Nothing went on beside."""

    def announce(self, url: str) -> None:
        """The locks of the folders say it."""

    def refusal(self, site: str) -> StoreError | None:
        return None

    def compared(self, snapshot: Snapshot) -> tuple[list[Problem], list[str]]:
        return [], []

    def close(self) -> None:
        """Nothing is held."""


def check_header(store: RebasableStore, site: str, base: str | None, path: str) -> None:
    """A journal against what its opener expects. StoreError STORE_SITE, ConflictError SITE_BASE_FIXED."""
    header = store.header
    if header.site != site:
        message = f"the folder holds site {header.site!r}, not {site!r}"
        raise StoreError(message, code="STORE_SITE", place=Place(path=path))
    if base is None or base == header.base:
        return
    if store.head().sequence:
        message = f"site {site} has the base IRI {header.base}, fixed by its first import"
        raise ConflictError(message, code="SITE_BASE_FIXED", hint="leave --base out, or use another site")
    store.rebase(base)
