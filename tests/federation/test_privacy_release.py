"""What an answer says: suppression, clamping, errors as told, and data that is hardly data."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from federation.privacy.mechanism import load_mechanisms
from federation.privacy.question import (
    ROWS_MAX,
    Aggregate,
    Allowance,
    Bounds,
    BoundsFrom,
    Column,
    check_allowance,
    check_column,
    check_question,
)
from federation.privacy.release import ERROR_CHANCE, SMALL_SHOWN_CHANCE, release
from federation.privacy.rows import grid_of, rows_by_group
from ontology.errors import TwinmeshError
from tests.federation.privacy_worlds import UNIT, column_of, question_of
from tests.simulation.cascade_worlds import fresh_seed

GROUPS = 1_000
# A count of 1,000 tries with chance p lies beyond p + this with less than 1e-9 (Hoeffding).
MARGIN = math.sqrt(math.log(1e9) / (2 * GROUPS))


@pytest.fixture(scope="module")
def opendp():
    return load_mechanisms()


def many(aggregate, rows, opendp, *, size_min=5, epsilon=1.0, bounds=UNIT, **more):
    names = tuple(f"g{number}" for number in range(GROUPS))
    question = question_of(aggregate, groups=names, epsilon=epsilon, bounds=bounds, **more)
    return release(question, column_of([rows] * GROUPS), size_min, opendp)


@pytest.mark.parametrize("size", [0, 1, 4])
def test_groups_that_are_too_small_are_hardly_ever_shown(opendp, size):
    released = many(Aggregate.SUM, [0.5] * size, opendp)
    shown = sum(not group.suppressed for group in released.groups)
    assert shown / GROUPS <= SMALL_SHOWN_CHANCE + MARGIN
    assert all((group.value, group.error95) == (None, None) for group in released.groups if group.suppressed)


def test_large_groups_are_shown(opendp):
    for aggregate in Aggregate:
        released = many(aggregate, [0.5] * 500, opendp)
        assert not any(group.suppressed for group in released.groups)


@pytest.mark.parametrize(
    "bounds", [UNIT, Bounds(-3.0, 40.0, BoundsFrom.CONTRACT), Bounds(900.0, 901.0, BoundsFrom.ASKED)]
)
@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_values_are_as_near_as_they_say(opendp, aggregate, bounds):
    """Against plain numpy on the clamped data, in at least 95 % of the groups (up to a chance of 1e-9)."""
    rng = np.random.default_rng(fresh_seed("private values"))
    rows = rng.uniform(bounds.lower, bounds.upper, 400)
    released = many(aggregate, list(rows), opendp, bounds=bounds)
    values = np.array([group.value for group in released.groups])
    if aggregate is Aggregate.QUANTILE:
        ranks = np.searchsorted(np.sort(rows), values)
        far = np.abs(ranks - 200) > released.noise[1].error95 + 2
        assert np.all((values >= bounds.lower) & (values <= bounds.upper))
    else:
        truth = {Aggregate.COUNT: 400.0, Aggregate.SUM: rows.sum(), Aggregate.MEAN: rows.mean()}[aggregate]
        far = np.abs(values - truth) > np.array([group.error95 for group in released.groups])
    assert far.mean() <= ERROR_CHANCE + MARGIN
    assert len(np.unique(values)) > 5, "it is noise"


def test_the_document_tells_true_numbers(opendp):
    """docs/privacy.md: from which size groups are shown at epsilon 1, and how far off sums are."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "privacy.md").read_text(encoding="utf-8")
    shown = {
        aggregate: many(aggregate, [], opendp).threshold
        for aggregate in (Aggregate.COUNT, Aggregate.MEAN, Aggregate.SUM, Aggregate.QUANTILE)
    }
    count, mean, total, quantile = shown.values()
    assert total == quantile
    assert f"is {count} for a COUNT, {mean} for a MEAN, {total} for a SUM or QUANTILE" in " ".join(
        text.split()
    )
    rows = re.findall(r"^\| ([\d.]+) \| [^|]* \| ([\d.]+) \|$", text, re.MULTILINE)
    assert len(rows) == 4
    for epsilon, error in rows:
        told = many(Aggregate.SUM, [], opendp, epsilon=float(epsilon)).noise[1].error95
        assert told == pytest.approx(float(error), rel=0.05)


