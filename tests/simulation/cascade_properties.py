"""What must hold of every cascade, as functions that say whether it held for one random world.

Each takes a seed, the number of a world and a solver, so that the same property judges the kernel, the
reference, and a reference with a defect planted in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from simulation.cascade.kernel import solve
from simulation.levels import Rules, solve_reference
from simulation.plan import make_plan
from simulation.world import FULL, NEVER, Grid, Plan, RunInputs, Solution, Steps, Waveforms, World
from tests.simulation.cascade_worlds import Case, Need, build_world, failing, random_case

Solver: TypeAlias = Callable[[World, Plan, RunInputs, int, Grid], Solution]
Property: TypeAlias = Callable[[int, int, Solver], bool]

KERNEL: Solver = solve
REFERENCE: Solver = solve_reference


def with_defect(rules: Rules) -> Solver:
    return partial(solve_reference, rules=rules)


def run(case: Case, solver: Solver) -> Solution:
    return solver(case.world, make_plan(case.world), case.inputs, case.horizon_us, case.grid)


def equal(one: Solution, other: Solution) -> bool:
    """To the bit, waveforms and damage."""
    return all(
        np.array_equal(getattr(left, field.name), getattr(right, field.name))
        for left, right in ((one.service, other.service), (one.damage, other.damage))
        for field in fields(left)
    )


def nowhere_above(low: Waveforms, high: Waveforms) -> bool:
    """Is each row of `low` at no time above that of `high`?"""
    for row in range(len(low)):
        for time_us, _ in [(0, 0), *low.row(row), *high.row(row)]:
            if low.at(row, time_us) > high.at(row, time_us):
                return False
    return True


def chain_case(seed: int, index: int) -> Case:
    """A supplier of a few levels, and one to three twins in a row that live on its share and a buffer."""
    rng = np.random.default_rng([seed, index, 1])
    cell_us = 10
    horizon_us = 60 * cell_us
    length = int(rng.integers(1, 4))
    looped = bool(rng.random() < 0.3)  # a twin that needs itself is in feedback, and so on the grid
    needs = [
        Need(
            twin + 1,
            [twin, *([(twin + 1, 0)] if looped else [])],
            founded=False,
            buffer_us=int(rng.integers(0, 12)) * cell_us,
            refill=int(rng.choice([0, FULL])),
            tolerance_us=int(rng.integers(0, 6)) * cell_us,
        )
        for twin in range(length)
    ]
    world = build_world(length + 1, needs)
    times = sorted({int(rng.integers(0, 40)) * cell_us for _ in range(6)})
    levels = [(time, int(rng.integers(0, 9)) * FULL // 8) for time in times]
    inputs = replace(
        failing(world, {0: levels}),
        group_damages=rng.random(length) < 0.5,
        repair_us=np.full(length + 1, int(rng.integers(0, 5)) * cell_us, np.int64),
    )
    return Case(world, inputs, horizon_us, Grid(cell_us, 64))


def worse(case: Case, rng: np.random.Generator) -> Case:
    """The same with one input made worse, whichever."""
    world, inputs = case.world, case.inputs
    ways: list[Callable[[], RunInputs]] = [
        lambda: replace(inputs, health=_lowered(inputs.health, case.horizon_us, rng)),
        lambda: replace(inputs, health=_lowered(inputs.health, case.horizon_us, rng)),
        lambda: replace(inputs, edge_cap=_lowered(inputs.edge_cap, case.horizon_us, rng)),
        lambda: replace(inputs, need_factor=_raised(inputs.need_factor, case.horizon_us, rng)),
        lambda: replace(inputs, edge_extra_us=_longer(world.edges, inputs.edge_extra_us, case, rng)),
        lambda: replace(inputs, group_buffer_us=_cut(inputs.group_buffer_us, rng)),
        lambda: replace(inputs, group_tolerance_us=_cut(inputs.group_tolerance_us, rng)),
        lambda: replace(inputs, restart_us=_grown(inputs.restart_us, case, rng)),
        lambda: replace(inputs, repair_us=_grown(inputs.repair_us, case, rng)),
        lambda: replace(inputs, group_damages=inputs.group_damages | (rng.random(world.groups) < 0.3)),
    ]
    return replace(case, inputs=ways[int(rng.integers(len(ways)))]())


def _lowered(waves: Waveforms, horizon_us: int, rng: np.random.Generator) -> Waveforms:
    """One row capped for a while."""
    chosen, since = int(rng.integers(len(waves))), int(rng.integers(0, horizon_us))
    until, cap = since + int(rng.integers(1, horizon_us)), int(rng.integers(0, 8)) * FULL // 8
    return _rewritten(waves, chosen, since, until, lambda level: min(level, cap))


def _raised(waves: Waveforms, horizon_us: int, rng: np.random.Generator) -> Waveforms:
    chosen, since = int(rng.integers(len(waves))), int(rng.integers(0, horizon_us))
    until = since + int(rng.integers(1, horizon_us))
    return _rewritten(waves, chosen, since, until, lambda level: level + FULL // 3)


def _rewritten(
    waves: Waveforms, chosen: int, since: int, until: int, change: Callable[[int], int]
) -> Waveforms:
    times = sorted({since, until, *(time for time, _ in waves.row(chosen))})
    row = [
        (time, change(waves.at(chosen, time)) if since <= time < until else waves.at(chosen, time))
        for time in times
    ]
    return Waveforms.of(row if i == chosen else waves.row(i) for i in range(len(waves)))


def _longer(edges: int, extra: Steps, case: Case, rng: np.random.Generator) -> Steps:
    chosen, more = int(rng.integers(edges)), int(rng.integers(1, 5 * case.grid.cell_us))
    rows = [extra.row(i) for i in range(edges)]
    rows[chosen] = [(0, more), *((time, value + more) for time, value in rows[chosen] if time > 0)]
    return Steps.of(rows)


def _cut(durations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(len(durations)) < 0.3, durations // 2, durations)


def _grown(durations: np.ndarray, case: Case, rng: np.random.Generator) -> np.ndarray:
    more = durations + int(rng.integers(1, 4 * case.grid.cell_us))
    return np.where(rng.random(len(durations)) < 0.3, np.minimum(more, NEVER), durations)


def is_monotone(seed: int, index: int, solver: Solver) -> bool:
    """Making one input worse makes no output better at any time."""
    case = chain_case(seed, index) if index % 2 else random_case(seed, index)
    rng = np.random.default_rng([seed, index, 2])
    return nowhere_above(run(worse(case, rng), solver).service, run(case, solver).service)


def coarse_is_not_better(seed: int, index: int, solver: Solver) -> bool:
    """Twice the cell and half the levels give at no time more."""
    case = chain_case(seed, index) if index % 2 else random_case(seed, index)
    grid = Grid(2 * case.grid.cell_us, case.grid.levels // 2)
    return nowhere_above(run(replace(case, grid=grid), solver).service, run(case, solver).service)


def _ring(seed: int, index: int, *, buffered: bool) -> tuple[World, int, Grid]:
    """Sources, and twins each fed by some of its neighbours; returns the number of sources too."""
    rng = np.random.default_rng([seed, index, 3])
    sources, ring = int(rng.integers(1, 4)), int(rng.integers(2, 9))
    needs: list[Need] = []
    for place in range(ring):
        near = {sources + (place - 1) % ring, sources + (place + 1) % ring}
        feeding = [*near, *range(sources if place == 0 else 0), *([0] if rng.random() < 0.2 else [])]
        buffer_us = int(rng.integers(0, 50)) if buffered and rng.random() < 0.7 else 0
        needs.append(Need(sources + place, sorted(set(feeding)), buffer_us=buffer_us))
    return build_world(sources + ring, needs), sources, Grid(10, 64)


def ring_goes_down(seed: int, index: int, solver: Solver) -> bool:
    """A loop cut off from its sources is down, all of it, after at most the sum of its buffers."""
    world, sources, grid = _ring(seed, index, buffered=True)
    cuts = {source: [(10 * source, 0)] for source in range(sources)}
    bound_us = 10 * sources + int(world.group_buffer_us.sum())
    horizon_us = bound_us + 100
    service = run(Case(world, failing(world, cuts), horizon_us, grid), solver).service
    return all(
        level == 0
        for twin in range(sources, world.twins)
        for level in [service.at(twin, bound_us), *(lv for time, lv in service.row(twin) if time >= bound_us)]
    )


def loop_gives_no_more_than_comes_in(seed: int, index: int, solver: Solver) -> bool:
    """Without buffers nobody in a loop is above the best source."""
    world, sources, grid = _ring(seed, index, buffered=False)
    rng = np.random.default_rng([seed, index, 4])
    levels = {source: [(0, int(rng.integers(0, 65)) * FULL // 64)] for source in range(sources)}
    service = run(Case(world, failing(world, levels), 50, grid), solver).service
    best = max(level for [(_, level)] in levels.values())
    return all(service.at(twin, 0) <= best for twin in range(sources, world.twins))


def well_stays_up(seed: int, index: int, solver: Solver) -> bool:
    """Where nothing happens, all are full: cycles of suppliers, rings and return pipes too."""
    case = random_case(seed, index)
    world = replace(case.world, group_need=np.minimum(case.world.group_need, _weights(case.world)))
    calm = replace(case, world=world, inputs=RunInputs.calm(world))
    return len(run(calm, solver).service.time_us) == 0


def _weights(world: World) -> np.ndarray:
    return np.array(
        [
            world.edge_weight[a:b].sum()
            for a, b in zip(world.group_start, world.group_start[1:], strict=False)
        ],
        np.int64,
    )


def order_does_not_matter(seed: int, index: int, solver: Solver) -> bool:
    """Other row numbers for twins, groups and edges give the same waveforms and damage."""
    case = random_case(seed, index)
    rng = np.random.default_rng([seed, index, 5])
    world, inputs = case.world, case.inputs
    twins, groups = rng.permutation(world.twins), rng.permutation(world.groups)
    edges = np.concatenate(
        [rng.permutation(np.arange(world.group_start[g], world.group_start[g + 1])) for g in groups]
        or [np.zeros(0, np.int64)]
    ).astype(np.int64)
    moved = run(
        replace(
            case,
            world=_moved(world, twins, groups, edges),
            inputs=_moved_inputs(inputs, twins, groups, edges),
        ),
        solver,
    )
    here = run(case, solver)
    same = all(here.service.row(int(old)) == moved.service.row(new) for new, old in enumerate(twins))
    return same and _strikes(here, np.arange(world.groups)) == _strikes(moved, groups)


def _strikes(solution: Solution, names: np.ndarray) -> list[tuple[int, int, int]]:
    damage = solution.damage
    return sorted(
        zip(names[damage.group].tolist(), damage.start_us.tolist(), damage.end_us.tolist(), strict=True)
    )


def _moved(world: World, twins: np.ndarray, groups: np.ndarray, edges: np.ndarray) -> World:
    """New row i is old row twins[i] (groups[i], edges[i])."""
    new_row = np.argsort(twins)
    sizes = np.diff(world.group_start)[groups]
    columns = {
        field.name: getattr(world, field.name)[groups if field.name.startswith("group") else edges]
        for field in fields(World)
        if field.name.startswith(("group", "edge")) and field.name != "group_start"
    }
    columns["group_twin"] = new_row[columns["group_twin"]].astype(np.int32)
    columns["edge_source"] = new_row[columns["edge_source"]].astype(np.int32)
    return World(
        twin_key=world.twin_key[twins],
        restart_us=world.restart_us[twins],
        group_start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        **columns,
    )


def _moved_inputs(inputs: RunInputs, twins: np.ndarray, groups: np.ndarray, edges: np.ndarray) -> RunInputs:
    rows = {"health": twins, "restart_set_us": twins, "restart_us": twins, "repair_us": twins}
    rows |= {field.name: groups for field in fields(RunInputs) if field.name.startswith(("group", "need"))}
    rows |= {field.name: edges for field in fields(RunInputs) if field.name.startswith("edge")}
    moved = {}
    for name, order in rows.items():
        value = getattr(inputs, name)
        moved[name] = (
            value[order]
            if isinstance(value, np.ndarray)
            else type(value).of(value.row(int(old)) for old in order)
        )
    return RunInputs(**moved)
