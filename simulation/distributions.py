"""Durations in hours, fixed or drawn: what a model may state, and one value of it per run.

A value is drawn by turning one uniform draw round in the distribution function (inverse transform), so that a
larger uniform is never a shorter time, and ends as integer microseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ontology.errors import InputError, Place, suggestion
from simulation.cascade.elementary import exp, log, normal_quantile
from simulation.cascade.jit import kernel
from simulation.world import HOUR_US, NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable

HOURS_MAX = 1e8
"""Longest duration that may be stated: eleven thousand years."""
Float64s: TypeAlias = npt.NDArray[np.float64]
ABSENT = -1
"""`Durations.family` where nothing is stated."""
_SPREAD_MAX = 1e6
_NEVER_HOURS = NEVER / HOUR_US


class Family(IntEnum):
    """How the two parameters of a prepared distribution are read."""

    FIXED = 0  # hours, 0
    EXPONENTIAL = 1  # mean, 0
    WEIBULL = 2  # scale, 1 / shape
    LOGNORMAL = 3  # mean and standard deviation of the logarithm
    UNIFORM = 4  # lower end, width


class Rounding(IntEnum):
    """To whole microseconds, to the safe side: what helps is cut down, what hurts goes up."""

    DOWN = 0
    UP = 1


@dataclass(frozen=True, slots=True)
class Duration:
    """A stated duration, ready to be drawn from: `hours` below reads (family, first, second)."""

    family: Family
    first: float
    second: float

    @property
    def fixed(self) -> bool:
        return self.family is Family.FIXED

    def to_us(self, rounding: Rounding, unit: float = 0.5) -> int:
        """Microseconds for one uniform number in (0, 1); for a fixed duration the number does not matter."""
        return int(draw_us(int(self.family), self.first, self.second, unit, int(rounding)))


@dataclass(frozen=True, slots=True, eq=False)
class Durations:
    """Many durations: family int8[n] (ABSENT where there is none), first and second float64[n]."""

    family: npt.NDArray[np.int8]
    first: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]

    @classmethod
    def of(cls, stated: Iterable[Duration | None]) -> Durations:
        rows = [(ABSENT, 0.0, 0.0) if d is None else (int(d.family), d.first, d.second) for d in stated]
        table = np.array(rows, np.float64).reshape(-1, 3)
        return cls(table[:, 0].astype(np.int8), table[:, 1].copy(), table[:, 2].copy())

    @classmethod
    def fixed(cls, hours: npt.NDArray[np.float64]) -> Durations:
        """Fixed durations in hours; NaN is absent."""
        family = np.where(np.isnan(hours), ABSENT, int(Family.FIXED)).astype(np.int8)
        return cls(family, np.nan_to_num(hours), np.zeros(len(hours)))

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        return self.family != ABSENT

    @property
    def drawn(self) -> npt.NDArray[np.bool_]:
        """Where a run has to draw."""
        return self.family > int(Family.FIXED)

    @property
    def zero(self) -> npt.NDArray[np.bool_]:
        """Where no time at all is stated, or nothing."""
        return ~self.present | ((self.family == int(Family.FIXED)) & (self.first == 0))

    def one(self, row: int) -> Duration:
        """One row that is present."""
        return Duration(Family(int(self.family[row])), float(self.first[row]), float(self.second[row]))

    def take(self, rows: npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]) -> Durations:
        return Durations(self.family[rows], self.first[rows], self.second[rows])

    def put(self, row: int, duration: Duration) -> None:
        """State one row, in place: only while the rows are being gathered."""
        self.family[row] = duration.family
        self.first[row], self.second[row] = duration.first, duration.second

    def joined(self, other: Durations) -> Durations:
        """These, then the others."""
        family = np.concatenate((self.family, other.family))
        first, second = np.append(self.first, other.first), np.append(self.second, other.second)
        return Durations(family, first, second)

    def same(self, other: Durations) -> npt.NDArray[np.bool_]:
        """bool[n]: row by row equal."""
        alike = (self.first == other.first) & (self.second == other.second)
        return alike & (self.family == other.family)

    def fixed_us(self, rounding: Rounding, absent_us: int) -> npt.NDArray[np.int64]:
        """Microseconds of the fixed rows; `absent_us` where absent, 0 where a run has to draw."""
        out = np.where(self.present, 0, absent_us).astype(np.int64)
        _fill_fixed_us(self.family, self.first, int(rounding), out)
        return out


@dataclass(frozen=True, slots=True)
class _Form:
    names: tuple[str, str] | tuple[str]
    family: Family


_FORMS = {
    "exponential": _Form(("mean",), Family.EXPONENTIAL),
    "weibull": _Form(("shape", "scale"), Family.WEIBULL),
    "lognormal": _Form(("mean", "sd"), Family.LOGNORMAL),
    "uniform": _Form(("a", "b"), Family.UNIFORM),
}
_CALL = re.compile(r"\s*([A-Za-z]\w*)\s*\(([^()]*)\)\s*")
_HINT = "a number of hours, exponential(mean), weibull(shape,scale), lognormal(mean,sd) or uniform(a,b)"


def parse_duration(stated: float | str, place: Place | None = None) -> Duration:
    """Read a number of hours or the text of a distribution.

    Raises InputError DISTRIBUTION_INVALID (with `place`) for anything else, and for parameters out of range:
    negative or above `HOURS_MAX` hours, mean, shape or scale not above 0, ends of uniform out of order.
    """
    if not isinstance(stated, str):
        return _fixed(float(stated), stated, place)
    match = _CALL.fullmatch(stated)
    if match:
        return _drawn(match[1], match[2], stated, place)
    try:
        return _fixed(float(stated), stated, place)
    except ValueError:
        raise _refused(f"{stated!r} is not a duration", place) from None


def _refused(message: str, place: Place | None, hint: str | None = None) -> InputError:
    return InputError(message, code="DISTRIBUTION_INVALID", place=place, hint=hint or _HINT)


def _fixed(hours: float, stated: float | str, place: Place | None) -> Duration:
    if not 0.0 <= hours <= HOURS_MAX:
        raise _refused(f"{stated!r} hours is not between 0 and {HOURS_MAX:g}", place)
    return Duration(Family.FIXED, hours, 0.0)


def _drawn(name: str, inside: str, stated: str, place: Place | None) -> Duration:
    form = _FORMS.get(name.lower())
    if form is None:
        raise _refused(f"unknown distribution {name!r}", place, suggestion(name, _FORMS))
    numbers = _numbers(inside)
    if numbers is None or len(numbers) != len(form.names):
        raise _refused(f"{stated!r} should read {name}({', '.join(form.names)})", place)
    if any(not 0.0 <= number <= HOURS_MAX for number in numbers):
        raise _refused(f"{stated!r} has a number that is not between 0 and {HOURS_MAX:g}", place)
    return _prepared(form.family, numbers, stated, place)


def _numbers(inside: str) -> list[float] | None:
    try:
        return [float(part) for part in inside.split(",")]
    except ValueError:
        return None


def _prepared(family: Family, numbers: list[float], stated: str, place: Place | None) -> Duration:
    first, second = numbers[0], numbers[-1]
    if family is Family.UNIFORM:
        if second < first:
            raise _refused(f"{stated!r}: the second number is below the first", place)
        return Duration(family, first, second - first)
    if first <= 0.0 or (family is Family.WEIBULL and second <= 0.0):
        raise _refused(f"{stated!r}: mean, shape and scale must be above 0", place)
    if family is Family.EXPONENTIAL:
        return Duration(family, first, 0.0)
    if family is Family.WEIBULL:
        return Duration(family, second, 1.0 / first)
    if second > first * _SPREAD_MAX:
        raise _refused(f"{stated!r}: sd is more than {_SPREAD_MAX:g} times the mean", place)
    return _lognormal(first, second)


def _lognormal(mean: float, deviation: float) -> Duration:
    """From mean and standard deviation of the hours to those of their logarithm."""
    if deviation == 0.0:
        return Duration(Family.FIXED, mean, 0.0)
    ratio = deviation / mean
    variance = log(1.0 + ratio * ratio)
    return Duration(Family.LOGNORMAL, log(mean) - 0.5 * variance, float(np.sqrt(variance)))


@kernel
def draw_us(family: int, first: float, second: float, unit: float, rounding: int) -> int:
    """Microseconds of the duration (family, first, second) at the uniform number `unit` in (0, 1)."""
    if family == 0:
        hours = first
    elif family == 1:
        hours = -first * log(1.0 - unit)
    elif family == 2:
        hours = first * exp(second * log(-log(1.0 - unit)))
    elif family == 3:
        hours = exp(first + second * normal_quantile(unit))
    else:
        hours = first + second * unit
    return whole_us(hours, rounding)


@kernel
def _fill_fixed_us(
    family: npt.NDArray[np.int8], hours: npt.NDArray[np.float64], rounding: int, out: npt.NDArray[np.int64]
) -> None:
    for row in range(len(family)):
        if family[row] == 0:
            out[row] = whole_us(hours[row], rounding)


@kernel
def whole_us(hours: float, rounding: int) -> int:
    """Hours as whole microseconds, at most NEVER.

    A decimal of hours that means a whole number of microseconds (0.7) rarely is one in binary: within the
    error of the stated double and of one product (2^-51 of the value) the nearest whole number was meant.
    """
    if not hours < _NEVER_HOURS:
        return NEVER
    exact = hours * HOUR_US
    nearest = np.floor(exact + 0.5)
    if abs(exact - nearest) <= exact * 2.0**-51:
        return int(nearest)
    return int(np.floor(exact)) if rounding == 0 else int(np.ceil(exact))