def test_more_epsilon_is_less_noise(opendp):
    scales = [many(Aggregate.SUM, [], opendp, epsilon=epsilon).noise[1].scale for epsilon in (0.1, 1.0, 10.0)]
    assert scales == pytest.approx([1 / 0.075, 1 / 0.75, 1 / 7.5], rel=1e-9)


def test_what_is_no_number_counts_as_missing():
    values = np.array([1.0, math.nan, math.inf, -math.inf, 2.0, 3.0, 4.0])
    valid = np.array([True, True, True, True, False, True, True])
    codes = np.array([0, 0, 0, 0, 0, -1, 1], np.int32)
    kept = rows_by_group(Column(values, valid, codes, np.arange(7)), 3)
    assert [rows.tolist() for rows in kept] == [[1.0], [4.0], []]


def random_column(rng):
    """Twins with several rows, in several groups or none, with all that is no number."""
    rows, twins = int(rng.integers(1, 60)), int(rng.integers(1, 20))
    odd = np.array([math.nan, math.inf, -math.inf, 1e308])
    values = np.where(rng.random(rows) < 0.3, rng.choice(odd, rows), rng.normal(size=rows))
    codes = rng.integers(-1, 4, rows).astype(np.int32)
    return Column(values, rng.random(rows) < 0.8, codes, rng.integers(0, twins, rows))


def test_a_twin_less_is_one_row_less():
    """What all the mathematics stands on, on random columns: neighbours differ in one row of one group."""
    rng = np.random.default_rng(fresh_seed("private rows"))
    differed = 0
    for _ in range(500):
        column = random_column(rng)
        rest = column.twins != rng.choice(column.twins)
        less = Column(column.values[rest], column.valid[rest], column.groups[rest], column.twins[rest])
        pairs = zip(rows_by_group(column, 4), rows_by_group(less, 4), strict=True)
        gone = [(Counter(whole.tolist()) - Counter(part.tolist())) for whole, part in pairs]
        back = zip(rows_by_group(less, 4), rows_by_group(column, 4), strict=True)
        assert not any(Counter(part.tolist()) - Counter(whole.tolist()) for part, whole in back)
        assert sum(map(Counter.total, gone)) <= 1
        differed += sum(map(Counter.total, gone))
    assert differed > 100, "most twins have a usable row"


def test_a_twin_counts_once_with_its_first_usable_row():
    values = np.array([math.nan, 5.0, 6.0, 7.0])
    column = Column(values, np.ones(4, np.bool_), np.array([0, 1, 0, 0], np.int32), np.array([8, 8, 8, 9]))
    assert [rows.tolist() for rows in rows_by_group(column, 2)] == [[7.0], [5.0]]


@pytest.mark.parametrize("aggregate", [Aggregate.SUM, Aggregate.MEAN])
@pytest.mark.parametrize("bounds", [(-1e15, 1e15), (0.0, 1e-12), (-5.0, -4.0), (1e15 - 1, 1e15), (-1.0, 3.0)])
def test_the_grid_holds_its_bounds(aggregate, bounds):
    grid = grid_of(aggregate, Bounds(*bounds, BoundsFrom.SCHEMA))
    wild = np.array([-1e308, *bounds, 1e308, 0.0])
    numbers = grid.numbers(wild)
    assert numbers.min() >= grid.lower >= -(2**20)
    assert numbers.max() <= grid.upper <= 2**20
    back = grid.origin + grid.step * numbers
    assert back == pytest.approx(np.clip(wild, *bounds), abs=grid.step)


@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_nothing_at_all_is_answered_like_anything_else(opendp, aggregate):
    released = many(aggregate, [], opendp)
    wild = many(aggregate, [1e308] * 500, opendp, bounds=UNIT)
    assert len(released.groups) == len(wild.groups) == GROUPS
    assert all(math.isfinite(group.value) for group in wild.groups)


