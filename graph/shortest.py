"""Yen's algorithm: the k shortest paths without repeated nodes, every search guided by the steps left.

Distances to the end are exact where nothing is forbidden, so a search hardly leaves the way. Only the nodes
that it looks at are read. Nodes are integers; what they are is for `Ways` to know.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from graph.walking import Cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

# Nodes that all searches of one question may look at.
LOOKS_MAX: Final = 200_000
# The clock is read once for so many nodes looked at.
_LOOKS_PER_CLOCK: Final = 256

Branches: TypeAlias = "dict[int, Branches]"  # paths that were found, step by step


class Ways(Protocol):
    """Where one can go."""

    def ranks(self, node: int) -> dict[int, int]:
        """The nodes one step on from which the end can be reached, and their places in the order of ids.

        In that order.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A path, and from which of its nodes on it was searched for."""

    length: int
    ranks: tuple[int, ...]
    nodes: tuple[int, ...]
    begins: int

    def __lt__(self, other: _Candidate) -> bool:
        return (self.length, self.ranks) < (other.length, other.ranks)


@dataclass(slots=True, eq=False)
class Search:
    """Paths of at most `length_max` steps. to_end: int32[nodes], steps to the end, -1: too far.

    left: nodes that it may still look at. is_late: whether there is no time for more.
    """

    ways: Ways
    end: int
    to_end: npt.NDArray[np.int32]
    length_max: int
    left: int
    is_late: Callable[[], bool]
    cut: Cut | None = None
    _ranks: dict[int, int] = field(default_factory=dict[int, int])
    _next: dict[int, dict[int, int]] = field(default_factory=dict[int, dict[int, int]])

    def paths(self, start: int, k: int) -> list[tuple[int, ...]]:
        """The first k, or as many as there are; `cut` says where the search ended early."""
        found: list[tuple[int, ...]] = []
        branches: Branches = {}
        waiting: list[_Candidate] = []
        self._propose(waiting, (start,), {start}, branches)
        while waiting and len(found) < k:
            best = heapq.heappop(waiting)
            found.append(best.nodes)
            _enter(branches, best.nodes)
            if len(found) < k:
                self._deviate(waiting, best, branches)
        return found

    def _deviate(self, waiting: list[_Candidate], path: _Candidate, branches: Branches) -> None:
        """Propose the best path that leaves this one at each of its nodes."""
        blocked = set(path.nodes[: path.begins])
        for node in path.nodes[1 : path.begins + 1]:
            branches = branches[node]
        for place in range(path.begins, len(path.nodes) - 1):
            blocked.add(path.nodes[place])
            self._propose(waiting, path.nodes[: place + 1], blocked, branches)
            if self.cut is not None and self.left <= 0:
                return
            branches = branches[path.nodes[place + 1]]

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
        """The nodes behind `spur` on the shortest way to the end that goes on as none of `taken` does."""
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
        elif self.left % _LOOKS_PER_CLOCK == 0 and self.is_late():
            self.cut, self.left = Cut("TIME", depth), 0
        return self.left > 0

    def _neighbours(self, node: int) -> dict[int, int]:
        known = self._next.get(node)
        if known is None:
            known = self._next[node] = self.ways.ranks(node)
            self._ranks.update(known)
        return known


def _enter(branches: Branches, rows: Sequence[int]) -> None:
    for row in rows[1:]:
        branches = branches.setdefault(row, {})


def _way_back(came_from: dict[int, int], spur: int, row: int) -> list[int]:
    rows = [row]
    while came_from[rows[-1]] != spur:
        rows.append(came_from[rows[-1]])
    return rows[::-1]
