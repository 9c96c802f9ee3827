# pyright: reportArgumentType=false, reportReturnType=false
"""Kernel for a component of twins in feedback: marched by cells, each settled as rule 15 says.

Readable counterpart: `simulation.levels.March._settle` and below. Three things done there are saved here. A
twin that nothing has disturbed is full and is not looked at: it is *armed* when something of its own is
disturbed, when a supplier falls, and, since founded loops rise from nothing, when it is onward of an armed
twin of its loop (all others of the loop are held up by undisturbed twins nearer to the source). An armed twin
is *opened* for a cell only when something is due there for it, or for one that it sees without delay; all
others keep their levels. And an opened twin is evaluated again only when something it sees has changed.
"""

from __future__ import annotations

from simulation.cascade.buffering import hurt, loop_share, outside_share
from simulation.cascade.cells import (
    announce,
    close_cell,
    elapse_cells,
    end_spells,
    full_buffer,
    next_visit,
    open_cell,
)
from simulation.cascade.jit import bare
from simulation.cascade.layout import (
    ARMED,
    DONE,
    EVALUATIONS,
    LINKS,
    LINKS_FULL,
    OPENED,
    POOL,
    POOL_FULL,
    QUEUE_FIRST,
    QUEUE_SIZE,
    TOO_MANY_ROUNDS,
    ZERO,
    Cells,
    Row,
    Table,
    Tables,
)
from simulation.world import FULL


@bare
def solve_feedback(tables: Tables, cells: Cells, component: Row) -> int:
    """Write the service of all members into the pool. Returns DONE or why not."""
    used = tables.used
    used[LINKS] = used[ARMED] = used[OPENED] = used[QUEUE_FIRST] = used[QUEUE_SIZE] = 0
    for place in range(component.first_member, component.end_member):
        twin = tables.twins[tables.members[place]]
        twin.armed = twin.opened = twin.queued = twin.stale = False
    for place in range(component.first_member, component.end_member):
        number = tables.members[place]
        if not tables.twins[number].armed and _disturbed(tables, tables.twins[number]):
            _arm(tables, cells, number, ZERO)
    cell = ZERO
    while cell < cells.total:
        if not _settle(tables, cells, cell):
            return TOO_MANY_ROUNDS
        cell = _leave(tables, cells, cell)
        if used[LINKS] > len(tables.links):
            return LINKS_FULL
        _open_due(tables, cells, cell)
    for place in range(used[ARMED]):
        twin = tables.twins[tables.armed[place]]
        end_spells(tables, cells, twin)
        if not _publish(tables, cells, twin):
            return POOL_FULL
    return DONE


@bare
def _disturbed(tables: Tables, twin: Row) -> bool:
    """Can the twin be below FULL while all others of the component are well?"""
    if twin.first_health < twin.end_health:
        return True
    for place in range(twin.first_group, twin.end_group):
        group = tables.groups[tables.groups_of[place]]
        if group.first_factor < group.end_factor or group.weight < group.need:
            return True
        for number in range(group.first_edge, group.end_edge):
            edge = tables.edges[number]
            source = tables.twins[edge.source]
            if edge.first_cap < edge.end_cap or source.pieces > 0:
                return True
            if edge.given and (source.mains_pieces > 0 or source.inner_pieces > 0):
                return True
    return False


@bare
def _arm(tables: Tables, cells: Cells, number: int, cell: int) -> None:
    """From this cell on the twin is looked at, and all that lies onward of it in its loop."""
    position = tables.used[OPENED]
    _enlist(tables, cells, number, cell)
    _spread(tables, cells, position, cell)


@bare
def _open_due(tables: Tables, cells: Cells, cell: int) -> None:
    """Open all for whom this cell may be better or worse than the last, all well to begin with.

    Those that are opened later, while others fall, can only fall from where they were.
    """
    for place in range(tables.used[ARMED]):
        if tables.twins[tables.armed[place]].due <= cell:
            _open(tables, cells, tables.armed[place], cell)
    _spread(tables, cells, ZERO, cell)
    for place in range(tables.used[OPENED]):
        twin = tables.twins[tables.opened[place]]
        twin.mains = twin.service = FULL


@bare
def _spread(tables: Tables, cells: Cells, position: int, cell: int) -> None:
    """Arm what lies onward of those opened since `position`, open who sees them without delay, and so on."""
    while position < tables.used[OPENED]:
        twin = tables.twins[tables.opened[position]]
        position += 1
        for place in range(twin.first_out, twin.end_out):
            edge = tables.edges[tables.out_edges[place]]
            target = tables.twins[edge.target]
            if target.armed:
                if edge.inside and not target.opened and (edge.looped or edge.delay < cells.cell_us):
                    _open(tables, cells, edge.target, cell)
            elif edge.looped and not edge.back and target.rises:
                _enlist(tables, cells, edge.target, cell)


