# pyright: reportArgumentType=false
"""The compiled cascade: equals `simulation.levels.solve_reference` to the bit, in little of its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ontology.errors import LimitError
from simulation.cascade.exact import solve_exact
from simulation.cascade.feedback import solve_feedback
from simulation.cascade.jit import kernel
from simulation.cascade.layout import (
    DONE,
    EVALUATIONS,
    HEALTH,
    KINDS,
    LOADED,
    PIECES_FULL,
    POOL,
    STRIKES,
    STRIKES_FULL,
    TOO_MANY_ROUNDS,
    Cells,
    Draws,
    Durations,
    Tables,
)
from simulation.cascade.loading import collect, enlarged, load, load_durations, tables_of
from simulation.world import Damage, Grid, Solution, Waveforms

if TYPE_CHECKING:
    from simulation.world import Plan, RunInputs, World

EVALUATIONS_MAX = 1_000_000_000
"""How often twins may be evaluated in one run before it is given up: minutes."""
CELLS_MAX = 1 << 20
"""Most cells of the grid up to the horizon."""


class Engine:
    """A world and its plan made ready to be run many times. Raises LimitError GRID_TOO_FINE.

    An engine is one thread's own: it keeps the tables it works on, and from run to run what is the very same
    array as before.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        horizon_us: int,
        grid: Grid | None = None,
        *,
        evaluations_max: int = EVALUATIONS_MAX,
    ) -> None:
        grid = grid or Grid()
        total = -(-horizon_us // grid.cell_us)
        if total > CELLS_MAX:
            raise LimitError(
                f"{total} cells up to the horizon; at most {CELLS_MAX}",
                code="GRID_TOO_FINE",
                hint="a larger gridHours or a shorter horizonHours",
            )
        self._cells = Cells(grid.cell_us, total, grid.levels, horizon_us, evaluations_max)
        self._tables = tables_of(world, plan)
        self._last: RunInputs | None = None

    def solve(self, inputs: RunInputs) -> Solution:
        """Service of every twin from hour 0 to the horizon, and what was damaged.

        Raises LimitError CASCADE_ROUNDS where feedback does not settle: no answer then, never a wrong one.
        """
        self._load(inputs)
        while True:
            status = run(self._tables, self._cells)
            if status == DONE:
                return _solution(self._tables)
            if status == TOO_MANY_ROUNDS:
                raise LimitError(
                    f"feedback did not settle in {self._cells.evaluations_max} evaluations",
                    code="CASCADE_ROUNDS",
                    hint="a coarser grid (gridHours, gridLevels) settles sooner",
                )
            self._tables = enlarged(self._tables, status)

    def _load(self, inputs: RunInputs) -> None:
        last, self._last = self._last, None  # nothing is kept should loading fail
        first_kind = _first_changed(inputs, last)
        if first_kind < KINDS:
            while _pieces(inputs) > len(self._tables.pieces):
                self._tables = enlarged(self._tables, PIECES_FULL)
            load(self._tables, _draws(inputs), first_kind)
        if last is None or _durations_changed(inputs, last):
            load_durations(self._tables, _durations(inputs))
        self._last = inputs


def solve(world: World, plan: Plan, inputs: RunInputs, horizon_us: int, grid: Grid) -> Solution:
    """One run. For many runs of one world keep an `Engine` per thread."""
    return Engine(world, plan, horizon_us, grid).solve(inputs)


@kernel
def run(tables: Tables, cells: Cells) -> int:
    """Solve all components that anything reaches, suppliers first. Returns DONE or why not.

    All others stay full without any work.
    """
    tables.used[:LOADED] = 0
    for number in range(len(tables.twins)):
        tables.twins[number].pieces = 0
    for number in range(len(tables.components)):
        tables.components[number].dirty = tables.components[number].seeds != 0
    for number in range(len(tables.components)):
        component = tables.components[number]
        if not component.dirty:
            continue
        if component.gridded:
            status = solve_feedback(tables, cells, component)
        else:
            status = solve_exact(tables, tables.members[component.first_member], cells.horizon)
        if status != DONE:
            return status
        for place in range(component.first_member, component.end_member):
            twin = tables.twins[tables.members[place]]
            if twin.pieces > 0:
                for out in range(twin.first_out, twin.end_out):
                    target = tables.twins[tables.edges[tables.out_edges[out]].target]
                    tables.components[target.component].dirty = True
    return STRIKES_FULL if tables.used[STRIKES] > len(tables.strikes) else DONE


def _first_changed(inputs: RunInputs, last: RunInputs | None) -> int:
    """The first kind of input over time that is not the one of the last run; KINDS if all are."""
    if last is None:
        return 0
    pairs = (
        (inputs.edge_extra_us, last.edge_extra_us),
        (inputs.restart_set_us, last.restart_set_us),
        (inputs.edge_cap, last.edge_cap),
        (inputs.need_factor, last.need_factor),
        (inputs.health, last.health),
    )
    return next((kind for kind, (now, before) in enumerate(pairs) if now is not before), HEALTH + 1)


def _durations_changed(inputs: RunInputs, last: RunInputs) -> bool:
    return any(now is not before for now, before in zip(_durations(inputs), _durations(last), strict=True))


def _pieces(inputs: RunInputs) -> int:
    steps = len(inputs.edge_extra_us.time_us) + len(inputs.restart_set_us.time_us)
    waves = (inputs.edge_cap, inputs.need_factor, inputs.health)
    return steps + sum(len(wave.time_us) for wave in waves)


def _draws(inputs: RunInputs) -> Draws:
    steps = (inputs.edge_extra_us, inputs.restart_set_us)
    waves = (inputs.edge_cap, inputs.need_factor, inputs.health)
    return Draws(
        *(array for step in steps for array in (step.start, step.time_us, step.value_us)),
        *(array for wave in waves for array in (wave.start, wave.time_us, wave.level)),
    )


def _durations(inputs: RunInputs) -> Durations:
    return Durations(
        inputs.edge_delay_us,
        inputs.restart_us,
        inputs.repair_us,
        inputs.group_buffer_us,
        inputs.group_tolerance_us,
        inputs.group_damages,
    )


def _solution(tables: Tables) -> Solution:
    pieces, struck = int(tables.used[POOL]), int(tables.used[STRIKES])
    start = np.zeros(len(tables.twins) + 1, np.int64)
    service = Waveforms(start, np.empty(pieces, np.int64), np.empty(pieces, np.int32))
    collect(tables, service.start, service.time_us, service.level)
    strikes = tables.strikes[:struck]
    strikes = strikes[np.lexsort((strikes["start"], strikes["group"]))]
    damage = Damage(strikes["group"].astype(np.int32), strikes["start"].copy(), strikes["end"].copy())
    return Solution(service, damage, int(tables.used[EVALUATIONS]))
