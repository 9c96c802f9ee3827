# pyright: reportArgumentType=false, reportReturnType=false
"""Kernels for twins in feedback, around the settling of a cell: what is fixed before, what remains after.

Readable counterpart: `simulation.levels.March` without `_settle`. There every cell is visited; here those
are left out in which nothing can change (`next_visit`).
"""

from __future__ import annotations

from simulation.cascade.buffering import follow_spell, scaled_need, strike
from simulation.cascade.jit import bare
from simulation.cascade.layout import LINKS, ONE, ZERO, Cells, Row, Table, Tables
from simulation.cascade.waves import after, highest, lowest, next_cell
from simulation.world import FULL, NEVER


@bare
def last_us(cells: Cells, cell: int) -> int:
    """The last microsecond of a cell; the last cell ends at the horizon."""
    return min((cell + 1) * cells.cell_us, cells.horizon) - 1


@bare
def open_cell(tables: Tables, cells: Cells, twin: Row, cell: int) -> None:
    """Rule 1: what the twin takes in this cell is the lowest of what the cell's microseconds take."""
    first, last = cell * cells.cell_us, last_us(cells, cell)
    twin.health = lowest(tables.pieces, twin.first_health, twin.end_health, first, last)
    window = _window(tables.pieces, cells, twin, cell)
    twin.past_mains = _lowest_low(tables.links, twin.mains_lows, cell - window)
    twin.past_service = _lowest_low(tables.links, twin.service_lows, cell - window)
    for place in range(twin.first_group, twin.end_group):
        group = tables.groups[tables.groups_of[place]]
        group.factored = group.need
        if group.first_factor < group.end_factor:
            factor = highest(tables.pieces, group.first_factor, group.end_factor, first, last, ONE)
            group.factored = scaled_need(group.need, factor)
        for number in range(group.first_edge, group.end_edge):
            _look(tables, cells, tables.edges[number], first, last)


@bare
def _window(pieces: Table, cells: Cells, twin: Row, cell: int) -> int:
    """Rule 14: the restart window in whole cells, rounded up."""
    restart = twin.restart
    if twin.first_setting < twin.end_setting:
        first, last = cell * cells.cell_us, last_us(cells, cell)
        restart = highest(pieces, twin.first_setting, twin.end_setting, first, last, restart)
    return (restart + cells.cell_us - 1) // cells.cell_us


@bare
def _longest_delay(pieces: Table, edge: Row, first: int, last: int) -> int:
    if edge.first_extra == edge.end_extra:
        return edge.delay
    return edge.delay + highest(pieces, edge.first_extra, edge.end_extra, first, last, ZERO)


