"""What `POST /ingest` is told: lines `{"point","time","value","quality"}`, one after the other.

One line is one reading in the unit of its point; what is wrong with a line refuses that line alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import orjson

from api.schema.scalars import read_time
from graph.values import Quality, ValueType
from ontology.errors import InputError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.mesh import Mesh
    from graph.view import View

_REASONS_MAX: Final = 100
_FIELDS: Final = frozenset({"point", "time", "value", "quality"})
_COUNT_MAX: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Reason:
    line: int
    code: str
    message: str


@dataclass(slots=True)
class IngestReport:
    accepted: int = 0
    refused: int = 0
    codes: dict[str, int] = field(default_factory=dict[str, int])
    reasons: list[Reason] = field(default_factory=list[Reason])

    def refuse(self, line: int, error: TwinmeshError) -> None:
        self.refused += 1
        self.codes[error.code] = self.codes.get(error.code, 0) + 1
        if len(self.reasons) < _REASONS_MAX:
            self.reasons.append(Reason(line, error.code, error.message))

    def lose(self, count: int) -> None:
        """Readings of points that were removed meanwhile: recorded by nobody, so not accepted."""
        if count:
            self.refused += count
            self.codes["POINT_UNKNOWN"] = self.codes.get("POINT_UNKNOWN", 0) + count

    def to_json(self) -> dict[str, Any]:
        """`reasons` tells the first hundred, `codes` counts all."""
        told = [{"line": each.line, "code": each.code, "message": each.message} for each in self.reasons]
        return {
            "accepted": self.accepted,
            "refused": self.refused,
            "codes": dict(self.codes),
            "reasons": told,
        }


@dataclass(frozen=True, slots=True)
class IngestPoint:
    """A point that lines name: `row` in the snapshots of its site."""

    site: str
    row: int
    value_type: ValueType


@dataclass(frozen=True, slots=True)
class Taken:
    """What one line says."""

    point: IngestPoint
    time_ns: int
    word: int
    quality: int


class LineReader:
    """Reads one line after the other, for somebody who sees `view`. Names that were asked for are kept."""

    def __init__(self, mesh: Mesh, view: View) -> None:
        self._mesh = mesh
        self._view = view
        self._points: dict[str, IngestPoint | TwinmeshError] = {}

    def read(self, line: bytes) -> Taken:
        """InputError, NotFoundError: what is wrong with the line."""
        return self.take(_read(line))

    def take(self, reading: dict[str, Any]) -> Taken:
        """As `read`, of an object with `point`, `time`, `value` and perhaps `quality`."""
        point = self.point(reading["point"])
        time_ns = read_time(reading["time"])
        word, quality = self._word(point, reading["value"]), _quality(reading)
        if point.value_type is ValueType.NUMBER and not math.isfinite(float(reading["value"])):
            quality = Quality.BAD
        return Taken(point, time_ns, word, quality)

    def point(self, text: str) -> IngestPoint:
        known = self._points.get(text)
        if known is None:
            known = self._points[text] = self._find(text)
        if isinstance(known, TwinmeshError):
            raise known
        return known

    def found(self) -> Iterator[tuple[str, IngestPoint]]:
        """Names that were asked for and mean a point."""
        for name, point in self._points.items():
            if isinstance(point, IngestPoint):
                yield name, point

    def _find(self, text: str) -> IngestPoint | TwinmeshError:
        snapshot = self._view.snapshot
        try:
            row = self._view.find(text)
        except TwinmeshError as error:
            return error
        if not any(snapshot.schema.is_a(kind, snapshot.schema.point_kind) for kind in snapshot.kinds(row)):
            return InputError(f"{text!r} is not a point", code="POINT_UNKNOWN")
        return IngestPoint(*snapshot.site_row(row), snapshot.value_type(row))

    def _word(self, point: IngestPoint, value: object) -> int:
        """The 64-bit word of a value; InputError VALUE_TYPE."""
        value_type = point.value_type
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value_type is ValueType.NUMBER and is_number:
            return int(np.float64(cast("float", value)).view(np.uint64))
        if value_type is ValueType.BOOLEAN and isinstance(value, bool):
            return int(value)
        if (
            value_type is ValueType.COUNTER
            and isinstance(value, int)
            and is_number
            and 0 <= value <= _COUNT_MAX
        ):
            return value
        if value_type in (ValueType.CODE, ValueType.TEXT) and isinstance(value, str):
            return int(self._mesh.twin(point.site).intern_texts([value])[0])
        raise InputError(f"{value!r} is not a {value_type}", code="VALUE_TYPE")


def _read(line: bytes) -> dict[str, Any]:
    """A line as an object with point, time and value; InputError LINE_INVALID."""
    try:
        return checked_fields(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", code="LINE_INVALID") from None


def checked_fields(reading: object) -> dict[str, Any]:
    """An object with point, time and value and no other fields than these and quality; LINE_INVALID."""
    if not isinstance(reading, dict):
        raise InputError("not an object", code="LINE_INVALID")
    fields = cast("dict[str, Any]", reading)
    unknown = sorted(fields.keys() - _FIELDS)
    missing = sorted({"point", "time", "value"} - fields.keys())
    if unknown or missing:
        told = f"unknown field {unknown[0]}" if unknown else f"no field {missing[0]}"
        raise InputError(told, code="LINE_INVALID")
    if not isinstance(fields["point"], str):
        raise InputError("`point` is not a text", code="LINE_INVALID")
    return fields


def _quality(reading: dict[str, Any]) -> Quality:
    stated = reading.get("quality")
    if stated is None:
        return Quality.GOOD
    try:
        return Quality[str(stated).upper()]
    except KeyError:
        names = ", ".join(Quality.__members__)
        raise InputError(f"quality {stated!r} is none of {names}", code="QUALITY_UNKNOWN") from None
