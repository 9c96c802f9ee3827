"""Replicas of a peer's sites, as a query reads them where the peer itself does not answer."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

from federation.gathered import GatheredSite
from federation.replica import Replica, replica_path
from ontology.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from federation.asking import SharedSite
    from federation.peers import Peer
    from federation.replica import About
    from ontology.schema import Schema

KEPT_MAX: Final = 16
TWINS_MAX: Final = 100_000
"""A larger replica is not read for a query: that would take longer than to wait for the peer."""


@dataclass(frozen=True, slots=True, eq=False)
class Stale:
    """What a replica holds of a site. age_s: since the peer was heard to have no more news."""

    site: GatheredSite
    age_s: float | None


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    about: About
    schema: Schema
    site: GatheredSite


class Replicas:
    """Those of a data folder, read again where they have changed. Safe from any thread; few are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: OrderedDict[tuple[Path, str], _Read] = OrderedDict()
        self._lock = Lock()

    def of(self, peer: Peer, site: SharedSite, name: str, schema: Schema) -> Stale | None:
        """What there is of a site, which we call `name`; None: nothing, or nothing that can be read."""
        path = replica_path(self._folder, peer.name, site.name)
        if not path.is_file():
            return None
        try:
            with Replica.open(path, peer.fingerprint, site.name, site.base) as replica:
                about = replica.about()
                known = self._read.get((path, name))
                if known is None or known.schema is not schema or not _is_same(known.about, about):
                    if replica.counts()[0] > TWINS_MAX:
                        return None
                    known = _Read(about, schema, _site(replica, about, name, schema))
                    self._keep((path, name), known)
        except StoreError:
            return None
        return Stale(known.site, about.age_s(time.time_ns()))

    def _keep(self, key: tuple[Path, str], read: _Read) -> None:
        with self._lock:
            self._read[key] = read
            self._read.move_to_end(key)
            while len(self._read) > KEPT_MAX:
                self._read.popitem(last=False)


def _is_same(one: About, other: About) -> bool:
    return (one.cursor, one.copy, one.last) == (other.cursor, other.copy, other.last)


def _site(replica: Replica, about: About, name: str, schema: Schema) -> GatheredSite:
    site = GatheredSite(name, about.base, about.revision, about.time_ns)
    site.take_over(replica.twins(), replica.links(), schema)
    return site
