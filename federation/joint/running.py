"""A block of runs at one site: solved by the kernels, or where a loop crosses sites by the readable rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from federation.joint.exchange import RunCase, RunExchange, Scheme
from federation.joint.messages import Phase, Stage, Wave, Waved
from federation.joint.pieces import DOWN, WELL, lowest
from simulation.cascade.blocks import block_runs
from simulation.cascade.causes import new_causes
from simulation.cascade.given import GivenRuns
from simulation.cascade.layout import POOL, POOL_FULL, STRIKES, STRIKES_FULL
from simulation.cascade.loading import enlarged
from simulation.cascade.montecarlo import reduced
from simulation.cascade.tally import new_tally
from simulation.circles import components
from simulation.world import RunInputs, Steps, Waveforms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from federation.joint.part import Part, Token
    from federation.joint.pieces import Pieces
    from federation.joint.plan import JointPlan
    from simulation.cascade.layout import Tables
    from simulation.cascade.montecarlo import Block
    from simulation.case import Case
    from simulation.world import Plan


class RunsAtSite(Protocol):
    """A block of runs; every method takes and gives what changed, by run."""

    def open(self, stage: Stage, runs: Sequence[int], loops: Mapping[int, list[Token]]) -> None: ...

    def take(self, letters: Mapping[int, Waved]) -> None: ...

    def news(self) -> dict[int, Waved]: ...

    def touched(self) -> dict[int, list[Token]]:
        """Loops through several sites of which an input fell."""
        ...

    def settle(self) -> list[int]:
        """End of a rise: runs in which a loop came out lower."""
        ...

    def tally(self) -> list[Block]: ...


def has_loops(joint: JointPlan) -> bool:
    """Whether a founded loop runs through this site and others: mains travel then."""
    return bool(joint.loops or joint.imports or joint.mains)


def kernel_case(case: Case, part: Part, joint: JointPlan) -> Case:
    """The case with its share of the joint plan: rows from outside are components of their own.

    A circle that closes through other sites is cut here and solved by turns, on the grid like any other.
    Founded loops that do are components that read nothing: they rise by themselves.
    """
    plan, world = joint.plan, part.world
    own, rising = np.arange(world.twins) < part.own, np.zeros(world.twins, np.bool_)
    rings = [np.array(rows, np.int32) for rows in joint.loops.values()]
    for ring in rings:
        rising[ring] = True
    kept = ~rising[part.edge_target]
    source = np.concatenate([world.edge_source[kept], *rings])
    target = np.concatenate([part.edge_target[kept], *(np.roll(ring, 1) for ring in rings)])
    component = components(source, target, world.twins)
    count = int(component.max(initial=-1)) + 1
    start = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(component, minlength=count), out=start[1:])
    cut: Plan = replace(
        plan,
        loop=np.where(own, plan.loop, -1).astype(np.int32),
        component=component,
        gridded=plan.gridded & own,
        member_start=start,
        members=np.lexsort((plan.rank, component)).astype(np.int32),
    )
    return replace(case, plan=cut)


def kernel_runs(case: Case, part: Part, joint: JointPlan) -> GivenRuns:
    """A part's runs for the kernels where no founded loop leads outside."""
    return GivenRuns(kernel_case(case, part, joint), len(part.imports), part.exports.values())


@dataclass(slots=True)
class _Known:
    outside: list[Pieces]  # by import
    said: list[Pieces]  # by export


class KernelRuns:
    """Runs of a part through which no founded loop leads to other sites: nothing rises, all falls."""

    def __init__(
        self,
        part: Part,
        runs: GivenRuns,
        numbers: Iterable[int],
        pinned: Mapping[int, Pieces],
        horizon_us: int,
    ) -> None:
        self._part, self._runs, self._horizon_us = part, runs, horizon_us
        self._pinned = frozenset(pinned)
        outside = [pinned.get(row, WELL) for row in range(part.own, part.world.twins)]
        self.known = {number: _Known(list(outside), [WELL] * len(part.exports)) for number in numbers}
        self._place = {token: place for place, token in enumerate(part.imports)}
        self._stale, self._tokens = set(self.known), list(part.exports)
        self._is_falling = True

    def open(self, stage: Stage, runs: Sequence[int], loops: Mapping[int, list[Token]]) -> None:
        """Nothing begins anew. What others' loops rise through is theirs alone."""
        self._is_falling = stage is Stage.FALL

    def take(self, letters: Mapping[int, Waved]) -> None:
        for number, body in letters.items() if self._is_falling else ():
            known = self.known[number].outside
            for token, wave in body.service.items():
                place = self._place[token]
                lower = lowest(known[place], wave.pieces(self._horizon_us))
                if lower != known[place]:
                    known[place] = lower
                    self._stale.add(number)

    def news(self) -> dict[int, Waved]:
        stale = set(self._stale)
        self._stale.clear()
        if not stale or not self._part.exports:
            return {}
        found = self._runs.fallen({number: self.known[number].outside for number in stale})
        told: dict[int, Waved] = {}
        for number, now in found.items():  # what is full now was never said to be anything else: all falls
            said, changed = self.known[number].said, dict[bytes, Wave]()
            for place, (after, _) in now.items():
                if said[place] != after:
                    said[place] = after
                    changed[self._tokens[place]] = Wave.of(after)
            if changed:
                told[number] = Waved(changed)
        return told

    def touched(self) -> dict[int, list[Token]]:
        return {}

    def settle(self) -> list[int]:
        return []

    def tally(self) -> list[Block]:
        return [
            reduced(len(part), *self._runs.tally({number: self.known[number].outside for number in part}))
            for part in at_once(sorted(self.known), self._runs.case.world.twins)
        ]


