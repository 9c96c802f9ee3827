"""Who writes which site: a lease in the journal's node, renewed by the one who writes.

The lease keeps a second server from becoming the writer by mistake; what is written is guarded by the epoch
all the same. A writer that died leaves its lease to its own folder at once, to others when it runs out.

No clock of a server counts, and that of Neo4j only to refuse at once: it may jump, so that a lease is over,
or lasts for hours, that should not. Whoever wants a lease that is over, or too long to be true, waits for a
sign of life of its holder first, by the monotonic clock of its own process.
"""

from __future__ import annotations

import logging
import socket
import time
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
# Renewed again so soon after an error.
AGAIN_S: Final = 1.0
# How long a holder shows no sign of life before it counts as dead, whatever Neo4j's clock says.
SILENT_S: Final = 15.0
LOOK_S: Final = 0.5
_FILE: Final = "holder"
# Every statement begins by writing to the node: it holds the lock before it looks whose lease it is.
_TAKE: Final = """MATCH (j:_Journal {site: $site}) SET j.turn = j.turn + 1
WITH j WHERE $force OR j.holder IS NULL OR j.holder = $holder OR coalesce(j.held_until, 0) = 0
  OR [j.holder, j.epoch, j.sequence, coalesce(j.beats, 0)] = $silent
SET j.holder = $holder, j.holder_name = $name, j.holder_url = $url, j.beats = coalesce(j.beats, 0) + 1,
  j.held_until = timestamp() + $lease_ms
RETURN j.site"""
_LOCKED: Final = """MATCH (j:_Journal) WHERE j.site IN $sites WITH j ORDER BY j.site
SET j.turn = j.turn + 1 WITH j WHERE j.holder = $holder
"""
_RENEW: Final = f"""{_LOCKED}SET j.held_until = timestamp() + $lease_ms, j.beats = coalesce(j.beats, 0) + 1,
  j.holder_url = $url RETURN j.site"""
_RELEASE: Final = f"{_LOCKED}SET j.held_until = 0"
_LOOK: Final = """MATCH (j:_Journal) WHERE j.holder IS NOT NULL AND j.held_until <> 0
RETURN j.site, [j.holder, j.epoch, j.sequence, coalesce(j.beats, 0)], j.holder_name, j.holder_url,
  j.held_until - timestamp()"""
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


@dataclass(frozen=True, slots=True)
class _Held:
    """A lease as it was seen. sign: changes with every renewal and every commit."""

    sign: tuple[str, int, int, int]
    name: str
    url: str | None
    left_ms: int
    since_s: float  # since when nothing of the sign changed, `time.monotonic`

    @property
    def is_running(self) -> bool:
        """By the clock of Neo4j; one that lasts longer than any is given for was given by another clock."""
        return 0 < self.left_ms <= LEASE_S * 1e3

    @property
    def is_silent(self) -> bool:
        return time.monotonic() - self.since_s >= SILENT_S


