"""The first load of the graph of a site: several sessions at once, each with rows of its own.

It may break off at any moment. Every session has a node `_Lane` that says how far it is, written in the
transaction that wrote the rows: the load goes on behind that, with the same rows in the same lanes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.stores.neo4j.batches import AS_WRITER, EDGES_BY_ID, write_twins
from graph.stores.neo4j.lanes import cut
from graph.stores.neo4j.naming import quoted
from graph.stores.neo4j.rows import bare_edges, edge_properties, stub_rows
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from graph.snapshot import Snapshot
    from graph.stores.neo4j.batches import Batches
    from graph.stores.neo4j.connection import Transaction
    from graph.stores.neo4j.lanes import Lane

TWINS_PER_BATCH: Final = 10_000
EDGES_PER_BATCH: Final = 20_000
# Sessions of a load that begins now; one that goes on has as many as it began with.
LANES: Final = 2
# Inner transactions have not the metadata of the outer one: the trigger knows ours by this property.
_OURS: Final = "OPTIONAL MATCH (w:_Watch {site: $site}) SET w._own = rand()"
# What an earlier graph of the site left. Nodes that relationships of other sites lead to stay, with their id.
_CLEAR: Final = (
    f"""MATCH ()-[r]->() WHERE r._site = $site
    CALL (r) {{ {_OURS} DELETE r }} IN TRANSACTIONS OF 10000 ROWS""",
    f"""MATCH (n:Entity) WHERE n._site = $site AND NOT EXISTS {{ (n)--() }}
    CALL (n) {{ {_OURS} DELETE n }} IN TRANSACTIONS OF 10000 ROWS""",
    f"""MATCH (n:Entity) WHERE n._site = $site
    CALL (n) {{ {_OURS} WITH n, [label IN labels(n) WHERE label <> 'Entity'] AS labels
    REMOVE n:$(labels) SET n = {{id: n.id}} }} IN TRANSACTIONS OF 10000 ROWS""",
)
# Where no twin of anybody is there yet: nothing is looked for.
_EMPTY: Final = "MATCH (n:Entity) RETURN count(n) = 0"
_DROP_LANES: Final = "MATCH (l:_Lane {site: $site}) DELETE l"
_BEGIN: Final = f"""MERGE (p:_Projection {{site: $site}}) SET p += $fields
FOREACH (lane IN range(0, $lanes - 1) | CREATE (:_Lane {{site: $site, lane: lane, twins: 0, edges: 0}}))
{AS_WRITER}"""
# Waits for what another writer, fenced off meanwhile, had not committed yet.
_CLAIM: Final = """MATCH (l:_Lane {site: $site}) SET l.turn = coalesce(l.turn, 0) + 1
RETURN l.lane, l.twins, l.edges"""
_STATE: Final = "MATCH (p:_Projection {site: $site}) RETURN p.sequence, p.revision, p.size, p.edge_size"
_MOVE: Final = f"""MATCH (p:_Lane {{site: $site, lane: $lane}}) SET p += $fields
{AS_WRITER}"""
_END: Final = f"""MATCH (p:_Projection {{site: $site}}) SET p.sequence = p.revision
{AS_WRITER}"""
_NUMBERS: Final = """MATCH (n:Entity) WHERE n._site = $site AND n._kind IS NOT NULL
AND n.id IS :: STRING NOT NULL
RETURN collect(n.id), collect(id(n))"""
# Types are data here, from the vocabulary alone. Of most there is nothing to be said but the site.
_BETWEEN: Final = """UNWIND $groups AS group UNWIND group[1] AS row
MATCH (a) WHERE id(a) = row[0] MATCH (b) WHERE id(b) = row[1]"""
_EDGES: Final = f"{_BETWEEN} CREATE (a)-[r:$(group[0])]->(b) SET r = row[2]"
_BARE_EDGES: Final = f"{_BETWEEN} CREATE (a)-[:$(group[0]) {{_site: $site}}]->(b)"


@dataclass(slots=True)
class _State:
    """Where a load stands. twins, edges: how far each lane is. size, edge_size: rows of all of them."""

    revision: int
    size: int
    edge_size: int
    twins: list[int]
    edges: list[int]


class FirstLoad:
    """Of one site from one snapshot, begun or gone on with. Used once; raises StoreError."""

    def __init__(self, batches: Batches, snapshot: Snapshot) -> None:
        self._batches = batches
        self._connection, self._site = batches.connection, batches.site
        self._snapshot = snapshot
        self._numbers = np.full(snapshot.size, -1, np.int64)  # Neo4j's own, of the nodes of twins
        self._failed, self._turn = Event(), Lock()

    def run(self) -> bool:
        """False where it was stopped. Rows that came after it began are left to the commits that follow."""
        state = self._claimed() or self._begun()
        if any(state.twins):
            self._number(self._numbers)
        edges = np.arange(state.edge_size)
        ends = self._snapshot.sources(edges), self._snapshot.targets(edges)
        lanes = cut(*ends, state.size, len(state.twins))
        is_new = not any(state.twins) and self._is_empty()
        with ThreadPoolExecutor(len(lanes), f"load-{self._site}") as pool:
            steps = [partial(self._load_twins, state, is_new)]
            rounds = range(len(lanes[0].rounds))
            steps += [partial(self._load_round, state, number) for number in rounds]
            done = all(all(self._together(pool, step, lanes)) for step in steps)
        return done and self._finish(state)

    def _together(
        self, pool: ThreadPoolExecutor, step: Callable[[Lane], bool], lanes: list[Lane]
    ) -> list[bool]:
        """One step of every lane at once; the others end after their batch where one meets an error."""

        def work(lane: Lane) -> bool:
            is_done = False
            try:
                is_done = step(lane)
            finally:
                if not is_done:
                    self._failed.set()
            return is_done

        return [each.result() for each in [pool.submit(work, lane) for lane in lanes]]

    def _stopped(self) -> bool:
        return self._failed.is_set() or self._batches.stopped()

    # Beginning and end

    def _claimed(self) -> _State | None:
        """The load that is going on, if one is; from now on it is ours."""
        lanes = sorted(self._connection.run(_CLAIM, site=self._site))
        rows = self._connection.run(_STATE, site=self._site) if lanes else ()
        for sequence, revision, size, edge_size in rows:
            # Not of a journal that was set back meanwhile.
            if sequence < 0 and revision <= self._snapshot.revision:
                twins, edges = [lane[1] for lane in lanes], [lane[2] for lane in lanes]
                return _State(revision, size, edge_size, twins, edges)
        if lanes:
            self._connection.run(_DROP_LANES, site=self._site)
        return None

    def _begun(self) -> _State:
        for statement in () if self._is_empty() else _CLEAR:
            self._connection.run(statement, site=self._site)
        snapshot = self._snapshot
        fields = {
            "sequence": -1,
            "revision": snapshot.revision,
            "size": snapshot.size,
            "edge_size": snapshot.edge_count,
        }
        with self._connection.transaction() as transaction:
            self._batches.mark(transaction, _BEGIN, fields=fields, lanes=LANES)
        nothing = [0] * LANES
        return _State(snapshot.revision, snapshot.size, snapshot.edge_count, nothing, list(nothing))

    def _is_empty(self) -> bool:
        return self._connection.run(_EMPTY)[0][0]

    def _number(self, numbers: npt.NDArray[np.int64]) -> None:
        """Neo4j's own numbers of the nodes that are there already."""
        ids, found = self._connection.run(_NUMBERS, site=self._site)[0]
        rows = self._snapshot.rows(ids) if ids else np.empty(0, np.int32)
        numbers[rows[rows >= 0]] = np.array(found, np.int64)[rows >= 0]
        # The node of a stub may be another site's: relationships go to it by its id.
        numbers[stub_rows(self._snapshot)] = -1

    def _finish(self, state: _State) -> bool:
        """Neo4j may give the number of a deleted node to another: then the load begins again."""
        again = np.full(self._snapshot.size, -1, np.int64)
        self._number(again)
        alive = self._snapshot.alive[: state.size]
        is_whole = np.array_equal(again[: state.size][alive], self._numbers[: state.size][alive])
        with self._connection.transaction() as transaction:
            transaction.run(_DROP_LANES, site=self._site)
            if is_whole:
                self._batches.mark(transaction, _END)
                return True
            transaction.run("MATCH (p:_Projection {site: $site}) DELETE p", site=self._site)
        message = "nodes were deleted by somebody else while the graph was loaded; it is loaded again"
        raise StoreError(message, code="STORE_FOREIGN_CHANGE", place=Place(self._connection.place.url))

    # One lane

    def _load_twins(self, state: _State, is_new: bool, lane: Lane) -> bool:
        first = state.twins[lane.number]
        while first < len(lane.twins):
            if self._stopped():
                return False
            until = min(first + self._batches.rows(TWINS_PER_BATCH), len(lane.twins))
            load = partial(self._write_twins, lane, first, until, is_new)
            try:
                first = until if self._batches.fits(until - first, load) else first
            except StoreError as error:
                if not is_new or error.code != "STORE_CONSTRAINT":
                    raise
                is_new = False  # another site came meanwhile, with stubs of these twins: once more
        return True

    def _write_twins(
        self, lane: Lane, first: int, until: int, is_new: bool, transaction: Transaction
    ) -> None:
        rows = lane.twins[first:until]
        rows = rows[self._snapshot.alive[rows]]
        written, numbers = write_twins(transaction, self._snapshot, rows, is_new=is_new)
        self._numbers[written] = numbers
        self._batches.mark(transaction, _MOVE, lane=lane.number, fields={"twins": until})

    def _load_round(self, state: _State, number: int, lane: Lane) -> bool:
        begin, end = (0, *lane.rounds)[number : number + 2]
        first = max(begin, state.edges[lane.number])
        while first < end:
            if self._stopped():
                return False
            until = min(first + self._batches.rows(EDGES_PER_BATCH), end)
            work = partial(self._write_edges, lane, first, until)
            # Relationships of earlier rounds hang on nodes of two lanes, and are locked by who commits.
            if self._batches.fits(until - first, work, self._turn if number else None):
                first = until
        return True

    def _write_edges(self, lane: Lane, first: int, until: int, transaction: Transaction) -> None:
        """Between nodes whose numbers are known by these; where an end is of another site, by its id."""
        snapshot = self._snapshot
        edges = lane.edges[first:until]
        edges = edges[snapshot.edge_alive[edges]]
        edges = edges[np.argsort(snapshot.edges.relation.take(edges), kind="stable")]
        relations = snapshot.edges.relation.take(edges)
        ends = [0, *(np.flatnonzero(np.diff(relations)) + 1).tolist(), len(edges)]
        bare: list[list[Any]] = []
        rich: list[list[Any]] = []
        for begin, end in pairwise(ends) if len(edges) else ():
            name = snapshot.schema.relations[int(relations[begin])].name
            self._deal(transaction, name, edges[begin:end], bare, rich)
        if bare:
            transaction.run(_BARE_EDGES, groups=bare, site=self._site)
        if rich:
            transaction.run(_EDGES, groups=rich)
        self._batches.mark(transaction, _MOVE, lane=lane.number, fields={"edges": until})

    def _deal(
        self,
        transaction: Transaction,
        name: str,
        edges: npt.NDArray[np.int64],
        bare: list[list[Any]],
        rich: list[list[Any]],
    ) -> None:
        """Relationships of one type, by what there is to be said of them; those with an end elsewhere are
        written at once."""
        snapshot = self._snapshot
        one, other = self._numbers[snapshot.sources(edges)], self._numbers[snapshot.targets(edges)]
        near = (one >= 0) & (other >= 0)
        plain = near & bare_edges(snapshot, edges)
        if plain.any():
            bare.append([name, np.column_stack((one[plain], other[plain])).tolist()])
        more = near & ~plain
        if more.any():
            ends = zip(one[more].tolist(), other[more].tolist(), strict=True)
            rich.append([name, self._rows(ends, edges[more])])
        if not near.all():
            far = edges[~near]
            ends = zip(snapshot.ids(snapshot.sources(far)), snapshot.ids(snapshot.targets(far)), strict=True)
            transaction.run(EDGES_BY_ID.format(type=quoted(name)), rows=self._rows(ends, far))

    def _rows(
        self, ends: Iterable[tuple[object, object]], edges: npt.NDArray[np.int64]
    ) -> list[list[object]]:
        properties = edge_properties(self._snapshot, edges)
        return [[*pair, row] for pair, row in zip(ends, properties, strict=True)]
