"""Batches of rows for the graph of a site: each a transaction of its own that may be repeated, and halved."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from graph.stores.neo4j.connection import TOO_LARGE
from graph.stores.neo4j.naming import GONE, label_text, labels_of
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from graph.snapshot import Snapshot
    from graph.stores.neo4j.connection import Connection, Transaction
    from graph.stores.neo4j.rows import TwinRows

_LOG = logging.getLogger("twinmesh.graph")
# Ends a statement that wrote to a mark `p`, and so holds the lock on it.
AS_WRITER: Final = "WITH p MATCH (j:_Journal {site: $site}) WHERE j.epoch = $epoch RETURN true"
_NODES: Final = """UNWIND $rows AS row MERGE (n:Entity {{id: row.id}}) SET n = row{labels}{faded}
RETURN collect(id(n))"""
_NEW: Final = "UNWIND $rows AS row CREATE (n:Entity{labels}) SET n = row RETURN collect(id(n))"
# A stub of a twin of another site: only where nobody has told more of that twin.
_STUBS: Final = f"""UNWIND $rows AS row MERGE (n:Entity {{{{id: row.id}}}})
WITH n, row WHERE n._site IS NULL OR n._site = row._site OR n:{GONE}
REMOVE n:{GONE} SET n = row{{labels}}"""
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
        if not transaction.run(statement, site=self.site, epoch=self._epoch(), **values):
            message = f"another process became the writer of site {self.site}"
            raise StoreError(message, code="STORE_FENCED", place=Place(self.connection.place.url))


def write_twins(
    transaction: Transaction, snapshot: Snapshot, group: TwinRows, *, is_new: bool = False
) -> list[int] | int:
    """Neo4j's own numbers of the nodes, in the order of the rows; -1 for stubs. is_new: none is there."""
    if is_new and not group.is_stub:
        return transaction.run(_NEW.format(labels=label_text(group.labels)), rows=group.properties)[0][0]
    text = f", n{label_text(group.labels)}" if group.labels else ""
    if group.is_stub:
        transaction.run(_STUBS.format(labels=text), rows=group.properties)
        return -1
    # Another site may have written a stub of it before.
    schema = snapshot.schema
    faded = label_text(set(labels_of(schema, (schema.kinds[schema.external_kind].iri,))) - {*group.labels})
    statement = _NODES.format(labels=text, faded=f" REMOVE n{faded}" if faded else "")
    return transaction.run(statement, rows=group.properties)[0][0]
