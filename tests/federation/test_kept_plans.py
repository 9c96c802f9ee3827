"""Kept plans have a limit, belong to who made them, and go when their snapshot does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from federation.joint.conducting import Bounds
from federation.joint.kept import Ground, KeptPlan, KeptPlans
from simulation.scenario import Scenario


def ground(snapshot: object, **changed: Any) -> Ground:
    lit = frozenset({"a", "b"})
    return replace(Ground(cast("Any", snapshot), Scenario(), False, {3: "b"}, b"terms", lit), **changed)


def plan(twins: int) -> KeptPlan:
    return cast("KeptPlan", SimpleNamespace(part=SimpleNamespace(world=SimpleNamespace(twins=twins))))


def test_the_oldest_go() -> None:
    plans, here, place = KeptPlans(plans_max=3, twins_max=100), object(), [b"1", b"2", b"3", b"4"]
    for name in place:
        plans.put(name, "a", ground(here), plan(10))
    assert [plans.find(name, "a", ground(here)) is not None for name in place] == [False, True, True, True]
    plans.put(b"5", "a", ground(here), plan(95))
    assert len(plans) == 1 and plans.name_of("a", ground(here)) == b"5"
    plans.put(b"6", "a", ground(here), plan(1_000))
    assert len(plans) == 1 and plans.name_of("a", ground(here)) == b"6", "the newest always fits"
    plans.put(b"7", "a", ground(object()), plan(10))
    assert len(plans) == 1 and plans.name_of("a", ground(here)) == b""


def test_what_a_plan_follows_from() -> None:
    plans, here = KeptPlans(), object()
    plans.put(b"1", "a", ground(here), plan(10))
    same = ground(here, scenario=Scenario(name="other", seed=9, runs=7))
    assert plans.find(b"1", "a", same) is not None
    assert plans.find(b"1", "b", same) is None and plans.find(b"2", "a", same) is None
    others: list[dict[str, Any]] = [
        {"scenario": Scenario(horizon_us=1)}, {"unknown": True}, {"owners": {4: "b"}}, {"terms": b"new"},
        {"lit": frozenset({"a"})}, {"snapshot": object()},
    ]  # fmt: skip
    for changed in others:
        assert plans.find(b"1", "a", replace(ground(here), **changed)) is None, changed


def test_blocks_begin_as_large_as_they_were_good_last() -> None:
    plans, here = KeptPlans(), object()
    plans.note_block_runs(b"1", 512)
    assert plans.block_runs(b"1") == 0
    plans.put(b"1", "a", ground(here), plan(10))
    plans.note_block_runs(b"1", 512)
    assert Bounds().like_last(plans.block_runs(b"1")).block_runs == 512
    assert Bounds().like_last(0) == Bounds()
    assert Bounds().smaller().like_last(512) == Bounds().smaller(), "letters were too large for that"
