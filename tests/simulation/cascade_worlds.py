"""Small worlds for the tests of the cascade: written by hand, or random with all that the rules speak of."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulation.world import DEFAULT_NEED, FULL, NEVER, Grid, RunInputs, Steps, Waveforms, World


@dataclass(frozen=True)
class Need:
    """One need group: suppliers are twins or (twin, weight) or (twin, weight, delay_us)."""

    twin: int
    suppliers: Sequence[int | tuple[int, ...]]
    founded: bool = True
    need: int = DEFAULT_NEED
    threshold: int = 0
    buffer_us: int = 0
    refill: int = FULL
    tolerance_us: int = 0


def build_world(twins: int, needs: Sequence[Need], restart_us: Sequence[int] | None = None) -> World:
    edges = [
        (*((s,) if isinstance(s, int) else s), *(FULL, 0)[_given(s) - 1 :])
        for n in needs
        for s in n.suppliers
    ]
    columns = np.array(edges, np.int64).reshape(-1, 3)
    return World(
        twin_key=np.arange(twins, dtype=np.uint64),
        restart_us=np.array(restart_us or [0] * twins, np.int64),
        group_twin=np.array([n.twin for n in needs], np.int32),
        group_founded=np.array([n.founded for n in needs], np.bool_),
        group_need=np.array([n.need for n in needs], np.int64),
        group_threshold=np.array([n.threshold for n in needs], np.int32),
        group_buffer_us=np.array([n.buffer_us for n in needs], np.int64),
        group_refill=np.array([n.refill for n in needs], np.int64),
        group_tolerance_us=np.array([n.tolerance_us for n in needs], np.int64),
        group_start=np.concatenate([[0], np.cumsum([len(n.suppliers) for n in needs])]).astype(np.int64),
        group_key=np.arange(len(needs), dtype=np.uint64),
        edge_source=columns[:, 0].astype(np.int32),
        edge_weight=columns[:, 1].copy(),
        edge_delay_us=columns[:, 2].copy(),
        edge_key=np.arange(len(edges), dtype=np.uint64),
    )


def _given(supplier: int | tuple[int, ...]) -> int:
    return 1 if isinstance(supplier, int) else len(supplier)


def failing(world: World, down: dict[int, list[tuple[int, int]]]) -> RunInputs:
    """Nothing but these twins' health: pieces of (time_us, level)."""
    return replace(RunInputs.calm(world), health=Waveforms.of(down.get(i, []) for i in range(world.twins)))


@dataclass(frozen=True)
class Case:
    """One run to solve."""

    world: World
    inputs: RunInputs
    horizon_us: int
    grid: Grid


def fresh_seed(name: str) -> int:
    """A new seed for each session, printed, so that a failure can be had again by TWINMESH_SEED."""
    seed = int(os.environ.get("TWINMESH_SEED") or secrets.randbits(32))
    print(f"{name}: seed {seed}")
    return seed


def long_budget_s(default_s: float = 600.0) -> float:
    return float(os.environ.get("TWINMESH_LONG_S") or default_s)


