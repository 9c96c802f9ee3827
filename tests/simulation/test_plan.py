"""Loops, ranks and needs of worlds as engineers draw them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ontology.errors import InputError
from simulation.plan import make_plan
from simulation.world import FULL, UNRANKED, WEIGHT_SUM_MAX
from tests.simulation.cascade_worlds import Need, build_world


def test_ring_main_ranks_rise_from_the_source_both_ways() -> None:
    """0 is the source; 1 to 5 a ring; 1 is where the source feeds in."""
    ring = [1, 2, 3, 4, 5]
    needs = [Need(1, [0, 5, 2]), Need(2, [1, 3]), Need(3, [2, 4]), Need(4, [3, 5]), Need(5, [4, 1])]
    plan = make_plan(build_world(6, needs))
    assert plan.loop[0] == -1
    assert len(set(plan.loop[ring].tolist())) == 1
    assert plan.rank.tolist() == [0, 0, 1, 2, 2, 1]
    # 3 and 4 are as far from the source: the pipe between them is a reserve both ways
    assert plan.onward.tolist() == [True, False, False, True, False, True, False, False, True, False, True]
    assert plan.need.tolist() == [FULL] * 5
    assert not plan.unfounded.any()
    assert plan.gridded.tolist() == [False, *[True] * 5]
    assert plan.group_looped.all()


def test_parallel_chillers_are_no_loop_and_equal_shares() -> None:
    plan = make_plan(build_world(3, [Need(2, [0, 1])]))
    assert (plan.loop == -1).all()
    assert plan.need.tolist() == [2 * FULL]
    assert not plan.gridded.any()
    assert plan.onward.all()


def test_twin_of_two_groups_takes_the_largest_rank() -> None:
    """4 is fed by its neighbour 1 (rank 0) with one medium, by 3 (rank 2) with another."""
    needs = [Need(1, [0, 4]), Need(2, [1]), Need(3, [2]), Need(4, [1]), Need(4, [3])]
    plan = make_plan(build_world(5, needs))
    assert plan.rank.tolist() == [0, 0, 1, 2, 3]


def test_need_of_two_waits_for_the_second_supplier() -> None:
    """3 needs both of 1 (rank 0) and 2 (rank 1): the smallest rank at which its need is met is 2."""
    needs = [Need(1, [0, 3]), Need(2, [1]), Need(3, [1, 2], need=2 * FULL)]
    assert make_plan(build_world(4, needs)).rank.tolist() == [0, 0, 1, 2]


def test_return_pipe_has_no_rank_and_is_named() -> None:
    """Chiller 1 needs power from 0 and the water that comes back from room 2: nothing starts the circle."""
    needs = [Need(1, [0]), Need(1, [2]), Need(2, [1])]
    plan = make_plan(build_world(3, needs))
    assert plan.unfounded.tolist() == [False, True, True]
    assert plan.rank.tolist() == [0, UNRANKED, UNRANKED]
    assert plan.onward.all()
    assert plan.need.tolist() == [FULL] * 3
    assert not plan.stuck.any(), "founded only: named as unfounded, not as a sustained cycle"


def test_loop_where_all_is_needed_has_no_rank() -> None:
    needs = [Need(1, [0, 2], need=2 * FULL), Need(2, [1])]
    assert make_plan(build_world(3, needs)).unfounded.tolist() == [False, True, True]


def test_sustained_cycle_that_never_restarts_is_named() -> None:
    """1 and 2 supply each other and need it; 3 and 4 too, but 3 can do with 0 alone; 5 only follows."""
    needs = [
        Need(1, [2], founded=False),
        Need(2, [1], founded=False),
        Need(3, [0, 4], founded=False, need=FULL),
        Need(4, [3], founded=False),
        Need(5, [1], founded=False),
    ]
    plan = make_plan(build_world(6, needs))
    assert plan.stuck.tolist() == [False, True, True, False, False, False]
    assert plan.gridded.tolist() == [False, True, True, True, True, False]
    assert (plan.loop == -1).all()


def test_circle_of_both_kinds_is_gridded_but_no_loop() -> None:
    """A pump 1 feeds a room 2, whose controller 3 the pump depends on."""
    needs = [Need(2, [1]), Need(3, [2]), Need(1, [3], founded=False)]
    plan = make_plan(build_world(4, needs))
    assert plan.gridded.tolist() == [False, True, True, True]
    assert (plan.loop == -1).all()
    assert plan.stuck.tolist() == [False, True, True, True]


def test_components_come_suppliers_first() -> None:
    needs = [Need(0, [1]), Need(1, [2, 0]), Need(3, [0], founded=False)]
    plan = make_plan(build_world(4, needs))
    component = plan.component
    assert component[2] < component[1] == component[0] < component[3]
    assert plan.members[plan.member_start[component[0]] : plan.member_start[component[0] + 1]].tolist() == [
        1,
        0,
    ]


def test_stated_need_of_nothing_is_met_at_once() -> None:
    plan = make_plan(build_world(3, [Need(1, [2], need=0), Need(2, [1])]))
    assert plan.rank.tolist() == [0, 0, 1]
    assert not plan.unfounded.any()


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("edge_source", np.array([7], np.int32), "edge_source"),
        ("edge_weight", np.array([-1], np.int64), "edge_weight"),
        ("edge_weight", np.array([WEIGHT_SUM_MAX + 1], np.int64), "edge_weight"),
        ("edge_delay_us", np.array([3], np.int64), "founded relations have no delay"),
        ("group_need", np.array([-2], np.int64), "group_need"),
        ("group_threshold", np.array([FULL + 1], np.int32), "group_threshold"),
        ("group_buffer_us", np.array([-1], np.int64), "group_buffer_us"),
        ("group_start", np.array([0, 0], np.int64), "edges"),
    ],
)
def test_worlds_out_of_range_are_refused(field: str, value: np.ndarray, named: str) -> None:
    world = replace(build_world(2, [Need(1, [0])]), **{field: value})
    with pytest.raises(InputError, match=named) as raised:
        make_plan(world)
    assert raised.value.code == "WORLD_INVALID"


def test_a_world_of_nothing_has_a_plan() -> None:
    plan = make_plan(build_world(0, []))
    assert len(plan.members) == 0
    assert plan.member_start.tolist() == [0]
