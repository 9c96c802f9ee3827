"""From a snapshot to the column of a private question: one row for each twin that figures may be over.

Nothing here fails because of what the data is: a value that does not fit counts as missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from federation.privacy.asked import BY_KIND, BY_SITE
from federation.privacy.question import Column
from graph.attributes import Tag
from graph.paths import Pairs, follow
from graph.view import Budget, View

if TYPE_CHECKING:
    import numpy.typing as npt

    from federation.privacy.asked import Admitted, Condition
    from graph.attributes import Column as Cells
    from graph.columns import Rows
    from graph.snapshot import Snapshot
    from ontology.units import Units

    Counted = npt.NDArray[np.bool_]
    Numbers = npt.NDArray[np.float64]

PATH_S: Final = 10.0
_COMPARE = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "lte": np.less_equal,
    "gt": np.greater,
    "gte": np.greater_equal,
}


def column_of(admitted: Admitted, snapshot: Snapshot, counted: Counted, units: Units) -> Column:
    """The rows of a question. counted: bool[size], `Masks.counted` of the grant.

    InputError UNIT_UNKNOWN; LimitError TIME_BUDGET, PATH_TOO_WIDE for groups along relations, which the
    partner is shown anyway.
    """
    sites = np.array([name in admitted.sites for name in snapshot.sites], np.bool_)
    of_kind = snapshot.kind_sets.mask(snapshot.schema.kinds_below(admitted.kind.index))
    kept = counted & sites[snapshot.site] & of_kind[snapshot.twins.kind_set.flat]
    rows = np.flatnonzero(kept).astype(np.int32)
    for test in admitted.where:
        if test.unit is not None:
            units.unit(test.unit)  # whether there is such a unit is said before anything is looked at
    for test in admitted.where:
        rows = rows[_holds(snapshot, rows, test, units)]
    values, valid = _measured(admitted, snapshot, rows, units)
    groups = _group_codes(admitted, snapshot, rows, counted, units)
    return Column(values, valid, groups, rows.astype(np.int64))


def revision_of(admitted: Admitted, snapshot: Snapshot) -> str:
    """Of all that decides the rows: the same text, the same rows."""
    heads = (head for head in snapshot.heads if head.name in admitted.sites)
    told = " ".join(f"{head.name}:{head.revision}:{head.time_ns}" for head in heads)
    return f"{told} {snapshot.schema.version}"


def numbers_in(
    snapshot: Snapshot, cells: Cells, name: str, rows: Rows, unit: str | None, units: Units
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """(values, valid) in one unit; without a unit those count that have none. What cannot be is missing."""
    declared = snapshot.schema.attribute(name)
    declared_unit = declared.unit if declared else None
    values, codes = cells.numbers(rows), cells.unit.take(rows)
    valid = np.isfinite(values)
    for code in np.unique(codes[valid]):
        own = snapshot.pools.units.value(int(code)) or declared_unit
        here = valid & (codes == code)
        if own == unit:
            continue
        if own is None or unit is None or not _converts(units, own, unit):
            valid[here] = False
        else:
            values[here] = units.convert(values[here], own, unit)
    return np.where(valid, values, 0.0), valid


def _converts(units: Units, own: str, unit: str) -> bool:
    return units.find(own) is not None and units.find(unit) is not None and units.same_dimension(own, unit)


def _measured(
    admitted: Admitted, snapshot: Snapshot, rows: Rows, units: Units
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """What is measured of each row; of a count, whether it counts."""
    ones = np.ones(len(rows), np.bool_)
    if admitted.attribute is None:
        return np.zeros(len(rows)), ones
    cells = snapshot.attribute(admitted.attribute)
    if cells is None:
        return np.zeros(len(rows)), ~ones
    if admitted.question.bounds is None:
        return np.zeros(len(rows)), cells.present(rows)
    return numbers_in(snapshot, cells, admitted.attribute, rows, admitted.unit, units)


def _holds(snapshot: Snapshot, rows: Rows, test: Condition, units: Units) -> npt.NDArray[np.bool_]:
    cells = snapshot.attribute(test.attribute)
    if cells is None:
        return np.zeros(len(rows), np.bool_)
    compare = _COMPARE[test.operator]
    if isinstance(test.operand, str):
        return _texts_hold(cells, rows, test)
    if isinstance(test.operand, bool):
        is_boolean = cells.tag.take(rows) == Tag.BOOLEAN
        return is_boolean & compare(cells.word.take(rows), float(test.operand))
    declared = snapshot.schema.attribute(test.attribute)
    unit = test.unit or (declared.unit if declared else None)
    values, valid = numbers_in(snapshot, cells, test.attribute, rows, unit, units)
    return valid & compare(values, test.operand)


def _texts_hold(cells: Cells, rows: Rows, test: Condition) -> npt.NDArray[np.bool_]:
    is_text = cells.tag.take(rows) == Tag.TEXT
    code = cells.pools.texts.find(str(test.operand))
    is_equal = is_text & (cells.word.take(rows) == code) if code else np.zeros(len(rows), np.bool_)
    return is_equal if test.operator == "eq" else is_text & ~is_equal


def _group_codes(
    admitted: Admitted, snapshot: Snapshot, rows: Rows, counted: Counted, units: Units
) -> npt.NDArray[np.int32]:
    """int32[n]: the first group that each row is in, -1 for none."""
    names, by = admitted.question.groups, admitted.group_by
    codes = np.full(len(rows), -1, np.int32)
    if by is None:
        return np.zeros(len(rows), np.int32)
    if admitted.steps:
        return _codes_along(admitted, View(snapshot, units, _budget(), counted), rows)
    for number in reversed(range(len(names))):  # the first one is written last
        if by == BY_SITE:
            inside = snapshot.site[rows] == snapshot.sites.index(names[number])
        elif by == BY_KIND:
            kind = snapshot.schema.kind_by_iri(admitted.group_kinds[number])
            inside = snapshot.is_of_kind(rows, kind.index) if kind else np.zeros(len(rows), np.bool_)
        else:
            inside = _has_text(snapshot, rows, by, names[number])
        codes[inside] = number
    return codes


def _has_text(snapshot: Snapshot, rows: Rows, name: str, text: str) -> npt.NDArray[np.bool_]:
    """Rows whose attribute is that text, or that truth."""
    cells = snapshot.attribute(name)
    if cells is None:
        return np.zeros(len(rows), np.bool_)
    tags, words = cells.tag.take(rows), cells.word.take(rows)
    code = cells.pools.texts.find(text)
    inside = (tags == Tag.TEXT) & (words == code) if code else np.zeros(len(rows), np.bool_)
    if text in ("true", "false"):
        inside |= (tags == Tag.BOOLEAN) & (words == float(text == "true"))
    return inside


def _codes_along(admitted: Admitted, view: View, rows: Rows) -> npt.NDArray[np.int32]:
    """Groups are twins at the end of a path over shared twins; what is named and is none has no member."""
    pairs = Pairs(np.arange(len(rows)), np.asarray(rows))
    for step in admitted.steps:
        pairs = follow(view, pairs, step)
    number_of = np.full(view.snapshot.size + 1, -1, np.int32)
    ends = view.snapshot.rows(admitted.question.groups)
    for number in reversed(range(len(ends))):
        number_of[ends[number]] = number
    number_of[-1] = -1  # what -1 wrote to
    found = number_of[pairs.end]
    named = np.flatnonzero(found >= 0)
    codes = np.full(len(rows), len(ends), np.int32)
    np.minimum.at(codes, pairs.owner[named], found[named])
    return np.where(codes < len(ends), codes, np.int32(-1)).astype(np.int32)


def _budget() -> Budget:
    return Budget(nodes_max=1, wall_s=PATH_S)
