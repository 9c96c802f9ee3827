"""The plan of a world: what follows from its graph alone, with every twin healthy (rules 2 to 8 and 16).

The rules are those of DESIGN section 6; docs/decisions/0002-cascade-semantics.md tells how gaps are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ontology.errors import InputError, Place
from simulation.circles import climb, components, in_circle, outgoing
from simulation.world import DEFAULT_NEED, FULL, REFILL_MAX, UNRANKED, WEIGHT_SUM_MAX, Plan

if TYPE_CHECKING:
    from simulation.world import Bools, Int32s, Int64s, World


def make_plan(world: World) -> Plan:
    """Loops, ranks, onward edges, needs and the order of evaluation.

    Raises InputError WORLD_INVALID where a number is out of the range that `World` states.
    """
    check_world(world)
    edge_group = np.repeat(np.arange(world.groups, dtype=np.int32), np.diff(world.group_start))
    edge_target = world.group_twin[edge_group]
    group_weight = _sums(world.edge_weight, edge_group, world.groups)
    out_start, out_edge = outgoing(world.edge_source, world.twins)

    loop = _loops(world, edge_group, edge_target)
    edge_looped = world.group_founded[edge_group] & (loop[edge_target] >= 0)
    edge_looped &= loop[edge_target] == loop[world.edge_source]
    rank, _ = climb(
        out_start,
        out_edge,
        edge_looped,
        world.edge_weight,
        edge_group,
        world.group_founded & (loop[world.group_twin] >= 0),
        _nearest_goal(world, group_weight),
        world.group_twin,
        loop >= 0,
    )
    unfounded = rank == UNRANKED
    onward = ~edge_looped | (rank[world.edge_source] < rank[edge_target]) | unfounded[edge_target]
    need = _needs(world, edge_group, onward)

    component = components(world.edge_source, edge_target, world.twins)
    gridded = in_circle(component, world.edge_source, edge_target)
    member_start, members = _members(component, rank)
    return Plan(
        loop=loop,
        rank=rank,
        unfounded=unfounded,
        stuck=_stuck(world, edge_group, component, gridded, np.minimum(need, group_weight)),
        gridded=gridded,
        need=need,
        group_looped=np.bincount(edge_group[edge_looped], minlength=world.groups) > 0,
        group_weight=group_weight,
        onward=onward,
        edge_looped=edge_looped,
        edge_group=edge_group,
        component=component,
        member_start=member_start,
        members=members,
        out_start=out_start,
        out_edge=out_edge,
    )


def check_world(world: World) -> None:
    """Raise InputError WORLD_INVALID, naming the row, where the world breaks what `World` states."""
    edge_group = np.repeat(np.arange(world.groups, dtype=np.int32), np.diff(world.group_start))
    _require(len(edge_group) == world.edges, "edges", "group_start does not cover the edges")
    _require(_within(world.edge_source, 0, world.twins - 1), "edge_source", "is not a twin")
    _require(_within(world.group_twin, 0, world.twins - 1), "group_twin", "is not a twin")
    _require(_within(world.edge_weight, 0, WEIGHT_SUM_MAX), "edge_weight", "is out of range")
    weights = np.add.reduceat(np.append(world.edge_weight, 0).astype(np.float64), world.group_start[:-1])
    _require(weights * (np.diff(world.group_start) > 0) <= WEIGHT_SUM_MAX, "group", "has too much weight")
    _require(_within(world.group_need, DEFAULT_NEED, WEIGHT_SUM_MAX), "group_need", "is out of range")
    _require(_within(world.group_threshold, 0, FULL), "group_threshold", "is not between 0 and 1")
    _require(_within(world.group_refill, 0, REFILL_MAX), "group_refill", "is out of range")
    for name in ("group_buffer_us", "group_tolerance_us", "edge_delay_us", "restart_us"):
        _require(getattr(world, name) >= 0, name, "is below 0")
    founded = world.group_founded[edge_group]
    _require(~founded | (world.edge_delay_us == 0), "edge_delay_us", "founded relations have no delay")


def _require(holds: Bools | bool, item: str, message: str) -> None:
    if not np.all(holds):
        row = int(np.argmin(np.atleast_1d(holds)))
        raise InputError(f"{item} {row} {message}", code="WORLD_INVALID", place=Place(item=f"{item}[{row}]"))


def _within(values: Int32s | Int64s, lowest: int, highest: int) -> Bools:
    return (values >= lowest) & (values <= highest)


def _sums(weight: Int64s, edge_group: Int32s, groups: int) -> Int64s:
    """Integer sums by group; bincount would go through floating point."""
    total = np.zeros(groups, np.int64)
    np.add.at(total, edge_group, weight)
    return total


def _loops(world: World, edge_group: Int32s, edge_target: Int32s) -> Int32s:
    """Rule 3: strongly connected sets over founded relations, -1 outside them."""
    founded = world.group_founded[edge_group]
    source, target = world.edge_source[founded], edge_target[founded]
    component = components(source, target, world.twins)
    return np.where(in_circle(component, source, target), component, -1).astype(np.int32)


def _nearest_goal(world: World, group_weight: Int64s) -> Int64s:
    """Rule 4: the weight that meets a group. No need given: its nearest supplier of any weight."""
    return np.where(world.group_need == DEFAULT_NEED, np.minimum(group_weight, 1), world.group_need)


def _needs(world: World, edge_group: Int32s, onward: Bools) -> Int64s:
    """Rule 6: the need that is stated, else all the weight that comes from nearer the source."""
    derived = _sums(np.where(onward, world.edge_weight, 0), edge_group, world.groups)
    return np.where(world.group_need == DEFAULT_NEED, derived, world.group_need)


def _members(component: Int32s, rank: Int32s) -> tuple[Int64s, Int32s]:
    """Twins by component; inside one by rank, so that service from outside spreads in one pass."""
    count = int(component.max(initial=-1)) + 1
    start = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(component, minlength=count), out=start[1:])
    return start, np.lexsort((rank, component)).astype(np.int32)


def _stuck(world: World, edge_group: Int32s, component: Int32s, gridded: Bools, goal: Int64s) -> Bools:
    """Rule 16: twins on a circle with a sustained relation that waits for itself once all of it is down."""
    edge_target = world.group_twin[edge_group]
    inside = gridded[edge_target] & (component[world.edge_source] == component[edge_target])
    counts = gridded[world.group_twin]
    out_start, out_edge = outgoing(world.edge_source, world.twins)
    rank, met = climb(
        out_start,
        out_edge,
        inside,
        world.edge_weight,
        edge_group,
        counts,
        goal,
        world.group_twin,
        gridded,
    )
    waits = inside & ~met[edge_group] & (rank[world.edge_source] == UNRANKED)
    source, target = world.edge_source[waits], edge_target[waits]
    waiting = components(source, target, world.twins)
    sustained = ~world.group_founded[edge_group[waits]] & (waiting[source] == waiting[target])
    named = np.zeros(world.twins, np.bool_)
    named[waiting[source[sustained]]] = True
    return named[waiting]
