"""A block of runs in one call of compiled code: draw, solve, add up, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ontology.errors import LimitError
from simulation.cascade.causes import Causes, explain_run, new_causes
from simulation.cascade.chances import Chances, Drawn, chances_of, draw_run, new_drawn
from simulation.cascade.jit import kernel
from simulation.cascade.kernel import EVALUATIONS_MAX, run
from simulation.cascade.layout import (
    DONE,
    TOO_MANY_ROUNDS,
    Cells,
    Graph,
    Scratch,
    enlarged,
    graph_of,
    new_scratch,
)
from simulation.cascade.tally import Prices, Tally, new_tally, prices_of, tally_run
from simulation.world import UInt64s

if TYPE_CHECKING:
    from simulation.case import Case

BLOCK_RUNS_MAX = 1024
"""Sums over so many runs of a hundred years, or of 2^52 thousandths, stay in 64 bits."""
_BLOCK_ROWS = 1 << 19


class Frame(NamedTuple):
    """What all blocks of a case share."""

    graph: Graph
    cells: Cells
    chances: Chances
    prices: Prices
    twin_key: UInt64s


class Desk(NamedTuple):
    """What one thread writes on."""

    drawn: Drawn
    scratch: Scratch


def frame_of(case: Case) -> Frame:
    grid = case.grid
    count = -(-case.horizon_us // grid.cell_us)
    cells = Cells(grid.cell_us, count, grid.levels, case.horizon_us, EVALUATIONS_MAX)
    graph = graph_of(case.world, case.plan)
    return Frame(graph, cells, chances_of(case), prices_of(case), case.world.twin_key)


def new_desk(case: Case, frame: Frame) -> Desk:
    return Desk(new_drawn(case), new_scratch(frame.graph))


def block_runs(twins: int) -> int:
    """Runs in a block: a number that depends on the world alone, so that results do not depend on threads."""
    return max(1, min(BLOCK_RUNS_MAX, _BLOCK_ROWS // max(1, twins)))


def run_block(frame: Frame, desk: Desk, first_run: int, runs: int) -> tuple[Desk, Tally, Causes]:
    """Runs first_run .. first_run + runs; the desk comes back, perhaps larger.

    Raises LimitError CASCADE_ROUNDS where the feedback of a run does not settle.
    """
    twins, edges = len(frame.twin_key), len(frame.graph.edge_source)
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
            desk = desk._replace(scratch=enlarged(desk.scratch, status))
    return desk, tally, causes


@kernel
def _runs(
    frame: Frame, desk: Desk, first_run: np.uint64, done: int, runs: int, tally: Tally, causes: Causes
) -> tuple[int, int]:
    """Go on with a block after `done` runs; (runs done, DONE or what was too small for the next)."""
    for row in range(done, runs):
        draw_run(frame.chances, first_run + np.uint64(row), desk.drawn)
        draws = desk.drawn.draws
        status = run(frame.graph, draws, desk.scratch, frame.cells)
        if status != DONE:
            return row, status
        horizon = frame.cells.horizon
        tally_run(frame.graph, desk.scratch, frame.prices, desk.drawn.failures, horizon, tally, row)
        explain_run(frame.graph, draws, desk.scratch, frame.cells, frame.twin_key, causes, row)
    return runs, DONE
