"""Ranks in loops through several sites, and a name for each such loop (the second phase of a plan)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federation.joint.messages import Ranked
from simulation.world import UNRANKED

if TYPE_CHECKING:
    from federation.joint.part import Part, Token
    from simulation.world import Bools, Int32s, Int64s


class Climb:
    """Rule 4 at one site: steps from where service enters, falling from infinite as suppliers' ranks fall.

    inside: edges whose supplier gives one step after its own rank; all others give from step 0
    goal:   weight that meets a group; counts: groups that must be met; rows: twins that have a rank
    """

    def __init__(self, part: Part, inside: Bools, counts: Bools, goal: Int64s, rows: Bools) -> None:
        self._part, self._inside, self._goal = part, inside, goal
        self._groups: dict[int, list[int]] = {row: [] for row in np.flatnonzero(rows[: part.own]).tolist()}
        for group in np.flatnonzero(counts).tolist():
            self._groups[int(part.world.group_twin[group])].append(group)
        self.rank: Int32s = np.where(rows, UNRANKED, 0).astype(np.int32)

    def settle(self) -> None:
        """Let the ranks of own twins fall until they agree with those of their suppliers."""
        fell = True
        while fell:
            fell = False
            for row, groups in self._groups.items():
                rank = max((self.step(group) for group in groups), default=0)
                if rank < self.rank[row]:
                    self.rank[row], fell = rank, True

    def step(self, group: int) -> int:
        """The smallest step at which the suppliers' weights meet the group's goal."""
        world, got = self._part.world, 0
        edges = range(int(world.group_start[group]), int(world.group_start[group + 1]))
        steps = sorted((self._given_at(edge), int(world.edge_weight[edge])) for edge in edges)
        goal = int(self._goal[group])
        if goal <= 0:
            return 0
        for step, weight in steps:
            got += weight
            if got >= goal or step == UNRANKED:
                return step
        return UNRANKED

    def _given_at(self, edge: int) -> int:
        if not self._inside[edge]:
            return 0
        rank = int(self.rank[self._part.world.edge_source[edge]])
        return rank if rank == UNRANKED else rank + 1


class RankExchange:
    """The phase RANK at one site. A loop is named by the lowest token of its boundary twins."""

    def __init__(self, part: Part, loop: Int32s, crossing: Bools, climb: Climb) -> None:
        self._part, self._loop, self.climb = part, loop, climb
        self._row = part.row_of_import()
        self._spoken = {token: row for token, row in part.exports.items() if crossing[row]}
        self._said: dict[Token, int] = dict.fromkeys(self._spoken, UNRANKED)
        self.names: dict[int, Token] = {}
        for token, row in [*self._spoken.items(), *self._row.items()]:
            if crossing[row]:
                name = self.names.setdefault(int(loop[row]), token)
                self.names[int(loop[row])] = min(name, token)

        self._renamed = set(self.names)

    def take(self, body: Ranked) -> None:
        for token, name in body.loops.items():
            loop = int(self._loop[self._row[token]])
            if loop in self.names and name < self.names[loop]:
                self.names[loop] = name
                self._renamed.add(loop)
        for token, rank in body.ranks.items():
            row = self._row[token]
            self.climb.rank[row] = min(rank, int(self.climb.rank[row]))

    def news(self) -> Ranked:
        """Names and ranks of exports that others do not know yet."""
        loop_of = {token: int(self._loop[row]) for token, row in self._spoken.items()}
        named = {token: self.names[loop] for token, loop in loop_of.items() if loop in self._renamed}
        self._renamed.clear()
        return Ranked(named, self._fallen())

    def _fallen(self) -> dict[Token, int]:
        self.climb.settle()
        now = {token: int(self.climb.rank[row]) for token, row in self._spoken.items()}
        fallen = {token: rank for token, rank in now.items() if rank < self._said[token]}
        self._said |= fallen
        return fallen
