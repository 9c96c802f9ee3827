"""On neighbouring data the answers' distributions differ no more than epsilon allows; defects are seen.

OpenDP draws from the system's randomness: there is no seed. The bound is wrong with a chance of 1e-9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import then_laplace, then_private_quantile
from opendp.measures import max_divergence
from opendp.metrics import symmetric_distance
from opendp.mod import enable_features
from opendp.transformations import then_clamp, then_count, then_sum

from federation.privacy import opendp_noise
from federation.privacy.mechanism import load_mechanisms
from federation.privacy.question import Aggregate, Bounds, BoundsFrom
from federation.privacy.release import release
from federation.privacy.rows import Grid
from ontology.errors import TwinmeshError
from tests.federation.privacy_worlds import column_of, question_of, surely_apart
from tests.simulation.cascade_worlds import fresh_seed

SIZE_MIN = 5
COPIES = 1_000  # groups that hold the same rows: as many independent draws from one release
ROUNDS = 4
PLANTED_ROUNDS = 8  # then each defect is seen by ten standard deviations and more
LONG_ROUNDS = 100
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


def calm_rows(aggregate, size):
    """Rows that one more moves most: zeros, for a median as many of the lowest and the highest value."""
    if aggregate is not Aggregate.QUANTILE:
        return [0.0] * size
    side = (size - 1) // 2
    return [-1.0] * side + [0.0] * (size - 2 * side) + [1.0] * side


def apart(question, extra, mechanisms, rounds=ROUNDS, extra_twins=None):
    """How far a twin more (with the rows `extra`) moves the answers, where being shown at all is in doubt."""
    size = release(question, column_of([[]]), SIZE_MIN, mechanisms).threshold - 1
    rows, twins = calm_rows(question.aggregate, size), list(range(size))
    first = draws(question, rows, twins, mechanisms, rounds)
    added = extra_twins or [size] * len(extra)
    second = draws(question, rows + extra, twins + added, mechanisms, rounds)
    return surely_apart(first, second)


CASES = [
    (Aggregate.COUNT, [0.5]),
    (Aggregate.SUM, [1.0]),
    (Aggregate.SUM, [math.nan]),
    (Aggregate.SUM, [1.0] * 40),  # one twin that has forty rows
    (Aggregate.MEAN, [-1e300]),
    (Aggregate.QUANTILE, [1.0]),
]
LONG_CASES = [
    *CASES,
    (Aggregate.SUM, [-1.0]),
    (Aggregate.SUM, [1e300]),
    (Aggregate.SUM, [math.inf]),
    (Aggregate.MEAN, [1.0]),
    (Aggregate.QUANTILE, [-1e300]),
]


@pytest.mark.parametrize(("aggregate", "extra"), CASES, ids=lambda case: str(case)[:20])
def test_one_twin_more_moves_the_answers_by_no_more_than_epsilon(opendp, aggregate, extra):
    found = apart(question_of(aggregate, epsilon=EPSILON, bounds=WIDE), extra, opendp)
    print(f"{aggregate} {extra[:1]}: surely {found.epsilon:.3f} of {EPSILON} by {found.event}")
    assert found.epsilon <= EPSILON


@pytest.mark.long
@pytest.mark.parametrize(("aggregate", "extra"), LONG_CASES, ids=lambda case: str(case)[:20])
def test_the_same_with_many_draws(opendp, aggregate, extra):
    found = apart(question_of(aggregate, epsilon=EPSILON, bounds=WIDE), extra, opendp, LONG_ROUNDS)
    print(f"{aggregate} {extra[:1]}: surely {found.epsilon:.3f} of {EPSILON} by {found.event}")
    assert found.epsilon <= EPSILON


def test_the_bound_is_nearly_reached(opendp):
    """Else the tests above would say nothing: a good part of what epsilon allows is really seen."""
    found = apart(question_of(Aggregate.COUNT, epsilon=EPSILON), [0.5], opendp)
    assert found.epsilon > 0.5 * EPSILON


def test_opendp_says_that_no_more_is_spent_than_was_paid(opendp):
    """Measurements built here once more, with the scales that were chosen: compared as fractions."""
    rng = np.random.default_rng(fresh_seed("private scales"))
    enable_features("contrib")
    rows = vector_domain(atom_domain(T="i64")), symmetric_distance()
    candidates = np.arange(-8, 9)
    for micro in (250, 1_000_000, 10_000_000, *rng.integers(250, 10_000_000, 40).tolist()):
        count, total = opendp.count(micro), opendp.total(micro, -(2**20), 2**20)
        quantile = opendp.quantile(micro, candidates, 0.25)
        spent = [
            (rows >> then_count(TO="i64") >> then_laplace(scale=count.scale)).map(1),
            (rows >> then_clamp((-(2**20), 2**20)) >> then_sum() >> then_laplace(scale=total.scale)).map(1),
            (rows >> then_private_quantile(max_divergence(), candidates, 0.25, quantile.scale)).map(1),
        ]
        assert all(Fraction(each) <= Fraction(micro, 1_000_000) for each in spent)
        assert spent == pytest.approx([micro / 1_000_000] * 3, rel=1e-9), "and hardly less"


@dataclass(frozen=True)
class NeverEnough:
    """A measurement that says it costs more than was paid, whatever the scale."""

    def map(self, _):
        return 2.0


def test_noise_that_costs_too_much_is_not_drawn():
    with pytest.raises(TwinmeshError) as caught:
        opendp_noise._calibrated(lambda _: NeverEnough(), 1_000_000)
    assert caught.value.code == "PRIVACY_NOISE"


@dataclass(frozen=True)
class HalfNoise:
    """Planted: every measurement is made for twice (or `times`) of what was paid."""

    sound: object
    times: int = 2

    def count(self, epsilon_micro):
        return self.sound.count(self.times * epsilon_micro)

    def total(self, epsilon_micro, lower, upper):
        return self.sound.total(self.times * epsilon_micro, lower, upper)

    def quantile(self, epsilon_micro, candidates, share):
        return self.sound.quantile(self.times * epsilon_micro, candidates, share)

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
def test_too_little_noise_is_seen(opendp, aggregate):
    """Half of it; for a quantile a quarter, as choosing costs more in the books than one row can move."""
    planted = HalfNoise(opendp, 4 if aggregate is Aggregate.QUANTILE else 2)
    found = apart(question_of(aggregate, epsilon=EPSILON, bounds=WIDE), [1.0], planted, PLANTED_ROUNDS)
    print(f"{aggregate}: surely {found.epsilon:.3f} of {EPSILON} by {found.event}")
    assert found.epsilon > EPSILON


@pytest.mark.parametrize("planted", [PaidOnce, ExactSuppression])
def test_other_planted_defects_are_seen(opendp, planted):
    found = apart(question_of(Aggregate.SUM, epsilon=EPSILON), [1.0], planted(opendp), PLANTED_ROUNDS)
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
    assert apart(question, [1.0] * 40, opendp, extra_twins=lies).epsilon > EPSILON
