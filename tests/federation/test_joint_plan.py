"""The plan that sites agree upon is the plan of the whole world, though none of them sees it."""

from __future__ import annotations

from random import Random

import numpy as np

from simulation.plan import make_plan
from simulation.world import UNRANKED, Plan
from tests.federation.joint_worlds import Joint, joint_of, random_joint
from tests.simulation.cascade_worlds import Case, Need, build_world, failing, fresh_seed
from tests.simulation.cascade_worlds import Grid as CellGrid

WORLDS = 150


def same_sets(one: np.ndarray, other: np.ndarray) -> bool:
    """Do two numberings put the same rows together?"""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def differences(joint: Joint, whole: Plan) -> list[str]:
    found: list[str] = []
    for cut, site in zip(joint.cuts, joint.sites, strict=True):
        plan, own = site.plan.plan, slice(cut.part.own)
        rows = {
            **dict.fromkeys(("rank", "unfounded", "gridded"), (own, cut.twins)),
            **dict.fromkeys(("need", "group_looped", "group_weight"), (slice(None), cut.groups)),
            **dict.fromkeys(("onward", "edge_looped"), (slice(None), cut.edges)),
        }
        found += [
            f"{site.name}.{name}"
            for name, (here, there) in rows.items()
            if not np.array_equal(getattr(plan, name)[here], getattr(whole, name)[there])
        ]
        found += [
            f"{site.name}.{name}"
            for name in ("loop", "component")
            if not same_sets(getattr(plan, name)[own], getattr(whole, name)[cut.twins])
        ]
        if not np.array_equal(plan.loop[own] < 0, whole.loop[cut.twins] < 0):
            found.append(f"{site.name}.loop")
    return found


def named_loops(joint: Joint) -> dict[bytes, set[int]]:
    """Twins of the whole world by the name that their sites gave their loop."""
    named: dict[bytes, set[int]] = {}
    for cut, site in zip(joint.cuts, joint.sites, strict=True):
        for name, rows in site.plan.loops.items():
            named.setdefault(name, set()).update(cut.twins[rows].tolist())
    return named


def loops_through_sites(joint: Joint, whole: Plan) -> set[frozenset[int]]:
    """By the whole plan: the twins with a rank of each loop whose twins are at several sites."""
    site = np.zeros(joint.case.world.twins, np.int64)
    for number, cut in enumerate(joint.cuts):
        site[cut.twins] = number
    members = [np.flatnonzero(whole.loop == loop) for loop in set(whole.loop[whole.loop >= 0].tolist())]
    rising = (rows[~whole.unfounded[rows]] for rows in members if len(set(site[rows].tolist())) > 1)
    return {frozenset(rows.tolist()) for rows in rising if len(rows)}


def test_plan_of_sites_is_the_plan_of_the_whole() -> None:
    seed, crossing, unranked = fresh_seed("plan of sites"), 0, 0
    for index in range(WORLDS):
        joint = random_joint(seed, index)
        whole = make_plan(joint.case.world)
        assert differences(joint, whole) == [], f"seed {seed}, world {index}"
        through = loops_through_sites(joint, whole)
        assert {frozenset(rows) for rows in named_loops(joint).values()} == through, f"{seed} {index}"
        crossing += bool(through)
        unranked += any(
            (site.plan.plan.rank[: cut.part.own] == UNRANKED).any() and bool(site.plan.mains)
            for cut, site in zip(joint.cuts, joint.sites, strict=True)
        )
    assert crossing >= 20 and unranked >= 5, (crossing, unranked)


def test_a_ring_of_three_sites_by_hand() -> None:
    """0 feeds a ring 1-2-3-4 both ways from twin 1; each twin of the ring has two neighbours."""
    ring = [1, 2, 3, 4]
    needs = [Need(v, [ring[i - 1], ring[(i + 1) % 4], *([0] if v == 1 else [])]) for i, v in enumerate(ring)]
    world = build_world(5, needs)
    case = Case(world, failing(world, {0: [(10, 0)]}), 100, CellGrid(10, 64))
    joint = joint_of(case, [0, 0, 1, 2, 1], 3, Random(7))
    assert differences(joint, make_plan(world)) == []
    ranks = [
        site.plan.plan.rank[: cut.part.own].tolist()
        for cut, site in zip(joint.cuts, joint.sites, strict=True)
    ]
    assert ranks == [[0, 0], [1, 1], [2]]
    assert list(named_loops(joint).values()) == [{1, 2, 3, 4}]
    found, report = joint.solve()
    assert [found.service.row(twin) for twin in range(5)] == [[(10, 0)]] * 5
    assert report.exact and report.turns == 1
