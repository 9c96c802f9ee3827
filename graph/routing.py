"""The k shortest paths between two twins: Yen's algorithm, every search guided by the steps left to the end.

Distances to the end are exact where nothing is forbidden, so a search hardly leaves the way. Only the twins
that it looks at are read, and no graph is made of the others.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from graph.values import Way
from graph.walking import Cut, depths_from
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.plan import Routes
    from graph.view import Trail, View

PATHS_MAX: Final = 100
# Twins that all searches of one question may look at.
_LOOKS_MAX: Final = 200_000
# Paths are first searched among twins that lie on ways at most so much longer than the shortest.
_SLACKS: Final = (0, 2, 6)
# The clock is read once for so many twins looked at.
_LOOKS_PER_CLOCK: Final = 256

Branches: TypeAlias = "dict[int, Branches]"  # paths that were found, step by step


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


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A path, and from which of its twins on it was searched for."""

    length: int
    ranks: tuple[int, ...]
    rows: tuple[int, ...]
    begins: int

    def __lt__(self, other: _Candidate) -> bool:
        return (self.length, self.ranks) < (other.length, other.ranks)


def run_routes(view: View, routes: Routes) -> RoutesFound:
    """The k shortest paths without repeated twins, fewest relationships first.

    Of parallel relationships the oldest is taken; which of equally long paths come first follows from ids.
    Out of time, or after looking at very many twins, what was found is given and said to be cut.
    TWIN_UNKNOWN, RELATION_UNKNOWN, PATHS_INVALID.
    """
    if not 1 <= routes.k <= PATHS_MAX:
        raise InputError(f"k lies between 1 and {PATHS_MAX}", code="PATHS_INVALID")
    start, end = view.find(routes.start), view.find(routes.end)
    forward = view.trails(routes.relations, routes.way)
    if start == end:
        return RoutesFound((Route((start,), ()),), None)
    backward = view.trails(routes.relations, _REVERSED[routes.way])
    to_end, cut = depths_from(view, np.array([end], np.int32), backward, until=start)
    if to_end[start] < 0:
        return RoutesFound((), cut)
    search = _Search(view, forward, end, to_end, int(to_end[start]))
    found = search.paths(start, routes.k)
    for slack in (*_SLACKS[1:], None):
        if len(found) == routes.k or search.cut is not None:
            break
        bound = None if slack is None else int(to_end[start]) + slack
        farther, cut = depths_from(view, np.array([end], np.int32), backward, bound)
        search = _Search(view, forward, end, farther, bound or view.snapshot.size, search.left, cut)
        found = search.paths(start, routes.k)
    view.budget.spend(sum(map(len, found)))
    made = tuple(Route(rows, tuple(search.edge(*pair) for pair in pairwise(rows))) for rows in found)
    return RoutesFound(made, search.cut)


_REVERSED: Final = {Way.OUT: Way.IN, Way.IN: Way.OUT, Way.BOTH: Way.BOTH}


@dataclass(slots=True, eq=False)
class _Search:
    """Paths of at most `length_max` relationships. to_end: int32[size], steps to the end, -1: too far."""

    view: View
    trails: Sequence[Trail]
    end: int
    to_end: npt.NDArray[np.int32]
    length_max: int
    left: int = field(default_factory=lambda: _LOOKS_MAX)
    cut: Cut | None = None
    _links: dict[int, dict[int, int]] = field(default_factory=dict[int, dict[int, int]])
    _ranks: dict[int, int] = field(default_factory=dict[int, int])

    def paths(self, start: int, k: int) -> list[tuple[int, ...]]:
        """The first k, or as many as there are; `cut` says where the search ended early."""
        found: list[tuple[int, ...]] = []
        branches: Branches = {}
        waiting: list[_Candidate] = []
        self._propose(waiting, (start,), {start}, branches)
        while waiting and len(found) < k:
            best = heapq.heappop(waiting)
            found.append(best.rows)
            _enter(branches, best.rows)
            if len(found) < k:
                self._deviate(waiting, best, branches)
        return found

    def edge(self, source: int, target: int) -> int:
        """The oldest relationship between two twins of a path."""
        return self._neighbours(source)[target]

    def _deviate(self, waiting: list[_Candidate], path: _Candidate, branches: Branches) -> None:
        """Propose the best path that leaves this one at each of its twins."""
        blocked = set(path.rows[: path.begins])
        for row in path.rows[1 : path.begins + 1]:
            branches = branches[row]
        for place in range(path.begins, len(path.rows) - 1):
            blocked.add(path.rows[place])
            self._propose(waiting, path.rows[: place + 1], blocked, branches)
            if self.cut is not None and self.left <= 0:
                return
            branches = branches[path.rows[place + 1]]

    def _propose(
        self, waiting: list[_Candidate], head: tuple[int, ...], blocked: set[int], taken: Branches
    ) -> None:
        tail = self._shortest(head[-1], blocked, taken, self.length_max - len(head) + 1)
        if tail is None:
            return
        rows = (*head, *tail)
        ranks = tuple(self._ranks.get(row, -1) for row in rows)
        heapq.heappush(waiting, _Candidate(len(rows) - 1, ranks, rows, len(head) - 1))

    def _shortest(self, spur: int, blocked: set[int], taken: Branches, room: int) -> list[int] | None:
        """The twins behind `spur` on the shortest way to the end that goes on as none of `taken` does."""
        came_from: dict[int, int] = {}
        steps, done = {spur: 0}, set[int]()
        waiting = [(int(self.to_end[spur]), 0, -1, spur)]
        while waiting:
            _, minus, _, row = heapq.heappop(waiting)
            if row == self.end:
                return _way_back(came_from, spur, row)
            if row in done:
                continue
            if not self._may_look(len(blocked)):
                return None
            done.add(row)
            for other in self._neighbours(row):
                if other in blocked or other in done or (row == spur and other in taken):
                    continue
                far = 1 - minus
                total = far + int(self.to_end[other])
                if total <= room and far < steps.get(other, room + 1):
                    steps[other], came_from[other] = far, row
                    heapq.heappush(waiting, (total, -far, self._ranks[other], other))
        return None

    def _may_look(self, depth: int) -> bool:
        self.left -= 1
        if self.left <= 0:
            self.cut = self.cut or Cut("SIZE", depth)
        elif self.left % _LOOKS_PER_CLOCK == 0 and self.view.budget.is_half_gone:
            self.cut, self.left = Cut("TIME", depth), 0
        return self.left > 0

    def _neighbours(self, row: int) -> dict[int, int]:
        """The twins one step on from which the end can be reached, by id, and the oldest way to each."""
        known = self._links.get(row)
        if known is None:
            hops = self.view.hops_along(np.array([row], np.int32), self.trails)
            hops = hops.keep(self.to_end[hops.others] >= 0)
            rank = self.view.snapshot.twins.ids.ranking().rank[hops.others]
            order = np.lexsort((-hops.edges, rank))
            others = hops.others[order].tolist()
            self._ranks.update(zip(others, rank[order].tolist(), strict=True))
            known = self._links[row] = dict(zip(others, hops.edges[order].tolist(), strict=True))
        return known


def _enter(branches: Branches, rows: Sequence[int]) -> None:
    for row in rows[1:]:
        branches = branches.setdefault(row, {})


def _way_back(came_from: dict[int, int], spur: int, row: int) -> list[int]:
    rows = [row]
    while came_from[rows[-1]] != spur:
        rows.append(came_from[rows[-1]])
    return rows[::-1]
