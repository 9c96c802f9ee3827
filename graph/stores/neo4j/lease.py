"""Who writes which site: a lease in the journal's node, by the clock of Neo4j, renewed by the one who writes.

The lease keeps a second server from becoming the writer by mistake; what is written is guarded by the epoch
all the same. A writer that died leaves its lease to its own folder at once, to others when it runs out.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from graph.folders import write_file
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.stores.neo4j.connection import Connection
    from graph.twin import Twin

LEASE_S: Final = 15.0
RENEW_S: Final = 4.0
_FILE: Final = "holder"
_TAKE: Final = """MATCH (j:_Journal {site: $site}) SET j.turn = j.turn + 1
WITH j WHERE $force OR j.holder IS NULL OR j.holder = $holder OR j.held_until < timestamp()
SET j.holder = $holder, j.holder_name = $name, j.holder_url = $url, j.held_until = timestamp() + $lease_ms
RETURN j.site"""
_RENEW: Final = """MATCH (j:_Journal) WHERE j.site IN $sites AND j.holder = $holder
SET j.held_until = timestamp() + $lease_ms, j.holder_url = $url RETURN j.site"""
_RELEASE: Final = """MATCH (j:_Journal) WHERE j.site IN $sites AND j.holder = $holder
SET j.held_until = 0"""
_HELD: Final = """MATCH (j:_Journal {site: $site}) WHERE j.held_until > timestamp()
RETURN j.holder, j.holder_name, j.holder_url, j.held_until - timestamp()"""
_LOG = logging.getLogger("twinmesh.graph")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks for leases. force: whoever holds one loses it."""

    id: str
    name: str
    force: bool = False

    @classmethod
    def of_folder(cls, folder: Path, *, force: bool = False) -> Holder:
        """The id is kept in the data folder, whose lock lets one process at a time in. StoreError."""
        path = folder / _FILE
        try:
            if not path.exists():
                write_file(path, uuid4().hex.encode())
            return cls(path.read_text("utf-8"), f"{socket.gethostname()}:{folder.resolve()}", force)
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"cannot write here: {error}", place=Place(path=str(path))) from error


class Leases:
    """Those of one process. Safe from any thread."""

    def __init__(self, connection: Connection) -> None:
        self.url: str | None = None  # where this process can be reached
        self._connection = connection
        self._holder = Holder("", "")
        self._kept: dict[str, Twin | None] = {}
        self._lock = Lock()  # guards `_kept`
        self._stop = Event()
        self._thread: Thread | None = None

    def take(self, site: str, holder: Holder) -> None:
        """Become the one who may write a site. StoreError STORE_LOCKED, with its URL, where another is."""
        self._holder = holder
        about = {"name": holder.name, "url": self.url, "force": holder.force}
        if not self._run(_TAKE, site=site, **about):
            raise self.refusal(site) or StoreError(f"site {site} is being taken over", code="STORE_LOCKED")
        with self._lock:
            self._kept[site] = None

    def keep(self, twin: Twin) -> None:
        """From now on a thread renews it, and tells the twin where somebody else took it."""
        with self._lock:
            self._kept[twin.site] = twin
            if self._thread is None:
                self._thread = Thread(target=self._renew, name="leases", daemon=True)
                self._thread.start()

    def leave(self, site: str) -> None:
        """Give one back. Where Neo4j cannot be reached, it runs out by itself."""
        with self._lock:
            if site not in self._kept:
                return
            del self._kept[site]
        try:
            self._run(_RELEASE, sites=[site])
        except StoreError as error:
            _LOG.warning("the lease of site %s runs out by itself: %s", site, error)

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for site in list(self._kept):
            self.leave(site)

    def refusal(self, site: str) -> StoreError | None:
        """The refusal that names the process that writes a site; None where there is none. StoreError."""
        rows = self._connection.run(_HELD, site=site)
        if not rows or rows[0][0] == self._holder.id:
            return None
        _, name, url, left_ms = rows[0]
        where = f"use --url {url}, or " if url else ""
        hint = (
            f"{where}stop it; its lease ends {left_ms / 1e3:.0f} s after it died; serve --take-over ends it"
        )
        message = f"another process ({name}) writes site {site}" + (f"; it serves {url}" if url else "")
        place = Place(path=self._connection.place.url, item=site)
        return StoreError(message, code="STORE_LOCKED", place=place, hint=hint)

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            with self._lock:
                kept = dict(self._kept)
            try:
                renewed = {site for (site,) in self._run(_RENEW, sites=list(kept), url=self.url)}
            except StoreError:
                continue  # the site's own trouble tells it
            for site, twin in kept.items():
                if site not in renewed and twin is not None:
                    self._lose(twin)

    def _lose(self, twin: Twin) -> None:
        """Whoever reads here would read what is old: it is told at once, not with the next change."""
        with self._lock:
            lost = self._kept.pop(twin.site, None) is not None
        if lost:
            message = f"another process became the writer of site {twin.site}"
            place = Place(path=self._connection.place.url, item=twin.site)
            twin.media[0].fail(StoreError(message, code="STORE_FENCED", place=place))

    def _run(self, statement: str, **values: object) -> list[list[object]]:
        lease_ms = round(LEASE_S * 1e3)
        return self._connection.run(statement, holder=self._holder.id, lease_ms=lease_ms, **values)
