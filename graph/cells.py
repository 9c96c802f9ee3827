"""Values of an attribute, or last values of points, as arrays that filters, orders and aggregates work on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.attributes import Tag
from graph.plan import POINT_QUALITY, POINT_REASON, POINT_VALUE
from graph.quality import reason_of, severity_of
from graph.values import ValueType
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from graph.attributes import Column
    from graph.columns import Rows
    from graph.pools import Pools
    from graph.snapshot import Snapshot
    from graph.view import View
    from ontology.units import Units

_TAG_OF_VALUE_TYPE = {
    ValueType.NUMBER: Tag.NUMBER,
    ValueType.BOOLEAN: Tag.BOOLEAN,
    ValueType.COUNTER: Tag.INTEGER,
    ValueType.CODE: Tag.TEXT,
    ValueType.TEXT: Tag.TEXT,
}


_OF_QUALITY: Final[Mapping[str, Callable[[int], str | None]]] = {
    POINT_QUALITY: lambda byte: severity_of(byte).name,
    POINT_REASON: reason_of,
}


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """n values of one attribute. `unit` holds codes of `pools.units`, 0 where none was stated.

    tag: uint8[n], `Tag`; word: float64[n] as `Tag` says; unit: int32[n]
    """

    name: str
    tag: npt.NDArray[np.uint8]
    word: npt.NDArray[np.float64]
    unit: npt.NDArray[np.int32]
    pools: Pools
    declared_unit: str | None

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        return self.tag != Tag.ABSENT

    @property
    def is_number(self) -> npt.NDArray[np.bool_]:
        return (self.tag == Tag.NUMBER) | (self.tag == Tag.INTEGER)

    @property
    def is_text(self) -> npt.NDArray[np.bool_]:
        return self.tag == Tag.TEXT

    @property
    def is_boolean(self) -> npt.NDArray[np.bool_]:
        return self.tag == Tag.BOOLEAN

    def text(self, code: float) -> str:
        return self.pools.texts.value(int(code)) or ""


def cells_of_twins(view: View, name: str, rows: Rows) -> Cells:
    """An attribute of twins, or with the name "value" the last values of points. ATTRIBUTE_UNKNOWN.

    "quality" and "qualityReason" are texts of the last readings, where no attribute has such a name.
    """
    if name == POINT_VALUE:
        cells = point_cells(view.snapshot, rows)
        return replace(cells, unit=_point_units(view.snapshot, rows))
    if name in _OF_QUALITY and not _is_attribute(view.snapshot, name):
        return _quality_cells(view.snapshot, name, rows)
    view.check_attribute(name)
    return column_cells(view.snapshot, name, view.snapshot.attribute(name), rows)


def cells_of_edges(view: View, name: str, edges: Rows) -> Cells:
    """An attribute of relationships; ATTRIBUTE_UNKNOWN."""
    view.check_attribute(name, of_edges=True)
    return column_cells(view.snapshot, name, view.snapshot.edge_attribute(name), edges)


def in_one_unit(cells: Cells, units: Units, unit: str | None) -> tuple[Cells, str | None]:
    """The numbers of `cells` in one unit, and which it is.

    With `unit` (UCUM) all are converted to it; those that do not convert become absent (UNIT_MISMATCH where
    the attribute is declared in another dimension). Without, numbers that share a unit stay as stated, others
    are converted to the declared unit; where none is, UNIT_NEEDED: a unit is never guessed.
    """
    stated = _units_by_code(cells)
    if unit is None and len(set(stated.values())) <= 1:
        return cells, next(iter(stated.values()), cells.declared_unit)
    unit = unit or cells.declared_unit
    if unit is None:
        names = ", ".join(sorted(str(own or "no unit") for own in stated.values()))
        hint = "say which with `unit`"
        raise InputError(f"values of {cells.name!r} are in {names}", code="UNIT_NEEDED", hint=hint)
    return _converted(cells, units, unit, stated), unit


def units_of(cells: Cells) -> set[str | None]:
    """The units that the numbers are in."""
    return set(_units_by_code(cells).values())


def _units_by_code(cells: Cells) -> dict[int, str | None]:
    return {
        int(code): cells.pools.units.value(int(code)) or cells.declared_unit
        for code in np.unique(cells.unit[cells.is_number])
    }


def _converted(cells: Cells, units: Units, unit: str, stated: dict[int, str | None]) -> Cells:
    if cells.declared_unit is not None:
        units.convert((), cells.declared_unit, unit)  # raises where they do not fit each other
    units.unit(unit)
    tag, word = cells.tag.copy(), cells.word.copy()
    numbers = cells.is_number
    for code, own in stated.items():
        where = numbers & (cells.unit == code)
        if own is not None and units.same_dimension(own, unit):
            word[where] = units.convert(word[where], own, unit)
        else:
            tag[where] = Tag.ABSENT
    return replace(cells, tag=tag, word=word)


def column_cells(snapshot: Snapshot, name: str, column: Column | None, rows: Rows) -> Cells:
    """An attribute as it is stored in a column (None: nobody has it)."""
    declared = snapshot.schema.attribute(name)
    declared_unit = declared.unit if declared else None
    if column is None:
        none = np.zeros(len(rows), np.uint8)
        return Cells(name, none, np.zeros(len(rows)), none.astype(np.int32), snapshot.pools, declared_unit)
    tag, word = column.tag.take(rows), column.word.take(rows)
    return Cells(name, tag, word, column.unit.take(rows).astype(np.int32), snapshot.pools, declared_unit)


def point_cells(snapshot: Snapshot, rows: Rows) -> Cells:
    """Last values of points, absent where there was none; without their units."""
    twins = snapshot.twins
    words = twins.point_word.take(rows)
    tag = _point_tags(snapshot, rows)
    word = np.where(tag == Tag.NUMBER, words.view(np.float64), words.astype(np.float64))
    # A sensor that sends NaN says that it has no value.
    silent = (twins.point_time.take(rows) == 0) | ~np.isfinite(word)
    tag[silent] = Tag.ABSENT
    word[silent] = 0.0
    return Cells(POINT_VALUE, tag, word, np.zeros(len(rows), np.int32), snapshot.pools, None)


def _is_attribute(snapshot: Snapshot, name: str) -> bool:
    return name in snapshot.attribute_names() or snapshot.schema.attribute(name) is not None


def _quality_cells(snapshot: Snapshot, name: str, rows: Rows) -> Cells:
    """Quality or reason of last readings as texts; absent where there was none, or nobody told a reason."""
    twins = snapshot.twins
    codes = twins.point_quality.take(rows)
    words, tags = np.zeros(256), np.zeros(256, np.uint8)
    for byte in np.unique(codes).tolist():
        text = _OF_QUALITY[name](byte)
        if text is not None:
            words[byte], tags[byte] = snapshot.pools.texts.intern(text), Tag.TEXT
    tag = np.where(twins.point_time.take(rows) == 0, np.uint8(Tag.ABSENT), tags[codes])
    return Cells(name, tag, words[codes], np.zeros(len(rows), np.int32), snapshot.pools, None)


def _point_tags(snapshot: Snapshot, rows: Rows) -> npt.NDArray[np.uint8]:
    tags = np.full(len(rows), Tag.NUMBER, np.uint8)
    column = snapshot.attribute("valueType")
    if column is None:
        return tags
    stated = column.tag.take(rows) == Tag.TEXT
    if not stated.any():
        return tags
    codes = column.word.take(rows)
    for value_type, tag in _TAG_OF_VALUE_TYPE.items():
        code = snapshot.pools.texts.find(value_type.value)
        tags[stated & (codes == code)] = tag
    return tags


def _point_units(snapshot: Snapshot, rows: Rows) -> npt.NDArray[np.int32]:
    """Codes in `pools.units` of what the points measure: their attribute `unit` is a text."""
    units = np.zeros(len(rows), np.int32)
    column = snapshot.attribute("unit")
    if column is None:
        return units
    stated, codes = column.tag.take(rows) == Tag.TEXT, column.word.take(rows)
    for code in np.unique(codes[stated]):
        text = snapshot.pools.texts.value(int(code))
        units[stated & (codes == code)] = snapshot.pools.units.intern(text) if text else 0
    return units
