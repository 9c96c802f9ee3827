"""Readings of files: references -> points, cells -> values of the points' types."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapters.csv.decode import BOOLEANS, any_number, whole_number
from adapters.problems import Problems
from graph.ids import is_iri
from graph.values import ValueType

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.model import ReadingRows
    from adapters.resolving import Known
    from graph.snapshot import Snapshot
    from graph.values import JSONValue
    from ontology.schema import Schema


@dataclass(frozen=True, slots=True)
class Point:
    """A point that readings mean."""

    iri: str
    value_type: ValueType


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a reference means no point."""

    code: str
    message: str
    hint: str | None = None


def resolve_readings(rows: ReadingRows, snapshot: Snapshot, path: str) -> ReadingRows:
    """Rows of a file with IRIs of points of a snapshot, and values of these points' types.

    Raises InputError POINT_UNKNOWN or VALUE_TYPE with every place.
    """
    problems = Problems(path)
    typed = typed_readings(rows, lambda text: _in_snapshot(text, snapshot), problems)
    problems.raise_if_any()
    return typed


def typed_readings(rows: ReadingRows, find: Callable[[str], Point | Wrong], errors: Problems) -> ReadingRows:
    """Rows with IRIs and typed values; what is wrong is noted and left as it stood."""
    points: dict[str, Point | Wrong] = {}
    iris: list[str] = []
    values: list[JSONValue] = []
    for line, text, stated in zip(rows.lines.tolist(), rows.points, rows.values, strict=True):
        point = points.get(text)
        if point is None:
            point = points[text] = find(text)
            if isinstance(point, Wrong):
                errors.add(point.code, point.message, line=line, item=text, hint=point.hint)
        value = stated
        if isinstance(point, Point):
            value = _READERS[point.value_type](_cell(stated))
            if value is None:
                told = f"{stated!r} is no {point.value_type.value}"
                hint = "the attribute valueType of the point says what its readings are"
                errors.add("VALUE_TYPE", told, line=line, column=3, item=text, hint=hint)
        iris.append(point.iri if isinstance(point, Point) else text)
        values.append(value)
    return replace(rows, points=tuple(iris), values=tuple(values))


def find_point(text: str, known: Known, schema: Schema) -> Point | Wrong:
    """The point that a reference means after an import: of its files, or of its site."""
    found = known.candidates(text)
    if len(found) > 1:
        return Wrong("AMBIGUOUS_ID", f"{text!r} may mean {' or '.join(found[:5])}", "write the full IRI")
    if not found or not known.here(found[0]):
        home = known.elsewhere(found[0]) if found else None
        if home:
            return Wrong("WRONG_SITE", f"point {text!r} is of site {home}", f"import with --site {home}")
        return Wrong("POINT_UNKNOWN", f"no point {text!r}", known.hint(text))
    return _stated_point(found[0], known, schema)


def _stated_point(iri: str, known: Known, schema: Schema) -> Point | Wrong:
    record = known.stated.get(iri)
    row = known.own.row(iri) if known.own is not None else -1
    kinds = [kind.index for one in record.kinds if (kind := schema.kind_by_iri(one))] if record else []
    if known.own is not None and row >= 0:
        own = known.own
        kinds += [kind.index for one in own.kind_iris(row) if (kind := schema.kind_by_iri(one))]
    if not any(schema.is_a(kind, schema.point_kind) for kind in kinds):
        return _no_point(iri)
    stated = record.attributes.get("valueType") if record else None
    if stated is None:
        return Point(
            iri, known.own.value_type(row) if known.own is not None and row >= 0 else ValueType.NUMBER
        )
    return _typed_point(iri, str(stated.value))


def _typed_point(iri: str, name: str) -> Point | Wrong:
    try:
        return Point(iri, ValueType(name))
    except ValueError:
        known = ", ".join(kind.value for kind in ValueType)
        return Wrong("VALUE_TYPE", f"point {iri} has an unknown valueType {name!r}", f"one of {known}")


def _in_snapshot(text: str, snapshot: Snapshot) -> Point | Wrong:
    rows = snapshot.candidates(text)
    if len(rows) != 1:
        told = f"no point {text!r}" if not rows else f"{text!r} means several points"
        return Wrong("POINT_UNKNOWN" if not rows else "AMBIGUOUS_ID", told)
    if not any(snapshot.schema.is_a(kind, snapshot.schema.point_kind) for kind in snapshot.kinds(rows[0])):
        return _no_point(text if is_iri(text) else snapshot.id(rows[0]))
    return Point(snapshot.id(rows[0]), snapshot.value_type(rows[0]))


def _no_point(iri: str) -> Wrong:
    return Wrong("POINT_UNKNOWN", f"{iri} is no point", "give it a kind under tm:Point, such as brick:Sensor")


def _cell(value: JSONValue) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value)


def _as_float(cell: str) -> float | None:
    number = any_number(cell)
    return None if number is None else float(number)


def _as_count(cell: str) -> int | None:
    count = whole_number(cell)
    return count if count is not None and 0 <= count < 1 << 64 else None


_READERS: dict[ValueType, Callable[[str], JSONValue]] = {
    ValueType.NUMBER: _as_float,
    ValueType.BOOLEAN: lambda cell: BOOLEANS.get(cell.lower()),
    ValueType.CODE: str,
    ValueType.TEXT: str,
    ValueType.COUNTER: _as_count,
}
