"""On neighbouring data the answers' distributions differ no more than epsilon allows; defects are seen.

OpenDP draws from the system's randomness: there is no seed. The bound is wrong with a chance of 1e-9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from federation.privacy.mechanism import load_mechanisms
from federation.privacy.question import Aggregate, Bounds, BoundsFrom
from federation.privacy.release import release
from federation.privacy.rows import Grid
from tests.federation.privacy_worlds import column_of, question_of, surely_apart

SIZE_MIN = 5
COPIES = 1_000  # groups that hold the same rows: as many independent draws from one release
ROUNDS = 4
LONG_ROUNDS = 200
EPSILON = 1.0
WIDE = Bounds(-1.0, 1.0, BoundsFrom.SCHEMA)


@pytest.fixture(scope="module")
def opendp():
    return load_mechanisms()


def draws(question, rows, twins, mechanisms, rounds):
    """float64[rounds * COPIES]: what one group with these rows is answered; NaN where it is suppressed."""
    many = replace(question, groups=tuple(f"g{copy}" for copy in range(COPIES)))
    owners = np.concatenate([np.asarray(twins) + copy * 10_000 for copy in range(COPIES)])
    column = column_of([rows] * COPIES, owners)
    answers = [
        answer.value for _ in range(rounds) for answer in release(many, column, SIZE_MIN, mechanisms).groups
    ]
    return np.array([math.nan if value is None else value for value in answers])


def apart(question, extra, mechanisms, rounds=ROUNDS, extra_twin=9_999):
    """How far a twin more (with the rows `extra`) moves the answers, where being shown at all is in doubt."""
    empty = column_of([[]])
    size = release(question, empty, SIZE_MIN, mechanisms).threshold - 1
    rows, twins = [0.0] * size, list(range(size))
    extra_twins = extra_twin if isinstance(extra_twin, list) else [extra_twin] * len(extra)
    first = draws(question, rows, twins, mechanisms, rounds)
    second = draws(question, rows + extra, twins + extra_twins, mechanisms, rounds)
    return surely_apart(first, second)


CASES = [
    (Aggregate.COUNT, [0.5]),
    (Aggregate.SUM, [1.0]),
    (Aggregate.SUM, [-1.0]),
    (Aggregate.SUM, [1e300]),
    (Aggregate.SUM, [math.nan]),
    (Aggregate.SUM, [math.inf]),
    (Aggregate.SUM, [1.0] * 40),  # one twin that has forty rows
    (Aggregate.MEAN, [1.0]),
    (Aggregate.MEAN, [-1e300]),
    (Aggregate.QUANTILE, [1.0]),
]


@pytest.mark.parametrize(("aggregate", "extra"), CASES, ids=lambda case: str(case)[:20])
def test_one_twin_more_moves_the_answers_by_no_more_than_epsilon(opendp, aggregate, extra):
    found = apart(question_of(aggregate, epsilon=EPSILON, bounds=WIDE), extra, opendp)
    print(f"{aggregate} {extra[:1]}: surely {found.epsilon:.3f} of {EPSILON} by {found.event}")
    assert found.epsilon <= EPSILON


@pytest.mark.long
@pytest.mark.parametrize(("aggregate", "extra"), CASES, ids=lambda case: str(case)[:20])
def test_the_same_with_many_draws(opendp, aggregate, extra):
    found = apart(question_of(aggregate, epsilon=EPSILON, bounds=WIDE), extra, opendp, LONG_ROUNDS)
    print(f"{aggregate} {extra[:1]}: surely {found.epsilon:.3f} of {EPSILON} by {found.event}")
    assert found.epsilon <= EPSILON


def test_the_bound_is_nearly_reached(opendp):
    """Else the tests above would say nothing: a good part of what epsilon allows is really seen."""
    found = apart(question_of(Aggregate.COUNT, epsilon=EPSILON), [0.5], opendp)
    assert found.epsilon > 0.7 * EPSILON


@dataclass(frozen=True)
class HalfNoise:
    """Planted: every measurement is made for twice of what was paid."""

    sound: object

    def count(self, epsilon_micro):
        return self.sound.count(2 * epsilon_micro)

    def total(self, epsilon_micro, lower, upper):
        return self.sound.total(2 * epsilon_micro, lower, upper)

    def quantile(self, epsilon_micro, candidates, share):
        return self.sound.quantile(2 * epsilon_micro, candidates, share)

    def error(self, scale, chance):
        return self.sound.error(scale, chance)


@dataclass(frozen=True)
class PaidOnce(HalfNoise):
    """Planted: count and value get the whole epsilon each, as if they were not asked of the same rows."""

    def count(self, epsilon_micro):
        return self.sound.count(1_000_000)

    def total(self, epsilon_micro, lower, upper):
        return self.sound.total(1_000_000, lower, upper)


@dataclass(frozen=True)
class Exact:
    """Planted: a count without noise, so that suppression shows on which side of the threshold a group is."""

    scale: float

    def release(self, steps):
        return len(steps)


@dataclass(frozen=True)
class ExactSuppression(HalfNoise):
    def count(self, epsilon_micro):
        return Exact(self.sound.count(epsilon_micro).scale)

    def total(self, epsilon_micro, lower, upper):
        return self.sound.total(epsilon_micro, lower, upper)


@dataclass(frozen=True)
class Unclamped:
    """Noise for rows within the grid, on the sum of rows that are not."""

    sound: object

    @property
    def scale(self):
        return self.sound.scale

    def release(self, steps):
        return self.sound.release(np.zeros(0, np.int64)) + int(steps.sum())


@dataclass(frozen=True)
class ForgotToClamp(ExactSuppression):
    def count(self, epsilon_micro):
        return self.sound.count(epsilon_micro)

    def total(self, epsilon_micro, lower, upper):
        return Unclamped(self.sound.total(epsilon_micro, lower, upper))


@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_half_the_noise_is_seen(opendp, aggregate):
    found = apart(question_of(aggregate, epsilon=EPSILON, bounds=WIDE), [1.0], HalfNoise(opendp))
    print(f"{aggregate}: surely {found.epsilon:.3f} of {EPSILON} by {found.event}")
    assert found.epsilon > EPSILON


@pytest.mark.parametrize("planted", [PaidOnce, ExactSuppression])
def test_other_planted_defects_are_seen(opendp, planted):
    found = apart(question_of(Aggregate.SUM, epsilon=EPSILON), [1.0], planted(opendp))
    print(f"{planted.__name__}: surely {found.epsilon:.3f} of {EPSILON} by {found.event}")
    assert found.epsilon > EPSILON


def unclamped_numbers(grid, values):
    return np.rint((values - grid.origin) / grid.step).astype(np.int64)


def test_forgotten_clamping_is_seen(opendp, monkeypatch):
    """Either of the two clamps alone keeps the promise; without both it is broken."""
    question = question_of(Aggregate.SUM, epsilon=EPSILON)
    assert apart(question, [1e6], ForgotToClamp(opendp)).epsilon <= EPSILON
    monkeypatch.setattr(Grid, "numbers", unclamped_numbers)
    assert apart(question, [1e6], opendp).epsilon <= EPSILON
    found = apart(question, [1e6], ForgotToClamp(opendp))
    print(f"unclamped: surely {found.epsilon:.3f} of {EPSILON} by {found.event}")
    assert found.epsilon > EPSILON


def test_rows_that_are_not_said_to_be_one_twins_are_seen(opendp):
    """The cap on contributions is what holds for a twin of forty rows."""
    question = question_of(Aggregate.SUM, epsilon=EPSILON)
    lies = [5_000 + row for row in range(40)]
    assert apart(question, [1.0] * 40, opendp, extra_twin=lies).epsilon > EPSILON
