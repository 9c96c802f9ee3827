"""A case: a scenario compiled onto the part of a graph that it can reach, ready to be run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from simulation.distributions import Durations, Float64s
    from simulation.world import Grid, Int32s, Int64s, Plan, RunInputs, UInt64s, World


class Target(IntEnum):
    """Which array of the run inputs a draw goes to."""

    EDGE_DELAY = 0
    GROUP_BUFFER = 1
    GROUP_TOLERANCE = 2
    RESTART = 3
    RESTART_SET = 4
    REPAIR = 5


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """k durations that every run draws anew: which (Target), for which row of it, and by which key."""

    target: npt.NDArray[np.int8]
    row: Int32s
    duration: Durations
    key: UInt64s
    purpose: npt.NDArray[np.int8]
    index: Int32s  # keeps apart several draws of one key and purpose
    rounding: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True, eq=False)
class Outages:
    """k ways to go down, sorted by twin: with `chance`, from at + start until start + repair, at the latest.

    One that would start at `before_us` or later does not happen: by then something else was stated.
    """

    first: Int64s  # [n + 1] into the rows below, by twin
    chance: Float64s  # [k]
    at_us: Int64s  # [k]
    start: Durations  # [k] counted from at_us
    start_index: Int32s  # [k] of the draw
    repair: Durations  # [k] absent: never
    repair_index: Int32s  # [k] of the draw
    before_us: Int64s  # [k]

    @property
    def random(self) -> bool:
        drawn = self.start.drawn.any() or self.repair.drawn.any()
        return bool(drawn or ((self.chance > 0) & (self.chance < 1)).any())


@dataclass(frozen=True, slots=True, eq=False)
class Money:
    """What time and repairs cost, in thousandths. Values per hour step like waveforms; 0 before the first."""

    start: Int64s  # [n + 1] into the pieces
    time_us: Int64s
    per_hour: Int64s
    repair: Int64s  # [n]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Numbers only; rows of twins, groups and edges are those of the world.

    `calm` holds what is the same in every run, fixed durations and events; the rest comes on top of it.
    """

    world: World
    plan: Plan
    calm: RunInputs
    draws: Draws
    outages: Outages
    damage_chance: Float64s  # [g]
    money: Money
    horizon_us: int
    grid: Grid
    seed: int

    @property
    def random(self) -> bool:
        """False where every run would give the same."""
        chancy = (self.damage_chance > 0) & (self.damage_chance < 1)
        return bool(len(self.draws) or self.outages.random or chancy.any())
