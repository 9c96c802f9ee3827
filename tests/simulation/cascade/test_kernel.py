"""The compiled cascade equals the readable one to the bit."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ontology.errors import InputError, LimitError
from simulation import levels
from simulation.cascade.kernel import CELLS_MAX, Engine
from simulation.plan import make_plan
from simulation.world import FULL, Grid, RunInputs, Waveforms, World
from tests.simulation.cascade_properties import KERNEL, REFERENCE, equal, run
from tests.simulation.cascade_worlds import Need, build_world, failing, fresh_seed, long_budget_s, random_case

SHORT_WORLDS = 80
LONG_WORLDS = 1000


def test_kernel_equals_reference() -> None:
    seed = fresh_seed("kernel = reference")
    different = [
        index
        for index in range(SHORT_WORLDS)
        if not equal(run(case := random_case(seed, index), KERNEL), run(case, REFERENCE))
    ]
    assert not different, f"seed {seed}"


@pytest.mark.long
def test_kernel_equals_reference_on_a_thousand_worlds() -> None:
    seed, end_s = fresh_seed("kernel = reference"), time.monotonic() + long_budget_s()
    count = 0
    while count < LONG_WORLDS or time.monotonic() < end_s:
        case = random_case(seed, count, twins_max=30 if count < LONG_WORLDS else 60)
        assert equal(run(case, KERNEL), run(case, REFERENCE)), f"seed {seed}, world {count}"
        count += 1
    print(f"kernel = reference: {count} worlds")


def test_moments_that_are_visited_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference skips microseconds in which nothing can change. Visiting each of them changes nothing."""
    seed, compared = fresh_seed("every microsecond"), 0
    for index in range(200):
        case = random_case(seed, index, twins_max=12)
        if case.grid.cell_us > 4:
            continue
        skipping = run(case, REFERENCE)
        with monkeypatch.context() as patch:
            every = list(range(case.horizon_us))
            patch.setattr(levels.March, "moments", lambda _, every=every: list(every))
            assert equal(run(case, REFERENCE), skipping), f"seed {seed}, world {index}"
        compared += 1
    assert compared >= 20


def test_one_engine_runs_one_after_another_without_a_trace() -> None:
    """Whatever was kept of the run before, the next one is as if it were the first."""
    seed = fresh_seed("one engine")
    for index in range(10):
        case = random_case(seed, index)
        plan = make_plan(case.world)
        engine = Engine(case.world, plan, case.horizon_us, case.grid)
        calm = RunInputs.calm(case.world)
        variants = [
            case.inputs,
            calm,
            replace(case.inputs, health=calm.health),
            replace(calm, health=case.inputs.health),
            replace(case.inputs, edge_cap=calm.edge_cap, group_buffer_us=case.inputs.group_buffer_us * 2),
            replace(case.inputs, restart_us=case.inputs.restart_us + 1, need_factor=calm.need_factor),
            case.inputs,
        ]
        for number, inputs in enumerate(variants):
            alone = Engine(case.world, plan, case.horizon_us, case.grid).solve(inputs)
            assert equal(engine.solve(inputs), alone), f"seed {seed}, world {index}, variant {number}"


