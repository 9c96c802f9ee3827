"""Own log, exp and normal quantile: right against scipy, equal to the bit against the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit
from scipy.special import ndtri

from simulation.cascade import elementary
from simulation.cascade.elementary import exp, log, normal_quantile

RANDOM = np.random.default_rng(5)
UNITS = np.concatenate(
    [RANDOM.random(20_000), RANDOM.random(5_000) ** 30 + 1e-300, [2.0**-53, 1 - 2.0**-53, 0.5]]
)
POSITIVE = np.concatenate([UNITS[:20_000] * 1e8, UNITS, [1.0, np.nextafter(1.0, 2), np.nextafter(1.0, 0)]])
EXPONENTS = np.concatenate([(RANDOM.random(20_000) - 0.5) * 1400, RANDOM.random(5_000) - 0.5, [0.0]])


def apply(function: Callable[[float], float], values: np.ndarray) -> np.ndarray:
    return np.array([function(float(value)) for value in values])


def in_last_place(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(got - expected) / np.spacing(np.abs(expected))))


def test_log_is_accurate() -> None:
    assert in_last_place(apply(log, POSITIVE), np.log(POSITIVE)) <= 3


def test_exp_is_accurate_and_ends_well() -> None:
    assert in_last_place(apply(exp, EXPONENTS), np.exp(EXPONENTS)) <= 3
    assert (exp(-1e9), exp(1e9), exp(0.0)) == (0.0, np.inf, 1.0)


def test_normal_quantile_is_accurate_and_odd() -> None:
    expected = ndtri(UNITS)
    got = apply(normal_quantile, UNITS)
    away = np.abs(expected) > 1e-3  # relative error is meant where there is something to be relative to
    assert np.max(np.abs(got[away] / expected[away] - 1)) < 4e-15
    assert np.max(np.abs(got - expected)) < 1e-13
    assert normal_quantile(0.5) == 0.0
    assert normal_quantile(0.25) == -normal_quantile(0.75)


@pytest.mark.parametrize("name", ["log", "exp", "normal_quantile"])
def test_compiled_equals_interpreted_to_the_bit(name: str) -> None:
    """The interpreter contracts and reorders nothing; equality shows that compiled code does not either."""
    compiled: Any = getattr(elementary, name)
    values = {"log": POSITIVE, "exp": EXPONENTS, "normal_quantile": UNITS}[name]
    assert np.array_equal(apply(compiled, values), apply(compiled.py_func, values))


@pytest.mark.parametrize("name", ["log", "exp", "normal_quantile"])
def test_compiled_code_holds_no_fused_multiply_add(name: str) -> None:
    cached: Any = getattr(elementary, name)
    compiled: Any = njit(nogil=True)(cached.py_func)  # a kernel that comes from the cache shows no assembly
    compiled(0.3)
    assembly = "".join(compiled.inspect_asm().values()).lower()
    assert "vfmadd" not in assembly
    assert "fmla" not in assembly
    assert "fmadd" not in assembly


def test_pinned_to_the_bit() -> None:
    """What every machine must give; from this implementation, checked against scipy above."""
    assert [log(0.3).hex(), exp(-1.7).hex(), normal_quantile(0.001).hex()] == [
        "-0x1.34378fcbda721p+0",
        "0x1.7622c78a98a07p-3",
        "-0x1.8b8cbb7204470p+1",
    ]
