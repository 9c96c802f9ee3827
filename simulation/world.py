"""The numbers a cascade runs on: a world, its plan, what one run changes, and the waveforms that come out.

All values are integers, so that sums do not depend on order, partition or threads: times in microseconds from
the scenario's start, levels, weights and factors as fixed point with `FULL` = 1. Arrays are never written to
after they were handed over, so runs may share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FULL = 1 << 20
"""Level, weight, factor or rate of one."""
NEVER = int(np.iinfo(np.int64).max // 4)
"""A time or duration beyond every horizon; sums of a few of them stay in 64 bits."""
HOUR_US = 3_600_000_000
DEFAULT_NEED = -1
"""`World.group_need` where none is stated: the plan derives it (rule 6)."""
UNRANKED = int(np.iinfo(np.int32).max)
"""`Plan.rank` of a twin that no service from outside its loop can reach (rule 16)."""
WEIGHT_SUM_MAX = 1 << 42
"""Most that the weights of one group may add up to, and its need: weight * level must stay in 64 bits."""
REFILL_MAX = 1 << 40
"""Fastest refill: a million times as fast as a full drain."""
FACTOR_MAX = (1 << 31) - 1
"""Most that a need may be multiplied by (2048 times)."""

Bools: TypeAlias = npt.NDArray[np.bool_]
Int32s: TypeAlias = npt.NDArray[np.int32]
Int64s: TypeAlias = npt.NDArray[np.int64]
UInt64s: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Grid:
    """How coarsely twins in feedback are seen: whole cells, `levels` steps, rounded to the safe side.

    A grid is never better than another that divides its cells and of whose levels its own are a divisor.
    """

    cell_us: int = HOUR_US // 4
    levels: int = 64

    def __post_init__(self) -> None:
        if self.cell_us < 1 or not 1 <= self.levels <= FULL:
            raise InputError(f"a grid of {self.cell_us} us and {self.levels} levels", code="GRID_INVALID")


@dataclass(frozen=True, slots=True, eq=False)
class Waveforms:
    """Levels over time for many rows (twins, groups or edges), piecewise constant.

    start: int64[rows + 1]; pieces of row i are start[i] .. start[i + 1]
    time_us: int64[k], ascending inside a row, 0 or later
    level: int32[k], holds from time_us until the next piece
    Before its first piece a row is FULL; without pieces it is FULL throughout (all was well before hour 0).
    """

    start: Int64s
    time_us: Int64s
    level: Int32s

    @classmethod
    def full(cls, rows: int) -> Waveforms:
        """All rows FULL throughout."""
        return cls(np.zeros(rows + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32))

    @classmethod
    def of(cls, rows: Iterable[Sequence[tuple[int, int]]]) -> Waveforms:
        """From one list of (time_us, level) per row."""
        start, time_us, value = _pack(rows)
        return cls(start, time_us, value.astype(np.int32))

    def __len__(self) -> int:
        return len(self.start) - 1

    def row(self, index: int) -> list[tuple[int, int]]:
        """The pieces of one row as (time_us, level)."""
        return _row(self.start, self.time_us, self.level, index)

    def at(self, index: int, time_us: int) -> int:
        """The level of one row at one time."""
        return _at(self.start, self.time_us, self.level, index, time_us, FULL)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Durations over time for many rows; laid out as Waveforms, but values are int64 microseconds.

    What holds before a row's first piece (and in a row without pieces) is said where the steps are used.
    """

    start: Int64s
    time_us: Int64s
    value_us: Int64s

    @classmethod
    def none(cls, rows: int) -> Steps:
        return cls(np.zeros(rows + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def of(cls, rows: Iterable[Sequence[tuple[int, int]]]) -> Steps:
        """From one list of (time_us, value_us) per row."""
        return cls(*_pack(rows))

    def __len__(self) -> int:
        return len(self.start) - 1

    def row(self, index: int) -> list[tuple[int, int]]:
        """The pieces of one row as (time_us, value_us)."""
        return _row(self.start, self.time_us, self.value_us, index)

    def at(self, index: int, time_us: int, default: int) -> int:
        """The value of one row at one time; `default` before its first piece."""
        return _at(self.start, self.time_us, self.value_us, index, time_us, default)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """n twins, g need groups (of a twin each), e dependence edges (of a group each); the same for every run.

    Edges are sorted by group: those of group i are group_start[i] .. group_start[i + 1].
    """

    twin_key: UInt64s  # [n] stable hash of the IRI
    restart_us: Int64s  # [n]

    group_twin: Int32s  # [g] the dependent twin
    group_founded: Bools  # [g] carried by founded relations (feeds), else sustained (supplies, dependsOn)
    group_need: Int64s  # [g] DEFAULT_NEED where none is stated
    group_threshold: Int32s  # [g] a share below it counts as 0
    group_buffer_us: Int64s  # [g] how long a full buffer carries the whole need
    group_refill: Int64s  # [g] rate while the share is full; FULL refills one hour of buffer in an hour
    group_tolerance_us: Int64s  # [g] starving longer than this damages
    group_start: Int64s  # [g + 1] into the edges
    group_key: UInt64s  # [g]

    edge_source: Int32s  # [e] the supplier
    edge_weight: Int64s  # [e]
    edge_delay_us: Int64s  # [e] 0 in founded groups
    edge_key: UInt64s  # [e]

    @property
    def twins(self) -> int:
        return len(self.twin_key)

    @property
    def groups(self) -> int:
        return len(self.group_twin)

    @property
    def edges(self) -> int:
        return len(self.edge_source)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What follows from the graph alone (rules 2 to 8 and 16), frozen for a scenario. Made by `make_plan`."""

    loop: Int32s  # [n] founded loop the twin is in, -1: none
    rank: Int32s  # [n] steps from where service enters its loop; 0 outside loops; UNRANKED
    unfounded: Bools  # [n] in a loop, but UNRANKED: its inputs from the loop count as sustained (rule 16)
    stuck: Bools  # [n] on a sustained cycle that would not start again by itself once all of it was down
    gridded: Bools  # [n] in a circle of any relations: evaluated on the grid

    need: Int64s  # [g] stated, or by rule 6
    group_looped: Bools  # [g] founded, with a supplier of the twin's own loop (rule 10; mains sees no buffer)
    group_weight: Int64s  # [g] sum of the weights

    onward: Bools  # [e] rule 5
    edge_looped: Bools  # [e] founded, from a supplier of the same loop
    edge_group: Int32s  # [e]

    component: Int32s  # [n] strongly connected component over all relations, numbered suppliers first
    member_start: Int64s  # [components + 1] into members
    members: Int32s  # [n] twins by component; inside one by rank, then by row
    out_start: Int64s  # [n + 1] into out_edge
    out_edge: Int32s  # [e] edges by source


@dataclass(frozen=True, slots=True, eq=False)
class RunInputs:
    """One run's draws and the scenario's events, as overrides of a World.

    health          [n] own capability over time: live state, failures, FAIL, DEGRADE, CLOSE, REMOVE (0 from
                    hour 0)
    need_factor     [g] SURGE: multiplies the need; FULL is 1, at most FACTOR_MAX
    edge_cap        [e] the most that comes out of an edge at a time: 0 for a removed relationship, and for
                    the gap in arrivals that a delay opens
    edge_extra_us   [e] DELAY, 0 before the first piece: at time t the edge gives the lowest that its source
                    gave in t - delay - extra(t) .. t - delay. With extra 0 that is what the source gave at
                    t - delay. Taking the lowest keeps the cascade monotone: a delay hides no bad news that
                    would have come without it
    restart_set_us  [n] SET restartHours: replaces restart_us from a time on
    edge_delay_us   [e] as drawn; edges inside a founded loop have none, whatever is said
    group_damages   [g] this run's draw against damageProbability: all of the group's long spells damage, or
                    none. One draw a run, since with draws by spell a longer outage could help
    repair_us       [n] of damage, counted from when supply is back; NEVER: down to the horizon
    """

    health: Waveforms
    need_factor: Waveforms
    edge_cap: Waveforms
    edge_extra_us: Steps
    restart_set_us: Steps
    edge_delay_us: Int64s
    restart_us: Int64s
    repair_us: Int64s
    group_buffer_us: Int64s
    group_tolerance_us: Int64s
    group_damages: Bools

    @classmethod
    def calm(cls, world: World) -> RunInputs:
        """The world as stated: all healthy, no events, no damage. Use dataclasses.replace from here."""
        n, g, e = world.twins, world.groups, world.edges
        return cls(
            health=Waveforms.full(n),
            need_factor=Waveforms.full(g),
            edge_cap=Waveforms.full(e),
            edge_extra_us=Steps.none(e),
            restart_set_us=Steps.none(n),
            edge_delay_us=world.edge_delay_us,
            restart_us=world.restart_us,
            repair_us=np.full(n, NEVER, np.int64),
            group_buffer_us=world.group_buffer_us,
            group_tolerance_us=world.group_tolerance_us,
            group_damages=np.zeros(g, np.bool_),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Damage:
    """Strikes of rule 13, sorted by (group, start): down from start_us until end_us (at most the horizon)."""

    group: Int32s
    start_us: Int64s
    end_us: Int64s

    def __len__(self) -> int:
        return len(self.group)


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What one run gave. Waveforms are canonical, so that equal outcomes are equal arrays: neighbouring
    pieces differ, the first is below FULL, all lie before the horizon."""

    service: Waveforms  # [n]
    damage: Damage
    evaluations: int  # how often a twin was evaluated at a time or over its waveform; differs between engines


def _pack(rows: Iterable[Sequence[tuple[int, int]]]) -> tuple[Int64s, Int64s, Int64s]:
    listed = [list(row) for row in rows]
    start = np.zeros(len(listed) + 1, np.int64)
    np.cumsum([len(row) for row in listed], out=start[1:])
    pieces = np.array([piece for row in listed for piece in row], np.int64).reshape(-1, 2)
    return start, pieces[:, 0].copy(), pieces[:, 1].copy()


def _row(start: Int64s, time_us: Int64s, value: Int32s | Int64s, index: int) -> list[tuple[int, int]]:
    span = slice(int(start[index]), int(start[index + 1]))
    return list(zip(time_us[span].tolist(), value[span].tolist(), strict=True))


def _at(start: Int64s, time_us: Int64s, value: Int32s | Int64s, index: int, at_us: int, default: int) -> int:
    first, end = int(start[index]), int(start[index + 1])
    position = first + int(np.searchsorted(time_us[first:end], at_us, side="right"))
    return int(value[position - 1]) if position > first else default