def random_case(seed: int, index: int, *, twins_max: int = 30) -> Case:
    """World `index` of a seed: rings, trees, return pipes, supply cycles, mixed, with every kind of input."""
    rng = np.random.default_rng([seed, index])
    twins = int(rng.integers(4, twins_max + 1))
    cell_us = int(rng.choice([4, 60, 900_000_000]))
    grid = Grid(cell_us, int(rng.choice([4, 10, 32, 64])))
    horizon_us = cell_us * int(rng.integers(12, 40)) - int(rng.choice([0, 0, cell_us // 3]))
    draw = _Draw(rng, twins, cell_us, horizon_us)
    world = build_world(twins, draw.needs(), [draw.duration(0.3, 4) for _ in range(twins)])
    return Case(world, draw.inputs(world), horizon_us, grid)


@dataclass(frozen=True)
class _Draw:
    rng: np.random.Generator
    twins: int
    cell_us: int
    horizon_us: int

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def duration(self, probability: float, cells: int) -> int:
        """Zero, or up to that many cells, whole or not."""
        if not self.chance(probability):
            return 0
        whole = int(self.rng.integers(1, cells + 1)) * self.cell_us
        return whole if self.chance(0.5) else int(self.rng.integers(1, whole + 1))

    def time(self) -> int:
        return int(self.rng.integers(0, self.horizon_us))

    def level(self) -> int:
        return int(self.rng.choice([0, 0, FULL // 4, FULL // 2, int(self.rng.integers(0, FULL))]))

    def weight(self) -> int:
        return int(
            self.rng.choice([FULL, FULL, FULL, FULL // 2, 3 * FULL, int(self.rng.integers(0, 2 * FULL))])
        )

    def needs(self) -> list[Need]:
        """Twins in a random circle of founded relations, more founded and sustained groups among all."""
        found: list[Need] = []
        sources = int(self.rng.integers(1, max(2, self.twins // 4)))
        ring_end = int(self.rng.integers(sources, self.twins + 1)) if self.chance(0.7) else sources
        ring = list(range(sources, ring_end))
        for place, twin in enumerate(ring if len(ring) > 1 else []):
            near = {ring[place - 1], ring[(place + 1) % len(ring)]} - {twin}
            feeding = [
                *near,
                *([int(self.rng.integers(0, sources))] if place == 0 or self.chance(0.15) else []),
            ]
            found.append(self.need(twin, feeding, founded=True))
        for twin in range(sources, self.twins):
            for _ in range(int(self.rng.choice([0, 1, 1, 2]))):
                founded = self.chance(0.4)
                if founded and self.chance(0.7):
                    feeding = self.rng.integers(0, twin, size=int(self.rng.integers(1, 4))).tolist()
                else:
                    feeding = self.rng.integers(0, self.twins, size=int(self.rng.integers(1, 4))).tolist()
                found.append(self.need(twin, feeding, founded=founded))
        order = self.rng.permutation(len(found))
        return [found[i] for i in order]

    def need(self, twin: int, feeding: list[int], *, founded: bool) -> Need:
        delays = [0 if founded else self.duration(0.5, 3) for _ in feeding]
        weights = [self.weight() for _ in feeding]
        wanted = int(self.rng.choice([FULL, sum(weights), sum(weights) // 2, sum(weights) + 5]))
        return Need(
            twin,
            list(zip(feeding, weights, delays, strict=True)),
            founded=founded,
            need=wanted if self.chance(0.3) else DEFAULT_NEED,
            threshold=int(self.rng.choice([FULL // 2, FULL, int(self.rng.integers(0, FULL))]))
            if self.chance(0.2)
            else 0,
            buffer_us=self.duration(0.5, 6),
            refill=int(self.rng.choice([FULL, FULL // 3, 2 * FULL, 0])),
            tolerance_us=self.duration(0.5, 5),
        )

    def inputs(self, world: World) -> RunInputs:
        return RunInputs(
            health=Waveforms.of(self.levels(2.5 / self.twins) for _ in range(self.twins)),
            need_factor=Waveforms.of(self.factors(0.1) for _ in range(world.groups)),
            edge_cap=Waveforms.of(self.levels(0.05) for _ in range(world.edges)),
            edge_extra_us=Steps.of(self.extras(0.1) for _ in range(world.edges)),
            restart_set_us=Steps.of(self.extras(0.1) for _ in range(self.twins)),
            edge_delay_us=world.edge_delay_us,
            restart_us=world.restart_us,
            repair_us=np.array(
                [NEVER if self.chance(0.1) else self.duration(0.9, 5) for _ in range(self.twins)]
            ),
            group_buffer_us=world.group_buffer_us,
            group_tolerance_us=world.group_tolerance_us,
            group_damages=self.rng.random(world.groups) < 0.3,
        )

    def levels(self, probability: float) -> list[tuple[int, int]]:
        """Outages and partial losses that come and mostly go."""
        if not self.chance(probability):
            return []
        times = sorted({self.time() if self.chance(0.8) else 0 for _ in range(int(self.rng.integers(1, 5)))})
        return [(time, FULL if i % 2 and self.chance(0.7) else self.level()) for i, time in enumerate(times)]

    def factors(self, probability: float) -> list[tuple[int, int]]:
        times = sorted({self.time() for _ in range(2)}) if self.chance(probability) else []
        return [(time, int(self.rng.choice([FULL, FULL // 2, 2 * FULL, FULL + 77777]))) for time in times]

    def extras(self, probability: float) -> list[tuple[int, int]]:
        times = sorted({self.time() for _ in range(2)}) if self.chance(probability) else []
        return [(time, self.duration(0.7, 6)) for time in times]
