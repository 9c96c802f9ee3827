"""Reachable twins, breadth first over whole frontiers; k shortest paths on what lies between two twins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final

import networkx as nx
import numpy as np

from graph.multimap import distinct
from graph.ordering import checked_first, least
from graph.values import Way
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.plan import Routes, Walk
    from graph.view import Hops, Trail, View

PATHS_MAX: Final = 100
# Paths are searched among at most this many twins.
_BETWEEN_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Cut:
    """Why an answer holds less than the whole: FIRST (the page), TIME or SIZE (a budget)."""

    reason: str
    at_depth: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """rows, depths: int32[n], by depth, then id. `count` is all that was reached, on the page or not."""

    rows: npt.NDArray[np.int32]
    depths: npt.NDArray[np.int32]
    count: int
    cut: Cut | None


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One path: its twins in order, and the relationship between each and the next."""

    rows: tuple[int, ...]
    edges: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RoutesFound:
    routes: tuple[Route, ...]
    cut: Cut | None


def run_walk(view: View, walk: Walk) -> Reached:
    """The first twins that can be reached from the starts, these left out, and how many there are.

    TWIN_UNKNOWN, RELATION_UNKNOWN, KIND_UNKNOWN, WALK_INVALID, PAGE_TOO_LARGE. Out of time it ends early and
    says so (`cut`); what it has is right as far as it goes.
    """
    size = checked_first(walk.first)
    rows, depths, cut = _reached(view, walk)
    rank = view.snapshot.twins.ids.ranking().rank[rows]
    places = least((depths, rank), np.arange(len(rows)), size, forward=True)
    page = Reached(rows[places], depths[places], len(rows), cut)
    if cut is None and len(rows) > len(places):
        page = replace(page, cut=Cut("FIRST", int(page.depths[-1]) if len(places) else 0))
    view.budget.spend(len(places))
    return page


def walk_all(view: View, walk: Walk) -> Reached:
    """All twins that can be reached, whatever `first` says; errors and `cut` as `run_walk`."""
    rows, depths, cut = _reached(view, walk)
    order = np.lexsort((view.snapshot.twins.ids.ranking().rank[rows], depths))
    return Reached(rows[order], depths[order], len(rows), cut)


def _reached(view: View, walk: Walk) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Cut | None]:
    """(rows, depths) in no order that means anything, and why there may be more."""
    if walk.depth_max is not None and walk.depth_max < 0:
        raise InputError("a walk cannot have a negative depth", code="WALK_INVALID")
    kind = None if walk.kind is None else view.snapshot.schema.kind(walk.kind)
    trails = view.trails(walk.relations, walk.way)
    depth_of, cut = depths_from(view, view.find_all(walk.starts), trails, walk.depth_max)
    rows = np.flatnonzero(depth_of > 0).astype(np.int32)
    if kind is not None:
        rows = rows[view.snapshot.is_of_kind(rows, kind.index)]
    return rows, depth_of[rows], cut


def depths_from(
    view: View, starts: Rows, trails: Sequence[Trail], depth_max: int | None = None
) -> tuple[npt.NDArray[np.int32], Cut | None]:
    """int32[size]: steps to each row, 0 at the starts, -1 where none leads; and why there may be more."""
    depth_of = np.full(view.snapshot.size, -1, np.int32)
    depth_of[starts] = 0
    place = np.empty(view.snapshot.size, np.int32)  # only read where just written
    frontier, depth = distinct(starts), 0
    while len(frontier) and (depth_max is None or depth < depth_max):
        if view.budget.is_half_gone:
            return depth_of, Cut("TIME", depth)
        depth += 1
        frontier = _unseen((view.hops(frontier, trail) for trail in trails), depth_of, place)
        depth_of[frontier] = depth
    return depth_of, None


