"""The properties of DESIGN section 6 on random worlds, and defects planted on purpose that they catch.

A short run judges a share of the worlds; `make long` (marker `long`) judges a thousand for each property and
more while the budget TWINMESH_LONG_S lasts. TWINMESH_SEED gives the worlds of an earlier run again.
"""

from __future__ import annotations

import time

import pytest

from ontology.errors import LimitError
from simulation.levels import Rules, share_outside
from simulation.plan import make_plan
from tests.simulation.cascade_properties import (
    KERNEL,
    REFERENCE,
    Property,
    coarse_is_not_better,
    is_monotone,
    loop_gives_no_more_than_comes_in,
    order_does_not_matter,
    ring_goes_down,
    run,
    well_stays_up,
    with_defect,
)
from tests.simulation.cascade_worlds import fresh_seed, long_budget_s, random_case

PROPERTIES = [
    is_monotone,
    coarse_is_not_better,
    ring_goes_down,
    loop_gives_no_more_than_comes_in,
    well_stays_up,
    order_does_not_matter,
]
SHORT_WORLDS = 60
LONG_WORLDS = 1000

DEFECTS = {
    "back edges carry service": (Rules(back_sees_mains=False), ring_goes_down),
    "plain sum in loops": (Rules(loop_share=share_outside), loop_gives_no_more_than_comes_in),
    "remainder of a buffer is kept": (Rules(remainder_lost=False), coarse_is_not_better),
    "spells are not merged": (Rules(spells_merge=False), coarse_is_not_better),
}


@pytest.mark.parametrize("holds", PROPERTIES)
def test_property_holds(holds: Property) -> None:
    seed = fresh_seed(holds.__name__)
    broken = [index for index in range(SHORT_WORLDS) if not holds(seed, index, KERNEL)]
    assert not broken, f"seed {seed}"


@pytest.mark.long
@pytest.mark.parametrize("holds", PROPERTIES)
def test_property_holds_on_many_worlds(holds: Property) -> None:
    seed, end_s = fresh_seed(holds.__name__), time.monotonic() + long_budget_s() / len(PROPERTIES)
    count = 0
    while count < LONG_WORLDS or (time.monotonic() < end_s and count < 50 * LONG_WORLDS):
        assert holds(seed, count, KERNEL), f"seed {seed}, world {count}"
        count += 1
    print(f"{holds.__name__}: {count} worlds")


@pytest.mark.parametrize("defect", DEFECTS)
def test_planted_defect_is_caught(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference as it is keeps the property on the very worlds on which the defect breaks it."""
    rules, holds = DEFECTS[defect]
    seed = fresh_seed(defect)
    # With a wrong rule levels may go round in a circle: that need not be watched a million times.
    monkeypatch.setattr("simulation.levels.ROUNDS_MAX", 2_000)

    def broken(index: int) -> bool:
        try:
            return not holds(seed, index, with_defect(rules))
        except LimitError:
            return False  # a rule that never settles gives no answer to judge; the next world will

    caught = next(filter(broken, range(1000)), None)
    assert caught is not None, f"seed {seed}"
    assert holds(seed, caught, REFERENCE), f"seed {seed}, world {caught}"


@pytest.mark.long
@pytest.mark.parametrize("defect", ["remainder of a buffer is kept", "spells are not merged"])
def test_planted_defect_breaks_monotony_too(defect: str) -> None:
    rules, _ = DEFECTS[defect]
    seed = fresh_seed(defect)
    odd = range(1, 6001, 2)  # the worlds of is_monotone that are short chains
    caught = next((index for index in odd if not is_monotone(seed, index, with_defect(rules))), None)
    assert caught is not None, f"seed {seed}"
    assert is_monotone(seed, caught, REFERENCE), f"seed {seed}, world {caught}"


def test_random_worlds_hold_what_they_should() -> None:
    """Rings, return pipes, sustained cycles, damage, twins in and outside feedback: all are there."""
    seed = fresh_seed("worlds")
    seen: dict[str, int] = {}
    for index in range(SHORT_WORLDS):
        case = random_case(seed, index)
        plan, solution = make_plan(case.world), run(case, KERNEL)
        looped = plan.loop >= 0
        for name, there in {
            "ring": (looped & ~plan.unfounded).any(),
            "return pipe": plan.unfounded.any(),
            "sustained cycle": plan.stuck.any(),
            "exact": (~plan.gridded).any(),
            "exact after feedback": (~plan.gridded & (plan.component > plan.component.min())).any(),
            "damage": len(solution.damage) > 0,
            "partial level": (solution.service.level % (1 << 20) > 0).any(),
        }.items():
            seen[name] = seen.get(name, 0) + int(there)
    assert all(count >= 5 for count in seen.values()), seen