@bare
def _enlist(tables: Tables, cells: Cells, number: int, cell: int) -> None:
    """Take a twin in as it was until now: full, with full buffers."""
    twin = tables.twins[number]
    tables.armed[tables.used[ARMED]] = number
    tables.used[ARMED] += 1
    twin.armed = True
    twin.since = cell
    twin.mains = twin.service = FULL
    twin.changes = twin.mains_changes = twin.mains_lows = twin.service_lows = -1
    for place in range(twin.first_group, twin.end_group):
        group = tables.groups[tables.groups_of[place]]
        group.content, group.spell, group.down_until = full_buffer(cells, group), -1, 0
    _open(tables, cells, number, cell)


@bare
def _open(tables: Tables, cells: Cells, number: int, cell: int) -> None:
    """Have the level of an armed twin settled anew in this cell."""
    twin = tables.twins[number]
    twin.opened = True
    tables.opened[tables.used[OPENED]] = number
    tables.used[OPENED] += 1
    if twin.since < cell:
        elapse_cells(tables, cells, twin, cell)
    twin.since = cell
    open_cell(tables, cells, twin, cell)
    _queue(tables, twin.unit)


@bare
def _queue(tables: Tables, unit: int) -> None:
    """Have a twin evaluated that falls, or a whole loop that rises."""
    if not tables.twins[unit].queued:
        tables.twins[unit].queued = True
        place = tables.used[QUEUE_FIRST] + tables.used[QUEUE_SIZE]
        tables.queue[place % len(tables.queue)] = unit
        tables.used[QUEUE_SIZE] += 1


@bare
def _settle(tables: Tables, cells: Cells, cell: int) -> bool:
    """Rule 15: start all well and fall; each loop inside rises from nothing. False: too many evaluations."""
    used = tables.used
    while used[QUEUE_SIZE] > 0:
        if used[EVALUATIONS] > cells.evaluations_max:
            return False
        twin = tables.twins[tables.queue[used[QUEUE_FIRST]]]
        used[QUEUE_FIRST] = (used[QUEUE_FIRST] + 1) % len(tables.queue)
        used[QUEUE_SIZE] -= 1
        twin.queued = False
        if not twin.rises:
            mains, service = _levels(tables, cells, twin, cell)
            _set(tables, cells, twin, mains, service, cell)
        elif not _rise(tables, cells, twin, cell):
            return False
    return True


@bare
def _rise(tables: Tables, cells: Cells, unit: Row, cell: int) -> bool:
    """The least levels of a loop that agree with each other, given all that is outside it."""
    for place in range(unit.first_riser, unit.end_riser):
        twin = tables.twins[tables.risers[place]]
        if twin.opened:
            twin.rise_mains = twin.rise_service = 0
            twin.stale = True
        else:  # nothing that it sees is opened: it stays where it is
            twin.rise_mains = twin.mains if twin.armed else FULL
            twin.rise_service = twin.service if twin.armed else FULL
    risen = True
    while risen:
        risen = False
        for place in range(unit.first_riser, unit.end_riser):
            twin = tables.twins[tables.risers[place]]
            if not twin.stale:
                continue
            twin.stale = False
            mains, service = _levels(tables, cells, twin, cell)
            if mains != twin.rise_mains or service != twin.rise_service:
                twin.rise_mains, twin.rise_service = mains, service
                risen = True
                _stale_after(tables, twin)
        if tables.used[EVALUATIONS] > cells.evaluations_max:
            return False
    for place in range(unit.first_riser, unit.end_riser):
        twin = tables.twins[tables.risers[place]]
        if twin.opened:
            _set(tables, cells, twin, twin.rise_mains, twin.rise_service, cell)
    return True


@bare
def _stale_after(tables: Tables, twin: Row) -> None:
    for place in range(twin.first_out, twin.end_out):
        edge = tables.edges[tables.out_edges[place]]
        target = tables.twins[edge.target]
        if edge.looped and target.rises and target.opened:
            target.stale = True


@bare
def _set(tables: Tables, cells: Cells, twin: Row, mains: int, service: int, cell: int) -> None:
    """Take over new levels and have everyone evaluated who sees them."""
    if mains == twin.mains and service == twin.service:
        return
    twin.mains, twin.service = mains, service
    for place in range(twin.first_out, twin.end_out):
        edge = tables.edges[tables.out_edges[place]]
        target = tables.twins[edge.target]
        if not edge.inside:
            continue
        if not target.armed:
            _arm(tables, cells, edge.target, cell)
        elif edge.live and not (edge.looped and twin.rises and target.rises):  # else the rise has seen to it
            _queue(tables, target.unit)


