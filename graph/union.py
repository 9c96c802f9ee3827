"""Several sites as one snapshot.

A stub for a twin of another site gives way to that twin where a site has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graph.csr import merge_found
from graph.joined import JoinedAttributes, JoinedColumn, MappedColumn, PartColumn, Starts
from graph.keys import IdTable
from graph.snapshot import Snapshot
from graph.strings import pack_texts
from graph.tables import EdgeView, TwinView
from graph.text_order import ranking_of
from graph.values import Way
from ontology.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.csr import Found
    from graph.pools import Pools
    from graph.text_order import Ranking
    from ontology.schema import Schema


def union(
    snapshots: Sequence[Snapshot], schema: Schema | None = None, pools: Pools | None = None
) -> Snapshot:
    """One snapshot over sites that share their pools (sites of one Mesh do).

    Rows of the sites follow each other, see `Snapshot.site_row`.
    schema: the sites' schemas as one, where it is known already. pools: extend those of the sites (see
    `Pools.extended`), so that parts of both can be joined.
    """
    shared = snapshots[0].pools
    if any(part.pools is not shared and part.pools is not pools for part in snapshots):
        raise UsageError("only sites that were opened by one Mesh can be joined", code="POOLS_DIFFER")
    joined = schema or join_schemas([part.schema for part in snapshots])
    pools = pools or shared
    starts = Starts.of([part.size for part in snapshots])
    stubs = _find_stubs(snapshots, starts)
    return Snapshot(
        heads=tuple(head for part in snapshots for head in part.heads),
        schema=joined,
        pools=pools,
        twins=_join_twins(snapshots, starts, stubs, pools),
        edges=_join_edges(snapshots, starts, stubs, pools),
        residue=_join_residue(snapshots),
        starts=starts,
        parts=tuple(snapshots),
    )


def join_schemas(schemas: Sequence[Schema]) -> Schema:
    """The first schema with the user kinds of all the others."""
    first = schemas[0]
    others = (schema for schema in schemas[1:] if schema is not first)
    records = [record for schema in others for record in schema.user_kind_records()]
    return first.with_kinds(records) if records else first


# Stubs


@dataclass(frozen=True, slots=True, eq=False)
class Stubs:
    """Stubs that give way: `stub` int64[k], rows of the union, ascending.

    `twin` int64[k], what each stands for.
    """

    stub: npt.NDArray[np.int64]
    twin: npt.NDArray[np.int64]

    def resolve(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Rows of the union with stubs replaced by what they stand for."""
        if not len(self.stub):
            return rows
        places = np.minimum(np.searchsorted(self.stub, rows), len(self.stub) - 1)
        return np.where(self.stub[places] == rows, self.twin[places], rows).astype(np.int32)

    def within(self, start: int, stop: int) -> Stubs:
        """The stubs of one part, ascending by twin: so that its rows are found from outside."""
        here = np.flatnonzero((self.stub >= start) & (self.stub < stop))
        order = here[np.argsort(self.twin[here])]
        return Stubs(self.stub[order] - start, self.twin[order])


def _find_stubs(snapshots: Sequence[Snapshot], starts: Starts) -> Stubs:
    pairs: list[tuple[int, int]] = []
    firsts: dict[str, int] = {}  # of stubs without a twin anywhere, the first stands for all
    for number, (part, (start, _)) in enumerate(zip(snapshots, starts, strict=True)):
        rows = part.rows_of_kind(part.schema.external_kind)
        iris = part.ids(rows)
        twins = _find_twins(snapshots, starts, iris, number)
        for row, iri, twin in zip(rows.tolist(), iris, twins, strict=True):
            if twin < 0:
                twin = firsts.setdefault(iri, start + row)
            if twin != start + row:
                pairs.append((start + row, twin))
    table = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return Stubs(table[:, 0], table[:, 1])


def _find_twins(
    snapshots: Sequence[Snapshot], starts: Starts, iris: Sequence[str], without: int
) -> list[int]:
    """The row of each twin that is no stub, -1 if no other site has it; of several the first."""
    found = [-1] * len(iris)
    if not iris:
        return found
    for number, (part, (start, _)) in enumerate(zip(snapshots, starts, strict=True)):
        if number == without or not part.size:
            continue
        stub = (part.schema.external_kind,)
        rows = part.rows(iris)
        for place in np.flatnonzero(rows >= 0).tolist():
            row = int(rows[place])
            if found[place] < 0 and part.kinds(row) != stub:
                found[place] = start + row
    return found


# Twins


