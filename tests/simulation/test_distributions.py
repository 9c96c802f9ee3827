"""Durations: what may be stated, and draws that follow the stated law (Kolmogorov-Smirnov against scipy)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ontology.errors import InputError, Place
from simulation.cascade.rng import Purpose, uniforms
from simulation.distributions import Family, Rounding, parse_duration, whole_us
from simulation.world import HOUR_US, NEVER


def lognormal(mean: float, sd: float) -> Any:
    """scipy's lognormal by the mean and standard deviation of the value itself."""
    variance = math.log(1 + (sd / mean) ** 2)
    return stats.lognorm(s=math.sqrt(variance), scale=mean * math.exp(-variance / 2))


LAWS = {
    "exponential(4)": stats.expon(scale=4),
    "weibull(2.5,1000)": stats.weibull_min(2.5, scale=1000),
    "Weibull( 0.7 , 3 )": stats.weibull_min(0.7, scale=3),
    "lognormal(8,6)": lognormal(8, 6),
    "lognormal(100,1)": lognormal(100, 1),
    "uniform(2,5)": stats.uniform(2, 3),
}


@pytest.mark.parametrize(("text", "law"), LAWS.items())
def test_draws_follow_the_law(text: str, law: Any) -> None:
    duration = parse_duration(text)
    units = uniforms(11, 0, 20_000, np.array([7], np.uint64), Purpose.LIFE)[:, 0]
    hours = np.array([duration.to_us(Rounding.DOWN, unit) for unit in units]) / HOUR_US
    assert stats.kstest(hours, law.cdf).pvalue > 1e-4
    assert abs(hours.mean() - law.mean()) < 4 * law.std() / math.sqrt(len(hours))


@pytest.mark.parametrize(("text", "law"), LAWS.items())
def test_each_draw_is_the_quantile(text: str, law: Any) -> None:
    duration = parse_duration(text)
    for unit in (2.0**-53, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-9):
        expected = law.ppf(unit) * HOUR_US
        assert duration.to_us(Rounding.DOWN, unit) == pytest.approx(expected, rel=1e-12, abs=2)


@pytest.mark.parametrize("text", LAWS)
def test_a_larger_number_is_never_a_shorter_time(text: str) -> None:
    duration = parse_duration(text)
    times = [duration.to_us(Rounding.DOWN, unit) for unit in np.linspace(1e-9, 1 - 1e-9, 2001)]
    assert times == sorted(times)


def test_a_number_is_itself() -> None:
    assert parse_duration(2.5).to_us(Rounding.DOWN) == 9_000_000_000
    assert parse_duration(" 2.5 ") == parse_duration(2.5)
    assert parse_duration("lognormal(3,0)") == parse_duration(3)
    assert parse_duration(3).family is Family.FIXED


@pytest.mark.parametrize("tenths", range(500))
def test_decimals_of_hours_are_whole_whichever_way_they_round(tenths: int) -> None:
    hours = tenths / 10
    assert whole_us(hours, 0) == whole_us(hours, 1) == tenths * HOUR_US // 10


def test_rounding_is_to_the_safe_side() -> None:
    third = 1 / 3 + 1e-10
    assert whole_us(third, 1) == whole_us(third, 0) + 1
    assert whole_us(1e300, 0) == NEVER


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("exponentail(3)", "did you mean exponential?"),
        ("weibull(2)", "weibull(shape, scale)"),
        ("weibull(0,2)", "above 0"),
        ("weibull(2,0)", "above 0"),
        ("exponential(0)", "above 0"),
        ("lognormal(0,1)", "above 0"),
        ("lognormal(1,1e7)", "times the mean"),
        ("uniform(5,2)", "below the first"),
        ("uniform(-1,2)", "between 0 and"),
        ("exponential(nan)", "between 0 and"),
        ("exponential(x)", "exponential(mean)"),
        ("soon", "not a duration"),
        ("", "not a duration"),
        (-1.0, "between 0 and"),
        (math.inf, "between 0 and"),
        (math.nan, "between 0 and"),
    ],
)
def test_refused_with_code_place_and_hint(stated: float | str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_duration(stated, Place(item="events[2].repairHours"))
    assert caught.value.code == "DISTRIBUTION_INVALID"
    assert message in str(caught.value)
    assert "events[2].repairHours" in str(caught.value)
    assert caught.value.hint
