"""Figures over groups that are told in parts: by several servers, each of its own twins.

Counts and sums add up, without rounding on the way; the least and the largest are those of the parts, a mean
is a sum by a count.
Quantiles cannot be put together from parts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard

import numpy as np

from graph.cells import cells_of_twins, units_of
from graph.exact_sums import exact_sums, joined
from graph.execute import matching_rows
from graph.grouping import GroupRow, check_groups, count_of, end_of, groups_of, sample_of, sortable
from graph.history import Aggregate
from graph.plan import POINT_VALUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.exact_sums import ExactSum
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
    total: ExactSum
    low: float | None
    high: float | None
    unit: str | None


@dataclass(frozen=True, slots=True)
class PartGroup:
    """size: twins in the group. figures: one for each attribute that was asked for; None: not told."""

    keys: tuple[JSONValue, ...]
    size: int
    figures: tuple[PartFigure | None, ...]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Groups that others told of. sites: whose twins are in them, and so are not counted again here."""

    parts: Sequence[Sequence[PartGroup]]
    sites: frozenset[str] = frozenset()


def attributes_of(measures: Sequence[Measured]) -> tuple[str, ...]:
    """The attributes that some measures need, each once."""
    return tuple(dict.fromkeys(each.of for each in measures))


def is_joinable(measures: Sequence[Measured]) -> bool:
    """Whether all of them can be put together from parts."""
    return all(each.aggregate in JOINABLE for each in measures)


def run_parts(view: View, rows: Rows, keys: Sequence[GroupKey], of: Sequence[str]) -> tuple[PartGroup, ...]:
    """The groups of some rows, with all that figures over them are made of. Errors as `run_grouping`."""
    members, group, found = groups_of(view, rows, keys)
    rows = rows[members]
    sizes = count_of(view, rows, group, len(found), POINT_VALUE)
    figures = [_parts(view, rows, group, len(found), name) for name in of]
    return tuple(
        PartGroup(key, int(sizes[number] or 0), tuple(column[number] for column in figures))
        for number, key in enumerate(found)
    )


def _parts(view: View, rows: Rows, group: npt.NDArray[np.int64], groups: int, name: str) -> list[PartFigure]:
    counts = count_of(view, rows, group, groups, name)
    sample = sample_of(view, rows, group, groups, name)
    sums = exact_sums(sample.values, sample.bounds)
    return [
        _part(sample, number, int(count or 0), total)
        for number, (count, total) in enumerate(zip(counts, sums, strict=True))
    ]


def _part(sample: Sample, number: int, count: int, total: ExactSum) -> PartFigure:
    values = sample.values[sample.bounds[number] : sample.bounds[number + 1]]
    if not len(values):
        return PartFigure(count, 0, total, None, None, sample.unit)
    low, high = end_of(values, Aggregate.MIN), end_of(values, Aggregate.MAX)
    return PartFigure(count, len(values), total, low, high, sample.unit)


def units_in_use(view: View, names: Iterable[str]) -> dict[str, frozenset[str | None]]:
    """In which units the numbers of some attributes are, of all twins in scope: what decides what a number
    without a unit means. Attributes without numbers are left out."""
    found = {name: units_of(cells_of_twins(view, name, view.all_rows)) for name in names}
    return {name: frozenset(units) for name, units in found.items() if units}


def run_joined(view: View, grouping: Grouping, others: Elsewhere) -> tuple[tuple[GroupRow, ...], bool]:
    """A grouping over what is here and over parts told elsewhere; and whether it holds all of them.

    Parts in another unit than ours are left out, and so are quantiles.
    """
    of = attributes_of(grouping.measures)
    rows = matching_rows(view, grouping.kind, grouping.where, is_noted=False)
    own = run_parts(view, _without(view, rows, others.sites), grouping.keys, of)
    told = [own, *others.parts]
    units = [_unit_of(told, place) for place in range(len(of))]
    parts: dict[tuple[object, ...], list[PartGroup]] = {}
    whole = _whole_numbers(group for part in told for group in part)
    for group in (group for part in told for group in part):
        if group.size:
            parts.setdefault(_known_by(group.keys), []).append(group)
    if not parts and own:
        parts[()] = list(own)  # without keys there is a group, of nothing at least
    names = [key.name for key in grouping.keys]
    is_whole = is_joinable(grouping.measures)
    made: list[GroupRow] = []
    groups = sorted(parts.values(), key=lambda each: [sortable(item) for item in each[0].keys])
    check_groups(len(groups))
    for same in groups:
        keys = {name: _key(at, same[0].keys[at], whole) for at, name in enumerate(names)}
        values: dict[str, float | int | None] = {}
        for each in grouping.measures:
            place = of.index(each.of)
            values[each.name], fits = _joined(each, same, place, units[place])
            is_whole = is_whole and fits
        stated = {each.name: _told_unit(each, units[of.index(each.of)]) for each in grouping.measures}
        made.append(GroupRow(keys, values, stated))
    return tuple(made), is_whole


def _without(view: View, rows: npt.NDArray[np.int32], sites: frozenset[str]) -> npt.NDArray[np.int32]:
    """Rows of other sites than these."""
    if not sites:
        return rows
    told = np.array([name in sites for name in view.snapshot.sites], np.bool_)
    return rows[~told[view.snapshot.twins.site.take(rows)]]


def _whole_numbers(groups: Iterable[PartGroup]) -> set[tuple[int, int]]:
    """(place of the key, number): a number that anybody states without a fraction is one without."""
    return {(place, key) for group in groups for place, key in enumerate(group.keys) if _is_integer(key)}


def _is_integer(key: JSONValue) -> TypeGuard[int]:
    return isinstance(key, int) and not isinstance(key, bool)


def _key(place: int, key: JSONValue, whole: set[tuple[int, int]]) -> JSONValue:
    return int(key) if isinstance(key, float) and (place, key) in whole else key


def _known_by(keys: Sequence[JSONValue]) -> tuple[object, ...]:
    """Numbers of equal size are one key; yes is not one, and lists are told apart by what they hold."""
    return tuple(
        json.dumps(key, sort_keys=True) if isinstance(key, list | dict) else (isinstance(key, bool), key)
        for key in keys
    )


def _told_unit(measure: Measured, unit: str | None) -> str | None:
    return None if measure.aggregate is Aggregate.COUNT else unit


def _unit_of(parts: Sequence[Sequence[PartGroup]], place: int) -> str | None:
    """The unit of the first part that has numbers; where none has, the declared one."""
    figures = [each for groups in parts for group in groups if (each := group.figures[place]) is not None]
    return next((each.unit for each in (*filter(_has_numbers, figures), *figures)), None)


def _has_numbers(figure: PartFigure) -> bool:
    return figure.numbers > 0


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
    numbers = sum(each.numbers for each in parts)
    if not numbers or aggregate not in JOINABLE:
        return None
    if aggregate is Aggregate.MIN:
        return min(each.low for each in parts if each.low is not None)
    if aggregate is Aggregate.MAX:
        return max(each.high for each in parts if each.high is not None)
    return joined(each.total for each in parts).share(numbers if aggregate is Aggregate.MEAN else 1)
