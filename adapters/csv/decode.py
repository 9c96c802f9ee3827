"""CSV text -> tables of cells, and cells -> values. Knows how values are spelt, nothing of twins."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.csv.config import CELL_CHARACTERS_MAX, COLUMNS_MAX, ROLES, RoleColumns
from graph.values import Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from adapters.problems import Problems
    from graph.values import JSONValue

# A number as people write one into a cell: no leading zero, so that 007 stays an article number.
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LOOSE_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?(Z|z|[+-]\d\d(?::?\d\d)?)")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_QUALITIES = {"": Quality.GOOD} | {
    key: quality for quality in Quality for key in (quality.name, str(quality.value))
}
_TIME_NS_MAX = 2**63 - 1


@dataclass(slots=True)
class Sheet:
    """One table: a header and rows of as many cells. `lines` int per row: the line where the row begins."""

    role: RoleColumns
    header: list[str]
    header_line: int
    rows: list[list[str]] = field(default_factory=list[list[str]])
    lines: list[int] = field(default_factory=list[int])

    def cells(self, index: int) -> list[str]:
        """One column, top to bottom."""
        return [row[index] for row in self.rows]

    def column(self, name: str) -> list[str]:
        """The stripped cells of a column by its name; empty texts where there is no such column."""
        if name not in self.header:
            return [""] * len(self.rows)
        return [cell.strip() for cell in self.cells(self.header.index(name))]

    def number_of(self, name: str) -> int | None:
        """The cell number of a column for error messages, from 1."""
        return self.header.index(name) + 1 if name in self.header else None


def read_sheets(path: Path, problems: Problems) -> list[Sheet]:
    """The tables of a file. Mostly one; after a blank line another header may begin another table.

    Notes CSV_ENCODING, CSV_SYNTAX, CSV_HEADER, CSV_EMPTY and CSV_CELLS, the last for each broken row.
    """
    text = _text(path.read_bytes(), problems)
    sheets: list[Sheet] = []
    after_blank = True
    for line, cells in _records(text, problems):
        if len(cells) > COLUMNS_MAX:
            _note_wide(len(cells), line, problems)
            return []
        role = role_of(cells) if after_blank and cells else None
        if role is not None:
            sheets.append(Sheet(role, [cell.strip() for cell in cells], line))
        elif cells and not sheets:
            _note_header(cells, line, problems)
            return []
        elif cells:
            _take_row(sheets[-1], line, cells, problems)
        after_blank = not cells
    if not sheets and not problems:
        problems.add(
            "CSV_EMPTY", "the file holds no table", line=1, hint="begin with a header such as id,kind,name"
        )
    return sheets


def role_of(header: list[str]) -> RoleColumns | None:
    """The role whose required columns all stand in a header, or None."""
    names = {cell.strip() for cell in header}
    return next((role for role in ROLES if names.issuperset(role.required)), None)


def _text(content: bytes, problems: Problems) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = len(before) - before.rfind(b"\n")
        found = f"byte 0x{content[error.start]:02x} is not UTF-8"
        hint = "save the file as UTF-8"
        problems.add("CSV_ENCODING", found, line=before.count(b"\n") + 1, column=column, hint=hint)
        return ""


def _records(text: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """(first line, cells) of each record; a blank line is a record without cells."""
    csv.field_size_limit(CELL_CHARACTERS_MAX)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            _note_syntax(line, str(error), problems)
            return
        if cells is None:
            return
        # Spreadsheets leave rows of empty cells behind: those are blank lines too.
        yield line, cells if any(cell.strip() for cell in cells) else []


def _note_syntax(line: int, message: str, problems: Problems) -> None:
    if message == "unexpected end of data":
        message, hint = (
            "the quote opened here is never closed",
            'close it, or write "" for a quote inside a cell',
        )
    else:
        hint = 'a cell with a comma, quote or line break stands in quotes; a quote inside is written ""'
    problems.add("CSV_SYNTAX", message, line=line, hint=hint)


def _note_header(cells: list[str], line: int, problems: Problems) -> None:
    wanted = "; ".join(f"{role.role}: {','.join(role.required)}" for role in ROLES)
    other = next((mark for mark in ";\t|" if len(cells) == 1 and mark in cells[0]), None)
    hint = f"separate cells by commas, not by {other!r}" if other else f"a header holds one of: {wanted}"
    shown = ",".join(cells)[:80]
    problems.add("CSV_HEADER", f"the header {shown!r} fits no role", line=line, column=1, hint=hint)


def _note_wide(count: int, line: int, problems: Problems) -> None:
    hint = "a table has a row for each twin and a column for each attribute"
    problems.add("CSV_CELLS", f"{count} cells, at most {COLUMNS_MAX} are read", line=line, hint=hint)


def _take_row(sheet: Sheet, line: int, cells: list[str], problems: Problems) -> None:
    if len(cells) == len(sheet.header):
        sheet.rows.append(cells)
        sheet.lines.append(line)
        return
    message = f"{len(cells)} cells where the header of line {sheet.header_line} has {len(sheet.header)}"
    column = min(len(cells), len(sheet.header)) + 1
    hint = "a cell that holds a comma stands in quotes; an empty cell keeps its comma"
    problems.add("CSV_CELLS", message, line=line, column=column, item=cells[0].strip() or None, hint=hint)


def plain_number(cell: str) -> int | float | None:
    """The number a cell holds, or None: leading zeros and words (nan) are no numbers, nor what overflows."""
    return _number(cell) if NUMBER.fullmatch(cell) else None


def any_number(cell: str) -> int | float | None:
    """As `plain_number` for columns declared as numbers: leading zeros and plus signs are fine."""
    return _number(cell) if _LOOSE_NUMBER.fullmatch(cell) else None


def _number(cell: str) -> int | float | None:
    if _INTEGER.fullmatch(cell):
        return int(cell)
    number = float(cell)
    return number if math.isfinite(number) else None


def whole_number(cell: str) -> int | None:
    """The integer a cell holds, or None."""
    return int(cell) if _INTEGER.fullmatch(cell) else None


def _hours(cell: str) -> JSONValue:
    number = any_number(cell)
    return cell if number is None else number


# How a declared datatype is read from a cell; None: the cell is wrong.
READERS: dict[str, Callable[[str], JSONValue]] = {
    "number": any_number,
    "integer": whole_number,
    "boolean": lambda cell: BOOLEANS.get(cell.lower()),
    "hours": _hours,
}


def quality_of(cell: str) -> Quality | None:
    """GOOD, UNCERTAIN or BAD by name or number; an empty cell is GOOD."""
    return _QUALITIES.get(cell.upper())


def time_ns_of(cell: str) -> int | None:
    """Unix time in nanoseconds of an ISO 8601 text with a zone; None if it is none or out of range."""
    found = _TIME.fullmatch(cell)
    if found is None:
        return None
    zone = "+00:00" if found[3] in "Zz" else found[3]
    try:
        since = datetime.fromisoformat(found[1] + zone) - _EPOCH
    except ValueError:
        return None
    fraction_ns = int((found[2] or "").ljust(9, "0"))
    time_ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + fraction_ns
    return time_ns if abs(time_ns) <= _TIME_NS_MAX else None
