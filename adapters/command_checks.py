"""Whether a command may be given as things stand, and what the device is told: types, limits, interlocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from graph.quality import severity_of
from graph.times import NS_PER_S
from graph.values import Quality, ValueType
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    from adapters.command_rules import Match
    from graph.expressions import Expression
    from graph.snapshot import Snapshot
    from ontology.units import Units


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command may not be given; `code` is stable."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A value for a point, and what is needed to judge it. last_ns: when the last command to it left."""

    row: int
    value: object
    if_value: object
    now_ns: int
    last_ns: int | None


def refusal(match: Match, snapshot: Snapshot, asked: Asked) -> Refusal | None:
    """The first thing that speaks against a command; None: nothing does."""
    value_type = snapshot.value_type(asked.row)
    problem = _type_problem(value_type, asked.value)
    if problem is not None:
        return Refusal("COMMAND_VALUE", problem)
    reported = snapshot.point_value(asked.row)
    if asked.if_value is not None and not is_same(asked.if_value, reported, match.rule.tolerance):
        return Refusal("COMMAND_IF_VALUE", f"the point says {reported!r}, not {asked.if_value!r}")
    return (
        _limit_problem(match, asked.value)
        or _pace_problem(match, snapshot, asked, reported)
        or _interlock_problem(match, snapshot, asked, reported)
    )


def is_same(wanted: object, found: object, tolerance: float) -> bool:
    """Whether a reading is the value that was meant; numbers within a tolerance."""
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is not None and bool(wanted) == bool(found) and not isinstance(wanted, str)
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return math.isclose(wanted, found, rel_tol=1e-9, abs_tol=tolerance)
    return wanted == found


def device_value(match: Match, snapshot: Snapshot, row: int, value: object, units: Units) -> object:
    """The value as the device takes it: the rule's unit, scale and offset. Raises InputError for units."""
    rule = match.rule
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if snapshot.value_type(row) is not ValueType.NUMBER:
        return value
    number, unit = float(value), snapshot.unit_of(row)
    if rule.unit is not None and unit is not None:
        number = float(units.convert(np.array([number]), unit, rule.unit)[0])
    return (number - rule.offset) / rule.scale


def reading_of(snapshot: Snapshot, text: str) -> Any | None:
    """The last reading of a point by id; None where there is none that is worth anything (BAD quality)."""
    try:
        row = snapshot.find(text)
    except NotFoundError:
        return None
    if severity_of(snapshot.twins.point_quality.at(row)) is Quality.BAD:
        return None
    return snapshot.point_value(row)


def _type_problem(value_type: ValueType, value: object) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match value_type:
        case ValueType.NUMBER:
            fits = is_number and math.isfinite(float(value))  # pyright: ignore[reportArgumentType]
        case ValueType.BOOLEAN:
            fits = isinstance(value, bool)
        case ValueType.COUNTER:
            fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
        case ValueType.CODE | ValueType.TEXT:
            fits = isinstance(value, str) and len(value) <= 1_000
    return None if fits else f"the point holds a {value_type.value}, not {value!r}"


def _limit_problem(match: Match, value: object) -> Refusal | None:
    rule = match.rule
    if rule.values and not any(value == known for known in rule.values):
        return Refusal("COMMAND_LIMIT", f"{value!r} is none of {', '.join(map(repr, rule.values))}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if rule.minimum is not None and value < rule.minimum:
        return Refusal("COMMAND_LIMIT", f"{value:g} is below the minimum {rule.minimum:g}")
    if rule.maximum is not None and value > rule.maximum:
        return Refusal("COMMAND_LIMIT", f"{value:g} is above the maximum {rule.maximum:g}")
    return None


def _pace_problem(match: Match, snapshot: Snapshot, asked: Asked, reported: object) -> Refusal | None:
    rule = match.rule
    since_s = None if asked.last_ns is None else (asked.now_ns - asked.last_ns) / NS_PER_S
    if since_s is not None and since_s < rule.interval_s_min:
        message = f"the last command left {since_s:.1f} s ago, {rule.interval_s_min:g} s must lie between"
        return Refusal("COMMAND_RATE", message)
    if rule.step_max is None and rule.rate_max is None:
        return None
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        return Refusal("COMMAND_STEP", "the step cannot be judged: the point says nothing")
    if severity_of(snapshot.twins.point_quality.at(asked.row)) is Quality.BAD:
        return Refusal("COMMAND_STEP", "the step cannot be judged: what the point says is of BAD quality")
    step = abs(float(asked.value) - reported)  # pyright: ignore[reportArgumentType]
    if rule.step_max is not None and step > rule.step_max:
        return Refusal("COMMAND_STEP", f"a step of {step:g} from {reported:g}, {rule.step_max:g} is allowed")
    if rule.rate_max is not None and since_s is not None and step > rule.rate_max * since_s:
        message = f"a step of {step:g} within {since_s:.1f} s, {rule.rate_max:g} a second is allowed"
        return Refusal("COMMAND_RATE", message)
    return None


def _interlock_problem(match: Match, snapshot: Snapshot, asked: Asked, reported: object) -> Refusal | None:
    for interlock in match.rule.interlocks:
        found = _judged(match, snapshot, interlock, {"value": asked.value, "reported": reported})
        if found is None:
            message = f"an input of {interlock.text!r} has no good reading: the command is blocked"
            return Refusal("COMMAND_INTERLOCK_UNKNOWN", message)
        if not found:
            return Refusal("COMMAND_INTERLOCK", f"{interlock.text!r} does not hold")
    return None


def _judged(match: Match, snapshot: Snapshot, interlock: Expression, names: dict[str, object]) -> bool | None:
    """Whether an interlock lets the command pass; None where that cannot be known."""
    inputs = {name: _column(names[name]) for name in interlock.names}
    points = {text: _column(reading_of(snapshot, match.point(text))) for text in interlock.points}
    truth = interlock.evaluate(inputs, points, 1)
    return bool(truth.holds[0]) if truth.sure[0] else None


def _column(value: object) -> np.ndarray[Any, Any]:
    """One value as a column: float64, or objects where it is a text."""
    if isinstance(value, str):
        column = np.empty(1, object)
        column[0] = value
        return column
    return np.array([float(value) if isinstance(value, int | float) else math.nan])
