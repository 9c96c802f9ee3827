"""Random worlds with random failures, cut into sites that run whole blocks as servers do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np

from federation.joint.agreeing import World
from federation.joint.cascading import CascadeSite
from federation.joint.conducting import Bounds, Conductor, Here, Traffic
from federation.joint.cutting import Cut, cut_inputs, cut_world
from federation.joint.letters import Act, Step
from federation.joint.rising import LoopMap, RisingRuns
from federation.joint.running import KernelRuns, kernel_case
from federation.joint.site import LocalSite
from simulation.cascade.given import GivenRuns, Pieces
from simulation.cascade.montecarlo import Merger, Outcome, run_case
from simulation.case import Case, Draws, Money, Outages
from simulation.distributions import Durations, parse_duration
from simulation.plan import make_plan
from simulation.world import NEVER, Int64s
from simulation.world import World as Numbers
from tests.federation.cascade_sites import ignored
from tests.federation.joint_worlds import random_owners
from tests.simulation.cascade_worlds import Case as RunCase
from tests.simulation.cascade_worlds import random_case

RUNS = 3


@dataclass(frozen=True)
class Failing:
    """A world of which some twins fail in some runs."""

    world: RunCase
    case: Case
    outages: dict[int, tuple[float, int, float]]  # by twin: chance, at_us, repair in hours


def failing_world(seed: int, index: int, twins_max: int) -> Failing:
    random, world = Random(f"failing {seed} {index}"), random_case(seed, index, twins_max=twins_max)
    twins = world.world.twins
    ways = {
        twin: (
            random.choice([0.3, 0.7]),
            random.randrange(world.horizon_us),
            random.choice([1e-9, 3e-9, 1e-7]),
        )
        for twin in random.sample(range(twins), max(1, twins // 6))
    }
    case = case_of(world, world.world, world.inputs, ways, seed)
    return Failing(world, replace(case, plan=make_plan(world.world)), ways)


def case_of(
    world: RunCase, numbers: Numbers, inputs: Any, ways: Mapping[int, tuple[float, int, float]], seed: int
) -> Case:
    """Without a plan: whoever takes it brings one."""
    small, rows = np.zeros(0, np.int8), sorted(ways)
    count = np.bincount(rows, minlength=numbers.twins)
    return Case(
        world=numbers,
        plan=None,  # pyright: ignore
        calm=inputs,
        draws=Draws(
            small, np.zeros(0, np.int32), Durations.of(()), np.zeros(0, np.uint64), small,
            np.zeros(0, np.int32), small,
        ),
        outages=Outages(
            first=np.append(0, np.cumsum(count)).astype(np.int64),
            chance=np.array([ways[row][0] for row in rows], np.float64),
            at_us=np.array([ways[row][1] for row in rows], np.int64),
            start=Durations.of([parse_duration(0.0) for _ in rows]),
            start_index=np.zeros(len(rows), np.int32),
            repair=Durations.of([parse_duration(ways[row][2]) for row in rows]),
            repair_index=np.zeros(len(rows), np.int32),
            before_us=np.full(len(rows), NEVER),
        ),
        damage_chance=inputs.group_damages.astype(np.float64),
        money=prices(numbers.twins, numbers.twin_key),
        horizon_us=world.horizon_us,
        grid=world.grid,
        seed=seed,
    )  # fmt: skip


def prices(twins: int, key: Any) -> Money:
    """Something an hour and for a repair, by the twin's key; rows from outside cost nothing."""
    worth = (key % np.uint64(1000)).astype(np.int64) * 3_600_000_000
    start = np.arange(twins + 1, dtype=np.int64)
    return Money(start, np.zeros(twins, np.int64), worth, (key % np.uint64(77)).astype(np.int64))


