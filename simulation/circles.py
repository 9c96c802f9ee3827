"""Circles in a directed graph, and how far from outside their members can be started."""

from __future__ import annotations

import numpy as np

from simulation.cascade.jit import kernel
from simulation.world import UNRANKED, Bools, Int32s, Int64s


def outgoing(source: Int32s, nodes: int) -> tuple[Int64s, Int32s]:
    """Edges by source as (start int64[nodes + 1], edge int32[e]), in order of their number."""
    start = np.zeros(nodes + 1, np.int64)
    np.cumsum(np.bincount(source, minlength=nodes), out=start[1:])
    return start, np.argsort(source, kind="stable").astype(np.int32)


def components(source: Int32s, target: Int32s, nodes: int) -> Int32s:
    """The strongly connected component of each node, numbered so that no edge leads to a smaller number."""
    start, edge = outgoing(source, nodes)
    return _tarjan(start, target[edge])


def in_circle(component: Int32s, source: Int32s, target: Int32s) -> Bools:
    """Nodes that lie on a circle: not alone in their component, or with an edge to themselves."""
    circling = np.bincount(component, minlength=1)[component] > 1
    circling[source[source == target]] = True
    return circling


@kernel
def _tarjan(start: Int64s, target: Int32s) -> Int32s:
    """Tarjan 1972 without recursion. Components close dependents first; the end turns the numbers round."""
    nodes = len(start) - 1
    order = np.zeros(nodes, np.int32)  # 0: not seen
    low = np.zeros(nodes, np.int32)
    component = np.full(nodes, -1, np.int32)
    cursor = start[:nodes].copy()
    path = np.zeros(nodes, np.int32)
    opened = np.zeros(nodes, np.int32)
    seen, count, open_size = 0, 0, 0
    for root in range(nodes):
        if order[root] != 0:
            continue
        depth = 0
        path[0] = root
        while depth >= 0:
            node = path[depth]
            if order[node] == 0:
                seen += 1
                order[node] = low[node] = seen
                opened[open_size] = node
                open_size += 1
            if cursor[node] < start[node + 1]:
                following = target[cursor[node]]
                cursor[node] += 1
                if order[following] == 0:
                    depth += 1
                    path[depth] = following
                elif component[following] < 0:
                    low[node] = min(low[node], order[following])
                continue
            if low[node] == order[node]:
                member = -1
                while member != node:
                    open_size -= 1
                    member = opened[open_size]
                    component[member] = count
                count += 1
            depth -= 1
            if depth >= 0:
                low[path[depth]] = min(low[path[depth]], low[node])
    return (count - 1 - component).astype(np.int32)


@kernel
def climb(
    out_start: Int64s,
    out_edge: Int32s,
    edge_inside: Bools,
    edge_weight: Int64s,
    edge_group: Int32s,
    group_counts: Bools,
    group_goal: Int64s,
    group_twin: Int32s,
    twin_counts: Bools,
) -> tuple[Int32s, Bools]:
    """Steps from outside at which each counting twin has the goals of all its counting groups met (rule 4).

    Suppliers over edges that are not inside give from step 0, others one step after they are met themselves.
    Returns rank int32[n], UNRANKED where the goals are never met, 0 for twins that do not count; met bool[g].
    """
    groups, twins = len(group_twin), len(twin_counts)
    got = np.zeros(groups, np.int64)
    for edge in range(len(edge_group)):
        if not edge_inside[edge]:
            got[edge_group[edge]] += edge_weight[edge]
    met = got >= group_goal
    waiting = np.zeros(twins, np.int32)
    for group in range(groups):
        if group_counts[group] and not met[group]:
            waiting[group_twin[group]] += 1
    rank = np.where(twin_counts, UNRANKED, 0).astype(np.int32)
    wave = np.zeros(twins, np.int32)
    size = 0
    for twin in range(twins):
        if twin_counts[twin] and waiting[twin] == 0:
            rank[twin] = 0
            wave[size] = twin
            size += 1
    position = 0
    while position < size:  # a queue: ranks come out ascending
        twin = wave[position]
        position += 1
        for place in range(out_start[twin], out_start[twin + 1]):
            edge = out_edge[place]
            group = edge_group[edge]
            if not edge_inside[edge] or not group_counts[group] or met[group]:
                continue
            got[group] += edge_weight[edge]
            if got[group] < group_goal[group]:
                continue
            met[group] = True
            fed = group_twin[group]
            waiting[fed] -= 1
            if waiting[fed] == 0:
                rank[fed] = rank[twin] + 1
                wave[size] = fed
                size += 1
    return rank, met
