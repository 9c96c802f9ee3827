"""The seventeen rules of a cascade as a slow, readable reference; the kernel equals it to the bit.

Time is marched forward in cells. Twins in feedback use the scenario's grid, all others cells of one
microsecond (visited only where something can change), so both kinds obey the very same lines. At each cell
the levels are the greatest fixed point over sustained relations of the least fixed point inside each founded
loop; every memory (buffers, spells, restarts, delays) looks back, so cell by cell solves the whole waveform.

Numbers in brackets name the rule of DESIGN section 6 that a line implements. How gaps in the rules are read
is told in docs/decisions/0002-cascade-semantics.md.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ontology.errors import LimitError
from simulation.buffers import Supply
from simulation.tracks import Clock, Track
from simulation.world import FULL, Damage, Grid, Solution, Waveforms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from simulation.world import Plan, RunInputs, World

ROUNDS_MAX = 1_000_000
"""Rounds of one fixed point; levels are finite and only fall or only rise, so real worlds stay far below."""


class Levels(NamedTuple):
    """The two levels of a twin (8). Outside loops only service is ever read."""

    mains: int
    service: int


class Waves(NamedTuple):
    """The two levels of a twin over time."""

    mains: Track
    service: Track


NOTHING = Levels(0, 0)
ALL_WELL = Levels(FULL, FULL)


def share_outside(given: Sequence[tuple[int, int]], need: int) -> int:
    """(10) min(1, sum(weight * level) / need) for suppliers given as (weight, level)."""
    return FULL if need <= 0 else min(FULL, sum(weight * level for weight, level in given) // need)


def share_in_loop(given: Sequence[tuple[int, int]], need: int) -> int:
    """(10) The best over levels L of L * min(1, weight of suppliers at L or more / need)."""
    if need <= 0:
        return FULL
    return max(
        (
            least * min(need, sum(weight for weight, level in given if level >= least)) // need
            for _, least in given
        ),
        default=0,
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """The four places at which tests plant a defect, to show that the properties catch it."""

    loop_share: Callable[[Sequence[tuple[int, int]], int], int] = share_in_loop
    back_sees_mains: bool = True
    remainder_lost: bool = True
    spells_merge: bool = True


def solve_reference(
    world: World, plan: Plan, inputs: RunInputs, horizon_us: int, grid: Grid, rules: Rules | None = None
) -> Solution:
    """Service of every twin from hour 0 to the horizon, and what was damaged.

    Components are solved suppliers first. Raises LimitError CASCADE_ROUNDS where a fixed point is not reached
    in `ROUNDS_MAX` rounds.
    """
    run = Run.fresh(world, plan, inputs, rules or Rules())
    strikes: list[tuple[int, int, int]] = []
    evaluations = 0
    for first, end in zip(plan.member_start[:-1].tolist(), plan.member_start[1:].tolist(), strict=True):
        members = plan.members[first:end].tolist()
        gridded = bool(plan.gridded[members[0]])
        clock = Clock(grid.cell_us, grid.levels, horizon_us) if gridded else Clock(1, FULL, horizon_us)
        march = March(run, clock, members)
        march.run(range(clock.cells) if gridded else march.moments())
        strikes += march.strikes()
        evaluations += march.evaluations
    struck = np.array(sorted(strikes), np.int64).reshape(-1, 3)
    damage = Damage(struck[:, 0].astype(np.int32), struck[:, 1].copy(), struck[:, 2].copy())
    return Solution(Waveforms.of(waves.service.pieces for waves in run.outer), damage, evaluations)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """All that the marches of one run share.

    outer, inner: by twin, what marches read of twins they do not settle, and where they write (inner). One
    list where a whole world is solved. Where a part of it rises from nothing, with all else as it is (a loop
    through several sites), `inner` holds what rises in loops and `outer` what everyone else sees.
    """

    world: World
    plan: Plan
    inputs: RunInputs
    rules: Rules
    groups: list[list[int]]  # by twin
    outer: list[Waves]
    inner: list[Waves]

    @classmethod
    def fresh(cls, world: World, plan: Plan, inputs: RunInputs, rules: Rules) -> Run:
        """Nothing settled yet."""
        groups: list[list[int]] = [[] for _ in range(world.twins)]
        for group in range(world.groups):
            groups[int(world.group_twin[group])].append(group)
        waves = [Waves(Track(), Track()) for _ in range(world.twins)]
        return cls(world, plan, inputs, rules, groups, waves, waves)


@dataclass(frozen=True, slots=True)
class _Edge:
    """A supplier of a group and how it is seen."""

    number: int
    source: int
    weight: int
    looped: bool  # founded, from a twin of the own loop
    back: bool


@dataclass(frozen=True, slots=True)
class _Now:
    """What is fixed in a cell before its levels are settled."""

    cell: int
    health: dict[int, int]  # by twin
    lowest: dict[int, Levels]  # by twin: over the part of the restart window that lies in the past
    need: dict[int, int]  # by group
    known: dict[int, int]  # by edge: the lowest of all that arrives, without what is being settled
    live: set[int]  # edges over which arrives what is being settled
    given: dict[int, Levels]  # by twin: of the own loop, but not settled here


class March:
    """One component, marched from hour 0 to the horizon. Writes the levels of its members to `run.inner`.

    With `rising`, members are twins of one loop, and all but the loop's own edges is read from `run.outer`.
    """

    def __init__(self, run: Run, clock: Clock, members: list[int], *, rising: bool = False) -> None:
        plan, inputs = run.plan, run.inputs
        self._run, self._clock, self._members = run, clock, members
        self._settled_here = frozenset[int]() if rising else frozenset(members)
        for twin in members:
            run.inner[twin] = Waves(Track(), Track())
        self._groups = {twin: run.groups[twin] for twin in members}
        owned = [group for groups in self._groups.values() for group in groups]
        self._edges = {group: self._new_edges(group) for group in owned}
        edges = [edge.number for edges in self._edges.values() for edge in edges]
        self._supply = {group: self._new_supply(group) for group in owned}
        self._health = {twin: Track(FULL, inputs.health.row(twin)) for twin in members}
        self._restart = {
            twin: Track(int(inputs.restart_us[twin]), inputs.restart_set_us.row(twin)) for twin in members
        }
        self._factor = {group: Track(FULL, inputs.need_factor.row(group)) for group in owned}
        self._cap = {edge: Track(FULL, inputs.edge_cap.row(edge)) for edge in edges}
        self._extra = {edge: Track(0, inputs.edge_extra_us.row(edge)) for edge in edges}
        self._raw = {twin: (Track(), Track()) for twin in members}  # mains and service before the restart
        self._loops: dict[int, list[int]] = defaultdict(list)
        for twin in members:
            if plan.loop[twin] >= 0 and not plan.unfounded[twin]:
                self._loops[int(plan.loop[twin])].append(twin)
        self._falling = [twin for twin in members if plan.loop[twin] < 0 or plan.unfounded[twin]]
        self.evaluations = 0

    def moments(self) -> list[int]:
        """Exact time: every moment at which something outside this twin can make it change."""
        times = {0}
        for tracks in (self._health, self._restart, self._factor, self._cap, self._extra):
            times |= {time_us for track in tracks.values() for time_us in track.times}
        for edge in (edge for edges in self._edges.values() for edge in edges):
            delay_us = int(self._run.inputs.edge_delay_us[edge.number])
            extras_us = {0} | {extra_us for _, extra_us in self._extra[edge.number].pieces}
            for time_us in self._run.outer[edge.source].service.times:
                times |= {time_us + delay_us + extra_us for extra_us in extras_us}
        return sorted(times)

    def run(self, cells: Iterable[int]) -> None:
        """Visit these cells and those that the march itself finds to matter, in order."""
        agenda, last = list(cells), -1
        heapify(agenda)
        while agenda:
            cell = heappop(agenda)
            if last < cell < self._clock.cells:
                for supply in self._supply.values():
                    supply.elapse(cell - max(last, 0))
                for moment in self._visit(self._open(cell)):
                    heappush(agenda, moment)
                last = cell

    def strikes(self) -> list[tuple[int, int, int]]:
        """(group, start, end) of damage; a spell still open at the horizon is damage down to it."""
        found: list[tuple[int, int, int]] = []
        for group, supply in self._supply.items():
            supply.close(self._clock.cells)
            for start, end in supply.strikes:
                end_us = min(end * self._clock.cell_us, self._clock.horizon_us)
                found.append((group, start * self._clock.cell_us, end_us))
        return found

    def _open(self, cell: int) -> _Now:
        """(1) A cell takes the lowest of what its microseconds take."""
        first_us, last_us = self._clock.span(cell)
        now = _Now(cell, {}, {}, {}, {}, set(), {})
        for twin, groups in self._groups.items():
            now.health[twin] = min(self._health[twin].within(first_us, last_us))
            now.lowest[twin] = self._lowest_raw(twin, first_us, last_us)
            for group in groups:
                factor = max(self._factor[group].within(first_us, last_us))
                now.need[group] = -(-int(self._run.plan.need[group]) * factor // FULL)
                for edge in self._edges[group]:
                    self._look(edge, now, first_us, last_us)
        return now

    def _lowest_raw(self, twin: int, first_us: int, last_us: int) -> Levels:
        """(14) Before hour 0 all was well."""
        window = self._clock.whole_up(max(self._restart[twin].within(first_us, last_us)))
        since_us = first_us - window * self._clock.cell_us
        mains, service = (
            min(track.within(since_us, first_us - 1), default=FULL) for track in self._raw[twin]
        )
        return Levels(mains, service)

    def _look(self, edge: _Edge, now: _Now, first_us: int, last_us: int) -> None:
        """(1) A delay between two cells takes the lower of both; a growing delay the lowest that it spans."""
        arriving = self._cap[edge.number].within(first_us, last_us)
        if edge.looped:
            now.live.add(edge.number)
            if edge.source not in self._groups:
                now.given[edge.source] = self._given(edge.source, first_us, last_us)
        else:
            delay_us = int(self._run.inputs.edge_delay_us[edge.number])
            sent_first_us = first_us - delay_us - max(self._extra[edge.number].within(first_us, last_us))
            sent_last_us = last_us - delay_us
            if edge.source in self._settled_here and sent_last_us >= first_us:
                now.live.add(edge.number)
                sent_last_us = first_us - 1
            arriving += self._run.outer[edge.source].service.within(sent_first_us, sent_last_us)
        now.known[edge.number] = min(arriving)

    def _given(self, source: int, first_us: int, last_us: int) -> Levels:
        """(15, 16) A twin of the own loop that is settled elsewhere; without a rank it is sustained."""
        waves = (self._run.outer if self._run.plan.unfounded[source] else self._run.inner)[source]
        return Levels(*(min(track.within(first_us, last_us)) for track in waves))

    def _visit(self, now: _Now) -> list[int]:
        """Settle one cell, write it down, and name later cells at which this component changes by itself."""
        settled = self._settle(now)
        first_us = self._clock.span(now.cell)[0]
        moments: list[int] = []
        for twin in self._members:
            raw = self._raw_levels(twin, now, settled, settled)
            for track, level in zip(self._raw[twin], raw, strict=True):
                track.put(first_us, level)
            for track, level in zip(self._run.inner[twin], settled[twin], strict=True):
                track.put(first_us, level)
            for group in self._groups[twin]:
                self._supply[group].enter(now.cell, self._share(group, now, settled, settled, mains=False))
                moments += self._supply[group].next_changes(now.cell)
            lags = self._restart[twin].within(0, self._clock.horizon_us)
            moments += [raw_us + lag for raw_us in self._raw[twin][1].times[-1:] for lag in lags]
        return moments if self._clock.cell_us == 1 else []  # on a grid every cell is visited anyway

    def _settle(self, now: _Now) -> dict[int, Levels]:
        """(15) Sustained: start all well and fall. Each loop inside rises from nothing, every time."""
        levels = dict.fromkeys(self._members, ALL_WELL)
        for _ in range(ROUNDS_MAX):
            fallen = {twin: self._levels(twin, now, levels, levels) for twin in self._falling}
            for members in self._loops.values():
                fallen |= self._rise(members, now, levels)
            if fallen == levels:
                return levels
            levels = fallen
        raise LimitError(f"no fixed point in {ROUNDS_MAX} rounds", code="CASCADE_ROUNDS")

    def _rise(self, members: list[int], now: _Now, outer: Mapping[int, Levels]) -> dict[int, Levels]:
        """(15) The least levels of one loop that agree with each other, given all that is outside it."""
        levels = dict.fromkeys(members, NOTHING)
        for _ in range(ROUNDS_MAX):
            risen = {twin: self._levels(twin, now, levels, outer) for twin in members}
            if risen == levels:
                return levels
            levels = risen
        raise LimitError(f"no fixed point in {ROUNDS_MAX} rounds", code="CASCADE_ROUNDS")

    def _levels(
        self, twin: int, now: _Now, inner: Mapping[int, Levels], outer: Mapping[int, Levels]
    ) -> Levels:
        """(14) The lowest level over the restart window."""
        self.evaluations += 1
        raw, lowest = self._raw_levels(twin, now, inner, outer), now.lowest[twin]
        return Levels(min(raw.mains, lowest.mains), min(raw.service, lowest.service))

    def _raw_levels(
        self, twin: int, now: _Now, inner: Mapping[int, Levels], outer: Mapping[int, Levels]
    ) -> Levels:
        """(14) Health times the lowest of the groups and damage, rounded down to the clock's levels (1)."""
        mains = service = FULL
        for group in self._groups[twin]:
            supply = self._supply[group]
            buffered = supply.after_buffer(self._share(group, now, inner, outer, mains=False))
            unhurt = 0 if supply.is_damaged(now.cell, buffered) else FULL
            service = min(service, buffered, unhurt)
            if self._run.plan.group_looped[group]:  # (8) mains: as if the loop's carrier had no buffers
                bare = self._share(group, now, inner, outer, mains=True)
                mains = min(mains, bare, unhurt)
            else:
                mains = min(mains, buffered, unhurt)
        health, down = now.health[twin], self._clock.level_down
        return Levels(down(health * mains // FULL), down(health * service // FULL))

    def _share(
        self,
        group: int,
        now: _Now,
        inner: Mapping[int, Levels],
        outer: Mapping[int, Levels],
        *,
        mains: bool,
    ) -> int:
        """(10, 11) What the suppliers give of the need in this cell."""
        given = [
            (edge.weight, self._seen(edge, now, inner, outer, mains=mains)) for edge in self._edges[group]
        ]
        looped = bool(self._run.plan.group_looped[group])
        share = (self._run.rules.loop_share if looped else share_outside)(given, now.need[group])
        return share if share >= int(self._run.world.group_threshold[group]) else 0

    def _seen(
        self, edge: _Edge, now: _Now, inner: Mapping[int, Levels], outer: Mapping[int, Levels], *, mains: bool
    ) -> int:
        """(9) Mains sees mains inside the loop; service sees mains on back edges only. Outside is service."""
        known = now.known[edge.number]
        if edge.number not in now.live:
            return known
        if not edge.looped:
            return min(known, outer[edge.source].service)
        levels = inner.get(edge.source) or outer.get(edge.source) or now.given[edge.source]
        sees_mains = mains or (edge.back and self._run.rules.back_sees_mains)
        return min(known, levels.mains if sees_mains else levels.service)

    def _new_edges(self, group: int) -> list[_Edge]:
        world, plan = self._run.world, self._run.plan
        return [
            _Edge(
                number,
                int(world.edge_source[number]),
                int(world.edge_weight[number]),
                bool(plan.edge_looped[number]),
                not plan.onward[number],
            )
            for number in range(int(world.group_start[group]), int(world.group_start[group + 1]))
        ]

    def _new_supply(self, group: int) -> Supply:
        world, inputs, clock, rules = self._run.world, self._run.inputs, self._clock, self._run.rules
        return Supply(
            capacity=clock.whole_down(int(inputs.group_buffer_us[group])) * FULL,
            refill=int(world.group_refill[group]),
            tolerance=clock.whole_down(int(inputs.group_tolerance_us[group])),
            repair=clock.whole_up(int(inputs.repair_us[world.group_twin[group]])),
            damages=bool(inputs.group_damages[group]),
            remainder_lost=rules.remainder_lost,
            spells_merge=rules.spells_merge,
        )
