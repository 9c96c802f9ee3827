"""One site's share of the plan of the whole world, from what the sites told each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from federation.joint.rank import Climb, RankExchange
from federation.joint.shape import find_circles
from simulation.circles import outgoing
from simulation.world import DEFAULT_NEED, UNRANKED, Plan

if TYPE_CHECKING:
    from federation.joint.part import Part, Token
    from federation.joint.reach import ReachExchange
    from federation.joint.shape import Circles
    from simulation.world import Bools, Int32s, Int64s


@dataclass(frozen=True, slots=True, eq=False)
class JointPlan:
    """plan: of the part's world; rows of own twins are as `make_plan` gives them on the whole world,
    but for the numbers of loops and components, which are the site's own. `stuck` is not known jointly.

    Of each loop through several sites, by its name, those that rise from nothing in it:
    loops     own twins (rows)
    imports   twins of other sites (rows)
    exports   own twins that other sites read (tokens)

    mains     exports whose mains travel too
    """

    plan: Plan
    loops: dict[Token, list[int]]
    imports: dict[Token, list[int]]
    exports: dict[Token, list[Token]]
    mains: frozenset[Token]


class Planner:
    """Makes the plan of a part while the phases REACH and RANK go on."""

    def __init__(self, part: Part, reach: ReachExchange) -> None:
        world = part.world
        founded = world.group_founded[part.edge_group]
        self._part = part
        self._all = find_circles(part, founded | True, reach.any)
        self._founded = find_circles(part, founded, reach.founded)
        self._loop = np.where(self._founded.circling, self._founded.component, -1).astype(np.int32)
        self._weight = np.zeros(world.groups, np.int64)
        np.add.at(self._weight, part.edge_group, world.edge_weight)
        self._looped = founded & (self._loop[part.edge_target] >= 0)
        self._looped &= self._loop[part.edge_target] == self._loop[world.edge_source]
        goal = np.where(world.group_need == DEFAULT_NEED, np.minimum(self._weight, 1), world.group_need)
        counts = world.group_founded & (self._loop[world.group_twin] >= 0)
        climb = Climb(part, self._looped, counts, goal, self._loop >= 0)
        self.exchange = RankExchange(part, self._loop, self._founded.crossing, climb)

    def plan(self) -> JointPlan:
        """The plan, once ranks are quiet."""
        part, world, rank = self._part, self._part.world, self.exchange.climb.rank
        unfounded = rank == UNRANKED
        source, target = world.edge_source, part.edge_target
        onward = ~self._looped | (rank[source] < rank[target]) | unfounded[target]
        member_start, members = _members(self._all, rank)
        out_start, out_edge = outgoing(source, world.twins)
        plan = Plan(
            loop=self._loop,
            rank=rank,
            unfounded=unfounded,
            stuck=np.zeros(world.twins, np.bool_),
            gridded=self._all.circling,
            need=_needs(part, onward),
            group_looped=np.bincount(part.edge_group[self._looped], minlength=world.groups) > 0,
            group_weight=self._weight,
            onward=onward,
            edge_looped=self._looped,
            edge_group=part.edge_group,
            component=self._all.component,
            member_start=member_start,
            members=members,
            out_start=out_start,
            out_edge=out_edge,
        )
        rows = self._rising(unfounded)
        own = {name: [row for row in members if row < part.own] for name, members in rows.items()}
        exports = {
            name: [token for token, row in part.exports.items() if row in members]
            for name, members in own.items()
        }
        return JointPlan(
            plan,
            loops={name: members for name, members in own.items() if members},
            imports={name: [row for row in members if row >= part.own] for name, members in rows.items()},
            exports=exports,
            mains=frozenset(t for t, row in part.exports.items() if self._founded.crossing[row]),
        )

    def _rising(self, unfounded: Bools) -> dict[Token, list[int]]:
        """Twins of loops through several sites that trace back to a source, by the loop's name."""
        rows: dict[Token, list[int]] = {}
        for row in np.flatnonzero(self._founded.crossing & (self._loop >= 0) & ~unfounded).tolist():
            rows.setdefault(self.exchange.names[int(self._loop[row])], []).append(row)
        return rows


def _needs(part: Part, onward: Bools) -> Int64s:
    """Rule 6, as in `make_plan`: all edges of a group are its own site's."""
    derived = np.zeros(part.world.groups, np.int64)
    np.add.at(derived, part.edge_group, np.where(onward, part.world.edge_weight, 0))
    return np.where(part.world.group_need == DEFAULT_NEED, derived, part.world.group_need)


def _members(circles: Circles, rank: Int32s) -> tuple[Int64s, Int32s]:
    count = int(circles.component.max(initial=-1)) + 1
    start = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(circles.component, minlength=count), out=start[1:])
    return start, np.lexsort((rank, circles.component)).astype(np.int32)
