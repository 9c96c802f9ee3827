"""The graph of a site in Neo4j: twins as `:Entity` nodes with labels, relationships with types.

Made from a snapshot, in batches that may be repeated: what was written twice is there once. Where it stands
is kept in the node `_Projection`, written in the same transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.stores.neo4j.naming import GONE, label_text, labels_of, quoted
from graph.stores.neo4j.rows import edge_properties, stub_rows, twin_rows
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.snapshot import Snapshot
    from graph.stores.neo4j.connection import Connection, Transaction
    from graph.stores.neo4j.rows import Row, TwinRows

TWINS_PER_BATCH: Final = 10_000
EDGES_PER_BATCH: Final = 20_000
TOUCHED_PER_BATCH: Final = 2_000
CONSTRAINTS: Final = (
    "CREATE CONSTRAINT twinmesh_entity IF NOT EXISTS FOR (n:Entity) REQUIRE n.id IS UNIQUE",
    "CREATE CONSTRAINT twinmesh_projection IF NOT EXISTS FOR (p:_Projection) REQUIRE p.site IS UNIQUE",
)
_STRANGERS: Final = "MATCH (n:Entity) WHERE n.id IS NULL RETURN count(n)"
_READ: Final = "MATCH (p:_Projection {site: $site}) RETURN p.sequence, p.revision, p.twins, p.edges"
_BEGIN: Final = """MERGE (p:_Projection {site: $site})
ON CREATE SET p.sequence = -1, p.revision = $revision, p.twins = 0, p.edges = 0"""
# What an earlier graph of the site left. Nodes that relationships of other sites lead to stay, with their id.
_CLEAR: Final = (
    """MATCH ()-[r]->() WHERE r._site = $site CALL (r) { DELETE r } IN TRANSACTIONS OF 10000 ROWS""",
    """MATCH (n:Entity) WHERE n._site = $site AND NOT EXISTS { (n)--() }
    CALL (n) { DELETE n } IN TRANSACTIONS OF 10000 ROWS""",
    """MATCH (n:Entity) WHERE n._site = $site
    CALL (n) { WITH n, [label IN labels(n) WHERE label <> 'Entity'] AS labels
    REMOVE n:$(labels) SET n = {id: n.id} } IN TRANSACTIONS OF 10000 ROWS""",
)
# Takes the lock on the projection, so that two writers never work on one batch at the same time.
_MOVE: Final = """MATCH (p:_Projection {site: $site}) SET p += $fields
WITH p MATCH (j:_Journal {site: $site}) WHERE j.epoch = $epoch RETURN p.twins"""
_NODES: Final = """UNWIND $rows AS row MERGE (n:Entity {{id: row.id}}) SET n = row{labels}{faded}
RETURN collect(id(n))"""
# Where no twin of anybody is there yet: nothing is looked for.
_EMPTY: Final = "MATCH (n:Entity) RETURN count(n) = 0"
_NEW: Final = "UNWIND $rows AS row CREATE (n:Entity{labels}) SET n += row RETURN collect(id(n))"
# A stub of a twin of another site: only where nobody has told more of that twin.
_STUBS: Final = f"""UNWIND $rows AS row MERGE (n:Entity {{{{id: row.id}}}})
WITH n, row WHERE n._site IS NULL OR n._site = row._site OR n:{GONE}
REMOVE n:{GONE} SET n = row{{labels}}"""
_NUMBERS: Final = """MATCH (n:Entity) WHERE n._site = $site AND n._kind IS NOT NULL
RETURN collect(n.id), collect(id(n))"""
_EDGES: Final = """UNWIND $rows AS row
MATCH (a) WHERE id(a) = row[0] MATCH (b) WHERE id(b) = row[1]
CREATE (a)-[r:{type}]->(b) SET r += row[2]"""
# Of most there is nothing to be said but the site.
_BARE_EDGES: Final = """UNWIND $rows AS row MATCH (a) WHERE id(a) = row[0] MATCH (b) WHERE id(b) = row[1]
CREATE (a)-[:{type} {{_site: $site}}]->(b)"""
_EDGES_BY_ID: Final = """UNWIND $rows AS row MERGE (a:Entity {{id: row[0]}}) MERGE (b:Entity {{id: row[1]}})
CREATE (a)-[r:{type}]->(b) SET r = row[2]"""
_LABELS: Final = """UNWIND $ids AS id MATCH (n:Entity {id: id})
RETURN id, labels(n), coalesce(n._site = $site, true)"""
_FADE: Final = "UNWIND $ids AS id MATCH (n:Entity {{id: id}}) REMOVE n{labels}"
_BURY: Final = f"""UNWIND $rows AS row MATCH (n:Entity {{id: row.id}})
WHERE n._site IS NULL OR n._site = row._site SET n = row, n:{GONE}
WITH n OPTIONAL MATCH (n)-[r]-() WHERE r._site = n._site DELETE r"""
_FOUND: Final = """UNWIND $ids AS id MATCH (a:Entity {id: id})-[r]->(b:Entity) WHERE r._site = $site
RETURN a.id, type(r), b.id, properties(r), id(r)"""
_CUT: Final = "UNWIND $numbers AS number MATCH ()-[r]->() WHERE id(r) = number DELETE r"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the graph of a site is.

    sequence: it shows every commit up to here; -1: the first load is not finished.
    revision: the commit that the first load began at. twins, edges: rows that it has done.
    """

    sequence: int
    revision: int
    twins: int
    edges: int

    @property
    def loaded(self) -> bool:
        return self.sequence >= 0


