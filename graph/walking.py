"""Reachable twins, breadth first over whole frontiers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.multimap import distinct
from graph.ordering import checked_first, least
from graph.reaching import Reach
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.plan import Walk
    from graph.view import Hops, Trail, View


# A walk that met more, or went deeper, goes on by kernels: they need whole columns.
_MET_FEW: Final = 1_000
_DEPTH_FEW: Final = 32


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
    view: View,
    starts: Rows,
    trails: Sequence[Trail],
    depth_max: int | None = None,
    *,
    until: int | None = None,
) -> tuple[npt.NDArray[np.int32], Cut | None]:
    """int32[size]: steps to each row, 0 at the starts, -1 where none leads; and why there may be more.

    until: a row at whose depth the walk may end.
    """
    if view.reads is not None:
        view.reads.walks((trail.key for trail in trails), depth_max)
    depth_of = np.full(view.snapshot.size, -1, np.int32)
    depth_of[starts] = 0
    place = np.empty(view.snapshot.size, np.int32)  # only read where just written
    frontier, depth, met = distinct(starts), 0, 0
    while len(frontier) and (depth_max is None or depth < depth_max):
        if view.budget.is_half_gone:
            return depth_of, Cut("TIME", depth)
        met += len(frontier)
        if met > _MET_FEW or depth > _DEPTH_FEW:
            reach = Reach.of(view, trails, depth_of)
            if reach is not None:
                return depth_of, _go_on(view, reach, frontier, depth, depth_max, until)
        depth += 1
        frontier = _unseen((view.hops(frontier, trail) for trail in trails), depth_of, place)
        depth_of[frontier] = depth
        if until is not None and depth_of[until] >= 0:
            break
    return depth_of, None


def _go_on(
    view: View, reach: Reach, frontier: Rows, depth: int, depth_max: int | None, until: int | None
) -> Cut | None:
    """The rest of a walk, by kernels; `frontier` was met at `depth`."""
    begin, end = 0, len(frontier)
    reach.queue[:end] = frontier
    while begin < end and (depth_max is None or depth < depth_max):
        if view.budget.is_half_gone:
            return Cut("TIME", depth)
        depth += 1
        begin, end = end, reach.level(begin, end, depth)
        if until is not None and reach.depth_of[until] >= 0:
            break
    return None


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
