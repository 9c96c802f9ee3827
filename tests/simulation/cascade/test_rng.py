"""Philox against the published vectors; its draws against uniform ones, in the mean and in spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from simulation.cascade.rng import Purpose, draw_bits, draw_unit, philox4x32, to_unit, uniforms

# kat_vectors of Random123 1.14 (D. E. Shaw Research), lines "philox4x32 10"
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[np.uint64]:
    return [np.uint64(int(word, 16)) for word in text.split()]


def philox_by_python(counter: list[int], key: list[int]) -> list[int]:
    """The paper's definition in Python's whole numbers: an oracle that shares nothing with the kernel."""
    for _ in range(10):
        p0, p1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [p1 >> 32 ^ counter[1] ^ key[0], p1 % 2**32, p0 >> 32 ^ counter[3] ^ key[1], p0 % 2**32]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter: str, key: str, expected: str) -> None:
    assert [int(word) for word in philox4x32(*words(counter), *words(key))] == [
        int(w, 16) for w in expected.split()
    ]


def test_a_draw_is_philox_of_everything_it_depends_on() -> None:
    seed, run, key, purpose, index = 0x0123456789ABCDEF, 77, 0xFEDCBA9876543210, Purpose.DAMAGE, 5
    counter = [key % 2**32, key >> 32, run, purpose << 24 | index]
    expected = philox_by_python(counter, [seed % 2**32, seed >> 32])
    bits = draw_bits(np.uint64(seed), np.uint64(run), np.uint64(key), np.uint64(purpose), np.uint64(index))
    assert int(bits) == expected[1] << 32 | expected[0]


def test_units_are_open_at_both_ends() -> None:
    assert to_unit(np.uint64(0)) == 2.0**-53
    assert to_unit(np.uint64(2**64 - 1)) == 1.0 - 2.0**-53


def test_purposes_keep_their_numbers() -> None:
    """They are part of every stored result."""
    names = ["FAILED", "LIFE", "REPAIR", "RESTART", "DELAY", "BUFFER", "TOLERANCE", "DAMAGE"]
    assert [(one.name, int(one)) for one in Purpose] == [(name, i + 1) for i, name in enumerate(names)]


def test_a_block_of_runs_is_the_same_draws_one_by_one() -> None:
    keys = np.array([3, 2**63 + 5], np.uint64)
    block = uniforms(9, 100, 3, keys, Purpose.LIFE)
    for i in range(3):
        for j in range(2):
            arguments = (np.uint64(9), np.uint64(100 + i), keys[j], np.uint64(Purpose.LIFE), np.uint64(0))
            assert block[i, j] == draw_unit(*arguments)


@pytest.mark.parametrize("purpose", [Purpose.LIFE, Purpose.DAMAGE])
def test_mean_and_dispersion(purpose: Purpose) -> None:
    """Over a million draws with neighbouring seeds, runs and keys: mean, variance, spread between batches."""
    draws = uniforms(1, 0, 1000, np.arange(1000, dtype=np.uint64), purpose)
    z_mean = (draws.mean() - 0.5) / math.sqrt(1 / 12 / draws.size)
    z_variance = (draws.var() - 1 / 12) / math.sqrt(1 / 180 / draws.size)
    assert abs(z_mean) < 4
    assert abs(z_variance) < 4
    for axis in (0, 1):
        spread = np.sum((draws.mean(axis=axis) - 0.5) ** 2) * 12 * 1000
        assert 1e-5 < stats.chi2.cdf(spread, 1000) < 1 - 1e-5


def test_neighbours_do_not_follow_each_other() -> None:
    draws = uniforms(1, 0, 1000, np.arange(1000, dtype=np.uint64), Purpose.LIFE)
    other = uniforms(1, 0, 1000, np.arange(1000, dtype=np.uint64), Purpose.REPAIR)
    next_seed = uniforms(2, 0, 1000, np.arange(1000, dtype=np.uint64), Purpose.LIFE)
    pairs = [(draws[1:], draws[:-1]), (draws[:, 1:], draws[:, :-1]), (draws, other), (draws, next_seed)]
    for left, right in pairs:
        correlation = np.corrcoef(left.ravel(), right.ravel())[0, 1]
        assert abs(correlation) * math.sqrt(left.size) < 4


def test_every_bit_is_a_fair_coin() -> None:
    keys = np.arange(20_000, dtype=np.uint64)
    zero = np.uint64(0)
    bits = np.array([draw_bits(zero, zero, key, np.uint64(1), zero) for key in keys], np.uint64)
    ones = np.array([int(((bits >> np.uint64(i)) & np.uint64(1)).sum()) for i in range(64)])
    z = (ones - 10_000) / math.sqrt(5_000)
    assert np.abs(z).max() < 4.5
    assert 1e-5 < stats.chi2.cdf(np.sum(z**2), 64) < 1 - 1e-5