class ReadableRuns:
    """Runs of a part with loops through other sites, each by `RunExchange`: right, and slow."""

    def __init__(
        self,
        part: Part,
        joint: JointPlan,
        runs: GivenRuns,
        numbers: Iterable[int],
        pinned: Mapping[int, Pieces],
    ) -> None:
        self._part, self._runs = part, runs
        case = runs.case
        calm = [WELL] * len(part.imports)
        self.exchanges = {
            number: RunExchange(
                part,
                joint,
                RunCase(inputs_of(case, runs.draw(number, calm)), case.horizon_us, case.grid, pinned),
                Scheme(),
            )
            for number in numbers
        }
        self._open: set[int] = set()

    def open(self, stage: Stage, runs: Sequence[int], loops: Mapping[int, list[Token]]) -> None:
        self._open = set(runs)
        for number in runs:
            self.exchanges[number].open(Phase(1, stage, loops.get(number, [])))

    def take(self, letters: Mapping[int, Waved]) -> None:
        for number, body in letters.items():
            self.exchanges[number].take(body)

    def news(self) -> dict[int, Waved]:
        told = {number: self.exchanges[number].news() for number in sorted(self._open)}
        return {number: body for number, body in told.items() if body.service or body.mains}

    def touched(self) -> dict[int, list[Token]]:
        told = {number: sorted(self.exchanges[number].solver.touched) for number in sorted(self._open)}
        return {number: names for number, names in told.items() if names}

    def settle(self) -> list[int]:
        return [number for number in sorted(self._open) if self.exchanges[number].close().fell]

    def tally(self) -> list[Block]:
        return [self._tally(part) for part in at_once(sorted(self.exchanges), self._runs.case.world.twins)]

    def _tally(self, numbers: Sequence[int]) -> Block:
        """The solved runs put where the kernels leave theirs, and counted by them."""
        case, part = self._runs.case, self._part
        count = len(numbers)
        tally, causes = (
            new_tally(count, case.world.twins),
            new_causes(count, case.world.twins, case.world.edges),
        )
        for place, number in enumerate(numbers):
            solver = self.exchanges[number].solver
            rows = [waves.service.pieces for waves in solver.outer]
            self._runs.draw(number, rows[part.own :])
            self._runs.desk = self._runs.desk._replace(
                tables=_held(self._runs.desk.tables, rows, solver.strikes)
            )
            self._runs.tally_held(tally, causes, place)
        return reduced(count, tally, causes)


def at_once(numbers: Sequence[int], twins: int) -> list[Sequence[int]]:
    """Runs that are counted together: they take memory for each twin."""
    size = block_runs(twins)
    return [numbers[first : first + size] for first in range(0, len(numbers), size)]


def inputs_of(case: Case, tables: Tables) -> RunInputs:
    """One run's inputs out of the tables that it was drawn into; rows from outside have none."""
    twins, groups, edges, pieces = tables.twins, tables.groups, tables.edges, tables.pieces

    def rows(first: str, end: str) -> list[Pieces]:
        spans = zip(twins[first].tolist(), twins[end].tolist(), strict=True)
        return [
            list(zip(pieces["time"][a:b].tolist(), pieces["value"][a:b].tolist(), strict=True))
            for a, b in spans
        ]

    return replace(
        case.calm,
        health=Waveforms.of(rows("first_health", "end_health")),
        restart_set_us=Steps.of(rows("first_setting", "end_setting")),
        edge_delay_us=edges["delay"].copy(),
        restart_us=twins["restart"].copy(),
        repair_us=twins["repair"].copy(),
        group_buffer_us=groups["buffer"].copy(),
        group_tolerance_us=groups["tolerance"].copy(),
        group_damages=groups["damages"].copy(),
    )


def _held(tables: Tables, rows: Sequence[Pieces], strikes: Sequence[tuple[int, int, int]]) -> Tables:
    """The tables with a solution in them."""
    flat = [piece for row in rows for piece in row]
    while len(tables.pool) < len(flat):
        tables = enlarged(tables, POOL_FULL)
    while len(tables.strikes) < len(strikes):
        tables = enlarged(tables, STRIKES_FULL)
    count = np.array([len(row) for row in rows], np.int64)
    tables.twins["pieces"], tables.twins["first_piece"] = count, np.cumsum(count) - count
    values = np.array(flat, np.int64).reshape(-1, 2)
    tables.pool["time"][: len(flat)], tables.pool["value"][: len(flat)] = values[:, 0], values[:, 1]
    struck = np.array(strikes, np.int64).reshape(-1, 3)
    for column, name in enumerate(("group", "start", "end")):
        tables.strikes[name][: len(strikes)] = struck[:, column]
    tables.used[POOL], tables.used[STRIKES] = len(flat), len(strikes)
    return tables


def pinned_rows(part: Part, lit: frozenset[str], *, well: bool) -> dict[int, Pieces]:
    """Levels of the rows of servers that do not answer."""
    owners = enumerate(part.owners, part.own)
    return {row: WELL if well else DOWN for row, owner in owners if owner not in lit}


__all__ = [
    "KernelRuns",
    "ReadableRuns",
    "RunsAtSite",
    "has_loops",
    "inputs_of",
    "kernel_case",
    "kernel_runs",
    "pinned_rows",
]