def _unseen(
    found: Iterable[Hops], depth_of: npt.NDArray[np.int32], place: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """The rows that were met first just now, ascending."""
    others = np.concatenate([hops.others for hops in found])
    others = others[depth_of[others] < 0]
    # Of equal rows the one whose place is kept stays: much faster than `np.unique` over all.
    places = np.arange(len(others), dtype=np.int32)
    place[others] = places
    return np.sort(others[place[others] == places])


def run_routes(view: View, routes: Routes) -> RoutesFound:
    """The k shortest paths, fewest relationships first. TWIN_UNKNOWN, RELATION_UNKNOWN, PATHS_INVALID.

    Only twins that lie on some way from start to end are looked at; beyond a bound the longer ways are left
    out, and running out of time ends the search: both are said in `cut`.
    """
    if not 1 <= routes.k <= PATHS_MAX:
        raise InputError(f"k lies between 1 and {PATHS_MAX}", code="PATHS_INVALID")
    start, end = view.find(routes.start), view.find(routes.end)
    if start == end:
        return RoutesFound((Route((start,), ()),), None)
    forward = view.trails(routes.relations, routes.way)
    between, cut = _between(view, start, end, forward, view.trails(routes.relations, _reverse(routes)))
    graph = _graph(view, between, forward)
    if start not in graph or end not in graph:
        return RoutesFound((), cut)
    return _shortest(view, graph, start, end, routes.k, cut)


def _reverse(routes: Routes) -> Way:
    return {Way.OUT: Way.IN, Way.IN: Way.OUT}.get(routes.way, routes.way)


def _between(
    view: View, start: int, end: int, forward: Sequence[Trail], backward: Sequence[Trail]
) -> tuple[npt.NDArray[np.int32], Cut | None]:
    """Rows on some way from start to end; the nearest ones if there are too many."""
    ahead, late = depths_from(view, np.array([start]), forward, None)
    behind, also_late = depths_from(view, np.array([end]), backward, None)
    rows = np.flatnonzero((ahead >= 0) & (behind >= 0)).astype(np.int32)
    if len(rows) <= _BETWEEN_MAX:
        return rows, late or also_late
    length = (ahead + behind)[rows]
    rows = rows[np.argsort(length, kind="stable")[:_BETWEEN_MAX]]
    return rows, Cut("SIZE", int((ahead + behind)[rows[-1]]))


def _graph(view: View, rows: npt.NDArray[np.int32], trails: Sequence[Trail]) -> nx.DiGraph[int]:
    """The relationships among some rows; of several between two twins the oldest."""
    inside = np.zeros(view.snapshot.size, np.bool_)
    inside[rows] = True
    hops = view.hops_along(rows, trails)
    hops = hops.keep(inside[hops.others])
    order = np.argsort(-hops.edges, kind="stable")
    graph: nx.DiGraph[int] = nx.DiGraph()
    # Neighbours are added in order of id, so that equally short paths come in the same order each time.
    graph.add_nodes_from(row for _, row in sorted(zip(view.snapshot.ids(rows), rows.tolist(), strict=True)))
    near, far = rows[hops.owner[order]].tolist(), hops.others[order].tolist()
    oldest = {(a, b): edge for a, b, edge in zip(near, far, hops.edges[order].tolist(), strict=True)}
    ids = dict(zip(rows.tolist(), view.snapshot.ids(rows), strict=True))
    for (a, b), edge in sorted(oldest.items(), key=lambda item: (ids[item[0][0]], ids[item[0][1]])):
        graph.add_edge(a, b, edge=edge)
    return graph


def _shortest(
    view: View, graph: nx.DiGraph[int], start: int, end: int, k: int, cut: Cut | None
) -> RoutesFound:
    found: list[Route] = []
    try:
        for path in islice(nx.shortest_simple_paths(graph, start, end), k):
            edges = tuple(int(graph.edges[a, b]["edge"]) for a, b in pairwise(path))
            found.append(Route(tuple(path), edges))
            view.budget.spend(len(path))
            if view.budget.is_half_gone:
                cut = Cut("TIME", len(edges))
                break
    except nx.NetworkXNoPath:
        return RoutesFound((), cut)
    return RoutesFound(tuple(found), cut)
