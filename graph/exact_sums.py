"""Sums of numbers without rounding: whatever their order, and however they were split before, they are equal.

A double is a whole number of steps of 2**-1074, so a sum of doubles is one too. Steps are added in a row of
32-bit digits for each group and rounded once, when a figure is told. (The idea of a superaccumulator is that
of U. Kulisch; held against `math.fsum` and `fractions` in the tests.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.jit import kernel, read_only

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

STEP_BITS: Final = 1074
"""A step is 2**-STEP_BITS: the smallest double above 0."""
STEPS_BYTES_MAX: Final = 296
"""More than 2**200 of the largest doubles sum up to so many steps."""
_DIGITS: Final = 67  # 2,046 places of a lowest bit, and 53 bits above the last of them
_ONE: Final = 1 << STEP_BITS
# A digit grows by less than 2**33 a number: so many of them stay inside 64 bits.
_AT_ONCE: Final = 1 << 29


@dataclass(frozen=True, slots=True)
class ExactSum:
    """steps: of the finite numbers. beyond: the sum of all others, 0.0 where there are none."""

    steps: int = 0
    beyond: float = 0.0

    def __add__(self, other: ExactSum) -> ExactSum:
        return ExactSum(self.steps + other.steps, self.beyond + other.beyond)

    @property
    def total(self) -> float:
        """The double that is nearest; infinite beyond the largest one."""
        return self.share(1)

    def share(self, count: int) -> float:
        """The double that is nearest to the sum divided by `count`, above 0: the mean of as many numbers."""
        if self.beyond != 0.0:
            return self.beyond
        try:
            return self.steps / (_ONE * count)  # a division of whole numbers is rounded once
        except OverflowError:
            return math.inf if self.steps > 0 else -math.inf


def joined(sums: Iterable[ExactSum]) -> ExactSum:
    """The sum of some sums."""
    found = ExactSum()
    for each in sums:
        found += each
    return found


def exact_sums(values: npt.NDArray[np.float64], bounds: list[int]) -> list[ExactSum]:
    """Of each group i the sum of values[bounds[i]:bounds[i + 1]]. Ascending bounds, one more than groups."""
    found: list[ExactSum] = []
    edges = np.asarray(bounds, np.int64)
    finite = np.isfinite(values)
    is_finite = bool(finite.all())
    digits = np.zeros((len(bounds) - 1, _DIGITS), np.int64)
    bits = read_only(np.ascontiguousarray(values, np.float64).view(np.uint64))
    steps = [0] * len(digits)
    longest = int(np.diff(edges).max(initial=0))
    for start in range(0, max(longest, 1), _AT_ONCE):
        digits[:] = 0
        add_digits(bits, edges, start, start + _AT_ONCE, digits)
        for group, row in enumerate(_numbers(digits)):
            steps[group] += row
    for group, low in enumerate(bounds[:-1]):
        odd = 0.0
        if not is_finite:
            piece = values[low : bounds[group + 1]]
            strange = piece[~np.isfinite(piece)]
            with np.errstate(invalid="ignore"):  # of plus and minus infinity: no number
                odd = float(strange.sum()) if len(strange) else 0.0
        found.append(ExactSum(steps[group], odd))
    return found


@kernel
def add_digits(
    bits: npt.NDArray[np.uint64],
    bounds: npt.NDArray[np.int64],
    start: int,
    stop: int,
    digits: npt.NDArray[np.int64],
) -> None:
    """digits[g] += the steps of the finite numbers bounds[g] + start .. bounds[g] + stop of each group.

    Readable reference: `sum(int(Fraction(x) * 2**1074) for x in group)`.
    """
    low = np.uint64(0xFFFFFFFF)
    for group in range(len(bounds) - 1):
        first = bounds[group] + start
        last = min(bounds[group] + stop, bounds[group + 1])
        for place in range(first, last):
            word = bits[place]
            exponent = np.int64((word >> np.uint64(52)) & np.uint64(0x7FF))
            mantissa = word & np.uint64(0xFFFFFFFFFFFFF)
            if exponent == 0x7FF:
                continue
            if exponent:
                mantissa |= np.uint64(1 << 52)
                exponent -= 1
            digit = exponent >> 5
            shift = np.uint64(exponent & 31)
            lower = (mantissa & low) << shift
            upper = (mantissa >> np.uint64(32)) << shift
            one = np.int64(lower & low)
            two = np.int64((lower >> np.uint64(32)) + (upper & low))
            three = np.int64(upper >> np.uint64(32))
            if word >> np.uint64(63):
                one, two, three = -one, -two, -three
            digits[group, digit] += one
            digits[group, digit + 1] += two
            digits[group, digit + 2] += three


def _numbers(digits: npt.NDArray[np.int64]) -> list[int]:
    """Each row as one number; only a few digits of it are there."""
    found = [0] * len(digits)
    groups, places = np.nonzero(digits)
    for group, place, digit in zip(
        groups.tolist(), places.tolist(), digits[groups, places].tolist(), strict=True
    ):
        found[group] += digit << (32 * place)
    return found


def packed(steps: int) -> bytes:
    """A number of steps as it travels: how many whole bytes of zeros were left out, then the rest, lowest
    byte first, with its sign."""
    if not steps:
        return b""
    zeros = ((steps & -steps).bit_length() - 1) // 8
    rest = steps >> (8 * zeros)
    return zeros.to_bytes(2, "little") + rest.to_bytes(rest.bit_length() // 8 + 1, "little", signed=True)


def unpacked(data: bytes) -> int | None:
    """What `packed` wrote; None where it cannot have."""
    if not data:
        return 0
    zeros = int.from_bytes(data[:2], "little")
    if len(data) < 3 or zeros + len(data) - 2 > STEPS_BYTES_MAX:
        return None
    return int.from_bytes(data[2:], "little", signed=True) << (8 * zeros)
