"""The stores that `/sparql` asks: one for each revision of the sites and each scope, a few at a time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from adapters.rdf.querying import QueryStore
from adapters.rdf.sink import write_rdf
from adapters.selection import select
from api.schema.context import visible_rows
from graph.access import Scope
from ontology.errors import LimitError

if TYPE_CHECKING:
    from api.policy import Principal
    from api.schema.context import Services
    from graph.snapshot import Snapshot

_Seen: TypeAlias = tuple[object, ...]
_Revisions: TypeAlias = tuple[tuple[str, int], ...]
_LOADING_S: Final = 120.0


@dataclass(frozen=True, slots=True, eq=False)
class KeptStore:
    """A store and what is in it. made_s: on the monotonic clock.

    revisions: of all sites; seen: of those that the asker sees; graphs: the base IRIs of these.
    """

    store: QueryStore
    revisions: _Revisions
    seen: _Revisions
    graphs: frozenset[str]
    made_s: float


class SparqlStores:
    """Makes stores and keeps them; safe from any thread. Stores are made one at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: OrderedDict[_Seen, KeptStore] = OrderedDict()
        self._lock = threading.Lock()
        self._making = threading.Lock()

    def store(self, principal: Principal) -> KeptStore:
        """The store of what a principal sees now; may take long. LimitError SPARQL_TOO_LARGE."""
        mesh = self._services.mesh
        snapshots = [mesh.twin(site).snapshot() for site in mesh.sites]
        revisions = tuple((each.sites[0], each.revision) for each in snapshots)
        version = snapshots[0].schema.version if snapshots else ""
        seen = (principal.sees_all, principal.sees_nothing, principal.sites, principal.kinds, version)
        known = self._get(seen, revisions)
        if known is not None:
            return known
        with self._making:
            # Another thread may have made it while this one waited.
            return self._get(seen, revisions) or self._put(seen, self._made(principal, snapshots, revisions))

    def close(self) -> None:
        with self._lock:
            kept = list(self._kept.values())
            self._kept.clear()
        for each in kept:
            each.store.close()

    def _made(self, principal: Principal, snapshots: list[Snapshot], revisions: _Revisions) -> KeptStore:
        settings = self._services.settings.sparql
        selections = [select(each, _scope(principal, each)) for each in snapshots]
        # Of a site of which nothing is seen, not even the name is told.
        selections = [each for each in selections if principal.sees_all or len(each.rows)]
        count = sum(len(each.rows) + len(each.edges) for each in selections)
        if count > settings.items_max:
            message = f"{count:,} twins and relationships, where {settings.items_max:,} are loaded at most"
            raise LimitError(message, code="SPARQL_TOO_LARGE", hint="ask GraphQL, or export")
        quads = write_rdf(selections, "nq")
        store = QueryStore.start(quads, memory_mb=settings.store_mb, wall_s=_LOADING_S)
        shown = {each.site: each.base for each in selections}
        seen = tuple(each for each in revisions if each[0] in shown)
        return KeptStore(store, revisions, seen, frozenset(shown.values()), time.monotonic())

    def _get(self, seen: _Seen, revisions: _Revisions) -> KeptStore | None:
        with self._lock:
            known = self._kept.get(seen)
            if known is None or not known.store.is_alive:
                return None
            age_s = time.monotonic() - known.made_s
            if known.revisions != revisions and age_s >= self._services.settings.sparql.stale_s:
                return None
            self._kept.move_to_end(seen)
            return known

    def _put(self, seen: _Seen, made: KeptStore) -> KeptStore:
        """Nobody asks the store of older revisions any more; queries that run on it come to their end."""
        with self._lock:
            dropped = [self._kept.pop(seen)] if seen in self._kept else []
            self._kept[seen] = made
            while len(self._kept) > max(1, self._services.settings.sparql.stores_max):
                dropped.append(self._kept.popitem(last=False)[1])
        for each in dropped:
            each.store.close()
        return made


def _scope(principal: Principal, snapshot: Snapshot) -> Scope:
    visible = visible_rows(snapshot, principal)
    return Scope.everything(snapshot) if visible is None else Scope(visible)
