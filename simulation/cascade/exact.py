# pyright: reportArgumentType=false, reportReturnType=false
"""Kernel for a twin outside all feedback: its whole waveform in exact time, from those of its suppliers.

Readable counterpart: `simulation.levels`, where such a twin is marched by a clock of one microsecond. Here as
there only the moments are visited at which something arrives, a buffer runs dry, a spell outlasts its
tolerance or a repair ends.
"""

from __future__ import annotations

import numpy as np

from simulation.cascade.buffering import (
    covered_us,
    elapse_us,
    follow_spell,
    hurt,
    outside_share,
    scaled_need,
    strike,
)
from simulation.cascade.jit import bare
from simulation.cascade.layout import (
    DONE,
    EVALUATIONS,
    EVENTS_FULL,
    ONE,
    POOL,
    POOL_FULL,
    ZERO,
    Row,
    Table,
    Tables,
)
from simulation.cascade.waves import in_order, lower_of, windowed
from simulation.world import FULL, NEVER

_OWN_HEALTH = np.int64(-1)


@bare
def solve_exact(tables: Tables, number: int, horizon: int) -> int:
    """Write the service of one twin into the pool. Returns DONE or which table was full."""
    twin = tables.twins[number]
    events = _gather(tables, twin, horizon)
    if events < 0:
        return EVENTS_FULL
    in_order(tables.events, events)
    count, row = _sweep(tables, twin, events, horizon), tables.row
    if count > 0 and (twin.restart > 0 or twin.first_setting < twin.end_setting):  # rule 14
        count = windowed(
            tables.row,
            ZERO,
            count,
            ZERO,
            tables.pieces,
            twin.first_setting,
            twin.end_setting,
            twin.restart,
            horizon,
            tables.moments,
            tables.other_row,
        )
        row = tables.other_row
    if count < 0:
        return EVENTS_FULL
    twin.first_piece, twin.pieces = tables.used[POOL], count
    if twin.first_piece + count > len(tables.pool):
        return POOL_FULL
    for piece in range(count):
        done = tables.pool[twin.first_piece + piece]
        done.time, done.value = row[piece].time, row[piece].value
    tables.used[POOL] += count
    return DONE


@bare
def _gather(tables: Tables, twin: Row, horizon: int) -> int:
    """List what changes when: own health, needs, and the sum that arrives in each group. -1: no room."""
    count = _copy(tables, ZERO, twin.first_health, twin.end_health, _OWN_HEALTH, ZERO)
    for place in range(twin.first_group, twin.end_group):
        number = tables.groups_of[place]
        group = tables.groups[number]
        group.arrived, group.factored, group.share = group.weight * FULL, group.need, FULL
        group.content, group.part, group.spell, group.down_until = group.buffer, 0, -1, 0
        if count >= 0:
            count = _copy(tables, count, group.first_factor, group.end_factor, 2 * number + 1, group.need)
        for edge in range(group.first_edge, group.end_edge):
            if count >= 0:
                count = _arrivals(tables, tables.edges[edge], count, horizon)
    return count


@bare
def _copy(tables: Tables, count: int, first: int, end: int, kind: int, need: int) -> int:
    """Add pieces of the inputs as events; those of a factor as the need that they make."""
    if count + end - first > len(tables.events):
        return -1
    for piece in range(first, end):
        event, value = tables.events[count], tables.pieces[piece].value
        event.time, event.kind = tables.pieces[piece].time, kind
        event.value = value if kind == _OWN_HEALTH else scaled_need(need, value)
        count += 1
    return count


