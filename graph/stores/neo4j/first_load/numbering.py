"""Numbers of nodes over all sites that are imported together: each id has one node, whoever tells of it.

A twin is the node of its id; then a stub that another site has of it, then a tombstone, then a node that is
nothing but the far end of relationships. Of several alike the first site's counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.stores.neo4j.rows import stub_rows
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.snapshot import Snapshot

TWIN, STUB, STONE, END = range(4)
_IDS_AT_ONCE: Final = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """A site and its nodes. numbers: int64[size], of the node of each row; -1: the row needs none.

    rank: int8[size], TWIN, STUB, STONE or END; -1 as above. own: bool[size], this site writes the node.
    """

    snapshot: Snapshot
    numbers: npt.NDArray[np.int64]
    rank: npt.NDArray[np.int8]
    own: npt.NDArray[np.bool_]

    def rows(self, rank: int) -> npt.NDArray[np.int64]:
        """Rows of a rank whose nodes this site writes, ascending."""
        return np.flatnonzero((self.rank == rank) & self.own)


def number_all(snapshots: Sequence[Snapshot]) -> list[Numbered]:
    """The nodes of all sites. StoreError EXPORT_UNFIT where two sites have the same twin."""
    sites: list[Numbered] = []
    first = 0
    for snapshot in snapshots:
        rank = _rank(snapshot)
        numbers = np.where(rank >= 0, first + np.arange(snapshot.size), -1)
        sites.append(Numbered(snapshot, numbers, rank, rank >= 0))
        first += snapshot.size
    for place, site in enumerate(sites):
        for other in sites[:place]:
            _meet(other, site)
    return sites


def _rank(snapshot: Snapshot) -> npt.NDArray[np.int8]:
    rank = np.full(snapshot.size, -1, np.int8)
    edges = np.flatnonzero(snapshot.edge_alive)
    for ends in (snapshot.sources(edges), snapshot.targets(edges)):
        rank[ends] = END
    alive = snapshot.alive
    rank[~alive & (snapshot.twins.revision.take(np.arange(snapshot.size)) > 0)] = STONE
    rank[alive] = TWIN
    rank[stub_rows(snapshot)] = STUB
    return rank


def _meet(first: Numbered, second: Numbered) -> None:
    """Of ids that both have, the better node counts."""
    rows = np.flatnonzero(second.rank >= 0)
    for begin in range(0, len(rows), _IDS_AT_ONCE):
        mine = rows[begin : begin + _IDS_AT_ONCE]
        ids = second.snapshot.ids(mine)
        its = first.snapshot.twins.ids.rows_of(ids).astype(np.int64)
        known = (its >= 0) & (first.rank[its] >= 0)
        mine, its = mine[known], its[known]
        twice = (first.rank[its] == TWIN) & (second.rank[mine] == TWIN)
        if twice.any():
            raise _twice(first, second, int(mine[twice][0]))
        better = second.rank[mine] < first.rank[its]
        first.own[its[better]] = False
        first.numbers[its[better]] = second.numbers[mine[better]]
        second.own[mine[~better]] = False
        second.numbers[mine[~better]] = first.numbers[its[~better]]


def _twice(first: Numbered, second: Numbered, row: int) -> StoreError:
    names = f"{first.snapshot.sites[0]} and {second.snapshot.sites[0]}"
    message = f"the sites {names} both have this twin; one database holds one"
    hint = "export one of the sites with --site, or remove the twin from one"
    return StoreError(message, code="EXPORT_UNFIT", place=Place(item=second.snapshot.id(row)), hint=hint)
