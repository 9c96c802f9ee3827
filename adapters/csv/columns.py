"""The attribute columns of a table: what the header says of each, and its cells as values."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from adapters.csv.config import EXTERNAL_PREFIX, Role
from adapters.csv.decode import READERS, any_number, plain_number
from graph.check import FREE_PREFIX, is_near
from graph.values import Value
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapters.csv.decode import Sheet
    from adapters.problems import Problems
    from graph.values import JSONValue
    from ontology.schema import Attribute, Schema
    from ontology.units import Units

# How a cell of each datatype is written.
_SPELLINGS = {
    "number": "write it as 12.5; its unit stands in the header, as in ratedPower [kW]",
    "integer": "write a whole number, as 12",
    "boolean": "write true or false",
    "json": "write JSON, a text in its quotes",
}
_UNIT_IN_BRACKETS = re.compile(r"(.*?)\s*\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class AttributeColumn:
    """One attribute column. `index` counts cells from 0; `declared` is None for free names."""

    index: int
    name: str
    unit: str | None
    declared: Attribute | None

    @property
    def number(self) -> int:
        """The cell number for error messages, from 1."""
        return self.index + 1


class AttributeReader:
    """Reads the attribute columns of tables against a schema. Every value carries `origin`.

    Notes CSV_HEADER, ATTRIBUTE_UNKNOWN, UNIT_UNKNOWN, UNIT_MISMATCH and VALUE_TYPE.
    """

    def __init__(self, schema: Schema, units: Units, origin: str, problems: Problems) -> None:
        self._schema = schema
        self._units = units
        self._origin = origin
        self._problems = problems

    def attributes(self, sheet: Sheet) -> list[dict[str, Value]]:
        """The attributes of every row, in the order of the columns; absent ones are left out."""
        rows: list[dict[str, Value]] = [{} for _ in sheet.rows]
        for column in self._columns(sheet):
            values = self._values(column, sheet)
            for attributes, value, line in zip(rows, values, sheet.lines, strict=True):
                if value is None:
                    continue
                if column.name in attributes:
                    self._note_twice(column, line)
                attributes[column.name] = Value(value, column.unit, self._origin)
        return rows

    def _columns(self, sheet: Sheet) -> list[AttributeColumn]:
        own = {*sheet.role.required, *sheet.role.optional}
        columns: list[AttributeColumn] = []
        seen: set[str] = set()
        for index, title in enumerate(sheet.header):
            twice = f"column {title!r} stands twice" if title in seen else None
            what = _wrong_title(title, sheet.role.role) or twice
            if what:
                hint = "each column needs a name of its own, as ratedPower [kW] or external:gs1"
                self._problems.add("CSV_HEADER", what, line=sheet.header_line, column=index + 1, hint=hint)
            elif title not in own and not title.startswith(EXTERNAL_PREFIX):
                columns.append(self._column(index, title, sheet))
            seen.add(title)
        return columns

    def _column(self, index: int, title: str, sheet: Sheet) -> AttributeColumn:
        found = _UNIT_IN_BRACKETS.fullmatch(title)
        name, code = (found[1], found[2].strip()) if found else (title, None)
        declared = None if name.startswith(FREE_PREFIX) else self._schema.attribute(name)
        column = AttributeColumn(index, declared.name if declared else name, code, declared)
        if not sheet.role.attributes:
            hint = f"its columns are {', '.join((*sheet.role.required, *sheet.role.optional))}"
            message = f"a table of {sheet.role.role} has no column {title!r}"
            self._note(sheet, column, "CSV_HEADER", message, hint)
        elif declared is None and not name.startswith(FREE_PREFIX):
            self._check_name(sheet, column)
        return self._with_unit(sheet, column) if code is not None else column

    def _check_name(self, sheet: Sheet, column: AttributeColumn) -> None:
        near = [known for known in self._schema.attributes if is_near(column.name, known)]
        if near:
            meant = " or ".join(near[:3])
            hint = f"did you mean {meant}? If not, write {FREE_PREFIX}{column.name}"
            message = f"unknown attribute {column.name!r} looks like a misspelt {near[0]}"
            self._note(sheet, column, "ATTRIBUTE_UNKNOWN", message, hint)

    def _with_unit(self, sheet: Sheet, column: AttributeColumn) -> AttributeColumn:
        """The column with its unit as the UCUM code, if the unit is known and fits."""
        try:
            code = self._units.unit(column.unit or "").code
            declared = column.declared.unit if column.declared else None
            if declared and not self._units.same_dimension(code, declared):
                hint = f"{column.name} is measured in {declared}"
                self._note(sheet, column, "UNIT_MISMATCH", f"unit {code!r} does not fit {column.name}", hint)
        except TwinmeshError as error:
            self._note(sheet, column, error.code, error.message, error.hint)
            return column
        return AttributeColumn(column.index, column.name, code, column.declared)

    def _values(self, column: AttributeColumn, sheet: Sheet) -> Sequence[JSONValue]:
        cells = sheet.cells(column.index)
        datatype = column.declared.datatype if column.declared else None
        if datatype == "text":
            return [cell if cell.strip() else None for cell in cells]
        if datatype == "json":
            return self._read_all(column, sheet, _json)
        if datatype is not None:
            return self._read_all(column, sheet, READERS[datatype])
        return self._undeclared(column, sheet, cells)

    def _undeclared(self, column: AttributeColumn, sheet: Sheet, cells: list[str]) -> Sequence[JSONValue]:
        """Numbers if every cell is one, else texts. A unit makes no sense beside a text."""
        numbers = [plain_number(cell.strip()) for cell in cells]
        stated = [bool(cell.strip()) for cell in cells]
        if all(number is not None for number, there in zip(numbers, stated, strict=True) if there):
            return numbers
        if column.unit is not None:
            return self._read_all(column, sheet, any_number)
        return [cell if there else None for cell, there in zip(cells, stated, strict=True)]

    def _read_all(
        self, column: AttributeColumn, sheet: Sheet, read: Callable[[str], JSONValue]
    ) -> list[JSONValue]:
        values: list[JSONValue] = []
        wanted = column.declared.datatype if column.declared else "number"
        for line, cell in zip(sheet.lines, sheet.cells(column.index), strict=True):
            text = cell.strip()
            value = read(text) if text else None
            if text and value is None:
                message = f"{column.name} must be a {wanted}, not {text[:80]!r}"
                self._problems.add(
                    "VALUE_TYPE", message, line=line, column=column.number, hint=_SPELLINGS[wanted]
                )
            values.append(value)
        return values

    def _note_twice(self, column: AttributeColumn, line: int) -> None:
        message = f"{column.name} is stated twice in one row"
        hint = "fill in one of the columns"
        self._problems.add("VALUE_TWICE", message, line=line, column=column.number, hint=hint)

    def _note(
        self, sheet: Sheet, column: AttributeColumn, code: str, message: str, hint: str | None = None
    ) -> None:
        place = {"line": sheet.header_line, "column": column.number}
        self._problems.add(code, message, **place, item=column.name, hint=hint)


def _wrong_title(title: str, role: Role) -> str | None:
    """What is wrong with a column's name, if anything is."""
    unit = _UNIT_IN_BRACKETS.fullmatch(title)
    if not title or (unit and not unit[1]):
        return f"the column {title!r} has no name"
    if title == EXTERNAL_PREFIX:
        return "the column of ids in another system does not name the system"
    if title.startswith(EXTERNAL_PREFIX) and role is not Role.TWINS:
        return f"{title!r} belongs into a table of twins: {role} have no ids in other systems"
    return None


def _json(cell: str) -> JSONValue:
    try:
        return cast("JSONValue", json.loads(cell))
    except (ValueError, RecursionError):
        return None