REFUSED = [
    (question_of(epsilon=0.0), "PRIVACY_EPSILON"),
    (question_of(epsilon=math.nan), "PRIVACY_EPSILON"),
    (question_of(epsilon=math.inf), "PRIVACY_EPSILON"),
    (question_of(epsilon=-1.0), "PRIVACY_EPSILON"),
    (question_of(bounds=None), "PRIVACY_BOUNDS_MISSING"),
    (question_of(bounds=Bounds(0.0, 1.0, BoundsFrom.DATA)), "PRIVACY_BOUNDS_FROM_DATA"),
    (question_of(bounds=Bounds(1.0, 1.0, BoundsFrom.ASKED)), "PRIVACY_BOUNDS"),
    (question_of(bounds=Bounds(2.0, 1.0, BoundsFrom.ASKED)), "PRIVACY_BOUNDS"),
    (question_of(bounds=Bounds(math.nan, 1.0, BoundsFrom.ASKED)), "PRIVACY_BOUNDS"),
    (question_of(bounds=Bounds(0.0, math.inf, BoundsFrom.ASKED)), "PRIVACY_BOUNDS"),
    (question_of(groups=()), "PRIVACY_GROUPS"),
    (question_of(groups=("a", "a")), "PRIVACY_GROUPS"),
    (question_of(groups=map(str, range(1001))), "PRIVACY_GROUPS"),
    (question_of(quantile=0.5), "PRIVACY_QUANTILE"),
    (question_of(Aggregate.QUANTILE, quantile=1.0), "PRIVACY_QUANTILE"),
    (question_of(Aggregate.QUANTILE, quantile=None), "PRIVACY_QUANTILE"),
]


@pytest.mark.parametrize(
    ("question", "code"), REFUSED, ids=lambda case: case if isinstance(case, str) else ""
)
def test_questions_that_are_refused(question, code):
    with pytest.raises(TwinmeshError) as caught:
        check_question(question)
    assert caught.value.code == code


def test_bounds_that_are_refused_say_where_to_take_them_from():
    with pytest.raises(TwinmeshError) as caught:
        check_question(question_of(bounds=None))
    assert "schema" in (caught.value.hint or "")


def test_columns_that_do_not_fit_are_refused():
    fine = column_of([[1.0, 2.0]])
    short = Column(fine.values, fine.valid[:1], fine.groups, fine.twins)
    for column, groups in ((short, 1), (column_of([[1.0], [2.0]]), 1)):
        with pytest.raises(TwinmeshError) as caught:
            check_column(column, groups)
        assert caught.value.code == "PRIVACY_COLUMNS"


def test_more_rows_than_are_looked_at_are_refused():
    values = np.broadcast_to(np.float64(0.0), ROWS_MAX + 1)  # takes no room
    with pytest.raises(TwinmeshError) as caught:
        check_column(Column(values, values, values, values), 1)
    assert caught.value.code == "PRIVACY_ROWS"


@pytest.mark.parametrize("wrong", [("", 1, 30, 5), ("p", -1, 30, 5), ("p", 1, 0, 5), ("p", 1, 30, 1)])
def test_allowances_that_are_refused(wrong):
    with pytest.raises(TwinmeshError) as caught:
        check_allowance(Allowance(*wrong))
    assert caught.value.code == "PRIVACY_ALLOWANCE"


@pytest.mark.parametrize(
    ("epsilon", "micro"),
    [(0.1, 100_000), (1.0, 1_000_000), (0.0010001, 1_001), (1 / 3, 333_334), (10.0, 10_000_000)],
)
def test_epsilon_is_rounded_up_to_millionths(epsilon, micro):
    assert question_of(epsilon=epsilon).epsilon_micro == micro


WITHOUT = """
import sys
import federation.privacy.asking, federation.privacy.ledger
assert not any(name.split(".")[0] == "opendp" for name in sys.modules), "imported though nobody asked"
sys.modules["opendp"] = None
from federation.privacy.mechanism import load_mechanisms
from ontology.errors import UsageError
try:
    load_mechanisms()
except UsageError as error:
    print(error.code, "|", error.hint)
"""


def test_without_opendp_the_feature_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    code, _, hint = done.stdout.partition(" | ")
    assert code == "PRIVACY_NOT_INSTALLED"
    assert "extra" in hint and "privacy" in hint
