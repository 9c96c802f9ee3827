"""`POST /ingest`: readings as lines `{"point","time","value","quality"}`. Good ones are kept, others counted.

One line is one reading in the unit of its point; what is wrong with a line refuses that line alone.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import orjson

from api.schema.scalars import read_time
from graph.values import Quality, Readings, ValueType
from ontology.errors import InputError, TwinmeshError

if TYPE_CHECKING:
    from graph.mesh import Mesh
    from graph.twin import Twin
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
    codes: Counter[str] = field(default_factory=Counter[str])
    reasons: list[Reason] = field(default_factory=list[Reason])

    def refuse(self, line: int, error: TwinmeshError) -> None:
        self.refused += 1
        self.codes[error.code] += 1
        if len(self.reasons) < _REASONS_MAX:
            self.reasons.append(Reason(line, error.code, error.message))

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
class _Point:
    site: str
    row: int  # in the snapshots of its site
    value_type: ValueType


@dataclass(slots=True)
class _Batch:
    """Readings of one site."""

    twin: Twin
    rows: list[int] = field(default_factory=list[int])
    times_ns: list[int] = field(default_factory=list[int])
    words: list[int] = field(default_factory=list[int])
    quality: list[int] = field(default_factory=list[int])

    def record(self) -> int:
        return self.twin.record(
            Readings(
                np.array(self.rows, np.int32),
                np.array(self.times_ns, np.int64),
                np.array(self.words, np.uint64),
                np.array(self.quality, np.uint8),
            )
        )


def ingest(mesh: Mesh, view: View, body: bytes) -> IngestReport:
    """Record all lines that are right; durable on return. StoreError where the store takes nothing."""
    mesh.check_writable()
    return _Ingest(mesh, view).run(body)


class _Ingest:
    def __init__(self, mesh: Mesh, view: View) -> None:
        self._mesh = mesh
        self._view = view
        self._points: dict[str, _Point | TwinmeshError] = {}
        self._batches: dict[str, _Batch] = {}
        self._report = IngestReport()

    def run(self, body: bytes) -> IngestReport:
        for number, line in enumerate(body.splitlines(), 1):
            if line.strip():
                try:
                    self._take(line)
                except TwinmeshError as error:
                    self._report.refuse(number, error)
        for batch in self._batches.values():
            self._report.accepted += batch.record()
        self._count_lost()
        return self._report

    def _take(self, line: bytes) -> None:
        reading = _read(line)
        point = self._point(reading["point"])
        time_ns = read_time(reading["time"])
        batch = self._batches.setdefault(point.site, _Batch(self._mesh.twin(point.site)))
        word, quality = self._word(batch.twin, point.value_type, reading["value"]), _quality(reading)
        if point.value_type is ValueType.NUMBER and not math.isfinite(float(reading["value"])):
            quality = Quality.BAD
        batch.rows.append(point.row)
        batch.times_ns.append(time_ns)
        batch.words.append(word)
        batch.quality.append(quality)

    def _point(self, text: str) -> _Point:
        known = self._points.get(text)
        if known is None:
            known = self._points[text] = self._find(text)
        if isinstance(known, TwinmeshError):
            raise known
        return known

    def _find(self, text: str) -> _Point | TwinmeshError:
        snapshot = self._view.snapshot
        try:
            row = self._view.find(text)
        except TwinmeshError as error:
            return error
        if not any(snapshot.schema.is_a(kind, snapshot.schema.point_kind) for kind in snapshot.kinds(row)):
            return InputError(f"{text!r} is not a point", code="POINT_UNKNOWN")
        return _Point(*snapshot.site_row(row), snapshot.value_type(row))

    def _word(self, twin: Twin, value_type: ValueType, value: object) -> int:
        """The 64-bit word of a value; InputError VALUE_TYPE."""
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
            return int(twin.intern_texts([value])[0])
        raise InputError(f"{value!r} is not a {value_type}", code="VALUE_TYPE")

    def _count_lost(self) -> None:
        """Points that were removed while we read: recorded by nobody, so not accepted."""
        lost = sum(len(batch.rows) for batch in self._batches.values()) - self._report.accepted
        if lost > 0:
            self._report.refused += lost
            self._report.codes["POINT_UNKNOWN"] += lost


def _read(line: bytes) -> dict[str, Any]:
    """A line as an object with point, time and value; InputError LINE_INVALID."""
    try:
        reading = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", code="LINE_INVALID") from None
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