class CutSite(CascadeSite):
    """A site whose part was cut from a whole world; acts before the plan have nothing to do."""

    def __init__(self, cut: Cut, case: Case, runs: int) -> None:
        scenario = SimpleNamespace(runs=runs)
        world = World(cut.part.name, None, scenario, {}, lambda _: None, lambda *_: None)  # pyright: ignore
        super().__init__(world, frozenset({cut.part.name, *cut.part.owners}))
        self.cut, self._case = cut, case
        self.levels: dict[int, list[Pieces]] = {}
        self.kind = ""

    def open(self, step: Step) -> dict[str, bytes]:
        if step.act in (Act.AGREE, Act.TOUCH):
            self._step = step
            return {}
        return super().open(step)

    def _count(self) -> None:
        if self._runs is not None:
            self.levels |= self._levels()
        super()._count()

    def _compile(self) -> None:
        self._compiled = SimpleNamespace(case=self._case)  # pyright: ignore
        self._part, self._local = self.cut.part, LocalSite(self.cut.part)
        self._merger = Merger(self._case.world.twins)

    def _levels(self) -> dict[int, list[Pieces]]:
        """Of all own twins by run, as they stand."""
        part, runs = self.cut.part, self._runs
        self.kind = type(runs).__name__
        assert isinstance(runs, KernelRuns | RisingRuns) and self._local is not None
        joint = self._local.plan
        case, loops = kernel_case(self._case, part, joint), LoopMap(part, joint).loops
        everything = GivenRuns(case, len(part.imports), range(part.own), loops)
        if isinstance(runs, KernelRuns):
            return everything.levels({number: known.outside for number, known in runs.known.items()})
        known = {number: run.known for number, run in runs.runs.items()}
        found, well = everything.fall(known)[0], ([], [])
        return {n: [rows.get(row, well)[0] for row in range(part.own)] for n, rows in found.items()}

    @property
    def outcome(self) -> Outcome:
        self._count()
        assert self._merger is not None
        return self._merger.outcome()


@dataclass(frozen=True)
class Blocks:
    failing: Failing
    sites: list[CutSite]
    traffic: Traffic

    def levels(self) -> dict[int, list[Pieces]]:
        """Of all twins of the whole world, by run."""
        found: dict[int, list[Pieces]] = {run: [[]] * self.failing.case.world.twins for run in range(RUNS)}
        for site in self.sites:
            for run, rows in site.levels.items():
                for twin, pieces in zip(site.cut.twins.tolist(), rows, strict=True):
                    found[run][twin] = pieces
        return found

    def united(self, column: str) -> Int64s:
        """A column of the sites' own outcomes, by twin of the whole world."""
        whole = np.zeros(self.failing.case.world.twins, np.int64)
        for site in self.sites:
            values = getattr(site.outcome, column)
            own = range(site.cut.part.own)
            whole[site.cut.twins] = [int(values.total(row) if column in SUMS else values[row]) for row in own]
        return whole


SUMS = ("down", "cost")


def one_machine(failing: Failing) -> tuple[dict[int, list[Pieces]], Outcome]:
    case = failing.case
    runs = GivenRuns(case, 0, range(case.world.twins))
    return runs.levels({run: [] for run in range(RUNS)}), run_case(case, RUNS, threads=1)


def run_blocks(seed: int, index: int, *, twins_max: int = 24, block: int = 2) -> Blocks:
    """One random world over random sites."""
    failing, random = failing_world(seed, index, twins_max), Random(f"blocks {seed} {index}")
    owners, count = random_owners(random, failing.case.world.twins)
    tokens = [random.randbytes(16) for _ in range(failing.case.world.twins)]
    names = [f"site-{number}" for number in range(count)]
    sites = [
        _site(failing, per_reader(cut), seed)
        for cut in cut_world(failing.case.world, owners, names, tokens.__getitem__)
    ]
    conductor = Conductor([Here(site) for site in sites], Bounds(block_runs=block), ignored, lambda: None)
    asyncio.run(_run(conductor))
    for site in sites:
        site._count()
    return Blocks(failing, sites, conductor.traffic)


async def _run(conductor: Conductor) -> None:
    await conductor.prepare()
    await conductor.run(RUNS, well=True)


def per_reader(cut: Cut) -> Cut:
    """The same with a token of its own for each reader of a twin, as servers make them."""
    part = cut.part
    pairs = [(token, reader) for token, readers in part.readers.items() for reader in readers]
    own = replace(
        part,
        imports=tuple(blake2b(token + part.name.encode()).digest()[:16] for token in part.imports),
        exports={blake2b(t + reader.encode()).digest()[:16]: part.exports[t] for t, reader in pairs},
        readers={blake2b(t + reader.encode()).digest()[:16]: (reader,) for t, reader in pairs},
    )
    return replace(cut, part=own)


def _site(failing: Failing, cut: Cut, seed: int) -> CutSite:
    place: dict[int, int] = {int(twin): row for row, twin in enumerate(cut.twins.tolist())}
    ways = {place[twin]: way for twin, way in failing.outages.items() if twin in place}
    case = case_of(failing.world, cut.part.world, cut_inputs(failing.world.inputs, cut), ways, seed)
    return CutSite(cut, case, RUNS)


def differing(
    found: Mapping[int, Sequence[Pieces]], truth: Mapping[int, Sequence[Pieces]]
) -> list[tuple[int, int]]:
    """(run, twin) whose levels differ."""
    return [
        (run, twin)
        for run, rows in truth.items()
        for twin, pieces in enumerate(rows)
        if list(found[run][twin]) != list(pieces)
    ]
