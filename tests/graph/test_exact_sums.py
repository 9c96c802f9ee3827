"""Exact sums, held against `math.fsum`, fractions, and themselves over other splits and orders."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from random import Random

import numpy as np
import pytest

from graph.exact_sums import STEP_BITS, STEPS_BYTES_MAX, ExactSum, exact_sums, joined, packed, unpacked
from tests.simulation.cascade_worlds import fresh_seed

LARGEST, SMALLEST = math.ldexp(2 - 2**-52, 1023), 5e-324


def any_number(random: Random) -> float:
    """Any finite double: all bits are drawn."""
    while True:
        (value,) = struct.unpack("<d", random.randbytes(8))
        if math.isfinite(value):
            return value


def drawn(random: Random) -> list[float]:
    draw = random.choice(
        (
            lambda: any_number(random),
            lambda: random.uniform(-1, 1),
            lambda: float(random.randrange(-(2**53), 2**53)),
            lambda: round(random.uniform(0, 500), 2),
            lambda: math.ldexp(random.random(), random.randrange(-1080, 900)),
            lambda: random.choice((0.0, -0.0, SMALLEST, -SMALLEST, 1e308, -1e308, 0.1)),
        )
    )
    return [draw() for _ in range(random.choice((0, 1, 2, 3, 40, 300)))]


def sums_of(groups: list[list[float]]) -> list[ExactSum]:
    bounds = [0]
    for group in groups:
        bounds.append(bounds[-1] + len(group))
    return exact_sums(np.array([value for group in groups for value in group], np.float64), bounds)


def test_sums_are_those_of_fractions() -> None:
    random = Random(seed := fresh_seed("exact sums"))
    groups = [drawn(random) for _ in range(300)]
    for group, found in zip(groups, sums_of(groups), strict=True):
        whole = sum(map(Fraction, group), Fraction())
        assert found.steps == whole * 2**STEP_BITS, seed
        assert found.beyond == 0.0
        try:
            expected = math.fsum(group)
        except OverflowError:  # fsum gives up where a part is too large, even if the whole is not
            continue
        assert found.total == expected, seed
        assert not group or found.share(len(group)) == float(whole / len(group)), seed


def test_how_numbers_are_split_and_ordered_changes_nothing() -> None:
    random = Random(seed := fresh_seed("splits"))
    for _ in range(100):
        values = drawn(random)
        (whole,) = sums_of([values])
        random.shuffle(values)
        cuts = sorted(random.randrange(len(values) + 1) for _ in range(3))
        parts = [values[low:high] for low, high in zip([0, *cuts], [*cuts, len(values)], strict=True)]
        assert joined(sums_of(parts)) == whole, seed


def test_the_ends_of_what_doubles_can_say() -> None:
    largest, both, tiny, none = sums_of([[LARGEST] * 3, [LARGEST, -LARGEST, 1.0], [SMALLEST] * 5, []])
    assert (largest.total, largest.share(3)) == (math.inf, LARGEST)
    assert both.total == 1.0
    assert tiny.total == 5 * SMALLEST
    assert (none.total, none.share(7)) == (0.0, 0.0)
    below = sums_of([[-LARGEST] * 2])[0]
    assert below.total == -math.inf


def test_numbers_beyond_are_kept_apart() -> None:
    up, down, mixed, after = sums_of([[math.inf, 1.0], [-math.inf], [math.inf, -math.inf], [2.0]])
    assert (up.total, down.total, after.total) == (math.inf, -math.inf, 2.0)
    assert math.isnan(mixed.total)
    assert math.isnan((up + down).total)


def test_steps_travel() -> None:
    random = Random(seed := fresh_seed("packed"))
    for each in sums_of([drawn(random) for _ in range(200)]):
        data = packed(each.steps)
        assert unpacked(data) == each.steps, seed
        assert len(data) <= STEPS_BYTES_MAX + 2
    assert unpacked(packed(2**STEP_BITS)) == 2**STEP_BITS
    assert len(packed(2**STEP_BITS)) < 5


@pytest.mark.parametrize("data", [b"\0", b"\0\0", b"\xff\xff\1", b"\0\0" + b"\1" * 400])
def test_what_nobody_packed_is_refused(data: bytes) -> None:
    assert unpacked(data) is None
