"""What a partner asks and what it may: frozen values, checked before anybody looks at the data.

Every refusal here depends on the question alone, never on the data: it tells nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from ontology.errors import InputError, LimitError, Place

if TYPE_CHECKING:
    import numpy.typing as npt

MICRO: Final = 1_000_000  # budgets are integers: sums of them are exact
EPSILON_MIN: Final = 0.001
EPSILON_MAX: Final = 10.0
GROUPS_MAX: Final = 1_000
TEXT_MAX: Final = 4_096  # characters of `about` and of a label
ROWS_MAX: Final = 2**24
BOUND_MAX: Final = 1e15
WIDTH_MIN: Final = 1e-12
WINDOW_DAYS_MAX: Final = 3_650
GROUP_SIZE_MIN: Final = 5


class Aggregate(StrEnum):
    COUNT = "COUNT"
    SUM = "SUM"
    MEAN = "MEAN"
    QUANTILE = "QUANTILE"


class BoundsFrom(StrEnum):
    """Who said what the bounds are. DATA is refused: bounds taken from the data tell its extremes."""

    SCHEMA = "SCHEMA"
    CONTRACT = "CONTRACT"
    ASKED = "ASKED"
    DATA = "DATA"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Values are clamped into lower .. upper, in the unit of the column."""

    lower: float
    upper: float
    source: BoundsFrom

    @property
    def middle(self) -> float:
        return self.lower + (self.upper - self.lower) / 2


@dataclass(frozen=True, slots=True)
class Question:
    """One aggregate over one column by public groups.

    about: which column of which twins, in a canonical text; the same text means the same rows. epsilon: for
    the whole answer. bounds: needed for all but COUNT. quantile: 0 .. 1, for QUANTILE alone.
    """

    aggregate: Aggregate
    about: str
    groups: tuple[str, ...]
    epsilon: float
    bounds: Bounds | None = None
    quantile: float | None = None

    @property
    def epsilon_micro(self) -> int:
        """What the answer costs, in millionths, rounded up. The noise is made for exactly this much."""
        return math.ceil(Fraction(repr(float(self.epsilon))) * MICRO)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The rows that a question is about, as the site holds them.

    values: float64[n]. valid: bool[n]. groups: int32[n], codes into `Question.groups`, -1 for none.
    twins: int64[n], whose row it is: the unit of privacy. Only the first usable row of a twin counts.
    """

    values: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int32]
    twins: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a contract gives a partner: so much epsilon (in millionths) in every window of days."""

    partner: str
    epsilon_micro: int
    window_days: int = 30
    group_size_min: int = GROUP_SIZE_MIN


def check_allowance(allowance: Allowance) -> None:
    """Raises InputError PRIVACY_ALLOWANCE."""
    fits = (
        bool(allowance.partner)
        and len(allowance.partner) <= TEXT_MAX
        and 0 <= allowance.epsilon_micro <= 10**12
        and 1 <= allowance.window_days <= WINDOW_DAYS_MAX
        and 2 <= allowance.group_size_min <= 10**6
    )
    if not fits:
        message = "a partner's allowance needs a name, epsilon from 0, 1 to 3650 days and groups of 2 or more"
        raise InputError(message, code="PRIVACY_ALLOWANCE", place=Place(item=allowance.partner or None))


def check_question(question: Question) -> None:
    """Raises InputError PRIVACY_EPSILON, PRIVACY_GROUPS, PRIVACY_QUANTILE, PRIVACY_BOUNDS*."""
    if not EPSILON_MIN <= question.epsilon <= EPSILON_MAX:  # false for NaN as well
        message = f"epsilon is {question.epsilon}, it must be from {EPSILON_MIN} to {EPSILON_MAX}"
        hint = "0.1 to 1 for one answer is usual; docs/privacy.md tells how to choose"
        raise InputError(message, code="PRIVACY_EPSILON", hint=hint)
    _check_groups(question)
    _check_quantile(question)
    if question.aggregate is not Aggregate.COUNT:
        _check_bounds(question.bounds)


def check_column(column: Column, groups: int) -> None:
    """Raises InputError PRIVACY_COLUMNS, LimitError PRIVACY_ROWS: mistakes of the site's own program."""
    shapes = {column.values.shape, column.valid.shape, column.groups.shape, column.twins.shape}
    if len(shapes) != 1 or column.values.ndim != 1:
        message = "values, validity, groups and twins are not columns of one length"
        raise InputError(message, code="PRIVACY_COLUMNS")
    if len(column.values) > ROWS_MAX:
        raise LimitError(f"more than {ROWS_MAX} rows", code="PRIVACY_ROWS", hint="ask about fewer kinds")
    if len(column.groups) and not -1 <= int(column.groups.min()) <= int(column.groups.max()) < groups:
        raise InputError("a row is in a group that the question does not name", code="PRIVACY_COLUMNS")


def _check_groups(question: Question) -> None:
    names = question.groups
    if not 1 <= len(names) <= GROUPS_MAX or len(set(names)) != len(names):
        message = f"a question names 1 to {GROUPS_MAX} different groups, this one {len(names)}"
        hint = "name the groups from the schema; groups found in the data tell that somebody is in them"
        raise InputError(message, code="PRIVACY_GROUPS", hint=hint)
    if max(map(len, (question.about, *names))) > TEXT_MAX:
        raise InputError(f"a text is longer than {TEXT_MAX} characters", code="PRIVACY_GROUPS")


def _check_quantile(question: Question) -> None:
    share = question.quantile
    if question.aggregate is not Aggregate.QUANTILE:
        if share is not None:
            raise InputError("only QUANTILE takes a quantile", code="PRIVACY_QUANTILE")
    elif share is None or not 0.0 < share < 1.0:
        message = f"the quantile is {share}, it must be between 0 and 1"
        raise InputError(message, code="PRIVACY_QUANTILE", hint="0.5 is the median")


def _check_bounds(bounds: Bounds | None) -> None:
    hint = "take them from the schema, the contract or what is physically possible, not from the data"
    if bounds is None:
        raise InputError("the question has no bounds", code="PRIVACY_BOUNDS_MISSING", hint=hint)
    if bounds.source is BoundsFrom.DATA:
        message = "bounds that come from the data would tell its smallest and largest value"
        raise InputError(message, code="PRIVACY_BOUNDS_FROM_DATA", hint=hint)
    finite = abs(bounds.lower) <= BOUND_MAX and abs(bounds.upper) <= BOUND_MAX
    if not finite or not bounds.upper - bounds.lower >= WIDTH_MIN:
        message = f"bounds {bounds.lower} to {bounds.upper} are no range within +-{BOUND_MAX:g}"
        raise InputError(message, code="PRIVACY_BOUNDS", hint=hint)
