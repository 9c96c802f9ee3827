"""The rules of all points of a site, as its graph and its bindings stand: kinds, attributes, bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.quality.kernel import HIGHEST, IS_NUMBER, LOWEST, MAXIMUM, MINIMUM, RATE
from adapters.quality.rules import PointRules, Rules
from graph.attributes import Tag
from graph.values import ValueType
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from adapters.binding import Binding
    from graph.snapshot import Snapshot
    from ontology.limits import KindLimits
    from ontology.units import Units

# Attributes of points: in the point's own unit where they state none, spans in seconds.
_NUMBERS: Final = {"rangeMinimum": MINIMUM, "rangeMaximum": MAXIMUM, "rateMaximum": RATE}
_SPANS: Final = {"stuckAfter": "stuck_after_s", "gapAfter": "gap_after_s", "staleAfter": "stale_after_s"}


def site_rules(
    snapshot: Snapshot,
    units: Units,
    limits: Iterable[KindLimits],
    bindings: Iterable[tuple[Binding, Iterable[int]]],
) -> Rules:
    """Rules by row of a snapshot; bindings with the rows that they may feed, the later over the earlier.

    A limit whose unit does not convert to that of a point is none: a unit is never guessed.
    """
    rules = Rules.none(snapshot.size)
    points = snapshot.rows_of_kind(snapshot.schema.point_kind)
    rules.spans_ns[:, IS_NUMBER] = _are_numbers(snapshot)
    by_unit = list(_by_unit(snapshot, points))
    for limit in limits:
        _put_kind(rules, snapshot, units, limit, by_unit)
    for name, column in _NUMBERS.items():
        _put_number(rules, snapshot, units, name, column, by_unit)
    for name, rule in _SPANS.items():
        _put_span(rules, snapshot, units, name, rule, points)
    for binding, rows in bindings:
        _put_binding(rules, units, binding, np.array(sorted(rows), np.int64), by_unit)
    return rules


def _are_numbers(snapshot: Snapshot) -> npt.NDArray[np.int64]:
    rows = np.arange(snapshot.size)
    column = snapshot.attribute("valueType")
    if column is None:
        return np.ones(len(rows), np.int64)
    other = column.word.take(rows) != snapshot.pools.texts.find(ValueType.NUMBER.value)
    return (~((column.tag.take(rows) == Tag.TEXT) & other)).astype(np.int64)


def _by_unit(
    snapshot: Snapshot, points: npt.NDArray[np.int32]
) -> Iterator[tuple[str | None, npt.NDArray[np.int32]]]:
    """Points by their unit."""
    column = snapshot.attribute("unit")
    if column is None:
        yield None, points
        return
    stated, words = column.tag.take(points) == Tag.TEXT, column.word.take(points)
    yield None, points[~stated]
    for word in np.unique(words[stated]).tolist():
        yield snapshot.pools.texts.value(int(word)), points[stated & (words == word)]


def _put_kind(
    rules: Rules,
    snapshot: Snapshot,
    units: Units,
    limit: KindLimits,
    by_unit: list[tuple[str | None, npt.NDArray[np.int32]]],
) -> None:
    kind = snapshot.schema.kind_by_iri(limit.kind)
    if kind is None:
        raise NotFoundError(f"limits_by_kind.tsv names {limit.kind}", code="KIND_UNKNOWN")
    of_kind = np.zeros(snapshot.size, bool)
    of_kind[snapshot.rows_of_kind(kind.index)] = True
    for unit, points in by_unit:
        rows = points[of_kind[points]]
        if unit is None or not len(rows) or not _convert(units, limit.unit, unit):
            continue
        for column, value in ((LOWEST, limit.lowest), (HIGHEST, limit.highest)):
            if value is not None:
                rules.numbers[rows, column] = units.convert([value], limit.unit, unit)[0]


def _put_number(
    rules: Rules,
    snapshot: Snapshot,
    units: Units,
    name: str,
    column: int,
    by_unit: list[tuple[str | None, npt.NDArray[np.int32]]],
) -> None:
    stated = snapshot.attribute(name)
    if stated is None:
        return
    for unit, points in by_unit:
        rows = points[np.isfinite(stated.numbers(points))]
        codes = stated.unit.take(rows)
        for code in np.unique(codes).tolist():
            some, own = rows[codes == code], snapshot.pools.units.value(int(code))
            values = stated.numbers(some)
            if own is not None and own != unit:
                if unit is None or not _convert(units, own, unit):
                    continue
                values = units.convert(values, own, unit)
            rules.numbers[some, column] = values


def _put_span(
    rules: Rules,
    snapshot: Snapshot,
    units: Units,
    name: str,
    rule: str,
    points: npt.NDArray[np.int32],
) -> None:
    stated = snapshot.attribute(name)
    if stated is None:
        return
    rows = points[np.isfinite(stated.numbers(points))]
    for row, value, unit in zip(rows.tolist(), stated.numbers(rows), stated.units(rows), strict=True):
        seconds = (
            float(units.convert([value], unit, "s")[0]) if unit and _convert(units, unit, "s") else value
        )
        rules.put(np.array([row]), PointRules(**{rule: seconds}))


def _put_binding(
    rules: Rules,
    units: Units,
    binding: Binding,
    rows: npt.NDArray[np.int64],
    by_unit: list[tuple[str | None, npt.NDArray[np.int32]]],
) -> None:
    """Limits of a binding are in its unit, and judged there, by the decoders; the rest is judged here."""
    own = binding.rules or PointRules()
    own = PointRules(stale_after_s=binding.stale_after_s).over(own)
    for unit, points in by_unit:
        some = rows[np.isin(rows, points)]
        if len(some):
            rules.put(some, _in_unit(own, units, binding.unit, unit))


def _in_unit(rules: PointRules, units: Units, stated: str | None, unit: str | None) -> PointRules:
    """Differences of values (rate, resolution, drift) in the unit of the point."""
    if stated is None or unit is None or stated == unit or not _convert(units, stated, unit):
        return rules
    factor = float(units.convert([1.0], stated, unit, difference=True)[0])
    scaled = {
        name: value * factor
        for name in ("rate_per_s", "resolution", "drift")
        if (value := getattr(rules, name)) is not None
    }
    return PointRules(**scaled).over(rules)


def _convert(units: Units, one: str, other: str) -> bool:
    """Whether values in the one can be given in the other; units that nobody knows cannot."""
    known = units.find(one) is not None and units.find(other) is not None
    return known and units.same_dimension(one, other)