@bare
def _arrivals(tables: Tables, edge: Row, count: int, horizon: int) -> int:
    """Add what changes over one edge. Returns the new number of events, -1: no room."""
    source = tables.twins[edge.source]
    first, end = source.first_piece, source.first_piece + source.pieces
    capped = edge.first_cap < edge.end_cap
    if not capped and (first == end or edge.first_extra == edge.end_extra):
        return _changes(tables, edge, count, tables.pool, first, end, edge.delay, horizon)
    pieces = windowed(
        tables.pool,
        first,
        end,
        edge.delay,
        tables.pieces,
        edge.first_extra,
        edge.end_extra,
        ZERO,
        horizon,
        tables.moments,
        tables.row,
    )
    row = tables.row
    if capped and pieces >= 0:
        pieces = lower_of(row, pieces, tables.pieces, edge.first_cap, edge.end_cap, horizon, tables.other_row)
        row = tables.other_row
    if pieces < 0:
        return -1
    return _changes(tables, edge, count, row, ZERO, pieces, ZERO, horizon)


@bare
def _changes(
    tables: Tables, edge: Row, count: int, row: Table, first: int, end: int, delay: int, horizon: int
) -> int:
    """Each piece as a change of the sum that arrives in the edge's group."""
    if count + end - first > len(tables.events):
        return -1
    last = FULL
    for piece in range(first, end):
        if row[piece].time + delay >= horizon:
            break
        event = tables.events[count]
        event.time, event.kind = row[piece].time + delay, 2 * edge.group
        event.value = edge.weight * (row[piece].value - last)
        last = row[piece].value
        count += 1
    return count


@bare
def _sweep(tables: Tables, twin: Row, events: int, horizon: int) -> int:
    """Raw level (before the restart) into `row`. Returns the number of pieces, -1: no room."""
    position, written, last, health, now = ZERO, ZERO, ONE, ONE, ZERO
    while now < horizon:
        while position < events and tables.events[position].time == now:
            event = tables.events[position]
            position += 1
            if event.kind == _OWN_HEALTH:
                health = event.value
            elif event.kind & 1:
                tables.groups[event.kind >> 1].factored = event.value
            else:
                tables.groups[event.kind >> 1].arrived += event.value
        least, upcoming = _groups_at(tables, twin, now, horizon)
        raw = (health * least) >> 20
        if raw != last:
            if written == len(tables.row):
                return -1
            tables.row[written].time, tables.row[written].value = now, raw
            written += 1
            last = raw
        if position < events:
            upcoming = min(upcoming, tables.events[position].time)
        for place in range(twin.first_group, twin.end_group):
            group = tables.groups[tables.groups_of[place]]
            if group.buffer > 0:
                elapse_us(group, min(upcoming, horizon) - now)
        now = upcoming
    _end_spells(tables, twin, horizon)
    return written


@bare
def _groups_at(tables: Tables, twin: Row, now: int, horizon: int) -> tuple[int, int]:
    """The lowest of the groups and of damage now, and when one of them changes by itself."""
    tables.used[EVALUATIONS] += 1
    least, upcoming = FULL, NEVER
    for place in range(twin.first_group, twin.end_group):
        number = tables.groups_of[place]
        group = tables.groups[number]
        group.share = buffered = outside_share(group.arrived, group.factored, group.threshold)
        if buffered < FULL:
            covered = covered_us(group.content, group.part, FULL - buffered)
            if covered > 0:
                buffered = FULL
                upcoming = min(upcoming, now + covered)
        least = min(least, buffered)
        if not group.damages:
            continue
        if hurt(group, buffered, now, group.tolerance, twin.repair):
            least = 0
        spell = group.spell
        if follow_spell(group, 2 * buffered < FULL, now, group.tolerance):
            group.down_until = max(group.down_until, now + twin.repair)
            strike(tables, number, spell + group.tolerance, min(now + twin.repair, horizon))
        if group.spell >= 0 and group.spell + group.tolerance > now:
            upcoming = min(upcoming, group.spell + group.tolerance)
        if group.down_until > now:
            upcoming = min(upcoming, group.down_until)
    return least, upcoming


@bare
def _end_spells(tables: Tables, twin: Row, horizon: int) -> None:
    """A spell still open at the horizon is damage down to it."""
    for place in range(twin.first_group, twin.end_group):
        number = tables.groups_of[place]
        group = tables.groups[number]
        spell = group.spell
        if group.damages and follow_spell(group, False, horizon, group.tolerance):
            strike(tables, number, spell + group.tolerance, horizon)