class Leases:
    """Those of one process. Safe from any thread."""

    def __init__(self, connection: Connection) -> None:
        self.url: str | None = None  # where this process can be reached
        self._connection = connection
        self._holder = Holder("", "")
        self._kept: dict[str, Twin | None] = {}
        self._lost: set[str] = set()
        self._lock = Lock()  # guards `_kept` and `_lost`
        self._seen: dict[str, _Held] = {}
        self._stop = Event()
        self._thread: Thread | None = None

    def take(self, site: str, holder: Holder) -> str:
        """Become the one who may write a site; the holder's id. From now on a thread renews it.

        StoreError STORE_LOCKED, with its URL, where another is. Waits up to `SILENT_S` for a sign of life of
        a holder whose lease is over.
        """
        self._holder = holder
        if not self._take(site, None) and not self._take(site, self._silent(site)):
            raise self.refusal(site) or StoreError(f"site {site} is being taken over", code="STORE_LOCKED")
        with self._lock:
            self._kept[site] = None
            self._lost.discard(site)
            if self._thread is None:
                self._thread = Thread(target=self._renew, name="leases", daemon=True)
                self._thread.start()
        return holder.id

    def keep(self, twin: Twin) -> None:
        """From now on the twin is told where somebody else took it, or did since `take`."""
        with self._lock:
            is_lost = twin.site in self._lost
            if not is_lost:
                self._kept[twin.site] = twin
        if is_lost:
            self._tell(twin)

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
        held = self._look(site)
        return self._locked(site, held) if held is not None and held.is_running else None

    def _take(self, site: str, silent: tuple[str, int, int, int] | None) -> bool:
        """silent: the sign of a holder that counts as dead."""
        about = {"name": self._holder.name, "url": self.url, "force": self._holder.force}
        return bool(self._run(_TAKE, site=site, silent=silent and list(silent), **about))

    def _silent(self, site: str) -> tuple[str, int, int, int] | None:
        """The sign of a holder that shows no life; None where there is no holder. StoreError STORE_LOCKED."""
        held = first = self._look(site)
        while held is not None and not held.is_silent:
            if held.is_running or (first is not None and held.sign != first.sign):
                raise self._locked(site, held)
            if held is first:
                message = "site %s: the lease of %s is over; waiting %.0f s for a sign of life"
                _LOG.warning(message, site, held.name, SILENT_S)
            self._stop.wait(LOOK_S)
            held = self._look(site)
        return None if held is None else held.sign

    def _look(self, site: str) -> _Held | None:
        """Who else holds a site. Looks at all: what is known to be silent need not be waited for again."""
        known_before, seen, now_s = self._seen, dict[str, _Held](), time.monotonic()
        for each, (holder, *rest), name, url, left_ms in self._connection.run(_LOOK):
            known, sign = known_before.get(each), (holder, *rest)
            since_s = known.since_s if known is not None and known.sign == sign else now_s
            if holder != self._holder.id:
                seen[each] = _Held(sign, name, url, left_ms, since_s)
        self._seen = seen
        return seen.get(site)

    def _locked(self, site: str, held: _Held) -> StoreError:
        where = f"use --url {held.url}, or " if held.url else ""
        ends_s = min(max(held.left_ms / 1e3, 0.0), LEASE_S)
        hint = f"{where}stop it; its lease ends {ends_s:.0f} s after it died; serve --take-over ends it"
        serves = f"; it serves {held.url}" if held.url else ""
        message = f"another process ({held.name}) writes site {site}{serves}"
        place = Place(path=self._connection.place.url, item=site)
        return StoreError(message, code="STORE_LOCKED", place=place, hint=hint)

    def _renew(self) -> None:
        pause_s = RENEW_S
        while not self._stop.wait(pause_s):
            with self._lock:
                kept = list(self._kept)
            try:
                renewed = {site for (site,) in self._run(_RENEW, sites=kept, url=self.url)}
            except StoreError:
                pause_s = min(AGAIN_S, RENEW_S)
                continue  # the site's own trouble tells it
            pause_s = RENEW_S
            for site in kept:
                if site not in renewed:
                    self._lose(site)

    def _lose(self, site: str) -> None:
        """Whoever reads here would read what is old: it is told at once, not with the next change."""
        with self._lock:
            if site not in self._kept:
                return
            self._lost.add(site)
            twin = self._kept.pop(site)
        if twin is not None:
            self._tell(twin)

    def _tell(self, twin: Twin) -> None:
        message = f"another process became the writer of site {twin.site}"
        place = Place(path=self._connection.place.url, item=twin.site)
        twin.media[0].fail(StoreError(message, code="STORE_FENCED", place=place))

    def _run(self, statement: str, **values: object) -> list[list[object]]:
        lease_ms = round(LEASE_S * 1e3)
        return self._connection.run(statement, holder=self._holder.id, lease_ms=lease_ms, **values)
