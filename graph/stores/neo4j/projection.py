"""The graph of a site in Neo4j: twins as `:Entity` nodes with labels, relationships with types.

Made from a snapshot, in batches that may be repeated: what was written twice is there once. Where it stands
is kept in the node `_Projection`, written in the same transactions.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.stores.neo4j.batches import AS_WRITER, EDGES_BY_ID, Batches, write_twins
from graph.stores.neo4j.loading import FirstLoad
from graph.stores.neo4j.naming import GONE, label_text, labels_of, quoted
from graph.stores.neo4j.rows import edge_properties, stub_rows
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.snapshot import Snapshot
    from graph.stores.neo4j.connection import Connection, Transaction
    from graph.stores.neo4j.rows import Row

TOUCHED_PER_BATCH: Final = 2_000
CONSTRAINTS: Final = (
    "CREATE CONSTRAINT twinmesh_entity IF NOT EXISTS FOR (n:Entity) REQUIRE n.id IS UNIQUE",
    "CREATE CONSTRAINT twinmesh_projection IF NOT EXISTS FOR (p:_Projection) REQUIRE p.site IS UNIQUE",
)
_STRANGERS: Final = "MATCH (n:Entity) WHERE n.id IS NULL RETURN count(n)"
_READ: Final = "MATCH (p:_Projection {site: $site}) RETURN p.sequence"
_MOVE: Final = f"""MATCH (p:_Projection {{site: $site}}) SET p += $fields
{AS_WRITER}"""
_LABELS: Final = """UNWIND $ids AS id MATCH (n:Entity {id: id})
RETURN id, labels(n), coalesce(n._site = $site, true)"""
_FADE: Final = "UNWIND $ids AS id MATCH (n:Entity {{id: id}}) REMOVE n{labels}"
_BURY: Final = f"""UNWIND $rows AS row MATCH (n:Entity {{id: row.id}})
WHERE n._site IS NULL OR n._site = row._site SET n = row, n:{GONE}
WITH n OPTIONAL MATCH (n)-[r]-() WHERE r._site = n._site DELETE r"""
_FOUND: Final = """UNWIND $ids AS id MATCH (a:Entity {id: id})-[r]->(b:Entity) WHERE r._site = $site
RETURN a.id, type(r), b.id, properties(r), id(r)"""
_CUT: Final = "UNWIND $numbers AS number MATCH ()-[r]->() WHERE id(r) = number DELETE r"


class Projection:
    """The graph of one site. Used by one thread at a time; raises StoreError.

    batches: whose `stopped` may be set by who owns this.
    """

    def __init__(self, connection: Connection, site: str, epoch: Callable[[], int]) -> None:
        """epoch: of the writer that projects; one that was fenced off is refused with STORE_FENCED."""
        self._connection = connection
        self._site = site
        self.batches = Batches(connection, site, epoch)

    def prepare(self) -> None:
        """Constraints, and that no node of somebody else's is in the way. STORE_FOREIGN_NODE, -CONSTRAINT."""
        for constraint in CONSTRAINTS:
            self._connection.run(constraint)
        strangers = self._connection.run(_STRANGERS)[0][0]
        if strangers:
            message = f"{strangers} nodes with the label Entity have no id: another program wrote them"
            hint = "MATCH (n:Entity) WHERE n.id IS NULL: give them an id or another label"
            raise StoreError(
                message, code="STORE_FOREIGN_NODE", place=Place(self._connection.place.url), hint=hint
            )

    def sequence(self) -> int | None:
        """It shows every commit up to here; -1: the first load is not finished; None: not even begun."""
        rows = self._connection.run(_READ, site=self._site)
        return rows[0][0] if rows else None

    def load(self, snapshot: Snapshot) -> bool:
        """The first load, begun or gone on with; False where it was stopped. Afterwards commits follow."""
        return FirstLoad(self.batches, snapshot).run()

    def update(self, snapshot: Snapshot, touched: Sequence[str], sequence: int) -> bool:
        """Bring what commits up to `sequence` touched to what the snapshot says; False where stopped."""
        first, last = 0, max(1, len(touched))
        while first < last:
            if self.batches.stopped():
                return False
            until = first + self.batches.rows(TOUCHED_PER_BATCH)
            done = {"sequence": sequence} if until >= len(touched) else {}
            batch = list(touched[first:until])
            if self.batches.fits(len(batch), partial(self._update, snapshot, batch, done)):
                first = until
        return True

    # Commits

    def _update(
        self, snapshot: Snapshot, touched: list[str], done: dict[str, int], transaction: Transaction
    ) -> None:
        if touched:
            self._bring(transaction, snapshot, touched)
        self.batches.mark(transaction, _MOVE, fields=done)

    def _bring(self, transaction: Transaction, snapshot: Snapshot, touched: list[str]) -> None:
        rows = snapshot.twins.ids.rows_of(touched)
        alive = (rows >= 0) & snapshot.twins.alive.take(rows)
        living = rows[alive].astype(np.int64)
        self._put(transaction, snapshot, living)
        # A row that never had a revision is only the far end of a relationship: a twin of another site.
        dead = rows[(rows >= 0) & ~alive]
        gone = dead[snapshot.twins.revision.take(dead) > 0]
        if len(gone):
            self._bury(transaction, snapshot, gone)
        self._connect(transaction, snapshot, rows[rows >= 0])

    def _put(self, transaction: Transaction, snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> None:
        """Of a twin that is only a stub here the node is changed where it is ours, as `_STUBS` does."""
        ids = snapshot.ids(rows)
        found = transaction.run(_LABELS, ids=ids, site=self._site)
        known = {iri: (set(labels), is_own) for iri, labels, is_own in found}
        stubs = set(stub_rows(snapshot).tolist())
        fading: dict[tuple[str, ...], list[str]] = {}
        for iri, row in zip(ids, rows.tolist(), strict=True):
            labels, is_own = known.get(iri, (set[str](), True))
            old = labels - {"Entity", *labels_of(snapshot.schema, snapshot.kind_iris(row))}
            if old and (is_own or row not in stubs):
                fading.setdefault(tuple(sorted(old)), []).append(iri)
        for labels, mine in fading.items():
            transaction.run(_FADE.format(labels=label_text(labels)), ids=mine)
        write_twins(transaction, snapshot, rows)

    def _bury(self, transaction: Transaction, snapshot: Snapshot, rows: npt.NDArray[np.int32]) -> None:
        """Leave tombstones, so that whoever reads by revision sees what went."""
        by_labels: dict[tuple[str, ...], list[str]] = {}
        for iri, labels, is_own in transaction.run(_LABELS, ids=snapshot.ids(rows), site=self._site):
            if is_own:
                by_labels.setdefault(tuple(sorted({*labels} - {"Entity"})), []).append(iri)
        for labels, ids in by_labels.items():
            if labels:
                transaction.run(_FADE.format(labels=label_text(labels)), ids=ids)
        revisions = snapshot.twins.revision.take(rows).tolist()
        stones = [
            {"id": iri, "_site": self._site, "_revision": revision}
            for iri, revision in zip(snapshot.ids(rows), revisions, strict=True)
        ]
        transaction.run(_BURY, rows=stones)

    def _connect(self, transaction: Transaction, snapshot: Snapshot, rows: npt.NDArray[np.int32]) -> None:
        """Make the relationships that start at some twins those of the snapshot, by difference."""
        wanted = _wanted(snapshot, snapshot.expand(rows)[0])
        numbers: list[int] = []
        for source, type_, target, properties, number in transaction.run(
            _FOUND, ids=snapshot.ids(rows), site=self._site
        ):
            # Another program may have given them any type.
            told = (properties.get("_group"), properties.get("_id"))
            group, own_id = (None if each is None else str(each) for each in told)
            key = (source, type_, str(target), group, own_id)
            if wanted.get(key) == properties:
                del wanted[key]
            else:
                numbers.append(number)
        if numbers:
            transaction.run(_CUT, numbers=numbers)
        by_type: dict[str, list[list[Any]]] = {}
        for (source, type_, target, _, _), properties in wanted.items():
            by_type.setdefault(type_, []).append([source, target, properties])
        for type_, new in by_type.items():
            transaction.run(EDGES_BY_ID.format(type=quoted(type_)), rows=new)


_Key = tuple[str, str, str, str | None, str | None]


def _wanted(snapshot: Snapshot, edges: Rows) -> dict[_Key, Row]:
    """Relationships by what tells them apart."""
    sources, targets = snapshot.ids(snapshot.sources(edges)), snapshot.ids(snapshot.targets(edges))
    relations: list[int] = snapshot.edges.relation.take(edges).tolist()
    wanted: dict[_Key, Row] = {}
    for source, relation, target, row in zip(
        sources, relations, targets, edge_properties(snapshot, edges), strict=True
    ):
        name = snapshot.schema.relations[relation].name
        wanted[source, name, target, row.get("_group"), row.get("_id")] = row
    return wanted
