# pyright: reportArgumentType=false
"""A block of runs in one call of compiled code: draw, solve, add up, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ontology.errors import LimitError
from simulation.cascade.causes import Causes, explain_run, new_causes
from simulation.cascade.chances import Chances, Spell, chances_of, draw_run, new_spell
from simulation.cascade.jit import kernel
from simulation.cascade.kernel import EVALUATIONS_MAX, run
from simulation.cascade.layout import (
    DONE,
    PIECES_FULL,
    STRIKES,
    TOO_MANY_ROUNDS,
    Cells,
    Draws,
    Durations,
    Tables,
)
from simulation.cascade.loading import enlarged, load, load_durations, tables_of
from simulation.cascade.tally import Prices, Tally, new_tally, prices_of, tally_damage, tally_run
from simulation.world import UInt64s

if TYPE_CHECKING:
    from simulation.case import Case
    from simulation.world import RunInputs

BLOCK_RUNS_MAX = 1024
"""Sums over so many runs of a hundred years, or of 2^52 thousandths, stay in 64 bits."""
_BLOCK_ROWS = 1 << 19


class Frame(NamedTuple):
    """What all blocks of a case share."""

    cells: Cells
    chances: Chances
    prices: Prices
    twin_key: UInt64s


class Desk(NamedTuple):
    """What one thread writes on."""

    tables: Tables
    spell: Spell


def frame_of(case: Case) -> Frame:
    grid = case.grid
    total = -(-case.horizon_us // grid.cell_us)
    cells = Cells(grid.cell_us, total, grid.levels, case.horizon_us, EVALUATIONS_MAX)
    return Frame(cells, chances_of(case), prices_of(case), case.world.twin_key)


def new_desk(case: Case, frame: Frame) -> Desk:
    """Tables that hold all that is the same in every run, with room for what a run adds."""
    tables = tables_of(case.world, case.plan)
    draws = _draws(case.calm)
    others = sum(
        len(time) for time in (draws.extra_time, draws.setting_time, draws.cap_time, draws.factor_time)
    )
    while others + frame.chances.health_pieces > len(tables.pieces):
        tables = enlarged(tables, PIECES_FULL)
    load(tables, draws, 0)
    load_durations(tables, _durations(case))
    return Desk(tables, new_spell(case))


def block_runs(twins: int) -> int:
    """Runs in a block: a number that depends on the world alone, so that results do not depend on threads."""
    return max(1, min(BLOCK_RUNS_MAX, _BLOCK_ROWS // max(1, twins)))


def run_block(frame: Frame, desk: Desk, first_run: int, runs: int) -> tuple[Desk, Tally, Causes]:
    """Runs first_run .. first_run + runs; the desk comes back, perhaps larger.

    Raises LimitError CASCADE_ROUNDS where the feedback of a run does not settle.
    """
    twins, edges = len(frame.twin_key), len(desk.tables.edges)
    tally, causes = new_tally(runs, twins), new_causes(runs, twins, edges)
    done, status = 0, DONE
    while done < runs:
        done, status = _runs(frame, desk, np.uint64(first_run), done, runs, tally, causes)
        if status == TOO_MANY_ROUNDS:
            raise LimitError(
                f"feedback did not settle in {EVALUATIONS_MAX} evaluations",
                code="CASCADE_ROUNDS",
                hint="a coarser grid (gridHours, gridLevels) settles sooner",
            )
        if status != DONE:
            desk = desk._replace(tables=enlarged(desk.tables, status))
    return desk, tally, causes


@kernel
def _runs(
    frame: Frame, desk: Desk, first_run: np.uint64, done: int, runs: int, tally: Tally, causes: Causes
) -> tuple[int, int]:
    """Go on with a block after `done` runs; (runs done, DONE or what was too small for the next)."""
    tables, spell = desk.tables, desk.spell
    for row in range(done, runs):
        draw_run(frame.chances, first_run + np.uint64(row), tables, spell)
        status = run(tables, frame.cells)
        if status != DONE:
            return row, status
        tally_run(tables, frame.prices, spell.failures, frame.cells.horizon, tally, row)
        if tables.used[STRIKES] > 0:
            tally_damage(tables, frame.prices, tally, row)
        explain_run(tables, frame.cells, frame.twin_key, causes, row)
    return runs, DONE


def _draws(inputs: RunInputs) -> Draws:
    extra, setting = inputs.edge_extra_us, inputs.restart_set_us
    cap, factor, health = inputs.edge_cap, inputs.need_factor, inputs.health
    return Draws(
        *(extra.start, extra.time_us, extra.value_us),
        *(setting.start, setting.time_us, setting.value_us),
        *(cap.start, cap.time_us, cap.level),
        *(factor.start, factor.time_us, factor.level),
        *(health.start, health.time_us, health.level),
    )


def _durations(case: Case) -> Durations:
    calm = case.calm
    return Durations(
        calm.edge_delay_us,
        calm.restart_us,
        calm.repair_us,
        calm.group_buffer_us,
        calm.group_tolerance_us,
        case.damage_chance >= 1,
    )
