# pyright: reportArgumentType=false
"""Why a twin was hit: in each run, the arrival that made the difference at its first hit, back to a root.

A twin whose own health fell is a root. Otherwise its worst group decides: the losses of its suppliers are
taken in order of their arrival, and the one that took the group below its need is the cause (the need-th
arrival). Twins are then settled outward from the roots in layers, so that no cause is its own consequence;
among several causes of one layer the first dependence in canonical order wins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulation.cascade.jit import inlined, kernel
from simulation.cascade.layout import Cells, Draws, Graph, Scratch
from simulation.cascade.waves import highest, lowest
from simulation.world import FULL, NEVER, Bools, Int32s, Int64s, UInt64s

NO_EDGE = -1
_OPEN, _SETTLED = 0, 1


class Causes(NamedTuple):
    """The causes of one block of runs, a row each; only the columns of twins that were hit mean anything.

    edge: the dependence that brought it, NO_EDGE at a root
    path: hash of the path from the root; before: hash of the path without its last twin, 0 at its beginning
    The rest is working memory.
    """

    edge: Int32s  # [runs, n]
    path: UInt64s  # [runs, n]
    before: UInt64s  # [runs, n]
    candidate: Bools  # [e]
    state: Int32s  # [n]
    layer: Int32s  # [n]
    following: Int32s  # [n]
    arrival: Int64s  # [e]
    delivered: Int32s  # [e]


def new_causes(runs: int, twins: int, edges: int) -> Causes:
    return Causes(
        edge=np.zeros((runs, twins), np.int32),
        path=np.zeros((runs, twins), np.uint64),
        before=np.zeros((runs, twins), np.uint64),
        candidate=np.zeros(edges, np.bool_),
        state=np.zeros(twins, np.int32),
        layer=np.zeros(twins, np.int32),
        following=np.zeros(twins, np.int32),
        arrival=np.zeros(edges, np.int64),
        delivered=np.zeros(edges, np.int32),
    )


@kernel
def explain_run(
    graph: Graph, draws: Draws, scratch: Scratch, cells: Cells, twin_key: UInt64s, causes: Causes, row: int
) -> None:
    """Write the causes of the run that `scratch` holds as one row."""
    causes.candidate[:] = False
    causes.state[:] = _OPEN
    size, hit = 0, 0
    for twin in range(len(twin_key)):
        if scratch.out_count[twin] == 0:
            continue
        hit += 1
        if _is_root(graph, draws, scratch, cells, causes, twin):
            _settle(twin_key, graph, causes, row, twin, NO_EDGE)
            causes.layer[size] = twin
            size += 1
    settled = size + _spread(graph, scratch, twin_key, causes, row, size)
    if settled < hit:
        _settle_rest(graph, scratch, twin_key, causes, row)


@inlined
def _is_root(graph: Graph, draws: Draws, scratch: Scratch, cells: Cells, causes: Causes, twin: int) -> bool:
    """Whether a hit twin fell by itself; else marks the dependences that made the difference."""
    since = scratch.pool_time[scratch.out_first[twin]]
    until = since
    if graph.gridded[twin]:  # a coarse cell shows at its start what happens anywhere in it
        until = min(since + cells.cell_us, cells.horizon) - 1
    first, end = draws.health_start[twin], draws.health_start[twin + 1]
    if lowest(draws.health_time, draws.health_level, first, end, since, until) < FULL:
        return True
    worst, least = -1, float(FULL)
    for place in range(graph.group_of[twin], graph.group_of[twin + 1]):
        group = graph.groups[place]
        share = _share(graph, draws, scratch, causes, group, since, until)
        if share < least:
            worst, least = group, share
    if worst < 0:
        return not _mark_weak(graph, causes, twin)
    return not _mark_deciding(graph, draws, causes, worst, since, until)


@inlined
def _share(
    graph: Graph, draws: Draws, scratch: Scratch, causes: Causes, group: int, since: int, until: int
) -> float:
    """What a group is given of its need between two times; FULL while its buffer can still carry it.

    Notes for each of its dependences what arrives over it, and since when that is not full.
    """
    given, began = 0.0, NEVER
    for edge in range(graph.group_start[group], graph.group_start[group + 1]):
        _arrive(graph, draws, scratch, causes, edge, since, until)
        given += float(graph.edge_weight[edge]) * causes.delivered[edge]
        if causes.delivered[edge] < FULL:
            began = min(began, causes.arrival[edge])
    need = _need(graph, draws, group, since, until)
    if need <= 0.0 or (began < NEVER and until - began < draws.buffer[group]):
        return float(FULL)
    return min(float(FULL), given / need)


@inlined
def _need(graph: Graph, draws: Draws, group: int, since: int, until: int) -> float:
    first, end = draws.factor_start[group], draws.factor_start[group + 1]
    factor = highest(draws.factor_time, draws.factor_level, first, end, since, until, FULL)
    return float(graph.need[group]) * factor / FULL


@inlined
def _arrive(
    graph: Graph, draws: Draws, scratch: Scratch, causes: Causes, edge: int, since: int, until: int
) -> None:
    """The lowest level that a dependence gives between two times, and since when it is not full."""
    source, delay = graph.edge_source[edge], draws.delay[edge]
    first = scratch.out_first[source]
    end = first + scratch.out_count[source]
    extra_first, extra_end = draws.extra_start[edge], draws.extra_start[edge + 1]
    extra = highest(draws.extra_time, draws.extra_value, extra_first, extra_end, since, until, 0)
    level = lowest(scratch.pool_time, scratch.pool_level, first, end, since - delay - extra, until - delay)
    arrival = NEVER
    if level < FULL:
        arrival = _fell(scratch.pool_time, scratch.pool_level, first, end, until - delay) + delay
    cap_first, cap_end = draws.cap_start[edge], draws.cap_start[edge + 1]
    cap = lowest(draws.cap_time, draws.cap_level, cap_first, cap_end, since, until)
    if cap < level:
        level = cap
        arrival = min(arrival, _fell(draws.cap_time, draws.cap_level, cap_first, cap_end, until))
    causes.delivered[edge] = level
    causes.arrival[edge] = arrival


@inlined
def _fell(time: Int64s, level: Int32s, first: int, end: int, until: int) -> int:
    """When the last stretch below full began that was there at a time or before."""
    began = NEVER
    full_before = True
    for place in range(first, end):
        if time[place] > until:
            break
        if level[place] < FULL and full_before:
            began = time[place]
        full_before = level[place] == FULL
    return began


@inlined
def _mark_deciding(graph: Graph, draws: Draws, causes: Causes, group: int, since: int, until: int) -> bool:
    """Mark the arrival that took the group below its need, and those with it; False if there is none."""
    begin, end = graph.group_start[group], graph.group_start[group + 1]
    need = _need(graph, draws, group, since, until) * FULL
    left = 0.0
    for edge in range(begin, end):
        left += float(graph.edge_weight[edge]) * FULL
    taken_until = -1
    while True:
        moment = NEVER
        for edge in range(begin, end):
            if causes.delivered[edge] < FULL and taken_until < causes.arrival[edge] < moment:
                moment = causes.arrival[edge]
        if moment == NEVER:
            return _mark_since(causes, begin, end, -1)
        for edge in range(begin, end):
            if causes.delivered[edge] < FULL and causes.arrival[edge] == moment:
                left -= float(graph.edge_weight[edge]) * (FULL - causes.delivered[edge])
        if left < need:
            return _mark_since(causes, begin, end, moment)
        taken_until = moment


@inlined
def _mark_since(causes: Causes, begin: int, end: int, moment: int) -> bool:
    """Mark the weak dependences of one moment (-1: of any); False if there is none."""
    found = False
    for edge in range(begin, end):
        if causes.delivered[edge] < FULL and (moment < 0 or causes.arrival[edge] == moment):
            causes.candidate[edge] = True
            found = True
    return found


@inlined
def _mark_weak(graph: Graph, causes: Causes, twin: int) -> bool:
    """Mark all that arrives weakened at a twin, where no group falls short by itself (inside loops)."""
    found = False
    for place in range(graph.group_of[twin], graph.group_of[twin + 1]):
        group = graph.groups[place]
        if _mark_since(causes, graph.group_start[group], graph.group_start[group + 1], -1):
            found = True
    return found


@inlined
def _spread(graph: Graph, scratch: Scratch, twin_key: UInt64s, causes: Causes, row: int, size: int) -> int:
    """Settle, layer by layer, what the first `size` twins in `layer` caused; returns how many."""
    settled = 0
    while size > 0:
        reached = 0
        for place in range(size):
            reached = _offer(graph, scratch, causes, row, causes.layer[place], reached)
        for place in range(reached):
            twin = causes.following[place]
            _settle(twin_key, graph, causes, row, twin, causes.edge[row, twin])
            causes.layer[place] = twin
        settled += reached
        size = reached
    return settled


@inlined
def _offer(graph: Graph, scratch: Scratch, causes: Causes, row: int, source: int, reached: int) -> int:
    """Note a settled twin as the cause of those that it brought down; the first dependence wins."""
    for out in range(graph.out_start[source], graph.out_start[source + 1]):
        edge = graph.out_edge[out]
        if not causes.candidate[edge]:
            continue
        twin = graph.group_twin[graph.edge_group[edge]]
        if causes.state[twin] == _SETTLED or scratch.out_count[twin] == 0:
            continue
        if causes.state[twin] == _OPEN:
            causes.state[twin] = _OPEN - 1
            causes.edge[row, twin] = edge
            causes.following[reached] = twin
            reached += 1
        elif edge < causes.edge[row, twin]:
            causes.edge[row, twin] = edge
    return reached


@kernel
def _settle_rest(graph: Graph, scratch: Scratch, twin_key: UInt64s, causes: Causes, row: int) -> None:
    """Twins that no root reached: first those below a cut dependence, then circles, first twin first."""
    for cut in (True, False):
        for twin in range(len(twin_key)):
            if causes.state[twin] == _SETTLED or scratch.out_count[twin] == 0:
                continue
            edge = _cut_edge(graph, scratch, causes, twin)
            if cut and edge == NO_EDGE:
                continue
            _settle(twin_key, graph, causes, row, twin, edge)
            causes.layer[0] = twin
            _spread(graph, scratch, twin_key, causes, row, 1)


@inlined
def _cut_edge(graph: Graph, scratch: Scratch, causes: Causes, twin: int) -> int:
    """The first deciding dependence whose source was not hit: it was removed, or delayed."""
    for place in range(graph.group_of[twin], graph.group_of[twin + 1]):
        group = graph.groups[place]
        for edge in range(graph.group_start[group], graph.group_start[group + 1]):
            if causes.candidate[edge] and scratch.out_count[graph.edge_source[edge]] == 0:
                return edge
    return NO_EDGE


@inlined
def _settle(twin_key: UInt64s, graph: Graph, causes: Causes, row: int, twin: int, edge: int) -> None:
    causes.state[twin] = _SETTLED
    causes.edge[row, twin] = edge
    before = np.uint64(0)
    if edge != NO_EDGE:
        source = graph.edge_source[edge]
        before = step(np.uint64(0), twin_key[source])
        if causes.state[source] == _SETTLED:
            before = causes.path[row, source]
    causes.before[row, twin] = before
    causes.path[row, twin] = step(before, twin_key[twin])


@inlined
def step(path: np.uint64, key: np.uint64) -> np.uint64:
    """The hash of a path with one more twin (two rounds of a multiply and xor-shift mix)."""
    mixed = (path ^ key) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    mixed = (mixed + (path << np.uint64(1))) * np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(29))