@dataclass(frozen=True, slots=True, eq=False)
class _UnionIds:
    parts: Sequence[Snapshot]
    starts: Starts
    stubs: Stubs
    pools: Pools

    def row(self, iri: str) -> int:
        """The living twin of that IRI before any dead one."""
        dead = -1
        for part, (start, _) in zip(self.parts, self.starts, strict=True):
            row = part.twins.ids.row(iri)
            if row >= 0:
                if part.twins.alive.at(row):
                    return int(self.stubs.resolve(np.array([start + row], np.int32))[0])
                dead = start + row
        return dead

    def iri(self, row: int) -> str:
        part, place = self.starts.split(row)
        return self.parts[part].id(place)

    def rows_of(self, iris: Sequence[str]) -> npt.NDArray[np.int32]:
        """As `row`, with one look-up a site for all of them."""
        found = np.full(len(iris), -1, np.int32)
        living = np.zeros(len(iris), np.bool_)
        for part, (start, _) in zip(self.parts, self.starts, strict=True):
            rows = part.twins.ids.rows_of(iris)
            here = (rows >= 0) & ~living
            found[here] = rows[here] + start
            living[here] = part.twins.alive.take(rows[here])
        found[living] = self.stubs.resolve(found[living])
        return found

    def iris(self, rows: Rows) -> list[str]:
        texts = np.empty(len(rows), object)
        for part, (start, stop) in zip(self.parts, self.starts, strict=True):
            here = np.flatnonzero((rows >= start) & (rows < stop))
            texts[here] = part.ids(rows[here] - start)
        return texts.tolist()

    def tables(self, rows: Rows) -> Sequence[IdTable]:
        found: list[IdTable] = []
        for site, (part, (start, stop)) in enumerate(zip(self.parts, self.starts, strict=True)):
            here = np.flatnonzero((rows >= start) & (rows < stop))
            if not len(here):
                continue
            places = None if len(here) == len(rows) else here
            for table in part.twins.ids.tables(rows[here] - start):
                found.append(IdTable(site, table.strings, table.numbers, places))
        return found

    def rows_with(self, iri: str) -> list[int]:
        pairs = zip(self.parts, self.starts, strict=True)
        return [start + row for part, (start, _) in pairs for row in part.twins.ids.rows_with(iri)]

    def ranking(self) -> Ranking:
        rankings = [part.twins.ids.ranking() for part in self.parts]
        sizes = [part.size for part in self.parts]
        return self.pools.merged.of(rankings, sizes, self._sort)

    def ready_ranking(self) -> Ranking | None:
        rankings = [part.twins.ids.ready_ranking() for part in self.parts]
        known = [ranking for ranking in rankings if ranking is not None]
        if len(known) < len(rankings):
            return None
        return self.pools.merged.ready(known, [part.size for part in self.parts])

    def _sort(self) -> Ranking:
        return ranking_of(pack_texts(self.iris(np.arange(self.starts.size))))

    def by_local(self, text: str) -> Sequence[int]:
        pairs = zip(self.parts, self.starts, strict=True)
        return [start + row for part, (start, _) in pairs for row in part.twins.ids.by_local(text)]

    def by_external(self, text: str) -> Sequence[int]:
        pairs = zip(self.parts, self.starts, strict=True)
        return [start + row for part, (start, _) in pairs for row in part.twins.ids.by_external(text)]


