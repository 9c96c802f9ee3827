"""The k shortest paths between two twins, over columns: see `graph.shortest`.

Only the twins that a search looks at are read, and no graph is made of the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.shortest import LOOKS_MAX, Search
from graph.values import Way
from graph.walking import Cut, depths_from
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.plan import Routes
    from graph.trails import Trail
    from graph.view import Hops, View

PATHS_MAX: Final = 100
# Paths are first searched among twins that lie on ways at most so much longer than the shortest.
SLACKS: Final = (0, 2, 6, None)


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One path: its twins in order, and the relationship between each and the next."""

    rows: tuple[int, ...]
    edges: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RoutesFound:
    """`cut`: why there may be more, or others."""

    routes: tuple[Route, ...]
    cut: Cut | None


def checked_paths(k: int) -> int:
    """How many paths are asked for. InputError PATHS_INVALID."""
    if not 1 <= k <= PATHS_MAX:
        raise InputError(f"k lies between 1 and {PATHS_MAX}", code="PATHS_INVALID")
    return k


def run_routes(view: View, routes: Routes) -> RoutesFound:
    """The k shortest paths without repeated twins, fewest relationships first.

    Of parallel relationships the one whose id comes first is taken; which of equally long paths come first
    follows from ids. Out of time, or after looking at very many twins, what was found is given and said to be
    cut. TWIN_UNKNOWN, RELATION_UNKNOWN, PATHS_INVALID.
    """
    k = checked_paths(routes.k)
    start, end = view.find(routes.start), view.find(routes.end)
    forward = view.trails(routes.relations, routes.way)
    if start == end:
        return RoutesFound((Route((start,), ()),), None)
    backward = view.trails(routes.relations, REVERSED[routes.way])
    ends = np.array([end], np.int32)
    to_end, cut = depths_from(view, ends, backward, until=start)
    shortest = int(to_end[start])
    if shortest < 0:
        return RoutesFound((), cut)
    found: list[tuple[int, ...]] = []
    ways, left, cut = _Columns(view, forward, to_end), LOOKS_MAX, None
    for slack in SLACKS:
        bound = None if slack is None else shortest + slack
        if slack != 0:
            to_end, cut = depths_from(view, ends, backward, bound)
            ways = _Columns(view, forward, to_end)
        length_max = view.snapshot.size if bound is None else bound
        search = Search(ways, end, to_end, length_max, left, lambda: view.budget.is_half_gone, cut)
        found, left, cut = search.paths(start, k), search.left, search.cut
        if len(found) == k or cut is not None:
            break
    view.budget.spend(sum(map(len, found)))
    made = tuple(Route(rows, tuple(ways.edge(*pair) for pair in pairwise(rows))) for rows in found)
    return RoutesFound(made, cut)


REVERSED: Final = {Way.OUT: Way.IN, Way.IN: Way.OUT, Way.BOTH: Way.BOTH}


@dataclass(slots=True, eq=False)
class _Columns:
    """`graph.shortest.Ways` over a view. to_end: int32[size], steps to the end, -1: too far."""

    view: View
    trails: Sequence[Trail]
    to_end: npt.NDArray[np.int32]
    _hops: dict[int, Hops] = field(default_factory=dict[int, "Hops"])

    def ranks(self, node: int) -> dict[int, int]:
        hops = self.view.hops_along(np.array([node], np.int32), self.trails)
        self._hops[node] = hops = hops.keep(self.to_end[hops.others] >= 0)
        rank = self.view.snapshot.twins.ids.ranking().rank[hops.others]
        order = np.argsort(rank, kind="stable")
        return dict(zip(hops.others[order].tolist(), rank[order].tolist(), strict=True))

    def edge(self, source: int, target: int) -> int:
        """The relationship between two twins of a path; of several the one whose id comes first."""
        hops = self._hops[source]
        edges: list[int] = hops.edges[hops.others == target].tolist()
        return edges[0] if len(edges) == 1 else min(edges, key=self.view.snapshot.edge_id)
