"""Reliability values that are known exactly, met within 4 standard errors at 200,000 runs."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import pytest
from scipy import stats

RUNS = 200_000


def simulate(site: Any, seed: int, horizon_hours: float = 1.0) -> dict[str, Any]:
    return site.simulate({"runs": RUNS, "seed": seed, "horizonHours": horizon_hours})["impacts"]


def assert_probability(found: float, expected: float) -> None:
    error = math.sqrt(expected * (1 - expected) / RUNS)
    assert abs(found - expected) < 4 * error, (found, expected, (found - expected) / error)


@pytest.mark.parametrize(("works", "expected"), [(0.9, 0.97848), (0.95, 0.994780625)])
def test_bridge_network_of_feeds(site: Any, works: float, expected: float) -> None:
    """Two lines from a source to a load, with a bridge that carries either way: 2p^2 + 2p^3 - 5p^4 + 2p^5.

    Each line is a twin that fails; junctions a and b need any one of what feeds them. The bridge is a loop.
    """
    site.put("source", "a", "b", "load")
    site.put("s-a", "s-b", "a-b", "b-a", "a-t", "b-t", failureProbability=1 - works)
    site.put("a-b", "b-a", failureProbability=0)
    site.put("bridge", failureProbability=1 - works)
    for line, start, end in (
        ("s-a", "source", "a"),
        ("s-b", "source", "b"),
        ("a-t", "a", "load"),
        ("b-t", "b", "load"),
    ):
        site.link(start, "feeds", line)
        site.link(line, "feeds", end, need=1)
    site.link("a", "feeds", "bridge", need=1, direction="both")
    site.link("b", "feeds", "bridge", need=1, direction="both")
    found = simulate(site, seed=3)
    assert_probability(1 - found["load"]["probability"], expected)
    assert found["load"]["minLevel"] == 0.0


@pytest.mark.parametrize(
    ("n", "k", "works", "expected"), [(3, 2, 0.9, 0.972), (4, 2, 0.8, 0.9728), (5, 3, 0.95, 0.998841875)]
)
@pytest.mark.parametrize("relation", ["feeds", "supplies"])
def test_k_of_n(site: Any, relation: str, n: int, k: int, works: float, expected: float) -> None:
    site.put("load")
    for i in range(n):
        site.put(f"unit-{i}", failureProbability=1 - works)
        site.link(f"unit-{i}", relation, "load", need=k, threshold=1)
    assert_probability(1 - simulate(site, seed=5)["load"]["probability"], expected)


def test_consecutive_2_of_5(site: Any) -> None:
    """Fails when two neighbours fail: the load needs one of each neighbouring pair. p = .9: .96309"""
    site.put("load")
    site.put(*(f"unit-{i}" for i in range(5)), failureProbability=0.1)
    for i in range(4):
        for unit in (i, i + 1):
            site.link(f"unit-{unit}", "feeds", "load", group=f"pair-{i}", need=1)
    assert_probability(1 - simulate(site, seed=7)["load"]["probability"], 0.96309)


@pytest.mark.parametrize(("n", "k", "mean", "expected"), [(3, 2, 100, 83.333333), (5, 3, 100, 78.333333)])
def test_mean_time_to_failure(site: Any, n: int, k: int, mean: float, expected: float) -> None:
    """k of n exponential lives: the sum of mean / i for i = k .. n."""
    site.put("load")
    site.put(*(f"unit-{i}" for i in range(n)), timeToFailure=f"exponential({mean})")
    for i in range(n):
        site.link(f"unit-{i}", "feeds", "load", need=k)
    found = simulate(site, seed=11, horizon_hours=5000)["load"]
    assert found["probability"] == 1.0
    deviation = math.sqrt(sum((mean / i) ** 2 for i in range(k, n + 1)))
    assert abs(found["firstHitHours"]["mean"] - expected) < 4 * deviation / math.sqrt(RUNS)


def test_erlang_delay(site: Any) -> None:
    """Three chained exponential delays of mean 2: P(T <= 6) = .576810."""
    site.put("source", "a", "b", "load")
    for start, end in (("source", "a"), ("a", "b"), ("b", "load")):
        site.link(start, "supplies", end, delayHours="exponential(2)")
    document = {"runs": RUNS, "seed": 13, "horizonHours": 6, "events": [{"type": "FAIL", "twin": "source"}]}
    found = site.simulate(document)["impacts"]
    assert_probability(found["load"]["probability"], 0.576810)
    assert_probability(found["a"]["probability"], stats.expon.cdf(6, scale=2))


@pytest.mark.parametrize(("need", "expected", "deviation"), [(2, 2.4, 2.4), (1, 7.6, None)])
def test_minimum_and_maximum_of_two_lives(
    site: Any, need: int, expected: float, deviation: float | None
) -> None:
    """Exponential lives of means 4 and 6: both needed lasts 2.4 h, any one 7.6 h."""
    site.put("load")
    for name, mean in (("a", 4), ("b", 6)):
        site.put(name, timeToFailure=f"exponential({mean})")
        site.link(name, "supplies", "load", need=need)
    found = simulate(site, seed=17, horizon_hours=400)["load"]
    spread = deviation or math.sqrt(
        16 * 2 + 36 * 2 - 2 * 2.4**2 - 7.6**2
    )  # E max^2 = E a^2 + E b^2 - E min^2
    assert abs(found["firstHitHours"]["mean"] - expected) < 4 * spread / math.sqrt(RUNS)


def test_ring_main_with_failing_pipes(site: Any) -> None:
    """A ring of four rooms fed at one: a room is served while one way round is whole (by enumeration)."""
    site.put("plant")
    site.put(*(f"room-{i}" for i in range(4)))
    site.put(*(f"pipe-{i}" for i in range(4)), failureProbability=0.1)
    site.link("plant", "feeds", "room-0", need=1)
    for i in range(4):
        for room in (i, (i + 1) % 4):
            site.link(f"pipe-{i}", "feeds", f"room-{room}", need=1, direction="both")
    found = simulate(site, seed=19)
    for room, ways in ((1, ({0}, {1, 2, 3})), (2, ({0, 1}, {2, 3}))):
        served = sum(
            0.9 ** (4 - len(broken)) * 0.1 ** len(broken)
            for size in range(5)
            for broken in map(set, combinations(range(4), size))
            if any(not way & broken for way in ways)
        )
        assert_probability(1 - found[f"room-{room}"]["probability"], served)
