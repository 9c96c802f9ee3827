"""The attributes that steer a cascade (INTERFACE section 4): what each may hold, what absence means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ontology.errors import InputError, Place
from simulation.distributions import HOURS_MAX, Duration, parse_duration
from simulation.reading import is_number
from simulation.world import FULL

if TYPE_CHECKING:
    from collections.abc import Mapping

MONEY_MAX = 1e9
"""Most that an hour or a repair may cost: sums over years and thousands of twins stay in 64 bits."""
AMOUNT_MAX = 1e6
"""Most that a weight, a need or a rate may be."""


class Holds(StrEnum):
    """What an attribute is a measure of."""

    LEVEL = "a number between 0 and 1"
    AMOUNT = f"a number between 0 and {AMOUNT_MAX:g}"
    MONEY = f"a number between 0 and {MONEY_MAX:g}"
    HOURS = "a number of hours or a distribution"


_MAXIMUM: Final[Mapping[Holds, float]] = {
    Holds.LEVEL: 1.0,
    Holds.AMOUNT: AMOUNT_MAX,
    Holds.MONEY: MONEY_MAX,
}


@dataclass(frozen=True, slots=True)
class CascadeAttribute:
    """`absent` is the number that absence stands for; None where it has a meaning of its own."""

    name: str
    holds: Holds
    absent: float | None

    @property
    def maximum(self) -> float:
        return _MAXIMUM.get(self.holds, HOURS_MAX)

    def read(self, stated: object, place: Place) -> float | Duration:
        """A stated value, checked: Duration for hours, else a number. InputError ATTRIBUTE_INVALID."""
        return (
            self.read_hours(stated, place) if self.holds is Holds.HOURS else self.read_number(stated, place)
        )

    def read_hours(self, stated: object, place: Place) -> Duration:
        return parse_duration(stated if isinstance(stated, str) else self.read_number(stated, place), place)

    def read_number(self, stated: object, place: Place) -> float:
        if not is_number(stated) or not 0.0 <= stated <= self.maximum:
            message = f"{self.name} is {stated!r}, but should be {self.holds.value}"
            raise InputError(message, code="ATTRIBUTE_INVALID", place=place)
        return float(stated)


def _table(*rows: CascadeAttribute) -> Mapping[str, CascadeAttribute]:
    return {row.name: row for row in rows}


OF_TWIN: Final = _table(
    CascadeAttribute("health", Holds.LEVEL, 1.0),
    CascadeAttribute("failureProbability", Holds.LEVEL, 0.0),
    CascadeAttribute("timeToFailure", Holds.HOURS, None),
    CascadeAttribute("timeToRepair", Holds.HOURS, None),
    CascadeAttribute("restartHours", Holds.HOURS, 0.0),
    CascadeAttribute("valuePerHour", Holds.MONEY, 0.0),
    CascadeAttribute("repairCost", Holds.MONEY, 0.0),
)
OF_EDGE: Final = _table(
    CascadeAttribute("weight", Holds.AMOUNT, 1.0),
    CascadeAttribute("delayHours", Holds.HOURS, 0.0),
)
OF_GROUP: Final = _table(
    CascadeAttribute("need", Holds.AMOUNT, None),
    CascadeAttribute("bufferHours", Holds.HOURS, 0.0),
    CascadeAttribute("refillRate", Holds.AMOUNT, 1.0),
    CascadeAttribute("threshold", Holds.LEVEL, 0.0),
    CascadeAttribute("damageProbability", Holds.LEVEL, 0.0),
    CascadeAttribute("toleranceHours", Holds.HOURS, 0.0),
)
OF_RELATIONSHIP: Final = {**OF_EDGE, **OF_GROUP}


def thousandths(money: float) -> int:
    """Money as whole thousandths, half up."""
    return math.floor(money * 1000.0 + 0.5)


def fixed_down(number: float) -> int:
    """Fixed point (FULL = 1), rounded down: levels, needs and thresholds."""
    return math.floor(number * FULL)


def fixed_up(number: float) -> int:
    """Fixed point (FULL = 1), rounded up: weights.

    With needs rounded down, rounding never makes a shortage where the stated decimals have none.
    """
    return math.ceil(number * FULL)
