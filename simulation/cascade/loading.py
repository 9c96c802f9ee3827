"""Filling the tables: a world and its plan once, a run's inputs as far as they differ from the last run's."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from simulation.cascade.jit import bare, kernel
from simulation.cascade.layout import (
    CAP,
    COMPONENT,
    EDGE,
    EVENT,
    EVENTS_FULL,
    EXTRA,
    FACTOR,
    GIVEN,
    GROUP,
    HEALTH,
    KINDS,
    LINK,
    LINKS_FULL,
    LOADED,
    PIECE,
    PIECES_FULL,
    POOL_FULL,
    SETTING,
    SHORT,
    STRIKE,
    STRIKES_FULL,
    TWIN,
    Draws,
    Durations,
    Tables,
)
from simulation.world import Int32s, Int64s

if TYPE_CHECKING:
    from simulation.world import Plan, World

Records: TypeAlias = npt.NDArray[np.void]


def tables_of(world: World, plan: Plan) -> Tables:
    """New tables for a world; nothing of a run is in them."""
    twins, groups = _twins(world, plan), _groups(world, plan)
    widest = int(np.diff(world.group_start).max(initial=1))
    rising = np.flatnonzero((plan.loop >= 0) & ~plan.unfounded)
    return Tables(
        twins=twins,
        groups=groups,
        edges=_edges(world, plan),
        components=_components(world, plan),
        groups_of=np.argsort(world.group_twin, kind="stable").astype(np.int64),
        members=plan.members.astype(np.int64),
        risers=rising[np.lexsort((rising, plan.rank[rising], plan.loop[rising]))].astype(np.int64),
        out_edges=plan.out_edge.astype(np.int64),
        armed=np.zeros(world.twins, np.int64),
        opened=np.zeros(world.twins, np.int64),
        queue=np.zeros(world.twins, np.int64),
        pieces=np.zeros(max(64, world.twins), PIECE),
        pool=np.zeros(max(256, 4 * world.twins), PIECE),
        events=np.zeros(256, EVENT),
        moments=np.zeros(256, EVENT),
        row=np.zeros(256, PIECE),
        other_row=np.zeros(256, PIECE),
        given=np.zeros(widest, GIVEN),
        links=np.zeros(256, LINK),
        strikes=np.zeros(64, STRIKE),
        used=np.zeros(LOADED + KINDS + 1, np.int64),
    )


def enlarged(tables: Tables, status: int) -> Tables:
    """The same with four times the room where it was short."""
    names = {
        PIECES_FULL: ("pieces",),
        POOL_FULL: ("pool",),
        EVENTS_FULL: ("events", "moments", "row", "other_row"),
        LINKS_FULL: ("links",),
        STRIKES_FULL: ("strikes",),
    }[status]
    return tables._replace(**{name: _larger(getattr(tables, name)) for name in names})


def _larger(table: Records) -> Records:
    larger = np.zeros(4 * len(table), table.dtype)
    larger[: len(table)] = table
    return larger


def _twins(world: World, plan: Plan) -> Records:
    twins = np.zeros(world.twins, TWIN)
    twins["component"] = plan.component
    count = np.bincount(world.group_twin, minlength=world.twins)
    twins["end_group"] = np.cumsum(count)
    twins["first_group"] = twins["end_group"] - count
    twins["first_out"], twins["end_out"] = plan.out_start[:-1], plan.out_start[1:]
    twins["rises"] = (plan.loop >= 0) & ~plan.unfounded
    twins["unit"] = np.arange(world.twins)
    rising = np.flatnonzero(twins["rises"])
    rising = rising[np.lexsort((rising, plan.rank[rising], plan.loop[rising]))]
    _, first, size = np.unique(plan.loop[rising], return_index=True, return_counts=True)
    leaders = rising[first]
    twins["unit"][rising] = np.repeat(leaders, size)
    twins["first_riser"][leaders], twins["end_riser"][leaders] = first, first + size
    return twins


def _groups(world: World, plan: Plan) -> Records:
    groups = np.zeros(world.groups, GROUP)
    groups["twin"], groups["weight"], groups["need"] = world.group_twin, plan.group_weight, plan.need
    groups["first_edge"], groups["end_edge"] = world.group_start[:-1], world.group_start[1:]
    groups["threshold"], groups["refill"] = world.group_threshold, world.group_refill
    groups["looped"] = plan.group_looped
    return groups


def _edges(world: World, plan: Plan) -> Records:
    edges = np.zeros(world.edges, EDGE)
    target = world.group_twin[plan.edge_group]
    edges["source"], edges["target"], edges["group"] = world.edge_source, target, plan.edge_group
    edges["weight"], edges["looped"], edges["back"] = world.edge_weight, plan.edge_looped, ~plan.onward
    edges["inside"] = plan.component[world.edge_source] == plan.component[target]
    return edges


def _components(world: World, plan: Plan) -> Records:
    components = np.zeros(len(plan.member_start) - 1, COMPONENT)
    components["first_member"], components["end_member"] = plan.member_start[:-1], plan.member_start[1:]
    components["gridded"] = plan.gridded[plan.members[plan.member_start[:-1]]]
    short = world.group_twin[plan.group_weight < plan.need]
    components["seeds"][plan.component[short]] = SHORT
    return components


@kernel
def load(tables: Tables, draws: Draws, first_kind: int) -> None:
    """Take over what changes over time, from one kind on, and mark where it disturbs a component.

    A longer delay or restart disturbs nobody who is well, so those two are not marked.
    """
    bits = 0
    for kind in range(first_kind, KINDS):
        bits |= 1 << kind
    for number in range(len(tables.components)):
        tables.components[number].seeds &= ~bits
    twins, groups, edges = tables.twins, tables.groups, tables.edges
    if first_kind <= EXTRA:
        at = _take(tables, EXTRA, draws.extra_time, draws.extra_value)
        for number in range(len(edges)):
            edges[number].first_extra = at + draws.extra_start[number]
            edges[number].end_extra = at + draws.extra_start[number + 1]
    if first_kind <= SETTING:
        at = _take(tables, SETTING, draws.setting_time, draws.setting_value)
        for number in range(len(twins)):
            twins[number].first_setting = at + draws.setting_start[number]
            twins[number].end_setting = at + draws.setting_start[number + 1]
    if first_kind <= CAP:
        at = _take(tables, CAP, draws.cap_time, draws.cap_value)
        for number in range(len(edges)):
            edge = edges[number]
            edge.first_cap, edge.end_cap = at + draws.cap_start[number], at + draws.cap_start[number + 1]
            if edge.first_cap < edge.end_cap:
                _seed(tables, edge.target, CAP)
    if first_kind <= FACTOR:
        at = _take(tables, FACTOR, draws.factor_time, draws.factor_value)
        for number in range(len(groups)):
            group = groups[number]
            group.first_factor = at + draws.factor_start[number]
            group.end_factor = at + draws.factor_start[number + 1]
            if group.first_factor < group.end_factor:
                _seed(tables, group.twin, FACTOR)
    at = _take(tables, HEALTH, draws.health_time, draws.health_value)
    for number in range(len(twins)):
        twin = twins[number]
        twin.first_health = at + draws.health_start[number]
        twin.end_health = at + draws.health_start[number + 1]
        if twin.first_health < twin.end_health:
            _seed(tables, number, HEALTH)


@bare
def _take(tables: Tables, kind: int, time: Int64s, value: Int64s | Int32s) -> int:
    """Copy pieces behind those of the kinds before. Returns where they begin; the caller has made room."""
    begin = tables.used[LOADED + kind]
    for piece in range(len(time)):
        taken = tables.pieces[begin + piece]
        taken.time, taken.value = time[piece], value[piece]
    tables.used[LOADED + kind + 1] = begin + len(time)
    return begin


@bare
def _seed(tables: Tables, twin: int, kind: int) -> None:
    tables.components[tables.twins[twin].component].seeds |= 1 << kind


@kernel
def load_durations(tables: Tables, durations: Durations) -> None:
    """Take over what a run draws and does not change."""
    for number in range(len(tables.twins)):
        tables.twins[number].restart = durations.restart[number]
        tables.twins[number].repair = durations.repair[number]
    for number in range(len(tables.groups)):
        group = tables.groups[number]
        group.buffer, group.tolerance = durations.buffer[number], durations.tolerance[number]
        group.damages = durations.damages[number]
    for number in range(len(tables.edges)):
        tables.edges[number].delay = durations.edge_delay[number]


@kernel
def collect(tables: Tables, start: Int64s, time: Int64s, level: Int32s) -> None:
    """The pool in order of twins, as Waveforms lie."""
    place = 0
    for number in range(len(tables.twins)):
        twin = tables.twins[number]
        for piece in range(twin.first_piece, twin.first_piece + twin.pieces):
            time[place], level[place] = tables.pool[piece].time, tables.pool[piece].value
            place += 1
        start[number + 1] = place