@bare
def _levels(tables: Tables, cells: Cells, twin: Row, cell: int) -> tuple[int, int]:
    """Rule 14: health times the lowest group, nothing when damaged; the lowest over the restart window."""
    tables.used[EVALUATIONS] += 1
    mains = service = FULL
    for place in range(twin.first_group, twin.end_group):
        group = tables.groups[tables.groups_of[place]]
        share = _share(tables, twin, group, False)
        group.share = share
        buffered = FULL if group.content >= FULL - share else share
        service = min(service, buffered)
        mains = min(mains, _share(tables, twin, group, True) if group.looped else buffered)  # rule 8
        if group.damages and hurt(group, buffered, cell, group.tolerance // cells.cell_us, twin.repair):
            mains = service = 0
    twin.raw_mains = _level_down((twin.health * mains) >> 20, cells.levels)
    twin.raw_service = _level_down((twin.health * service) >> 20, cells.levels)
    return min(twin.raw_mains, twin.past_mains), min(twin.raw_service, twin.past_service)


@bare
def _level_down(level: int, levels: int) -> int:
    """Rule 1: the lowest level of the step that a level lies in."""
    return ((level * levels >> 20) * FULL + levels - 1) // levels


@bare
def _share(tables: Tables, twin: Row, group: Row, mains: bool) -> int:
    """Rules 9 to 11."""
    if not group.looped:
        arrived = 0
        for number in range(group.first_edge, group.end_edge):
            edge = tables.edges[number]
            arrived += edge.weight * _seen(tables.twins, twin, edge, mains)
        return outside_share(arrived, group.factored, group.threshold)
    for number in range(group.first_edge, group.end_edge):
        edge, given = tables.edges[number], tables.given[number - group.first_edge]
        given.level, given.weight = _seen(tables.twins, twin, edge, mains), edge.weight
    return loop_share(tables.given, group.end_edge - group.first_edge, group.factored, group.threshold)


@bare
def _seen(twins: Table, twin: Row, edge: Row, mains: bool) -> int:
    """Rule 9: mains sees mains inside the loop; service sees mains on back edges only. Outside is service."""
    source = twins[edge.source]
    if not edge.live or not source.armed:
        return edge.known_mains if edge.given and (mains or edge.back) else edge.known
    if not edge.looped:
        return min(edge.known, source.service)
    rising = twin.rises and source.rises
    if mains or edge.back:
        return min(edge.known, source.rise_mains if rising else source.mains)
    return min(edge.known, source.rise_service if rising else source.service)


@bare
def _leave(tables: Tables, cells: Cells, cell: int) -> int:
    """Write a settled cell down and go to the next in which something is due."""
    count, following = tables.used[OPENED], cells.total
    for place in range(count):
        twin = tables.twins[tables.opened[place]]
        twin.stale = close_cell(tables, cells, twin, cell)
    for place in range(count):
        twin = tables.twins[tables.opened[place]]
        twin.due = next_visit(tables, cells, twin, cell)
    for place in range(count):
        twin = tables.twins[tables.opened[place]]
        if twin.stale:
            announce(tables, cells, twin, cell)
        twin.opened = twin.stale = False
    tables.used[OPENED] = 0
    for place in range(tables.used[ARMED]):
        following = min(following, tables.twins[tables.armed[place]].due)
    return following


@bare
def _publish(tables: Tables, cells: Cells, twin: Row) -> bool:
    """Turn chains of changes, newest first, into pieces in the pool. False: no room."""
    twin.first_piece = tables.used[POOL]
    twin.pieces = _unchained(tables, cells, twin.changes)
    if twin.pieces < 0:
        return False
    if twin.tells:
        twin.first_inner, twin.inner_pieces = twin.first_piece, twin.pieces
        twin.first_mains = tables.used[POOL]
        twin.mains_pieces = _unchained(tables, cells, twin.mains_changes)
    return twin.mains_pieces >= 0


@bare
def _unchained(tables: Tables, cells: Cells, newest: int) -> int:
    """How many pieces a chain became, at the end of the pool; -1: no room."""
    count, link = 0, newest
    while link >= 0:
        count += 1
        link = tables.links[link].previous
    place, link = tables.used[POOL] + count, newest
    if place > len(tables.pool):
        return -1
    tables.used[POOL] = place
    while link >= 0:
        place -= 1
        change = tables.links[link]
        tables.pool[place].time, tables.pool[place].value = change.cell * cells.cell_us, change.level
        link = change.previous
    return count
