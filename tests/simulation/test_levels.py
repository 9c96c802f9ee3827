"""Rule by rule on worlds small enough to be worked out by hand; kernel and reference must both say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulation.plan import make_plan
from simulation.world import FULL, HOUR_US, NEVER, Grid, RunInputs, Solution, Steps, Waveforms, World
from tests.simulation.cascade_properties import KERNEL, REFERENCE, Solver
from tests.simulation.cascade_worlds import Need, build_world, failing

HALF = FULL // 2
H = HOUR_US


@pytest.fixture(params=[KERNEL, REFERENCE], ids=["kernel", "reference"])
def solver(request: pytest.FixtureRequest) -> Solver:
    return request.param


def _run(
    solver: Solver, world: World, inputs: RunInputs, horizon_us: int = 1000, grid: Grid | None = None
) -> Solution:
    return solver(world, make_plan(world), inputs, horizon_us, grid or Grid(10, 64))


def _levels(
    solver: Solver, world: World, inputs: RunInputs, horizon_us: int = 1000, grid: Grid | None = None
) -> list[list[tuple[int, int]]]:
    service = _run(solver, world, inputs, horizon_us, grid).service
    return [service.row(twin) for twin in range(world.twins)]


def test_nothing_happens_and_all_are_full(solver: Solver) -> None:
    world = build_world(3, [Need(1, [0]), Need(2, [1], founded=False)])
    assert _levels(solver, world, RunInputs.calm(world)) == [[], [], []]


def test_delay_moves_trouble_and_recovery(solver: Solver) -> None:
    world = build_world(2, [Need(1, [(0, FULL, 5)], founded=False)])
    assert _levels(solver, world, failing(world, {0: [(10, 0), (13, FULL)]}))[1] == [(15, 0), (18, FULL)]


def test_before_hour_0_all_was_well(solver: Solver) -> None:
    world = build_world(2, [Need(1, [(0, FULL, 5)], founded=False)])
    assert _levels(solver, world, failing(world, {0: [(0, 0)]}))[1] == [(5, 0)]


def test_health_multiplies_the_share(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0])])
    levels = _levels(solver, world, failing(world, {0: [(10, HALF)], 1: [(20, HALF)]}))
    assert levels[1] == [(10, HALF), (20, HALF // 2)]


def test_losing_one_of_two_parallel_chillers_leaves_half(solver: Solver) -> None:
    world = build_world(3, [Need(2, [0, 1])])
    assert _levels(solver, world, failing(world, {0: [(10, 0)]}))[2] == [(10, HALF)]


def test_two_of_three_are_enough_where_two_are_needed(solver: Solver) -> None:
    world = build_world(4, [Need(3, [0, 1, 2], need=2 * FULL)])
    levels = _levels(solver, world, failing(world, {0: [(10, 0)], 1: [(20, 0)], 2: [(30, 0)]}))
    assert levels[3] == [(20, HALF), (30, 0)]


def test_several_groups_are_all_needed(solver: Solver) -> None:
    world = build_world(3, [Need(2, [0]), Need(2, [1], founded=False)])
    assert _levels(solver, world, failing(world, {1: [(10, HALF)], 0: [(20, 0)]}))[2] == [(10, HALF), (20, 0)]


def test_share_is_rounded_down(solver: Solver) -> None:
    world = build_world(4, [Need(3, [0, 1, 2])])
    assert _levels(solver, world, failing(world, {0: [(10, 0)]}))[3] == [(10, 2 * FULL // 3)]


def test_threshold_cuts_below_and_keeps_above(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], threshold=HALF)])
    levels = _levels(solver, world, failing(world, {0: [(10, HALF), (20, HALF - 1), (30, FULL - 1)]}))
    assert levels[1] == [(10, HALF), (20, 0), (30, FULL - 1)]


def test_threshold_comes_before_the_buffer(solver: Solver) -> None:
    """Half a share below the threshold drains the buffer as fast as none at all."""
    world = build_world(2, [Need(1, [0], threshold=FULL, buffer_us=40)])
    assert _levels(solver, world, failing(world, {0: [(10, HALF)]}))[1] == [(50, 0)]


def test_buffer_drains_at_the_deficit(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], buffer_us=40)])
    assert _levels(solver, world, failing(world, {0: [(10, 0)]}))[1] == [(50, 0)]
    assert _levels(solver, world, failing(world, {0: [(10, HALF)]}))[1] == [(90, HALF)]


def test_buffer_refills_only_while_the_share_is_full(solver: Solver) -> None:
    """40 in it: 30 gone at 40, 10 refilled (at half speed) by 60, nothing between 60 and 60 + 20."""
    world = build_world(2, [Need(1, [0], buffer_us=40, refill=HALF)])
    inputs = failing(world, {0: [(10, 0), (40, FULL), (60, 0)]})
    assert _levels(solver, world, inputs)[1] == [(80, 0)]


def test_buffer_is_never_more_than_full(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], buffer_us=40, refill=100 * FULL)])
    inputs = failing(world, {0: [(10, 0), (40, FULL), (500, 0)]})
    assert _levels(solver, world, inputs)[1] == [(540, 0)]


def _fed_by_itself(**group: int) -> World:
    """A twin in feedback, so that it lives on the grid; what it gets from itself has no weight."""
    return build_world(2, [Need(1, [0, (1, 0)], founded=False, **group)])


def test_grid_takes_the_lowest_of_a_cell(solver: Solver) -> None:
    """Cells of 10: an outage from 12 to 13 is one of the cell from 10 to 20."""
    world = _fed_by_itself()
    assert _levels(solver, world, failing(world, {0: [(12, 0), (13, FULL)]}))[1] == [(10, 0), (20, FULL)]


def test_grid_rounds_levels_down(solver: Solver) -> None:
    world = _fed_by_itself()
    levels = _levels(solver, world, failing(world, {0: [(0, 5 * FULL // 8 - 1)]}), grid=Grid(10, 8))
    assert levels[1] == [(0, FULL // 2)]


def test_grid_rounds_help_down_and_hurt_up(solver: Solver) -> None:
    """Buffer 25 is 2 cells; restart 11 is 2 cells."""
    world = replace(_fed_by_itself(buffer_us=25), restart_us=np.array([0, 11], np.int64))
    levels = _levels(solver, world, failing(world, {0: [(100, 0), (200, FULL)]}))
    assert levels[1] == [(120, 0), (220, FULL)]


def test_delay_between_cells_takes_the_lower_of_both(solver: Solver) -> None:
    """A delay of 15 on cells of 10: the outage of one cell is seen in two."""
    world = build_world(
        3,
        [
            Need(1, [0], founded=False),
            Need(2, [(1, FULL, 15)], founded=False),
            Need(1, [(2, 0, 0)], founded=False),
        ],
    )
    levels = _levels(solver, world, failing(world, {0: [(100, 0), (110, FULL)]}))
    assert levels[1] == [(100, 0), (110, FULL)]
    assert levels[2] == [(110, 0), (130, FULL)]


def test_remainder_that_covers_no_whole_cell_is_lost(solver: Solver) -> None:
    """Cells of 10, buffer of 1 cell. Deficits of 5/8: one cell is covered; the 3/8 left are lost in the next,
    and do not cover the deficit of 3/8 after it."""
    world = _fed_by_itself(buffer_us=10)
    deep, mild = 3 * FULL // 8, 5 * FULL // 8
    levels = _levels(solver, world, failing(world, {0: [(100, deep), (120, mild), (140, FULL)]}))
    assert levels[1] == [(110, deep), (120, mild), (140, FULL)]


def _damaging(world: World, repair_us: int, down: dict[int, list[tuple[int, int]]]) -> RunInputs:
    return replace(
        failing(world, down),
        group_damages=np.ones(world.groups, np.bool_),
        repair_us=np.full(world.twins, repair_us, np.int64),
    )


def _strikes(solution: Solution) -> list[tuple[int, int, int]]:
    damage = solution.damage
    return list(zip(damage.group.tolist(), damage.start_us.tolist(), damage.end_us.tolist(), strict=True))


def test_starving_longer_than_tolerance_damages_until_supply_and_repair(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], tolerance_us=5)])
    solution = _run(solver, world, _damaging(world, 30, {0: [(100, HALF - 2), (120, FULL)]}))
    assert solution.service.row(1) == [(100, HALF - 2), (105, 0), (150, FULL)]
    assert _strikes(solution) == [(0, 105, 150)]


def test_starving_as_long_as_tolerance_does_not_damage(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], tolerance_us=20)])
    solution = _run(solver, world, _damaging(world, 30, {0: [(100, 0), (120, FULL)]}))
    assert solution.service.row(1) == [(100, 0), (120, FULL)]
    assert _strikes(solution) == []


def test_half_a_share_does_not_starve(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0])])
    assert _strikes(_run(solver, world, _damaging(world, 30, {0: [(100, HALF)]}))) == []


def test_spells_of_several_levels_are_one(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], tolerance_us=15)])
    solution = _run(solver, world, _damaging(world, 0, {0: [(100, 0), (110, FULL // 4), (120, FULL)]}))
    assert _strikes(solution) == [(0, 115, 120)]


def test_buffer_saves_from_damage(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], tolerance_us=15, buffer_us=10)])
    solution = _run(solver, world, _damaging(world, 30, {0: [(100, 0), (125, FULL)]}))
    assert _strikes(solution) == []
    assert solution.service.row(1) == [(110, 0), (125, FULL)]


def test_without_repair_down_to_the_horizon(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], tolerance_us=5)])
    solution = _run(solver, world, _damaging(world, NEVER, {0: [(100, 0), (120, FULL)]}))
    assert solution.service.row(1) == [(100, 0)]
    assert _strikes(solution) == [(0, 105, 1000)]


def test_spell_that_is_open_at_the_horizon_is_damage(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], tolerance_us=5)])
    assert _strikes(_run(solver, world, _damaging(world, 30, {0: [(990, 0)]}))) == [(0, 995, 1000)]


def test_restart_holds_the_lowest_level(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0])], restart_us=[0, 5])
    levels = _levels(solver, world, failing(world, {0: [(10, 0), (12, HALF), (14, FULL)]}))
    assert levels[1] == [(10, 0), (17, HALF), (19, FULL)]


def test_restart_may_be_set_later(solver: Solver) -> None:
    world = build_world(1, [])
    inputs = replace(
        failing(world, {0: [(10, 0), (20, FULL), (50, 0), (60, FULL)]}),
        restart_set_us=Steps.of([[(40, 15)]]),
    )
    assert _levels(solver, world, inputs)[0] == [(10, 0), (20, FULL), (50, 0), (75, FULL)]


def test_surge_multiplies_the_need(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0])])
    inputs = replace(RunInputs.calm(world), need_factor=Waveforms.of([[(10, 2 * FULL), (20, FULL)]]))
    assert _levels(solver, world, inputs)[1] == [(10, HALF), (20, FULL)]


def test_cap_limits_what_an_edge_gives(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0])])
    inputs = replace(RunInputs.calm(world), edge_cap=Waveforms.of([[(0, 0)]]))
    assert _levels(solver, world, inputs) == [[], [(0, 0)]]


def test_growing_delay_hides_no_bad_news(solver: Solver) -> None:
    """Outage from 100 to 110, delay 5, and 20 more from 50 on: seen from 105 until 135."""
    world = build_world(2, [Need(1, [(0, FULL, 5)], founded=False)])
    inputs = replace(
        failing(world, {0: [(100, 0), (110, FULL)]}), edge_extra_us=Steps.of([[(50, 20), (400, 0)]])
    )
    assert _levels(solver, world, inputs)[1] == [(105, 0), (135, FULL)]


def test_more_need_than_weight_is_short_from_the_start(solver: Solver) -> None:
    world = build_world(2, [Need(1, [0], need=2 * FULL, buffer_us=30)])
    assert _levels(solver, world, RunInputs.calm(world))[1] == [(60, HALF)]


# Loops. 0 is the source, 1 .. 3 a ring main that it feeds at 1.


def _ring(buffers_us: tuple[int, int, int] = (0, 0, 0)) -> World:
    near = ([0, 2, 3], [1, 3], [2, 1])
    return build_world(4, [Need(i + 1, near[i], buffer_us=buffers_us[i]) for i in range(3)])


def test_ring_main_cut_off_goes_down_whole(solver: Solver) -> None:
    levels = _levels(solver, _ring(), failing(_ring(), {0: [(100, 0), (200, FULL)]}))
    assert levels[1:] == [[(100, 0), (200, FULL)]] * 3


def test_ring_main_cut_off_lives_on_its_buffers_from_the_source_on(solver: Solver) -> None:
    """Buffers help only away from the source: 1 lives 50 longer, 2 another 30; what 3 has helps 3 alone."""
    world = _ring((50, 30, 20))
    levels = _levels(solver, world, failing(world, {0: [(100, 0)]}))
    assert levels[1:] == [[(150, 0)], [(180, 0)], [(170, 0)]]


def test_ring_main_broken_once_is_fed_from_the_other_side(solver: Solver) -> None:
    """A ring 1 .. 4, its source at 1, and 3 needs only one side. Without 2, it is fed by 4."""
    world = build_world(5, [Need(1, [0, 2, 4]), Need(2, [1, 3]), Need(3, [2, 4], need=FULL), Need(4, [3, 1])])
    levels = _levels(solver, world, failing(world, {2: [(100, 0)]}))
    assert levels == [[], [], [(100, 0)], [], []]


def test_back_edge_brings_mains_but_no_buffer(solver: Solver) -> None:
    """A line 1 - 2 with sources at both ends, 0 and 3, and a buffer at 2. When 0 goes, 2 brings 3's water
    back to 1; when 3 goes too, the buffer at 2 helps 2 alone."""
    world = build_world(4, [Need(1, [0, 2], need=FULL), Need(2, [1, 3], need=FULL, buffer_us=50)])
    levels = _levels(solver, world, failing(world, {0: [(100, 0)], 3: [(200, 0)]}))
    assert levels[1] == [(200, 0)]
    assert levels[2] == [(250, 0)]


def test_loop_at_half_stays_at_half(solver: Solver) -> None:
    """The way back does not add to what comes in."""
    levels = _levels(solver, _ring(), failing(_ring(), {0: [(100, HALF)]}))
    assert levels[1:] == [[(100, HALF)]] * 3


def test_supply_cycle_stays_up_and_outage_goes_round(solver: Solver) -> None:
    """1 and 2 supply each other with a delay of 20: an outage of one cell goes round for ever."""
    world = build_world(3, [Need(1, [(2, FULL, 20)], founded=False), Need(2, [(1, FULL, 20)], founded=False)])
    assert _levels(solver, world, RunInputs.calm(world)) == [[], [], []]
    levels = _levels(solver, world, failing(world, {1: [(10, 0), (20, FULL)]}), horizon_us=100)
    assert levels[1] == [(10, 0), (20, FULL), (50, 0), (60, FULL), (90, 0)]
    assert levels[2] == [(30, 0), (40, FULL), (70, 0), (80, FULL)]


def test_supply_cycle_with_restart_never_starts_again(solver: Solver) -> None:
    needs = [Need(0, [1], founded=False), Need(1, [0], founded=False)]
    world = build_world(2, needs, restart_us=[10, 10])
    assert _levels(solver, world, failing(world, {0: [(50, 0), (60, FULL)]})) == [[(50, 0)], [(50, 0)]]


def test_return_pipe_is_sustained(solver: Solver) -> None:
    """Chiller 1 needs power 0 and its own water back from 2: up while all is well, else as the power."""
    world = build_world(3, [Need(1, [0]), Need(1, [2]), Need(2, [1])])
    assert _levels(solver, world, RunInputs.calm(world)) == [[], [], []]
    levels = _levels(solver, world, failing(world, {0: [(100, 0), (200, FULL)]}))
    assert levels[1:] == [[(100, 0), (200, FULL)]] * 2


def test_damaged_twin_passes_nothing_in_the_ring(solver: Solver) -> None:
    """1 starves of power for longer than it bears; the water of the ring no longer gets past it."""
    needs = [Need(2, [0]), Need(2, [1, 3]), Need(3, [2]), Need(2, [4], founded=False, tolerance_us=20)]
    world = build_world(5, needs)
    inputs = _damaging(world, 50, {4: [(100, 0), (150, FULL)]})
    damages = replace(inputs, group_damages=np.array([False, False, False, True]))
    solution = _run(solver, world, damages)
    assert solution.service.row(3) == [(100, 0), (200, FULL)]
    assert _strikes(solution) == [(3, 120, 200)]


def test_hours_and_the_default_grid(solver: Solver) -> None:
    """As a user states it: a UPS of half an hour, a restart of ten minutes, an outage of two hours."""
    world = build_world(2, [Need(1, [0], buffer_us=H // 2)], restart_us=[0, H // 6])
    levels = _levels(solver, world, failing(world, {0: [(14 * H, 0), (16 * H, FULL)]}), 72 * H, Grid())
    assert levels[1] == [(14 * H + H // 2, 0), (16 * H + H // 6, FULL)]


def test_a_buffer_of_years_is_counted_to_the_microsecond(solver: Solver) -> None:
    """More than 64 bits of level * microseconds: 50 years at a deficit of 3 in 2^20."""
    year_us = 8766 * H
    world = build_world(2, [Need(1, [0], buffer_us=50 * year_us // 1_000_000)])
    levels = _levels(
        solver, world, failing(world, {0: [(7, FULL - 3)]}), 100 * 365 * 24 * H, Grid(H * 24 * 365, 64)
    )
    assert levels[1] == [(7 + (50 * year_us // 1_000_000) * FULL // 3, FULL - 3)]
