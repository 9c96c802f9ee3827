# pyright: reportArgumentType=false
"""Kernels for a part of a world: some of its twins are only known by levels that are given.

Readable counterpart: `federation.joint.solver.PartSolver` with the marches of `simulation.levels`. There are
two ways to solve. *Falling*: all own twins but those of founded loops that lead outside, whose levels are
given like those of twins from outside. *Rising*: such loops alone, each from nothing, all else as given.
"""

from __future__ import annotations

from typing import NamedTuple

from simulation.cascade.exact import solve_exact
from simulation.cascade.feedback import solve_feedback
from simulation.cascade.jit import bare
from simulation.cascade.layout import (
    DONE,
    LOADED,
    POOL,
    POOL_FULL,
    STRIKES,
    STRIKES_FULL,
    Cells,
    Row,
    Tables,
)
from simulation.world import Bools, Int64s

OUTSIDE, RISING, LOOPED, FED = range(4)
"""Kinds of rows whose levels are given: of a twin from outside; of one in a founded loop that leads here; of
an own twin in such a loop; of an own twin that such a loop reads, given while loops rise and solved else."""
SERVICE, MAINS, INNER_SERVICE, INNER_MAINS, WAVES = range(5)
"""What is given of a row: as everyone sees it, and as its own loop sees it while it rises."""


class Given(NamedTuple):
    """Levels of some rows in some runs: by run, place among the rows, and wave, laid out as Waveforms."""

    run: Int64s  # [k]
    row: Int64s  # [r]
    kind: Int64s  # [r]
    start: Int64s  # [k * r * WAVES + 1]
    time: Int64s
    level: Int64s
    loops: Int64s  # [l] component of each founded loop that leads outside
    rises: Bools  # [k, l] whether it is to rise, where loops do
    seeded: Bools  # [k, l] told: something of its own disturbs it


@bare
def give(tables: Tables, given: Given, place: int) -> int:
    """Put what is given for one run at the beginning of the pool. Returns DONE or POOL_FULL."""
    size = len(given.row) * WAVES
    begin, end = given.start[place * size], given.start[(place + 1) * size]
    if end - begin > len(tables.pool):
        return POOL_FULL
    for piece in range(begin, end):
        taken = tables.pool[piece - begin]
        taken.time, taken.value = given.time[piece], given.level[piece]
    tables.used[:LOADED] = 0
    tables.used[POOL] = end - begin
    for number in range(len(given.loops)):
        given.seeded[place, number] = tables.components[given.loops[number]].seeds != 0
    return DONE


@bare
def _face(twin: Row, given: Given, place: int, number: int, inner: int) -> None:
    """Have a row seen as it is given; its own loop sees what begins with the wave `inner`."""
    size = len(given.row) * WAVES
    begin, first = given.start[place * size], place * size + number * WAVES
    twin.first_piece = given.start[first] - begin
    twin.pieces = given.start[first + 1] - given.start[first]
    twin.first_inner = given.start[first + inner] - begin
    twin.inner_pieces = given.start[first + inner + 1] - given.start[first + inner]
    twin.first_mains = given.start[first + inner + 1] - begin
    twin.mains_pieces = given.start[first + inner + 2] - given.start[first + inner + 1]


@bare
def fall(tables: Tables, cells: Cells, given: Given, place: int) -> int:
    """Solve all that is not given and that anything reaches, suppliers first. Returns DONE or why not."""
    for number in range(len(tables.twins)):
        twin = tables.twins[number]
        twin.pieces = twin.mains_pieces = twin.inner_pieces = 0
    for number in range(len(tables.components)):
        tables.components[number].dirty = tables.components[number].seeds != 0
    for number in range(len(given.row)):
        if given.kind[number] != FED:
            twin = tables.twins[given.row[number]]
            _face(twin, given, place, number, SERVICE)
            _mark_readers(tables, twin)
    for number in range(len(tables.components)):
        component = tables.components[number]
        if not component.dirty or tables.twins[tables.members[component.first_member]].given:
            continue
        if component.gridded:
            status = solve_feedback(tables, cells, component)
        else:
            status = solve_exact(tables, tables.members[component.first_member], cells.horizon)
        if status != DONE:
            return status
        for member in range(component.first_member, component.end_member):
            _mark_readers(tables, tables.twins[tables.members[member]])
    return STRIKES_FULL if tables.used[STRIKES] > len(tables.strikes) else DONE


@bare
def _mark_readers(tables: Tables, twin: Row) -> None:
    if twin.pieces > 0 or twin.mains_pieces > 0:
        for out in range(twin.first_out, twin.end_out):
            target = tables.twins[tables.edges[tables.out_edges[out]].target]
            tables.components[target.component].dirty = True


@bare
def rise(tables: Tables, cells: Cells, given: Given, place: int, has_fallen: bool) -> int:
    """Solve the loops that are to rise. What they come to is put where their own loop sees it.

    has_fallen: what loops read was just solved; else it is given. Returns DONE or why not.
    """
    for number in range(len(given.row)):
        kind = given.kind[number]
        if kind != FED or not has_fallen:
            inner = INNER_SERVICE if kind == RISING else SERVICE
            _face(tables.twins[given.row[number]], given, place, number, inner)
    for number in range(len(given.loops)):
        if given.rises[place, number]:
            status = _rise_alone(tables, cells, tables.components[given.loops[number]])
            if status != DONE:
                return status
    return STRIKES_FULL if tables.used[STRIKES] > len(tables.strikes) else DONE


@bare
def _rise_alone(tables: Tables, cells: Cells, loop: Row) -> int:
    """All others go on seeing the loop's twins as they were."""
    for place in range(loop.first_member, loop.end_member):
        twin = tables.twins[tables.members[place]]
        twin.first_outer, twin.outer_pieces = twin.first_piece, twin.pieces
    status = solve_feedback(tables, cells, loop)
    for place in range(loop.first_member, loop.end_member):
        twin = tables.twins[tables.members[place]]
        if not twin.armed:
            twin.inner_pieces = twin.mains_pieces = 0
        twin.first_piece, twin.pieces = twin.first_outer, twin.outer_pieces
    return status


@bare
def settle(tables: Tables, given: Given, place: int) -> None:
    """Have everyone see what loops rose to."""
    for number in range(len(given.loops)):
        if given.rises[place, number]:
            loop = tables.components[given.loops[number]]
            for member in range(loop.first_member, loop.end_member):
                twin = tables.twins[tables.members[member]]
                twin.first_piece, twin.pieces = twin.first_inner, twin.inner_pieces
