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

from simulation.cascade.jit import bare, inlined
from simulation.cascade.layout import Cells, Row, Table, Tables
from simulation.cascade.waves import highest, lowest
from simulation.world import FULL, NEVER, Int32s, UInt64s

NO_EDGE = -1
_OPEN, _OFFERED, _SETTLED = 0, 1, 2
NOTE_OF_TWIN = np.dtype([("state", np.int64), ("layer", np.int64), ("following", np.int64)])
NOTE_OF_EDGE = np.dtype([("deciding", np.bool_), ("arrival", np.int64), ("level", np.int64)])


class Causes(NamedTuple):
    """The causes of one block of runs, a row each; only the columns of twins that were hit mean anything.

    edge: the dependence that brought it, NO_EDGE at a root
    path: hash of the path from the root; before: hash of the path without its last twin, 0 at its beginning
    """

    edge: Int32s  # [runs, n]
    path: UInt64s  # [runs, n]
    before: UInt64s  # [runs, n]
    twins: Table  # working memory
    edges: Table  # working memory: what arrives over each dependence, and since when it is not full


def new_causes(runs: int, twins: int, edges: int) -> Causes:
    return Causes(
        edge=np.zeros((runs, twins), np.int32),
        path=np.zeros((runs, twins), np.uint64),
        before=np.zeros((runs, twins), np.uint64),
        twins=np.zeros(twins, NOTE_OF_TWIN),
        edges=np.zeros(edges, NOTE_OF_EDGE),
    )


@bare
def explain_run(tables: Tables, cells: Cells, twin_key: UInt64s, causes: Causes, row: int) -> None:
    """Write the causes of the run that the tables hold as one row."""
    size, hit = 0, 0
    for number in range(len(tables.edges)):
        causes.edges[number].deciding = False
    for number in range(len(tables.twins)):
        causes.twins[number].state = _OPEN
        if tables.twins[number].pieces == 0:
            continue
        hit += 1
        if _is_root(tables, cells, causes, tables.twins[number]):
            _settle(tables, twin_key, causes, row, number, NO_EDGE)
            causes.twins[size].layer = number
            size += 1
    if size + _spread(tables, twin_key, causes, row, size) < hit:
        _settle_rest(tables, twin_key, causes, row)


@bare
def _is_root(tables: Tables, cells: Cells, causes: Causes, twin: Row) -> bool:
    """Whether a hit twin fell by itself; else marks the dependences that made the difference."""
    since = tables.pool[twin.first_piece].time
    until = since
    if tables.components[twin.component].gridded:  # a cell shows at its start what happens anywhere in it
        until = min(since + cells.cell_us, cells.horizon) - 1
    if lowest(tables.pieces, twin.first_health, twin.end_health, since, until) < FULL:
        return True
    worst, least = -1, float(FULL)
    for place in range(twin.first_group, twin.end_group):
        number = tables.groups_of[place]
        share = _share(tables, causes, tables.groups[number], since, until)
        if share < least:
            worst, least = number, share
    if worst >= 0:
        return not _mark_deciding(tables, causes, tables.groups[worst], since, until)
    found = False
    for place in range(twin.first_group, twin.end_group):  # in loops no group need fall short by itself
        group = tables.groups[tables.groups_of[place]]
        found |= _mark(causes, group, -1)
    return not found


@inlined
def _share(tables: Tables, causes: Causes, group: Row, since: int, until: int) -> float:
    """What a group is given of its need between two times; FULL while its buffer can still carry it.

    Notes for each of its dependences what arrives over it, and since when that is not full.
    """
    given, began = 0.0, NEVER
    for number in range(group.first_edge, group.end_edge):
        _arrive(tables, causes.edges[number], tables.edges[number], since, until)
        note = causes.edges[number]
        given += float(tables.edges[number].weight) * note.level
        if note.level < FULL:
            began = min(began, note.arrival)
    need = _need(tables, group, since, until)
    if need <= 0.0 or (began < NEVER and until - began < group.buffer):
        return float(FULL)
    return min(float(FULL), given / need)


@inlined
def _need(tables: Tables, group: Row, since: int, until: int) -> float:
    factor = highest(tables.pieces, group.first_factor, group.end_factor, since, until, FULL)
    return float(group.need) * factor / FULL


@inlined
def _arrive(tables: Tables, note: Row, edge: Row, since: int, until: int) -> None:
    """Note the lowest level that a dependence gives between two times, and since when it is not full."""
    source = tables.twins[edge.source]
    first, end = source.first_piece, source.first_piece + source.pieces
    extra = highest(tables.pieces, edge.first_extra, edge.end_extra, since, until, 0)
    level = lowest(tables.pool, first, end, since - edge.delay - extra, until - edge.delay)
    arrival = NEVER
    if level < FULL:
        arrival = _fell(tables.pool, first, end, until - edge.delay) + edge.delay
    cap = lowest(tables.pieces, edge.first_cap, edge.end_cap, since, until)
    if cap < level:
        level = cap
        arrival = min(arrival, _fell(tables.pieces, edge.first_cap, edge.end_cap, until))
    note.level, note.arrival = level, arrival