def test_tables_grow_and_the_answer_is_the_same() -> None:
    """Many changes of many twins: every table starts too small."""
    twins, horizon_us = 20, 16_000
    needs = [Need(v, [v - 1, 0], founded=False, tolerance_us=1) for v in range(1, twins)]
    needs += [Need(v, [v + 1], founded=False) for v in range(1, 6)]
    world = build_world(twins, needs, restart_us=[0, *[25] * (twins - 1)])
    flicker = [(time, FULL * (time // 50 % 2)) for time in range(10, horizon_us, 50)]
    inputs = replace(
        failing(world, dict.fromkeys((0, 7, 12), flicker)),
        group_damages=np.ones(world.groups, np.bool_),
        repair_us=np.full(twins, 3, np.int64),
    )
    plan, grid = make_plan(world), Grid(10, 64)
    assert equal(
        KERNEL(world, plan, inputs, horizon_us, grid), REFERENCE(world, plan, inputs, horizon_us, grid)
    )


def test_engines_of_many_threads_agree() -> None:
    cases = [random_case(fresh_seed("threads"), index) for index in range(24)]
    alone = [run(case, KERNEL) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda case: run(case, KERNEL), cases * 3))
    assert all(equal(one, other) for one, other in zip(alone * 3, together, strict=True))


def test_feedback_that_does_not_settle_is_an_error_not_an_answer() -> None:
    """Each of two gives the other 999 parts of 1000: at full resolution the fall is long."""
    needs = [Need(0, [(1, FULL * 999 // 1000)], founded=False, need=FULL), Need(1, [0], founded=False)]
    world = build_world(2, needs)
    engine = Engine(world, make_plan(world), 1000, Grid(10, FULL), evaluations_max=100)
    with pytest.raises(LimitError) as raised:
        engine.solve(RunInputs.calm(world))
    assert raised.value.code == "CASCADE_ROUNDS"
    solution = Engine(world, make_plan(world), 1000, Grid(10, FULL)).solve(RunInputs.calm(world))
    assert solution.service.row(0) == [(0, 0)]


def test_grids_out_of_range_are_refused() -> None:
    world = build_world(1, [])
    with pytest.raises(LimitError) as raised:
        Engine(world, make_plan(world), 10 * (CELLS_MAX + 1), Grid(10, 64))
    assert raised.value.code == "GRID_TOO_FINE"
    for cell_us, steps in ((0, 64), (10, 0), (10, FULL + 1)):
        with pytest.raises(InputError) as refused:
            Grid(cell_us, steps)
        assert refused.value.code == "GRID_INVALID"


def test_worlds_without_twins_groups_or_edges() -> None:
    for world in (build_world(0, []), build_world(2, []), build_world(1, [Need(0, [], need=5)])):
        down = failing(world, {0: [(3, 0)]} if world.twins else {})
        plan = make_plan(world)
        assert equal(KERNEL(world, plan, down, 10, Grid(2, 4)), REFERENCE(world, plan, down, 10, Grid(2, 4)))


def _forest(twins: int) -> World:
    rng = np.random.default_rng(0)
    roots = [v - v % 60 for v in range(twins)]
    needs = [
        Need(v, [(int(rng.integers(roots[v], v)), FULL, 3)], founded=False, buffer_us=2)
        for v in range(twins)
        if v > roots[v]
    ]
    return build_world(twins, needs)


def test_what_is_not_disturbed_costs_no_evaluation() -> None:
    """Ten thousand twins, one tree of sixty hit: only its twins are looked at."""
    world = _forest(10_000)
    engine = Engine(world, make_plan(world), 1000, Grid(10, 64))
    assert engine.solve(RunInputs.calm(world)).evaluations == 0
    solution = engine.solve(failing(world, {600: [(100, 0), (200, FULL)]}))
    hit = np.flatnonzero(np.diff(solution.service.start))
    assert (hit.min(), hit.max(), len(hit)) == (600, 659, 60)
    assert solution.evaluations < 60 * 12


def test_a_ring_of_a_thousand_costs_by_what_changes_not_by_cells() -> None:
    ring = 1000
    needs = [
        Need(1 + i, [1 + (i - 1) % ring, 1 + (i + 1) % ring, *([0] if i == 0 else [])]) for i in range(ring)
    ]
    world = build_world(ring + 1, needs)
    engine = Engine(world, make_plan(world), 100_000, Grid(10, 64))
    solution = engine.solve(failing(world, {0: [(500, 0), (1000, FULL)]}))
    assert all(solution.service.row(v) == [(500, 0), (1000, FULL)] for v in range(1, ring + 1))
    assert solution.evaluations < 20 * ring, "cells in which nothing changes are left out"


def test_waveforms_are_canonical() -> None:
    seed = fresh_seed("canonical")
    for index in range(30):
        case = random_case(seed, index)
        service: Waveforms = run(case, KERNEL).service
        for twin in range(len(service)):
            row = service.row(twin)
            levels_seen = [FULL, *(level for _, level in row)]
            assert all(one != other for one, other in pairwise(levels_seen)), f"seed {seed}, {index}"
            assert all(0 <= time < case.horizon_us for time, _ in row)
            assert [time for time, _ in row] == sorted({time for time, _ in row})
