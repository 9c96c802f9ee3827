"""CSV files -> twins, relationships, readings (INTERFACE section 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from adapters.csv.columns import AttributeReader
from adapters.csv.config import EXTERNAL_PREFIX, KIND_SEPARATOR, Role
from adapters.csv.decode import quality_of, read_sheets, time_ns_of
from adapters.model import Parsed, ReadingRows
from adapters.problems import Problems
from graph.ids import is_iri, is_valid_iri, local_iri
from graph.values import ExternalId, Quality, RelationshipRecord, TwinRecord
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from adapters.csv.decode import Sheet
    from adapters.model import ImportRequest
    from ontology.schema import Kind, Relation, Schema
    from ontology.units import Units

_NAME_HINT = "write brick:AHU, AHU or the full IRI; a file that declares it as a class must be imported first"
_TWICE_HINTS = {
    "ID_DUPLICATE": "say all of it in one row, or give one of them another id",
    "RELATIONSHIP_DUPLICATE": "give each a group or an id of its own",
}


@dataclass(frozen=True, slots=True)
class _Wrong:
    """What is said of a cell that cannot be read."""

    code: str
    message: str
    hint: str


_NO_TIME = _Wrong("TIME_INVALID", "is no ISO 8601 time with a zone", "such as 2026-03-01T14:00:00Z")
_NO_QUALITY = _Wrong("QUALITY_INVALID", "is not GOOD, UNCERTAIN or BAD", "an empty cell is GOOD")


def read_csv(path: Path, request: ImportRequest, schema: Schema, units: Units) -> Parsed:
    """What a CSV file says. Raises InputError with every problem: line, cell, hint (see `Importer`)."""
    problems = Problems(str(path))
    reader = _Reader(request, schema, AttributeReader(schema, units, request.source, problems), problems)
    for sheet in read_sheets(path, problems):
        reader.read(sheet)
    problems.raise_if_any()
    return reader.parsed(str(path))


@dataclass(slots=True)
class _Reader:
    """Turns sheets into records; lists stand in the order of the file."""

    request: ImportRequest
    schema: Schema
    attributes: AttributeReader
    problems: Problems
    twins: list[TwinRecord] = field(default_factory=list[TwinRecord])
    twin_lines: list[int] = field(default_factory=list[int])
    relationships: list[RelationshipRecord] = field(default_factory=list[RelationshipRecord])
    relationship_lines: list[int] = field(default_factory=list[int])
    readings: list[ReadingRows] = field(default_factory=list[ReadingRows])
    _first_line: dict[str | tuple[str, ...], int] = field(default_factory=dict["str | tuple[str, ...]", int])
    _kinds: dict[str, Kind | NotFoundError] = field(default_factory=dict["str", "Kind | NotFoundError"])
    _relations: dict[str, Relation | NotFoundError] = field(
        default_factory=dict["str", "Relation | NotFoundError"]
    )

    def read(self, sheet: Sheet) -> None:
        {
            Role.TWINS: self._read_twins,
            Role.RELATIONSHIPS: self._read_relationships,
            Role.READINGS: self._read_readings,
        }[sheet.role.role](sheet)

    def parsed(self, path: str) -> Parsed:
        return Parsed(
            path,
            "csv",
            self.request.source,
            twins=tuple(self.twins),
            relationships=tuple(self.relationships),
            readings=_joined(self.readings),
            twin_lines=tuple(self.twin_lines),
            relationship_lines=tuple(self.relationship_lines),
        )

    def _read_twins(self, sheet: Sheet) -> None:
        columns = [sheet.column(name) for name in ("id", "kind", "name", "localId")]
        attributes, external_ids = self.attributes.attributes(sheet), _external_ids(sheet)
        for row, (stated, kinds, name, local_id) in enumerate(zip(*columns, strict=True)):
            line = sheet.lines[row]
            iri = self._twin_iri(sheet, line, stated)
            record = TwinRecord(
                iri,
                kinds=self._kind_iris(sheet, line, kinds, stated),
                name=name or None,
                local_id=local_id or (None if is_iri(stated) else stated),
                attributes=attributes[row],
                external_ids=external_ids[row],
                origin=self.request.source,
            )
            self._claim(iri, line, stated, "ID_DUPLICATE", f"id {stated!r}")
            self.twins.append(record)
            self.twin_lines.append(line)

    def _twin_iri(self, sheet: Sheet, line: int, stated: str) -> str:
        self._check_reference(sheet, line, "id", stated)
        return stated if is_iri(stated) else local_iri(self.request.base, stated)

    def _kind_iris(self, sheet: Sheet, line: int, cell: str, item: str) -> tuple[str, ...]:
        names = [name.strip() for name in cell.split(KIND_SEPARATOR) if name.strip()]
        if not names:
            hint = f"such as brick:AHU; several are split by {KIND_SEPARATOR}"
            self._note_cell(sheet, line, "kind", "KIND_MISSING", "the kind is missing", item, hint)
        found = [_looked_up(name, self._kinds, self.schema.kind) for name in names]
        for error in found:
            if isinstance(error, NotFoundError):
                hint = error.hint or _NAME_HINT
                self._note_cell(sheet, line, "kind", error.code, error.message, item, hint)
        return tuple(dict.fromkeys(kind.iri for kind in found if not isinstance(kind, NotFoundError)))

    def _read_relationships(self, sheet: Sheet) -> None:
        columns = [sheet.column(name) for name in ("source", "relation", "target", "group", "id")]
        attributes = self.attributes.attributes(sheet)
        for row, (source, name, target, group, stated_id) in enumerate(zip(*columns, strict=True)):
            line = sheet.lines[row]
            self._check_reference(sheet, line, "source", source)
            self._check_reference(sheet, line, "target", target)
            relation = _looked_up(name, self._relations, self.schema.relation)
            if isinstance(relation, NotFoundError):
                hint = relation.hint or _NAME_HINT
                self._note_cell(sheet, line, "relation", relation.code, relation.message, name, hint)
                continue
            canonical, turned = self._canonical(relation)
            record = RelationshipRecord(
                target if turned else source,
                canonical.iri,
                source if turned else target,
                group=group,
                id=self._relationship_id(sheet, line, stated_id),
                attributes=attributes[row],
                origin=self.request.source,
                stated=relation.iri if turned else None,
            )
            if record.id is None:
                self._claim_key(line, record)
            self.relationships.append(record)
            self.relationship_lines.append(line)

    def _canonical(self, relation: Relation) -> tuple[Relation, bool]:
        """The relation to keep, and whether its ends change places (the stated one is an inverse)."""
        if relation.inverse_of is None:
            return relation, False
        return self.schema.relations[relation.inverse_of], True

    def _relationship_id(self, sheet: Sheet, line: int, stated: str) -> str | None:
        if not stated:
            return None
        self._check_reference(sheet, line, "id", stated)
        iri = stated if is_iri(stated) else local_iri(self.request.base, stated)
        self._claim(iri, line, stated, "ID_DUPLICATE", f"id {stated!r}")
        return iri

    def _claim_key(self, line: int, record: RelationshipRecord) -> None:
        ends = (self._as_iri(record.source), self._as_iri(record.target))
        key = (ends[0], record.relation, ends[1], record.group)
        item = f"{record.source} {self.schema.compact(record.relation)} {record.target}"
        what = f"relationship {item}" + (f" of group {record.group!r}" if record.group else "")
        self._claim(key, line, item, "RELATIONSHIP_DUPLICATE", what)

    def _as_iri(self, reference: str) -> str:
        return reference if is_iri(reference) else local_iri(self.request.base, reference)

    def _read_readings(self, sheet: Sheet) -> None:
        self.attributes.attributes(sheet)  # notes columns that have no place here
        points, cells = sheet.column("point"), sheet.column("value")
        for line, point, cell in zip(sheet.lines, points, cells, strict=True):
            self._check_reference(sheet, line, "point", point)
            if not cell:
                hint = "leave out the row, or state what was read"
                self._note_cell(sheet, line, "value", "VALUE_MISSING", "the value is missing", point, hint)
        times = self._column(sheet, "time", time_ns_of, _NO_TIME)
        quality = self._column(sheet, "quality", quality_of, _NO_QUALITY)
        rows = ReadingRows(
            tuple(points),
            np.array([time or 0 for time in times], np.int64),
            tuple(cells),
            np.array([Quality.GOOD if one is None else one for one in quality], np.uint8),
            np.array(sheet.lines, np.int32),
        )
        self.readings.append(rows)

    def _column(
        self, sheet: Sheet, name: str, read: Callable[[str], int | None], wrong: _Wrong
    ) -> list[int | None]:
        values: list[int | None] = []
        for line, cell in zip(sheet.lines, sheet.column(name), strict=True):
            value = read(cell)
            if value is None:
                message = f"{cell[:80]!r} {wrong.message}"
                self._note_cell(sheet, line, name, wrong.code, message, None, wrong.hint)
            values.append(value)
        return values

    def _check_reference(self, sheet: Sheet, line: int, column: str, reference: str) -> None:
        """An id or a reference must be there, and must be a valid IRI if it is one."""
        if not reference:
            hint = "every row names its own"
            self._note_cell(sheet, line, column, "ID_MISSING", f"the {column} is missing", None, hint)
        elif is_iri(reference) and not is_valid_iri(reference):
            message, hint = f"{reference!r} is no valid IRI", 'IRIs hold no space and none of <>"{}|\\^`'
            self._note_cell(sheet, line, column, "ID_INVALID", message, reference, hint)

    def _claim(self, key: str | tuple[str, ...], line: int, item: str, code: str, what: str) -> None:
        """Note where an id or key is used; a second use is a problem. Missing ones have been noted before."""
        if not item:
            return
        first = self._first_line.setdefault(key, line)
        if first != line:
            message = f"{what} stands in line {first} already"
            self.problems.add(code, message, line=line, column=1, item=item, hint=_TWICE_HINTS[code])

    def _note_cell(
        self,
        sheet: Sheet,
        line: int,
        column: str,
        code: str,
        message: str,
        item: str | None,
        hint: str | None = None,
    ) -> None:
        number = sheet.number_of(column)
        self.problems.add(code, message, line=line, column=number, item=item, hint=hint)


Named = TypeVar("Named")


def _looked_up(
    name: str, known: dict[str, Named | NotFoundError], find: Callable[[str], Named]
) -> Named | NotFoundError:
    """What a name stands for, or why it stands for nothing; looked up once per spelling."""
    if name not in known:
        try:
            known[name] = find(name)
        except NotFoundError as error:
            known[name] = error
    return known[name]


def _external_ids(sheet: Sheet) -> list[tuple[ExternalId, ...]]:
    """The ids in other systems (`external:gs1`) of each row."""
    names = [title for title in dict.fromkeys(sheet.header) if title.startswith(EXTERNAL_PREFIX)]
    systems = [name.removeprefix(EXTERNAL_PREFIX) for name in names]
    columns = [sheet.column(name) for name in names]
    return [
        tuple(
            ExternalId(system, cells[row])
            for system, cells in zip(systems, columns, strict=True)
            if cells[row]
        )
        for row in range(len(sheet.rows))
    ]


def _joined(parts: list[ReadingRows]) -> ReadingRows | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    return ReadingRows(
        tuple(point for part in parts for point in part.points),
        np.concatenate([part.times_ns for part in parts]),
        tuple(value for part in parts for value in part.values),
        np.concatenate([part.quality for part in parts]),
        np.concatenate([part.lines for part in parts]),
    )
