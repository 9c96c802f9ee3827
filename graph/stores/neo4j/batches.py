"""Batches of rows for the graph of a site: each a transaction of its own that may be repeated, and halved."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.stores.neo4j.connection import TOO_LARGE
from graph.stores.neo4j.naming import GONE, labels_of
from graph.stores.neo4j.rows import twin_rows
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import numpy.typing as npt

    from graph.snapshot import Snapshot
    from graph.stores.neo4j.connection import Connection, Transaction

_LOG = logging.getLogger("twinmesh.graph")
# Ends a statement that wrote to a mark `p`, and so holds the lock on it.
AS_WRITER: Final = "WITH p MATCH (j:_Journal {site: $site}) RETURN j.epoch"
# A writer that recovers from an error moves the epoch itself, and knows it a moment later.
_EPOCH_S_MAX: Final = 5.0
_POLL_S: Final = 0.01
# Labels are data here, so that Neo4j plans each statement once and not for every kind of twin. They come from
# the vocabulary alone. group: labels, rows, and the labels of a stub that somebody may have left there.
_EACH: Final = "UNWIND $groups AS group UNWIND group[1] AS row"
_NEW: Final = f"{_EACH} CREATE (n:Entity:$(group[0])) SET n = row RETURN collect(id(n))"
_NODES: Final = f"""{_EACH} MERGE (n:Entity {{id: row.id}}) SET n = row SET n:$(group[0])
REMOVE n:$(group[2]) RETURN collect(id(n))"""
# A stub of a twin of another site: only where nobody has told more of that twin. Writing takes the lock, so
# that what is looked at is what another site committed.
_STUBS: Final = f"""{_EACH} MERGE (n:Entity {{id: row.id}}) SET n._lock = true REMOVE n._lock
WITH n, group, row WHERE n._site IS NULL OR n._site = row._site OR n:{GONE}
REMOVE n:{GONE} SET n = row SET n:$(group[0])"""
EDGES_BY_ID: Final = """UNWIND $rows AS row MERGE (a:Entity {{id: row[0]}}) MERGE (b:Entity {{id: row[1]}})
CREATE (a)-[r:{type}]->(b) SET r = row[2]"""


class Batches:
    """Of one site; used by several threads at once in a first load. Raises StoreError.

    epoch: of the writer; one that was fenced off is refused with STORE_FENCED.
    stopped: asked between batches.
    """

    def __init__(self, connection: Connection, site: str, epoch: Callable[[], int]) -> None:
        self.connection, self.site = connection, site
        self._epoch = epoch
        self.stopped: Callable[[], bool] = lambda: False
        self.halvings = 0

    def rows(self, most: int) -> int:
        """How many rows a batch has: fewer after Neo4j refused larger ones."""
        return max(1, most >> self.halvings)

    def fits(
        self,
        rows: int,
        work: Callable[[Transaction], None],
        turn: AbstractContextManager[object] | None = None,
    ) -> bool:
        """Do a batch of so many rows in one transaction. False where Neo4j ended that because of its size:
        the next batch has half. StoreError, also where it cannot be halved. turn: see `Connection`."""
        halvings = self.halvings
        try:
            with self.connection.transaction(turn) as transaction:
                work(transaction)
        except StoreError as error:
            if error.code not in TOO_LARGE or rows <= 1:
                raise
            self.halvings = max(self.halvings, halvings + 1)
            _LOG.warning("site %s: batches for Neo4j are halved: %s", self.site, error)
            return False
        return True

    def mark(self, transaction: Transaction, statement: str, **values: Any) -> None:
        """Say how far the graph is, as this writer: a statement that ends with AS_WRITER. STORE_FENCED.

        It takes the lock on the mark, so that two writers never work on one batch at the same time.
        """
        found = transaction.run(statement, site=self.site, **values)
        if not found or not self._is_ours(found[0][0]):
            message = f"another process became the writer of site {self.site}"
            raise StoreError(message, code="STORE_FENCED", place=Place(self.connection.place.url))

    def _is_ours(self, epoch: int) -> bool:
        until_s = time.monotonic() + _EPOCH_S_MAX
        while 0 < self._epoch() < epoch and time.monotonic() < until_s:
            time.sleep(_POLL_S)
        return self._epoch() == epoch


def write_twins(
    transaction: Transaction, snapshot: Snapshot, rows: npt.NDArray[np.int64], *, is_new: bool = False
) -> tuple[npt.NDArray[np.int64], list[int]]:
    """Write living twins. Which of them have nodes of ours, and Neo4j's own numbers of these.

    Stubs are written, but may be another site's. is_new: no node of any is there.
    """
    groups = twin_rows(snapshot, rows)
    stub_labels = labels_of(snapshot.schema, (snapshot.schema.kinds[snapshot.schema.external_kind].iri,))
    stubs = [[list(group.labels), group.properties] for group in groups if group.is_stub]
    if stubs:
        transaction.run(_STUBS, groups=stubs)
    own = [group for group in groups if not group.is_stub]
    if not own:
        return np.empty(0, np.int64), []
    told = [
        [list(group.labels), group.properties, [one for one in stub_labels if one not in group.labels]]
        for group in own
    ]
    numbers = transaction.run(_NEW if is_new else _NODES, groups=told)[0][0]
    return np.concatenate([group.rows for group in own]), numbers
