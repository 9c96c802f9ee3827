"""Warming up compiles what real questions need, and they need nothing more."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from simulation.cascade import blocks
from simulation.cascade.reach import spread
from simulation.warm import warm


def test_a_real_question_compiles_nothing_new(site: Any) -> None:
    warm()
    site.put("a", timeToFailure="exponential(5)", timeToRepair="lognormal(2,1)", repairCost=3, valuePerHour=2)
    site.put("b", "c", restartHours="uniform(0,1)")
    site.link("a", "supplies", "b", delayHours="weibull(2,1)", damageProbability=0.5, toleranceHours=1)
    site.link("b", "feeds", "c", direction="both")
    events = [
        {"type": "SURGE", "twin": "b", "factor": 1.5},
        {"type": "DELAY", "relation": ["a", "supplies", "b"], "hours": 3},
        {"type": "SET", "twin": "b", "attribute": "restartHours", "value": 2, "atHours": 1},
    ]
    site.simulate({"runs": 50, "events": events}, against_baseline=True)
    kernels: list[Any] = [blocks._runs, blocks.load, blocks.load_durations, spread]
    assert [len(kernel.signatures) for kernel in kernels] == [1, 1, 1, 1]


def test_kernels_come_from_disk_in_another_process() -> None:
    """One process has just warmed up: the next one finds everything compiled."""
    warm()
    code = (
        "from simulation.cascade import blocks; from simulation.warm import warm; warm(); k = blocks._runs; "
    )
    code += "print(sum(k.stats.cache_hits.values()), sum(k.stats.cache_misses.values()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]
