"""Figures over groups that are told in parts: by several servers, none of which shows its twins.

Counts and sums add up, the least and the largest are those of the parts, a mean is a sum by a count.
Quantiles cannot be put together from parts.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graph.execute import matching_rows
from graph.grouping import GroupRow, count_of, groups_of, sample_of, sortable
from graph.history import Aggregate
from graph.plan import POINT_VALUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.grouping import Sample
    from graph.plan import Grouping, GroupKey, Measured
    from graph.values import JSONValue
    from graph.view import View

JOINABLE: Final = frozenset({Aggregate.COUNT, Aggregate.SUM, Aggregate.MEAN, Aggregate.MIN, Aggregate.MAX})


@dataclass(frozen=True, slots=True)
class PartFigure:
    """Of one attribute in one group: twins that have it, those with numbers, and these numbers in `unit`."""

    count: int
    numbers: int
    total: float
    low: float | None
    high: float | None
    unit: str | None


@dataclass(frozen=True, slots=True)
class PartGroup:
    """size: twins in the group. figures: one for each attribute that was asked for; None: not told."""

    keys: tuple[JSONValue, ...]
    size: int
    figures: tuple[PartFigure | None, ...]


def attributes_of(measures: Sequence[Measured]) -> tuple[str, ...]:
    """The attributes that some measures need, each once."""
    return tuple(dict.fromkeys(each.of for each in measures))


def run_parts(
    view: View,
    kind: str | None,
    keys: Sequence[GroupKey],
    of: Sequence[str],
    grouping: Grouping | None = None,
) -> tuple[PartGroup, ...]:
    """The groups of the twins of a kind, with all that figures over them are made of.

    grouping: whose filter holds. Errors as `run_grouping`.
    """
    rows = matching_rows(view, kind, None if grouping is None else grouping.where)
    members, group, found = groups_of(view, rows, keys)
    rows = rows[members]
    sizes = count_of(view, rows, group, len(found), POINT_VALUE)
    counts = [count_of(view, rows, group, len(found), name) for name in of]
    samples = [sample_of(view, rows, group, len(found), name) for name in of]
    return tuple(
        PartGroup(
            key,
            int(sizes[number] or 0),
            tuple(
                _part(sample, number, int(count[number] or 0))
                for sample, count in zip(samples, counts, strict=True)
            ),
        )
        for number, key in enumerate(found)
    )


def _part(sample: Sample, number: int, count: int) -> PartFigure:
    values = sample.values[sample.bounds[number] : sample.bounds[number + 1]]
    if not len(values):
        return PartFigure(count, 0, 0.0, None, None, sample.unit)
    low, high = float(values.min()), float(values.max())
    return PartFigure(count, len(values), float(values.sum()), low, high, sample.unit)


def run_joined(
    view: View, grouping: Grouping, others: Sequence[Sequence[PartGroup]]
) -> tuple[tuple[GroupRow, ...], bool]:
    """A grouping over what is here and over parts told elsewhere; and whether it holds all of them.

    Parts in another unit than ours are left out, and so are quantiles.
    """
    of = attributes_of(grouping.measures)
    own = run_parts(view, grouping.kind, grouping.keys, of, grouping)
    units = [_unit(own, place) or _first_unit(others, place) for place in range(len(of))]
    parts: dict[tuple[object, ...], list[PartGroup]] = {}
    for group in (*own, *(group for part in others for group in part)):
        parts.setdefault(_known_by(group.keys), []).append(group)
    names = [key.name for key in grouping.keys]
    is_whole = all(each.aggregate in JOINABLE for each in grouping.measures)
    rows: list[GroupRow] = []
    groups = sorted(parts.values(), key=lambda each: [sortable(item) for item in each[0].keys])
    for same in groups:
        keys = same[0].keys
        values: dict[str, float | int | None] = {}
        for each in grouping.measures:
            place = of.index(each.of)
            values[each.name], fits = _joined(each, same, place, units[place])
            is_whole = is_whole and fits
        told = {each.name: _told_unit(each, units[of.index(each.of)]) for each in grouping.measures}
        rows.append(GroupRow(dict(zip(names, keys, strict=True)), values, told))
    return tuple(rows), is_whole


def _known_by(keys: Sequence[JSONValue]) -> tuple[object, ...]:
    """Numbers of equal size are one key; yes is not one, and lists are told apart by what they hold."""
    return tuple(
        json.dumps(key, sort_keys=True) if isinstance(key, list | dict) else (isinstance(key, bool), key)
        for key in keys
    )


def _told_unit(measure: Measured, unit: str | None) -> str | None:
    return None if measure.aggregate is Aggregate.COUNT else unit


def _unit(groups: Sequence[PartGroup], place: int) -> str | None:
    return next((each.unit for group in groups if (each := group.figures[place]) is not None), None)


def _first_unit(others: Sequence[Sequence[PartGroup]], place: int) -> str | None:
    return next((unit for groups in others if (unit := _unit(groups, place)) is not None), None)


def _joined(
    measure: Measured, groups: Sequence[PartGroup], place: int, unit: str | None
) -> tuple[float | int | None, bool]:
    if measure.aggregate is Aggregate.COUNT and measure.of == POINT_VALUE:
        return sum(group.size for group in groups), True
    told = [group.figures[place] for group in groups]
    if measure.aggregate is Aggregate.COUNT:
        return sum(each.count for each in told if each is not None), None not in told
    usable = [each for each in told if each is not None and each.numbers and each.unit == unit]
    missing = [each for each in told if each is None or (each.numbers and each.unit != unit)]
    return _figure(measure.aggregate, usable), not missing


def _figure(aggregate: Aggregate, parts: Sequence[PartFigure]) -> float | None:
    total, numbers = math.fsum(each.total for each in parts), sum(each.numbers for each in parts)
    if not numbers or aggregate not in JOINABLE:
        return None
    if aggregate is Aggregate.MIN:
        return min(each.low for each in parts if each.low is not None)
    if aggregate is Aggregate.MAX:
        return max(each.high for each in parts if each.high is not None)
    return total / numbers if aggregate is Aggregate.MEAN else total
