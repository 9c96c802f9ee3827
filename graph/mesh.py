"""Mesh: a data folder with its sites, `DIR/twinmesh.toml` and `DIR/sites/NAME/`."""

from __future__ import annotations

import tomllib
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from graph.folders import make_folder, write_file
from graph.ids import is_site_name
from graph.journals import LocalJournals
from graph.lock import locked
from graph.pools import Pools
from graph.twin import LOCK, Twin
from graph.union import join_schemas, union
from ontology.errors import ConflictError, NotFoundError, Place, StoreError, UsageError, suggestion
from ontology.units import load_units

if TYPE_CHECKING:
    from pathlib import Path

    from graph.check import Units
    from graph.journals import Journals
    from graph.readings.policy import HistoryPolicy
    from graph.snapshot import Snapshot
    from graph.stores.protocol import Store
    from ontology.schema import Schema

FOLDER_FORMAT = 1
_SETTINGS = """# A data folder of twinmesh: each folder under sites/ is one sub-twin.
format = {format}
"""


@dataclass(frozen=True, slots=True)
class _Joined:
    """The union that was made last, and of what."""

    parts: tuple[Snapshot, ...]
    schemas: tuple[Schema, ...]
    snapshot: Snapshot


class Mesh:
    """All sites of one data folder, sharing their pools.

    Made by `Mesh.open`; a context manager; thread-safe.
    """

    def __init__(
        self,
        folder: Path,
        schema: Schema,
        units: Units | None,
        journals: Journals | None = None,
        *,
        read_only: bool,
        url: str | None,
        history: HistoryPolicy | None = None,
    ) -> None:
        self.folder = folder
        self.read_only = read_only
        self._schema = schema
        self._units = units or load_units()
        self._url = url
        self._history = history
        self._pools = Pools()
        self._twins: dict[str, Twin] = {}
        self._lock = Lock()
        self.unreadable: dict[str, StoreError] = {}  # sites that a follower found and could not open
        self.unlisted: StoreError | None = None  # why a follower does not know whether there are new ones
        self._journals = journals or LocalJournals(folder)
        self._joined: _Joined | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        schema: Schema,
        *,
        units: Units | None = None,
        read_only: bool = False,
        url: str | None = None,
        journals: Journals | None = None,
        history: HistoryPolicy | None = None,
    ) -> Mesh:
        """Open a data folder with all its sites; the writer creates it where it is absent.

        journals: where commits are kept; None: in the folder. Closed with the mesh.
        history: how readings are kept; None: for ever.
        Raises StoreError STORE_LOCKED where another process writes to a site, STORE_MISSING, STORE_VERSION.
        """
        open_folder(folder, read_only=read_only)
        mesh = cls(folder, schema, units, journals, read_only=read_only, url=url, history=history)
        with ExitStack() as undo:
            undo.callback(mesh.close)
            for site in mesh._journals.names():
                mesh._open_listed(site)
            undo.pop_all()
        return mesh

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites, in order of name."""
        self._discover()
        return tuple(sorted(self._twins))

    @property
    def pools(self) -> Pools:
        return self._pools

    @property
    def schema(self) -> Schema:
        """The schema with the user kinds of all sites."""
        return self.snapshot().schema if self.sites else self._schema

    def twin(self, site: str) -> Twin:
        """The sub-twin of a site; NotFoundError SITE_UNKNOWN, or why a follower cannot open it."""
        if site not in self._twins:
            self._discover()
        found = self._twins.get(site)
        error = self.unreadable.get(site, self.unlisted)
        if found is None and error is not None:
            raise error
        if found is None:
            raise NotFoundError(f"no site {site!r}", code="SITE_UNKNOWN", hint=suggestion(site, self._twins))
        return found

    def open_journal(self, site: str) -> Store:
        """The journal of a site once more, to read it; the caller closes it. StoreError."""
        return self._journals.journal(site).open_reader()

    def create_site(self, site: str, base: str | None = None) -> Twin:
        """The sub-twin of a site, new if there is none.

        base: fixed by the first commit; another one is ConflictError SITE_BASE_FIXED.
        Raises UsageError SITE_NAME_INVALID, StoreError STORE_LOCKED where this is a follower.
        """
        self.check_writable()
        if not is_site_name(site):
            raise UsageError(
                f"{site!r} cannot name a site", code="SITE_NAME_INVALID", hint="letters, digits, . _ -"
            )
        with self._lock:
            known = self._twins.get(site)
            if known is None or base in (None, known.base):
                return known or self._open_site(site, base)
            if known.snapshot().revision:
                message = f"site {site} has the base IRI {known.base}, fixed by its first import"
                raise ConflictError(
                    message, code="SITE_BASE_FIXED", hint="leave --base out, or use another site"
                )
            self._journals.closing(known)
            known.close()
            return self._open_site(site, base)

    def revisions(self) -> tuple[tuple[str, int], ...]:
        """Names of the sites and their newest revisions; to ask for them costs no snapshot."""
        return tuple((site, self._twins[site].revision) for site in self.sites)

    def snapshot(self) -> Snapshot:
        """All sites as one, each at its newest revision. The same object as long as nothing changes."""
        self._discover()
        with self._lock:
            parts = tuple(self._twins[site].snapshot() for site in sorted(self._twins))
            if not parts:
                raise NotFoundError(
                    "the folder has no site yet", code="SITE_UNKNOWN", hint="import something"
                )
            if self._joined is None or not _same(self._joined.parts, parts):
                self._joined = self._join(parts)
            return self._joined.snapshot

    def fresh_snapshot(self) -> Snapshot | None:
        """What `snapshot` would give, where that is there already; never waits. None: ask `snapshot`."""
        joined = self._joined
        if self.read_only or joined is None or len(joined.parts) != len(self._twins):
            return None
        fresh = tuple(self._twins[site].fresh_snapshot() for site in sorted(self._twins))
        return joined.snapshot if _same(joined.parts, fresh) else None

    def check_writable(self) -> None:
        """Raises StoreError STORE_LOCKED, with the URL of the process that writes, where this one follows."""
        if self.read_only:
            raise self._locked()

    def announce(self, url: str) -> None:
        """Tell processes that find the folder locked where to reach this one."""
        self._url = url
        self._journals.announce(url)
        for twin in self._twins.values():
            twin.announce(url)

    def close(self) -> None:
        for twin in self._twins.values():
            self._journals.closing(twin)
            twin.close()
        self._journals.close()

    def __enter__(self) -> Mesh:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_site(self, site: str, base: str | None) -> Twin:
        twin = Twin.open(
            self.folder / "sites" / site,
            self._schema,
            site=site,
            base=base,
            units=self._units,
            pools=self._pools,
            read_only=self.read_only,
            url=self._url,
            history=self._history,
            journal=self._journals.journal(site),
        )
        self._journals.opened(twin)
        self._twins = {**self._twins, site: twin}  # readers go through it without a lock
        return twin

    def _discover(self) -> None:
        """A follower opens the sites that the writer has made since."""
        if not self.read_only or not self._journals.may_have_news():
            return
        with self._lock:
            try:
                names = self._journals.names()
            except StoreError as error:
                self.unlisted = error
                return
            self.unlisted = None
            for site in names:
                if site not in self._twins:
                    self._try_open(site)

    def _open_listed(self, site: str) -> None:
        """Open a site that is there; a follower leaves out one that is being made at this moment."""
        try:
            self._open_site(site, None)
        except StoreError as error:
            being_made = self._journals.is_being_made(site)
            if not self.read_only or error.code == "JOURNAL_CORRUPT" or not being_made:
                raise

    def _try_open(self, site: str) -> None:
        """As `_open_listed`; what is wrong with one new site does not stop the others."""
        try:
            self._open_listed(site)
        except StoreError as error:
            self.unreadable = {**self.unreadable, site: error}
        else:
            self.unreadable = {name: error for name, error in self.unreadable.items() if name != site}

    def _locked(self) -> StoreError:
        """The refusal of the first site that has a writer, else of any."""
        sites = self.sites or ("",)
        refusals = [self._journals.refusal(site) or locked(self._lock_of(site)) for site in sites]
        return next((refusal for refusal in refusals if "url" in (refusal.hint or "")), refusals[0])

    def _lock_of(self, site: str) -> Path:
        return self.folder / "sites" / site / LOCK

    def _join(self, parts: tuple[Snapshot, ...]) -> _Joined:
        schemas = tuple(part.schema for part in parts)
        known = self._joined
        # Compiling a schema is dear and rarely needed: only where a site got a kind of its own.
        same = known is not None and _same(known.schemas, schemas)
        schema = known.snapshot.schema if known is not None and same else join_schemas(schemas)
        return _Joined(parts, schemas, parts[0] if len(parts) == 1 else union(parts, schema))


def _same(first: tuple[object, ...], second: tuple[object, ...]) -> bool:
    return len(first) == len(second) and all(one is other for one, other in zip(first, second, strict=True))


def open_folder(folder: Path, *, read_only: bool) -> None:
    """Check that this is a data folder; made where it is absent, unless read_only. StoreError."""
    settings = folder / "twinmesh.toml"
    try:
        if not settings.exists():
            if read_only:
                message = "this is no data folder of twinmesh"
                raise StoreError(message, code="STORE_MISSING", place=Place(path=str(folder)))
            make_folder(folder / "sites")
            write_file(settings, _SETTINGS.format(format=FOLDER_FORMAT).encode())
        version = tomllib.loads(settings.read_text(encoding="utf-8")).get("format", FOLDER_FORMAT)
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot open the data folder: {error}", place=Place(path=str(folder))) from error
    if not isinstance(version, int) or version > FOLDER_FORMAT:
        message = f"the folder has format {version}, this program knows up to {FOLDER_FORMAT}"
        raise StoreError(message, code="STORE_VERSION", place=Place(path=str(settings)))