@bare
def _look(tables: Tables, cells: Cells, edge: Row, first: int, last: int) -> None:
    """Rule 1: a delay between two cells takes the lower of both."""
    edge.known = lowest(tables.pieces, edge.first_cap, edge.end_cap, first, last)
    edge.live = edge.looped and not edge.given
    source = tables.twins[edge.source]
    if edge.looped:
        if edge.given:
            end = source.first_mains + source.mains_pieces
            mains = lowest(tables.pool, source.first_mains, end, first, last)
            end = source.first_inner + source.inner_pieces
            service = lowest(tables.pool, source.first_inner, end, first, last)
            edge.known_mains, edge.known = min(edge.known, mains), min(edge.known, service)
        return
    sent_first, sent_last = first - _longest_delay(tables.pieces, edge, first, last), last - edge.delay
    if edge.inside:
        edge.live = sent_last >= first
        if source.armed:
            until = min(sent_last, first - 1) // cells.cell_us
            sent = _lowest_sent(tables.links, source.changes, sent_first // cells.cell_us, until)
            edge.known = min(edge.known, sent)
    elif source.pieces > 0:
        end = source.first_piece + source.pieces
        sent = lowest(tables.pool, source.first_piece, end, sent_first, sent_last)
        edge.known = min(edge.known, sent)


@bare
def _lowest_sent(links: Table, link: int, since: int, until: int) -> int:
    """The lowest level of a chain of changes from cell to cell, both included; FULL if out of order."""
    found = FULL
    if since > until:
        return found
    while link >= 0:
        change = links[link]
        if change.cell <= until:
            found = min(found, change.level)
        if change.cell <= since:
            break
        link = change.previous
    return found


@bare
def _lowest_low(links: Table, link: int, since: int) -> int:
    """The lowest of a chain of lows since a cell: the oldest of them, since newer ones are higher."""
    found = FULL
    while link >= 0 and links[link].cell >= since:
        found = links[link].level
        link = links[link].previous
    return found


@bare
def close_cell(tables: Tables, cells: Cells, twin: Row, cell: int) -> bool:
    """Write down what was settled for a twin: levels and spells. Returns whether its service changed."""
    changed = twin.service != (tables.links[twin.changes].level if twin.changes >= 0 else FULL)
    if changed:
        twin.changes = _linked(tables, cell, twin.service, twin.changes)
    if twin.tells:
        said = tables.links[twin.mains_changes].level if twin.mains_changes >= 0 else FULL
        if twin.mains != said:
            twin.mains_changes = _linked(tables, cell, twin.mains, twin.mains_changes)
    if twin.restart > 0 or twin.first_setting < twin.end_setting:
        twin.service_lows = _with_low(tables, twin.service_lows, cell, twin.raw_service)
        twin.mains_lows = _with_low(tables, twin.mains_lows, cell, twin.raw_mains)
    for place in range(twin.first_group, twin.end_group):
        number = tables.groups_of[place]
        group = tables.groups[number]
        if group.damages:
            starved = 2 * group.share < FULL and group.content < FULL - group.share
            spell, tolerance = group.spell, group.tolerance // cells.cell_us
            if follow_spell(group, starved, cell, tolerance):
                back = cell + (twin.repair + cells.cell_us - 1) // cells.cell_us
                group.down_until = max(group.down_until, back)
                end = min(back * cells.cell_us, cells.horizon)
                strike(tables, number, (spell + tolerance) * cells.cell_us, end)
    return changed


@bare
def end_spells(tables: Tables, cells: Cells, twin: Row) -> None:
    """A spell still open at the horizon is damage down to it."""
    for place in range(twin.first_group, twin.end_group):
        number = tables.groups_of[place]
        group = tables.groups[number]
        if group.damages:
            spell, tolerance = group.spell, group.tolerance // cells.cell_us
            if follow_spell(group, False, cells.total, tolerance):
                strike(tables, number, (spell + tolerance) * cells.cell_us, cells.horizon)


@bare
def _with_low(tables: Tables, link: int, cell: int, level: int) -> int:
    """A chain of lows with one more; those that are no lower than a newer one no longer matter."""
    while link >= 0 and tables.links[link].level >= level:
        link = tables.links[link].previous
    return _linked(tables, cell, level, link) if level < FULL else link


@bare
def _linked(tables: Tables, cell: int, level: int, previous: int) -> int:
    """A new link before another. Past the end of the table only the count goes up: the run is done again."""
    number = tables.used[LINKS]
    tables.used[LINKS] = number + 1
    if number >= len(tables.links):
        return previous
    link = tables.links[number]
    link.cell, link.level, link.previous = cell, level, previous
    return number


@bare
def elapse_cells(tables: Tables, cells: Cells, twin: Row, until: int) -> None:
    """Carry buffers and lows from the cell opened last over all that were left out, up to the next one."""
    cell = twin.since
    for link in (twin.service_lows, twin.mains_lows):
        if link >= 0 and tables.links[link].cell == cell:
            tables.links[link].cell = until - 1
    for place in range(twin.first_group, twin.end_group):
        group = tables.groups[tables.groups_of[place]]
        deficit = FULL - group.share
        if deficit == 0:
            filled = group.content + group.refill * (until - cell)
            group.content = min(filled, full_buffer(cells, group))
        elif group.content >= deficit:
            group.content -= deficit * (until - cell)
        else:
            group.content = 0


@bare
def full_buffer(cells: Cells, group: Row) -> int:
    """Level * cells, rounded down to whole cells (rule 1). More than the run has never runs dry anyway."""
    return min(group.buffer // cells.cell_us, cells.total + 1) * FULL


@bare
def next_visit(tables: Tables, cells: Cells, twin: Row, cell: int) -> int:
    """The first cell after this one in which something may be different for the twin by itself or by what
    is known of others by now."""
    pieces, us = tables.pieces, cells.cell_us
    found = next_cell(pieces, twin.first_health, twin.end_health, cell, us)
    if cell < cells.total - 1 and cells.horizon % us:
        found = min(found, cells.total - 1)  # shorter than the others: it may see less
    found = min(found, next_cell(pieces, twin.first_setting, twin.end_setting, cell, us))
    window = _window(tables.pieces, cells, twin, cell)
    found = min(found, _low_leaves(tables.links, twin.service_lows, cell, window))
    found = min(found, _low_leaves(tables.links, twin.mains_lows, cell, window))
    for place in range(twin.first_group, twin.end_group):
        group = tables.groups[tables.groups_of[place]]
        found = min(found, _group_changes(pieces, cells, group, cell))
        for number in range(group.first_edge, group.end_edge):
            edge = tables.edges[number]
            found = min(found, next_cell(pieces, edge.first_cap, edge.end_cap, cell, us))
            if not edge.looped:
                found = min(found, next_cell(pieces, edge.first_extra, edge.end_extra, cell, us))
                found = min(found, _arrival_changes(tables, cells, edge, cell))
            elif edge.given:
                source = tables.twins[edge.source]
                end = source.first_mains + source.mains_pieces
                found = min(found, next_cell(tables.pool, source.first_mains, end, cell, us))
                end = source.first_inner + source.inner_pieces
                found = min(found, next_cell(tables.pool, source.first_inner, end, cell, us))
    return found


@bare
def _low_leaves(links: Table, link: int, cell: int, window: int) -> int:
    """When the lowest of the restart window falls out of it, if it is older than this cell."""
    oldest = NEVER
    while link >= 0 and links[link].cell >= cell - window:
        oldest = links[link].cell
        link = links[link].previous
    return oldest + window + 1 if oldest < cell else NEVER


@bare
def _group_changes(pieces: Table, cells: Cells, group: Row, cell: int) -> int:
    found = next_cell(pieces, group.first_factor, group.end_factor, cell, cells.cell_us)
    deficit = FULL - group.share
    if deficit > 0 and group.content >= deficit:
        found = min(found, cell + group.content // deficit)
    if group.damages:
        strikes = group.spell + group.tolerance // cells.cell_us
        if group.spell >= 0 and strikes > cell:
            found = min(found, strikes)
        if group.down_until > cell:
            found = min(found, group.down_until)
    return found


@bare
def announce(tables: Tables, cells: Cells, twin: Row, cell: int) -> None:
    """The twin changed in this cell: have those opened in time who will see it later."""
    us, first = cells.cell_us, cell * cells.cell_us
    for place in range(twin.first_out, twin.end_out):
        edge = tables.edges[tables.out_edges[place]]
        target = tables.twins[edge.target]
        if edge.inside and not edge.looped and target.armed:
            longest = _longest_delay(tables.pieces, edge, first, last_us(cells, cell))
            enters, leaves = cell + edge.delay // us, cell + (longest + us - 1) // us
            if leaves > cell:
                target.due = min(target.due, leaves)
            if enters > cell:
                target.due = min(target.due, enters)


@bare
def _arrival_changes(tables: Tables, cells: Cells, edge: Row, cell: int) -> int:
    """When a change of the source enters or leaves what arrives in a cell."""
    found, us, first = NEVER, cells.cell_us, cell * cells.cell_us
    source = tables.twins[edge.source]
    if not (source.armed if edge.inside else source.pieces > 0):
        return found
    longest = _longest_delay(tables.pieces, edge, first, last_us(cells, cell))
    if edge.inside:
        enters, leaves = edge.delay // us, (longest + us - 1) // us
        link = source.changes
        while link >= 0 and tables.links[link].cell + leaves > cell:
            found = min(found, tables.links[link].cell + leaves)
            if tables.links[link].cell + enters > cell:
                found = min(found, tables.links[link].cell + enters)
            link = tables.links[link].previous
        return found
    end = source.first_piece + source.pieces
    entering = after(tables.pool, source.first_piece, end, first + us - 1 - edge.delay)
    if entering < end:
        found = (tables.pool[entering].time + edge.delay) // us
    leaving = after(tables.pool, source.first_piece, end, first - longest)
    if leaving < end:
        found = min(found, (tables.pool[leaving].time + longest + us - 1) // us)
    return found
