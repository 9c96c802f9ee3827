"""The journals of a data folder whose settings name a Neo4j, and the graphs beside them.

The folder keeps what is only of this server: checkpoints, readings, the lock.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Final

from graph.folders import make_folder
from graph.ids import default_base
from graph.journals import check_header
from graph.stores.neo4j import layout
from graph.stores.neo4j.connection import Connection
from graph.stores.neo4j.differences import contents, foreign_change
from graph.stores.neo4j.lease import Holder, Leases
from graph.stores.neo4j.mirror import Mirror
from graph.stores.neo4j.projection import Projection
from graph.stores.neo4j.store import Neo4jStore
from graph.stores.protocol import Head, Header
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from graph.snapshot import Snapshot
    from graph.stores.neo4j.connection import Neo4jPlace
    from graph.stores.protocol import Store
    from graph.twin import Twin
    from ontology.errors import Problem
    from ontology.schema import Schema

# How often a follower asks for new sites.
DISCOVER_S: Final = 0.5
# The same while Neo4j cannot be reached: to find that out may take seconds.
AWAY_S: Final = 5.0


class Neo4jJournal:
    """The journal of one site."""

    def __init__(self, connection: Connection, site: str, lease: Callable[[], str]) -> None:
        """lease: called before the journal is written, takes its lease and tells the holder's id."""
        self._connection = connection
        self._site = site
        self._lease = lease

    def prepare(self, schema: Schema) -> None:
        """There is one format so far."""

    def open_writer(self, site: str, base: str | None) -> Neo4jStore:
        with ExitStack() as undo:
            made = Neo4jStore.create(self._connection, Header(site, base or default_base(site)))
            store = undo.enter_context(closing(made))
            store.holder = self._lease()
            check_header(store, site, base, self._connection.place.url)
            undo.pop_all()
        return store

    def open_reader(self) -> Neo4jStore:
        return Neo4jStore.open(self._connection, self._site)

    def identity(self) -> str:
        return self._look()[0]

    def newest_head(self, opened: object, store: Store, taken: Head) -> Head | None:
        made, base, sequence, *last = self._look()
        # As long as a site is empty it may get another base IRI.
        if made != opened or (not taken.sequence and base != store.header.base):
            return None
        # A transaction is shown piece by piece: the journal may tell of a commit that is not there yet.
        head = Head(*last) if sequence and last[0] and None not in last else store.head()
        return None if head != taken and head.sequence <= taken.sequence else head

    def _look(self) -> list[Any]:
        rows = self._connection.run(layout.IDENTITY, site=self._site)
        if not rows:
            place = Place(path=self._connection.place.url, item=self._site)
            raise StoreError(f"there is no journal of site {self._site}", code="STORE_MISSING", place=place)
        return rows[0]


class Neo4jJournals:
    """The journals in one database. `opened` and `closing` keep the graphs of its sites up to date."""

    def __init__(
        self,
        folder: Path,
        place: Neo4jPlace,
        holder: str | None = None,
        *,
        take_over: bool = False,
        by_trigger: bool = True,
    ) -> None:
        """holder: who writes, None: the process that has the folder. take_over: although another does.
        by_trigger: have a trigger note what other programs change, where Neo4j allows one."""
        self._folder = folder
        self._connection = Connection(place)
        self._leases = Leases(self._connection)
        self._holder, self._take_over, self._by_trigger = holder, take_over, by_trigger
        self._mirrors: dict[str, Mirror] = {}
        self._list_at_s = 0.0

    @property
    def connection(self) -> Connection:
        return self._connection

    def names(self) -> list[str]:
        self._list_at_s = time.monotonic() + AWAY_S  # unless it answers
        names = [name for (name,) in self._connection.run(layout.SITES)]
        self._list_at_s = time.monotonic() + DISCOVER_S
        return names

    def may_have_news(self) -> bool:
        return time.monotonic() > self._list_at_s

    def journal(self, site: str) -> Neo4jJournal:
        folder = self._folder / "sites" / site
        try:
            make_folder(folder)
        except OSError as error:
            raise StoreError(f"cannot write here: {error}", place=Place(path=str(folder))) from error
        return Neo4jJournal(self._connection, site, lambda: self._leases.take(site, self._who()))

    def is_being_made(self, site: str) -> bool:
        """A journal is made in one transaction."""
        return False

    def opened(self, twin: Twin) -> None:
        if not twin.read_only:
            mirror = self._mirrors[twin.site] = Mirror(self._connection, twin, by_trigger=self._by_trigger)
            # Its trouble is the site's: told by /readyz and /metrics.
            twin.media = (*twin.media, mirror.medium)
            mirror.start()
            self._leases.keep(twin)

    def closing(self, twin: Twin) -> None:
        mirror = self._mirrors.pop(twin.site, None)
        if mirror is not None:
            mirror.finish()
        self._leases.leave(twin.site)

    def announce(self, url: str) -> None:
        self._leases.url = url

    def refusal(self, site: str) -> StoreError | None:
        return self._leases.refusal(site)

    def mirror(self, site: str) -> Mirror | None:
        """What keeps the graph of a site; None where this process does not write it."""
        return self._mirrors.get(site)

    def compared(self, snapshot: Snapshot) -> tuple[list[Problem], list[str]]:
        """The graph of a site, twin by twin."""
        site = snapshot.heads[0].name
        sequence = Projection(self._connection, site, lambda: 0).sequence()
        if sequence != snapshot.revision:
            shown = "nothing" if sequence is None or sequence < 0 else f"commit {sequence}"
            return [], [f"the graph shows {shown} of {snapshot.revision} commits: it is not compared"]
        told = contents(self._connection, snapshot)
        return ([foreign_change(self._connection, told).problem] if told else []), []

    def close(self) -> None:
        self._leases.close()
        self._connection.close()

    def _who(self) -> Holder:
        if self._holder is not None:
            return Holder(self._holder, self._holder, self._take_over)
        return Holder.of_folder(self._folder, force=self._take_over)