@bare
def _fell(pieces: Table, first: int, end: int, until: int) -> int:
    """When the last stretch below full began that was there at a time or before."""
    began, before = NEVER, FULL
    for number in range(first, end):
        if pieces[number].time > until:
            break
        if pieces[number].value < FULL and before == FULL:
            began = pieces[number].time
        before = pieces[number].value
    return began


@inlined
def _mark_deciding(tables: Tables, causes: Causes, group: Row, since: int, until: int) -> bool:
    """Mark the arrivals of the moment that took the group below its need; False if there was none."""
    need = _need(tables, group, since, until) * FULL
    left = float(group.weight) * FULL
    moment, last = NEVER, -1
    while True:
        moment = NEVER
        for number in range(group.first_edge, group.end_edge):
            note = causes.edges[number]
            if note.level < FULL and last < note.arrival < moment:
                moment = note.arrival
        for number in range(group.first_edge, group.end_edge):
            note = causes.edges[number]
            if note.level < FULL and note.arrival == moment:
                left -= float(tables.edges[number].weight) * (FULL - note.level)
        if moment == NEVER or left < need:
            break
        last = moment
    return _mark(causes, group, -1 if moment == NEVER else moment)


@bare
def _mark(causes: Causes, group: Row, moment: int) -> bool:
    """Mark what arrives weakened since one moment (-1: any); False if there is nothing."""
    found = False
    for number in range(group.first_edge, group.end_edge):
        note = causes.edges[number]
        if note.level < FULL and (moment < 0 or note.arrival == moment):
            note.deciding = True
            found = True
    return found


@bare
def _spread(tables: Tables, twin_key: UInt64s, causes: Causes, row: int, size: int) -> int:
    """Settle, layer by layer, what the first `size` twins of the layer caused; returns how many."""
    settled = 0
    while size > 0:
        reached = 0
        for place in range(size):
            source = tables.twins[causes.twins[place].layer]
            for out in range(source.first_out, source.end_out):
                edge = tables.out_edges[out]
                if causes.edges[edge].deciding:
                    reached = _offer(tables, causes, row, edge, reached)
        for place in range(reached):
            number = causes.twins[place].following
            _settle(tables, twin_key, causes, row, number, causes.edge[row, number])
            causes.twins[place].layer = number
        settled += reached
        size = reached
    return settled


@inlined
def _offer(tables: Tables, causes: Causes, row: int, edge: int, reached: int) -> int:
    """Note a dependence as the cause of its twin if it is the first in this layer; returns who is reached."""
    target = tables.edges[edge].target
    state = causes.twins[target].state
    if state == _OPEN and tables.twins[target].pieces > 0:
        causes.twins[target].state = _OFFERED
        causes.edge[row, target] = edge
        causes.twins[reached].following = target
        reached += 1
    elif state == _OFFERED and edge < causes.edge[row, target]:
        causes.edge[row, target] = edge
    return reached


@bare
def _settle_rest(tables: Tables, twin_key: UInt64s, causes: Causes, row: int) -> None:
    """Twins that no root reached: first those below a cut dependence, then circles, first twin first."""
    for step in range(2):
        for number in range(len(tables.twins)):
            if causes.twins[number].state == _SETTLED or tables.twins[number].pieces == 0:
                continue
            edge = _cut_edge(tables, causes, tables.twins[number])
            if step > 0 or edge != NO_EDGE:
                _settle(tables, twin_key, causes, row, number, edge)
                causes.twins[0].layer = number
                _spread(tables, twin_key, causes, row, 1)


@bare
def _cut_edge(tables: Tables, causes: Causes, twin: Row) -> int:
    """The first deciding dependence whose source was not hit: it was removed, or delayed."""
    for place in range(twin.first_group, twin.end_group):
        group = tables.groups[tables.groups_of[place]]
        for number in range(group.first_edge, group.end_edge):
            if causes.edges[number].deciding and tables.twins[tables.edges[number].source].pieces == 0:
                return number
    return NO_EDGE


@inlined
def _settle(tables: Tables, twin_key: UInt64s, causes: Causes, row: int, number: int, edge: int) -> None:
    causes.twins[number].state = _SETTLED
    causes.edge[row, number] = edge
    before = np.uint64(0)
    if edge != NO_EDGE:
        source = tables.edges[edge].source
        if causes.twins[source].state == _SETTLED:
            before = causes.path[row, source]
        else:
            before = extended(np.uint64(0), twin_key[source])
    causes.before[row, number] = before
    causes.path[row, number] = extended(before, twin_key[number])


@inlined
def extended(path: np.uint64, key: np.uint64) -> np.uint64:
    """The hash of a path with one more twin (two rounds of a multiply and xor-shift mix)."""
    mixed = (path ^ key) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    mixed = (mixed + (path << np.uint64(1))) * np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(29))
