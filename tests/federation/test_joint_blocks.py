"""Blocks of runs over sites, with the kernels where no loop crosses sites, equal one machine to the bit."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from tests.federation.joint_blocks import SUMS, differing, one_machine, run_blocks
from tests.simulation.cascade_worlds import fresh_seed, long_budget_s

SHORT_WORLDS = 16


def check(seed: int, index: int, seen: Counter[str]) -> None:
    blocks = run_blocks(seed, index)
    levels, outcome = one_machine(blocks.failing)
    place = f"seed {seed}, world {index}"
    assert differing(blocks.levels(), levels) == [], place
    for column in ("hits", "lowest", *SUMS):
        values = getattr(outcome, column)
        twins = range(blocks.failing.case.world.twins)
        truth = [int(values.total(row) if column in SUMS else values[row]) for row in twins]
        assert blocks.united(column).tolist() == truth, f"{column}, {place}"
    costs = np.sum([site.outcome.run_cost for site in blocks.sites], axis=0)
    assert costs.tolist() == outcome.run_cost.tolist(), place
    seen.update(site.kind for site in blocks.sites)
    seen["rises"] += "rise" in blocks.traffic.rounds
    seen["runs differ"] += len({str(rows) for rows in levels.values()}) > 1
    seen["rounds"] = max(seen["rounds"], *blocks.traffic.rounds.values())
    seen["bytes"] = max(seen["bytes"], blocks.traffic.bytes)


def test_blocks_equal_one_machine() -> None:
    seed, seen = fresh_seed("blocks = one machine"), Counter[str]()
    for index in range(SHORT_WORLDS):
        check(seed, index, seen)
    assert min(seen[name] for name in ("KernelRuns", "RisingRuns", "runs differ")) >= 3, seen


@pytest.mark.long
def test_many_blocks_equal_one_machine() -> None:
    seed, seen, worlds = fresh_seed("many blocks"), Counter[str](), 0
    until = time.monotonic() + long_budget_s()
    while time.monotonic() < until:
        check(seed, worlds, seen)
        worlds += 1
    print(f"{worlds} worlds, {dict(seen)}")
