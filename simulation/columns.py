"""Cascade attributes of many twins or relationships, read from the columns of a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.attributes import Tag
from ontology.errors import Place
from ontology.units import load_units
from simulation.attributes import Holds
from simulation.distributions import Durations

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from graph.attributes import Column
    from graph.columns import Rows
    from simulation.attributes import CascadeAttribute
    from simulation.distributions import Duration

# What a number without a unit is in; other attributes are taken as they stand.
_UNIT = {Holds.HOURS: "h", Holds.LEVEL: "1"}


def read_numbers(
    column: Column | None, rows: Rows, attribute: CascadeAttribute, name_of: Callable[[int], str]
) -> npt.NDArray[np.float64]:
    """float64[n], NaN where absent. InputError ATTRIBUTE_INVALID names the row that holds something else."""
    values, odd = _plain_numbers(column, rows, attribute)
    for place in odd:
        attribute.read_number(*_stated(column, int(rows[place]), attribute, name_of))
    return values


def read_durations(
    column: Column | None, rows: Rows, attribute: CascadeAttribute, name_of: Callable[[int], str]
) -> Durations:
    """Durations[n]. InputError DISTRIBUTION_INVALID, ATTRIBUTE_INVALID names the row that cannot be read."""
    hours, odd = _plain_numbers(column, rows, attribute)
    durations = Durations.fixed(hours)
    known: dict[object, Duration] = {}
    for place in odd:
        stated, where = _stated(column, int(rows[place]), attribute, name_of)
        key = stated if isinstance(stated, str) else place
        if key not in known:
            known[key] = attribute.read_hours(stated, where)
        durations.put(place, known[key])
    return durations


def _plain_numbers(
    column: Column | None, rows: Rows, attribute: CascadeAttribute
) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Numbers in the attribute's own unit, NaN elsewhere; and the places where something else stands."""
    if column is None:
        return np.full(len(rows), np.nan), []
    tags = column.tag.take(rows)
    plain = (tags == Tag.NUMBER) | (tags == Tag.INTEGER)
    values = np.where(plain, column.word.take(rows), np.nan)
    _convert(values, column, rows, plain, attribute)
    odd = (tags != Tag.ABSENT) & ~(plain & (values >= 0) & (values <= attribute.maximum))
    return values, np.flatnonzero(odd).tolist()


def _convert(
    values: npt.NDArray[np.float64],
    column: Column,
    rows: Rows,
    plain: npt.NDArray[np.bool_],
    attribute: CascadeAttribute,
) -> None:
    """Bring numbers that state another unit to the attribute's own, in place."""
    wanted = _UNIT.get(attribute.holds)
    codes = column.unit.take(rows)
    if wanted is None or not codes.any():
        return
    units = load_units()
    for code in np.unique(codes[plain & (codes != 0)]).tolist():
        stated = column.pools.units.value(code)
        if stated and stated != wanted:
            here = plain & (codes == code)
            values[here] = units.convert(values[here], stated, wanted)


def _stated(
    column: Column | None, row: int, attribute: CascadeAttribute, name_of: Callable[[int], str]
) -> tuple[object, Place]:
    value = column.value(row) if column else None
    return value.value if value else None, Place(item=f"{name_of(row)} {attribute.name}")
