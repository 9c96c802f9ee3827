"""Solves a part, given levels of the twins that it only knows by token; solves again only what changed."""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulation.levels import March, Rules, Run, Waves
from simulation.tracks import Clock, Track
from simulation.world import FULL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from federation.joint.part import Part, Token
    from federation.joint.pieces import Pieces
    from federation.joint.plan import JointPlan
    from simulation.world import Grid, Plan, RunInputs


class Shown(NamedTuple):
    """Levels of a boundary twin as they travel."""

    mains: Pieces
    service: Pieces


def waves_of(shown: Shown) -> Waves:
    return Waves(Track(pieces=shown.mains), Track(pieces=shown.service))


def shown(waves: Waves) -> Shown:
    return Shown(waves.mains.pieces, waves.service.pieces)


class PartSolver:
    """What is known of every row of a part in one run, and what is out of date.

    outer: what everyone sees; inner: what twins of a loop through several sites see of each other while it
    rises. A unit is what is solved at once: own twins of one component (but those of rising loops).
    With `apart` false no loop rises by itself: all are solved with their component, given the imports.
    """

    def __init__(
        self,
        part: Part,
        joint: JointPlan,
        inputs: RunInputs,
        horizon_us: int,
        grid: Grid,
        *,
        apart: bool = True,
    ) -> None:
        self._part, self._plan, self._horizon_us, self._grid = part, joint.plan, horizon_us, grid
        self._run = Run.fresh(part.world, joint.plan, inputs, Rules())
        self.outer = self._run.outer
        self.inner = [Waves(Track(), Track()) for _ in range(part.world.twins)] if apart else self.outer
        self._rising = Run(
            part.world, joint.plan, inputs, self._run.rules, self._run.groups, self.outer, self.inner
        )
        self.loops = joint.loops if apart else {}
        self._units = _units(part, joint.plan, {row for rows in self.loops.values() for row in rows})
        self._unit_of = {row: unit for unit, rows in enumerate(self._units) for row in rows}
        self._loop_of = {row: name for name, rows in self.loops.items() for row in rows}
        self._strikes: dict[int | Token, list[tuple[int, int, int]]] = {}
        disturbed = _disturbed(part, joint.plan, inputs)
        self._stale = [unit for unit, rows in enumerate(self._units) if disturbed & set(rows)]
        self.touched: set[Token] = {name for name, rows in self.loops.items() if disturbed & set(rows)}
        self._unrisen: set[Token] = set()
        self._index_readers()
        self.evaluations = 0

    def see(self, row: int, levels: Shown) -> None:
        """Everyone sees these levels of a row from now on."""
        self.outer[row] = waves_of(levels)
        self._mark(row)

    def pin(self, row: int, levels: Shown) -> None:
        """For the whole run all see these levels of a row, also the twins of its loop."""
        self.see(row, levels)
        self.see_rising(row, levels)
        self.touched |= self._rising_readers[row]

    def see_rising(self, row: int, levels: Shown) -> None:
        """Twins of the row's own loop see these levels while the loop rises."""
        self.inner[row] = waves_of(levels)
        self._unrisen |= self._rising_readers[row]

    def solve(self) -> None:
        """Solve the units that are out of date, suppliers first."""
        while self._stale:
            unit = heappop(self._stale)
            while self._stale and self._stale[0] == unit:
                heappop(self._stale)
            rows = self._units[unit]
            before = [shown(self.outer[row]) for row in rows]
            self._march(self._run, unit, rows)
            for row, levels in zip(rows, before, strict=True):
                if shown(self.outer[row]) != levels:
                    self._mark(row)

    def begin(self, names: Iterable[Token]) -> None:
        """These loops are to rise from nothing."""
        self._unrisen = set(names) & self.loops.keys()

    def rise(self) -> None:
        """Solve loops that begin, and those whose suppliers at other sites rose."""
        for name in sorted(self._unrisen):
            self._march(self._rising, name, self.loops[name])
        self._unrisen.clear()

    def settle(self, names: Iterable[Token]) -> bool:
        """Let everyone see what these loops rose to. Has anything fallen by that?"""
        rows = [row for name in names for row in self.loops.get(name, ())]
        fell = [row for row in rows if shown(self.inner[row]) != shown(self.outer[row])]
        self.touched -= set(names)
        for row in fell:
            self.see(row, shown(self.inner[row]))
        return bool(fell)

    @property
    def strikes(self) -> list[tuple[int, int, int]]:
        """(group, start, end) of damage by the latest levels."""
        return sorted(strike for strikes in self._strikes.values() for strike in strikes)

    def _march(self, run: Run, unit: int | Token, rows: list[int]) -> None:
        gridded, grid = bool(self._plan.gridded[rows[0]]), self._grid
        clock = Clock(*((grid.cell_us, grid.levels) if gridded else (1, FULL)), self._horizon_us)
        march = March(run, clock, rows, rising=run is self._rising)
        march.run(range(clock.cells) if gridded else march.moments())
        self._strikes[unit] = march.strikes()
        self.evaluations += march.evaluations

    def _mark(self, row: int) -> None:
        """What reads the row is out of date."""
        for unit in self._readers[row]:
            heappush(self._stale, unit)
        self.touched |= self._loop_readers[row]

    def _index_readers(self) -> None:
        """By row: units and loops that see it in `outer`, and loops that see it in `inner`."""
        world, plan = self._part.world, self._plan
        self._readers: dict[int, set[int]] = defaultdict(set)
        self._loop_readers: dict[int, set[Token]] = defaultdict(set)
        self._rising_readers: dict[int, set[Token]] = defaultdict(set)
        ends = zip(world.edge_source.tolist(), self._part.edge_target.tolist(), strict=True)
        for edge, (source, target) in enumerate(ends):
            name = self._loop_of.get(target)
            if name is None:
                if self._unit_of.get(source) != self._unit_of[target]:
                    self._readers[source].add(self._unit_of[target])
            elif plan.edge_looped[edge] and not plan.unfounded[source]:
                if source >= self._part.own:
                    self._rising_readers[source].add(name)
            else:
                self._loop_readers[source].add(name)


def _disturbed(part: Part, plan: Plan, inputs: RunInputs) -> set[int]:
    """Own twins that may be below full by themselves. All others are full while their suppliers are.

    A loop with a rank is full when all outside is: each of its groups meets its need from lower ranks.
    """
    group_twin, edge_target = part.world.group_twin, part.edge_target
    rows: set[int] = set(group_twin[plan.need > plan.group_weight].tolist())
    for waves, twin in (
        (inputs.health, np.arange(part.world.twins)),
        (inputs.need_factor, group_twin),
        (inputs.edge_cap, edge_target),
    ):
        rows |= set(twin[np.diff(waves.start) > 0].tolist())
    return rows


def _units(part: Part, plan: Plan, apart: set[int]) -> list[list[int]]:
    """Own twins by component, suppliers first, without those that rise apart."""
    bounds = zip(plan.member_start[:-1].tolist(), plan.member_start[1:].tolist(), strict=True)
    rows = [plan.members[first:end].tolist() for first, end in bounds]
    units = [[row for row in members if row < part.own and row not in apart] for members in rows]
    return [unit for unit in units if unit]