def _join_twins(parts: Sequence[Snapshot], starts: Starts, stubs: Stubs, pools: Pools) -> TwinView:
    views = [part.twins for part in parts]

    def living(rows: Rows, alive: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return alive & ~np.isin(rows, stubs.stub)

    return TwinView(
        size=starts.size,
        site=PartColumn(starts),
        ids=_UnionIds(parts, starts, stubs, pools),
        alive=MappedColumn(JoinedColumn([v.alive for v in views], starts, np.bool_), living),
        kind_set=JoinedColumn([v.kind_set for v in views], starts, np.int32),
        name=JoinedColumn([v.name for v in views], starts, np.int32),
        local=JoinedColumn([v.local for v in views], starts, np.int32),
        revision=JoinedColumn([v.revision for v in views], starts, np.int64),
        external=JoinedColumn([v.external for v in views], starts, np.int32),
        origins=JoinedColumn([v.origins for v in views], starts, np.int32),
        point_time=JoinedColumn([v.point_time for v in views], starts, np.int64),
        point_word=JoinedColumn([v.point_word for v in views], starts, np.uint64),
        point_quality=JoinedColumn([v.point_quality for v in views], starts, np.uint8),
        attributes=JoinedAttributes([v.attributes for v in views], starts, pools),
    )


# Relationships


@dataclass(frozen=True, slots=True, eq=False)
class _UnionLinks:
    """Relationships of all sites: those of a twin may live in its own site and where it has stubs."""

    parts: Sequence[Snapshot]
    starts: Starts
    edge_starts: Starts
    stubs: Sequence[Stubs]  # by part, see `Stubs.within`

    def expand(self, rows: Rows, way: Way, relations: npt.NDArray[np.bool_] | None) -> Found:
        found: Found = (np.zeros(0, np.int32), np.zeros(0, np.int32))
        for number, part in enumerate(self.parts):
            local, places = self.local_rows(number, rows)
            edges, owner = part.edges.links.expand(local, way, relations)
            edges = (edges + self.edge_starts.rows[number]).astype(np.int32)
            found = merge_found(found, _sorted(edges, places[owner]))
        return found

    def local_rows(self, number: int, rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Those of some rows that a part knows, itself or as a stub: its rows, and positions in `rows`."""
        start, stop = self.starts.rows[number], self.starts.rows[number + 1]
        own = np.flatnonzero((rows >= start) & (rows < stop))
        stubs = self.stubs[number]
        if not len(stubs.stub):
            return (rows[own] - start).astype(np.int64), own.astype(np.int32)
        places = np.minimum(np.searchsorted(stubs.twin, rows), len(stubs.twin) - 1)
        known = np.flatnonzero(stubs.twin[places] == rows)
        local = np.concatenate((rows[own] - start, stubs.stub[places[known]]))
        return local.astype(np.int64), np.concatenate((own, known)).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class _UnionKeys:
    links: _UnionLinks

    def by_ends(self, source: int, relation: int, target: int, group: int) -> Sequence[int]:
        found: list[int] = []
        for number, part in enumerate(self.links.parts):
            sources, _ = self.links.local_rows(number, np.array([source]))
            targets, _ = self.links.local_rows(number, np.array([target]))
            start = int(self.links.edge_starts.rows[number])
            for one in sources.tolist():
                for other in targets.tolist():
                    known = part.edges.keys.by_ends(one, relation, other, group)
                    found.extend(start + edge for edge in known)
        return found

    def by_own_id(self, own_id: str) -> Sequence[int]:
        pairs = zip(self.links.parts, self.links.edge_starts, strict=True)
        return [start + edge for part, (start, _) in pairs for edge in part.edges.keys.by_own_id(own_id)]

    def by_derived_id(self, edge_id: str) -> Sequence[int]:
        pairs = zip(self.links.parts, self.links.edge_starts, strict=True)
        return [start + edge for part, (start, _) in pairs for edge in part.edges.keys.by_derived_id(edge_id)]


def _join_edges(parts: Sequence[Snapshot], starts: Starts, stubs: Stubs, pools: Pools) -> EdgeView:
    views = [part.edges for part in parts]
    edges = Starts.of([view.size for view in views])
    links = _UnionLinks(parts, starts, edges, [stubs.within(*span) for span in starts])

    def ends(rows: Rows, local: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return stubs.resolve((local + starts.rows[edges.parts(rows)]).astype(np.int32))

    return EdgeView(
        size=edges.size,
        site=PartColumn(edges),
        keys=_UnionKeys(links),
        links=links,
        alive=JoinedColumn([v.alive for v in views], edges, np.bool_),
        source=MappedColumn(JoinedColumn([v.source for v in views], edges, np.int32), ends),
        target=MappedColumn(JoinedColumn([v.target for v in views], edges, np.int32), ends),
        relation=JoinedColumn([v.relation for v in views], edges, np.int32),
        group=JoinedColumn([v.group for v in views], edges, np.int32),
        own_id=JoinedColumn([v.own_id for v in views], edges, np.int32),
        stated=JoinedColumn([v.stated for v in views], edges, np.int32),
        origins=JoinedColumn([v.origins for v in views], edges, np.int32),
        attributes=JoinedAttributes([v.attributes for v in views], edges, pools),
    )


def _sorted(edges: npt.NDArray[np.int32], owner: npt.NDArray[np.int32]) -> Found:
    order = np.lexsort((edges, owner))
    return edges[order], owner[order]


def _join_residue(parts: Sequence[Snapshot]) -> Mapping[str, tuple[str, ...]]:
    """Two sites may hold triples of an origin of the same name: both sets are kept."""
    joined: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for origin, lines in part.residue.items():
            joined[origin] = (*joined.get(origin, ()), *lines)
    return joined
