"""Sums in whole numbers against Python's, at sizes where 64 bits would overflow."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest

from simulation.cascade.layout import PIECE
from simulation.cascade.montecarlo import WideSums
from simulation.cascade.tally import lost, worth
from simulation.world import FULL, HOUR_US

YEARS_100_US = 876_600 * HOUR_US


@pytest.mark.parametrize("seed", range(20))
def test_worth_is_exact(seed: int) -> None:
    pick = random.Random(seed)
    for _ in range(200):
        per_hour, down = pick.randrange(2 ** pick.randrange(1, 41)), pick.randrange(YEARS_100_US)
        expected = Fraction(per_hour * down, HOUR_US) + Fraction(1, 2)
        if expected < 2**62:
            assert worth(per_hour, down) == int(expected)


@pytest.mark.parametrize("seed", range(20))
def test_lost_is_exact(seed: int) -> None:
    pick = random.Random(seed)
    times = sorted(pick.sample(range(YEARS_100_US), 6))
    levels = [pick.randrange(FULL + 1) for _ in times]
    pieces = np.zeros(6, PIECE)
    pieces["time"], pieces["value"] = times, levels
    since, until = sorted(pick.sample(range(YEARS_100_US), 2))
    exact = sum(
        max(0, min(end, until) - max(start, since)) * (FULL - level)
        for start, end, level in zip(times, [*times[1:], until], levels, strict=True)
    )
    assert lost(pieces, 0, 6, since, until) == exact // FULL


def test_wide_sums_hold_more_than_64_bits() -> None:
    sums, exact = WideSums(2), [0, 0]
    for step in range(100):
        values = [2**62 - step, step]
        sums.add(np.array(values, np.int64))
        exact = [total + value for total, value in zip(exact, values, strict=True)]
    assert [sums.total(0), sums.total(1)] == exact
    assert exact[0] > 2**64