class Projection:
    """The graph of one site. Used by one thread at a time; raises StoreError.

    epoch: of the writer that projects; one that was fenced off is refused with STORE_FENCED.
    """

    def __init__(self, connection: Connection, site: str, epoch: Callable[[], int]) -> None:
        self._connection = connection
        self._site = site
        self._epoch = epoch
        self.stopped: Callable[[], bool] = lambda: False

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

    def progress(self) -> Progress | None:
        rows = self._connection.run(_READ, site=self._site)
        return Progress(*rows[0]) if rows else None

    def load(self, snapshot: Snapshot) -> bool:
        """The first load, begun or gone on with; False where it was stopped. Afterwards commits follow."""
        if self.progress() is None:
            for statement in () if self._is_empty() else _CLEAR:
                self._connection.run(statement, site=self._site)
            self._connection.run(_BEGIN, site=self._site, revision=snapshot.revision)
        progress = self.progress()
        assert progress is not None
        numbers = np.full(snapshot.size, -1, np.int64)
        if progress.twins:
            self._number(snapshot, numbers)
        return (
            self._load_twins(snapshot, progress.twins, numbers)
            and self._load_edges(snapshot, progress.edges, numbers)
            and self._finish(snapshot, numbers, progress.revision)
        )

    def update(self, snapshot: Snapshot, touched: Sequence[str], sequence: int) -> bool:
        """Bring what commits up to `sequence` touched to what the snapshot says; False where stopped."""
        for first in range(0, max(1, len(touched)), TOUCHED_PER_BATCH):
            if self.stopped():
                return False
            until = first + TOUCHED_PER_BATCH
            done = {"sequence": sequence} if until >= len(touched) else {}
            with self._connection.transaction() as transaction:
                if touched:
                    self._update(transaction, snapshot, list(touched[first:until]))
                self._move(transaction, **done)
        return True

    # The first load

    def _load_twins(self, snapshot: Snapshot, done: int, numbers: npt.NDArray[np.int64]) -> bool:
        is_empty = done == 0 and self._is_empty()
        for first in range(done, snapshot.size, TWINS_PER_BATCH):
            if self.stopped():
                return False
            until = min(first + TWINS_PER_BATCH, snapshot.size)
            rows = first + np.flatnonzero(snapshot.alive[first:until])
            groups = twin_rows(snapshot, rows)
            try:
                self._write_batch(snapshot, groups, numbers, until, is_empty=is_empty)
            except StoreError as error:
                if not is_empty or error.code != "STORE_CONSTRAINT":
                    raise
                # Another site came meanwhile, with stubs of these twins.
                is_empty = False
                self._write_batch(snapshot, groups, numbers, until, is_empty=False)
        return True

    def _is_empty(self) -> bool:
        return self._connection.run(_EMPTY)[0][0]

    def _write_batch(
        self,
        snapshot: Snapshot,
        groups: Sequence[TwinRows],
        numbers: npt.NDArray[np.int64],
        until: int,
        *,
        is_empty: bool,
    ) -> None:
        with self._connection.transaction() as transaction:
            for group in groups:
                numbers[group.rows] = _write(transaction, snapshot, group, is_new=is_empty)
            self._move(transaction, twins=until)

    def _load_edges(self, snapshot: Snapshot, done: int, numbers: npt.NDArray[np.int64]) -> bool:
        for first in range(done, snapshot.edge_count, EDGES_PER_BATCH):
            if self.stopped():
                return False
            until = min(first + EDGES_PER_BATCH, snapshot.edge_count)
            edges = first + np.flatnonzero(snapshot.edge_alive[first:until])
            with self._connection.transaction() as transaction:
                self._create(transaction, snapshot, edges, numbers)
                self._move(transaction, edges=until)
        return True

    def _create(
        self,
        transaction: Transaction,
        snapshot: Snapshot,
        edges: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.int64],
    ) -> None:
        """Between nodes whose numbers are known by these; where an end is of another site, by its id."""
        sources, targets = snapshot.sources(edges), snapshot.targets(edges)
        first, second = numbers[sources], numbers[targets]
        here = (first >= 0) & (second >= 0)
        properties = edge_properties(snapshot, edges)
        relations = snapshot.edges.relation.take(edges)
        distinct: list[int] = np.unique(relations).tolist()
        for relation in distinct:
            type_ = quoted(snapshot.schema.relations[relation].name)
            near: list[int] = np.flatnonzero(here & (relations == relation)).tolist()
            ends = zip(first[near].tolist(), second[near].tolist(), strict=True)
            rows = [[*pair, properties[place]] for pair, place in zip(ends, near, strict=True)]
            bare = [row[:2] for row in rows if len(row[2]) == 1]
            if bare:
                transaction.run(_BARE_EDGES.format(type=type_), rows=bare, site=self._site)
            rows = [row for row in rows if len(row[2]) > 1]
            if rows:
                transaction.run(_EDGES.format(type=type_), rows=rows)
            far: list[int] = np.flatnonzero(~here & (relations == relation)).tolist()
            names = zip(snapshot.ids(sources[far]), snapshot.ids(targets[far]), strict=True)
            rows = [[*pair, properties[place]] for pair, place in zip(names, far, strict=True)]
            if rows:
                transaction.run(_EDGES_BY_ID.format(type=type_), rows=rows)

    def _number(self, snapshot: Snapshot, numbers: npt.NDArray[np.int64]) -> None:
        """Neo4j's own numbers of the nodes that are there already."""
        ids, found = self._connection.run(_NUMBERS, site=self._site)[0]
        rows = snapshot.rows(ids) if ids else np.empty(0, np.int32)
        numbers[rows[rows >= 0]] = np.array(found, np.int64)[rows >= 0]
        # The node of a stub may be another site's: relationships go to it by its id.
        numbers[stub_rows(snapshot)] = -1

    def _finish(self, snapshot: Snapshot, numbers: npt.NDArray[np.int64], revision: int) -> bool:
        """Neo4j may give the number of a deleted node to another: then the load begins again."""
        again = np.full(snapshot.size, -1, np.int64)
        self._number(snapshot, again)
        alive = snapshot.alive
        sequence = revision if np.array_equal(again[alive], numbers[alive]) else None
        with self._connection.transaction() as transaction:
            if sequence is not None:
                self._move(transaction, sequence=sequence)
                return True
            transaction.run("MATCH (p:_Projection {site: $site}) DELETE p", site=self._site)
        message = "nodes were deleted by somebody else while the graph was loaded; it is loaded again"
        raise StoreError(message, code="STORE_FOREIGN_CHANGE", place=Place(self._connection.place.url))

    # Commits

    def _update(self, transaction: Transaction, snapshot: Snapshot, touched: list[str]) -> None:
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
        for group in twin_rows(snapshot, rows):
            _write(transaction, snapshot, group)

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
            key = (source, type_, target, properties.get("_group"), properties.get("_id"))
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
            transaction.run(_EDGES_BY_ID.format(type=quoted(type_)), rows=new)

    def _move(self, transaction: Transaction, **fields: int) -> None:
        if not transaction.run(_MOVE, site=self._site, fields=fields, epoch=self._epoch()):
            message = f"another process became the writer of site {self._site}"
            raise StoreError(message, code="STORE_FENCED", place=Place(self._connection.place.url))


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


def _write(
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
