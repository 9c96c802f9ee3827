"""Bodies of `POST /ingest` become readings: many bodies at once, columns where they can be columns.

All bodies of a batch are recorded together, with one write to the disk for each site.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from adapters.quality.judging import judged
from api.ingest import IngestPoint, IngestReport, LineReader, Taken, checked_fields
from api.ingest_scan import BLANK, ODD, PLAIN, PointTable, Scanned, scan_lines
from graph.values import Readings, ValueType
from ontology.errors import InputError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.mesh import Mesh
    from graph.view import View

    Objects: TypeAlias = "list[object]"
    Body: TypeAlias = "bytes | Objects"

POINTS_MAX = 2_000_000


class KnownPoints:
    """Points by the names that lines of one principal gave them, as long as the graph does not change."""

    def __init__(self) -> None:
        self._revisions: object = None
        self._clear()

    def follow(self, view: View) -> None:
        revisions = (view.snapshot.sites, view.snapshot.revisions)
        if revisions != self._revisions or self.table.count > POINTS_MAX:
            self._clear()
            self._revisions = revisions

    def add(self, name: str, point: IngestPoint) -> None:
        """Points of numbers; others are left to the reference."""
        if point.value_type is ValueType.NUMBER and name not in self._names:
            self._names.add(name)
            self.table.add(name.encode())
            self._sites.append(self._site_numbers.setdefault(point.site, len(self._site_numbers)))
            self._rows.append(point.row)
            self._columns = None

    @property
    def sites(self) -> list[str]:
        return list(self._site_numbers)

    def site_number(self, site: str) -> int:
        return self._site_numbers.setdefault(site, len(self._site_numbers))

    @property
    def columns(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """By number in the table: number of the site, row in it; each int32[n]."""
        if self._columns is None:
            self._columns = np.array(self._sites, np.int32), np.array(self._rows, np.int32)
        return self._columns

    def _clear(self) -> None:
        self.table = PointTable()
        self._names: set[str] = set()
        self._site_numbers: dict[str, int] = {}
        self._sites: list[int] = []
        self._rows: list[int] = []
        self._columns: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None = None


@dataclass(slots=True)
class _Columns:
    """One entry for each line of all bodies. state: PLAIN once it is known what it says."""

    state: npt.NDArray[np.uint8]
    site: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    times_ns: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint64]
    quality: npt.NDArray[np.uint8]
    body: npt.NDArray[np.int64]
    reports: list[IngestReport] = field(default_factory=list[IngestReport])

    def put(self, at: int, taken: Taken, site: int) -> None:
        self.state[at], self.site[at], self.row[at] = PLAIN, site, taken.point.row
        self.times_ns[at], self.words[at], self.quality[at] = taken.time_ns, taken.word, taken.quality


def ingest_all(
    mesh: Mesh, view: View, bodies: Sequence[Body], known: KnownPoints, *, columnar: bool = True
) -> list[IngestReport]:
    """Record all readings that are right; durable on return. A report for each body, in their order.

    A body is text of one reading a line, or a list of objects. columnar: False leaves every line to the
    reference. Raises StoreError where a store takes nothing: then no body was acknowledged.
    """
    mesh.check_writable()
    known.follow(view)
    reader = LineReader(mesh, view)
    texts = [body for body in bodies if isinstance(body, bytes)]
    reports: dict[int, IngestReport] = {}
    numbers = [number for number, body in enumerate(bodies) if isinstance(body, bytes)]
    if texts:
        reports |= zip(numbers, _texts(mesh, texts, known, reader, columnar), strict=True)
    for number, body in enumerate(bodies):
        if not isinstance(body, bytes):
            reports[number] = _objects(mesh, body, known, reader)
    return [reports[number] for number in range(len(bodies))]


def _texts(
    mesh: Mesh, bodies: Sequence[bytes], known: KnownPoints, reader: LineReader, columnar: bool
) -> list[IngestReport]:
    # Lines may end in "\r\n" or "\r": then the newline between is ours.
    plain = [body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in body else body for body in bodies]
    text = b"\n".join(plain)
    scanned = scan_lines(text, known.table if columnar else PointTable())
    counts = [body.count(b"\n") + 1 for body in plain]
    columns = _of(scanned, known, np.repeat(np.arange(len(bodies)), counts), len(bodies))
    first = np.append(0, np.cumsum(counts))
    for at in np.flatnonzero(columns.state == ODD).tolist():
        line = text[scanned.starts[at] : scanned.starts[at + 1] - 1]
        body = int(columns.body[at])
        if not line.strip():
            columns.state[at] = BLANK
            continue
        try:
            taken = reader.read(line)
        except TwinmeshError as error:
            columns.reports[body].refuse(at - int(first[body]) + 1, error)
            continue
        columns.put(at, taken, known.site_number(taken.point.site))
    _remember(reader, known)
    _record(mesh, columns, known)
    return columns.reports


def _objects(mesh: Mesh, body: Objects, known: KnownPoints, reader: LineReader) -> IngestReport:
    columns = _blank(len(body))
    for at, item in enumerate(body):
        try:
            taken = reader.take(checked_fields(item))
        except TwinmeshError as error:
            columns.reports[0].refuse(at + 1, error)
            continue
        columns.put(at, taken, known.site_number(taken.point.site))
    _record(mesh, columns, known)
    return columns.reports[0]


def _remember(reader: LineReader, known: KnownPoints) -> None:
    for name, point in reader.found():
        known.add(name, point)


def _of(scanned: Scanned, known: KnownPoints, body: npt.NDArray[np.int64], bodies: int) -> _Columns:
    """Lines as they were scanned."""
    site, row = known.columns
    point = np.where(scanned.status == PLAIN, scanned.point, 0)
    if not len(row):
        site, row = np.zeros(1, np.int32), np.zeros(1, np.int32)
    return _Columns(
        scanned.status,
        site[point],
        row[point],
        scanned.times_ns,
        scanned.values.view(np.uint64),
        scanned.quality,
        body,
        [IngestReport() for _ in range(bodies)],
    )


def _blank(lines: int) -> _Columns:
    """Columns of one body of which nothing is known yet."""
    return _Columns(
        np.full(lines, ODD, np.uint8),
        np.zeros(lines, np.int32),
        np.zeros(lines, np.int32),
        np.zeros(lines, np.int64),
        np.zeros(lines, np.uint64),
        np.zeros(lines, np.uint8),
        np.zeros(lines, np.int64),
        [IngestReport()],
    )


def _record(mesh: Mesh, columns: _Columns, known: KnownPoints) -> None:
    for number, site in enumerate(known.sites):
        at = np.flatnonzero((columns.state == PLAIN) & (columns.site == number))
        if not len(at):
            continue
        twin = mesh.twin(site)
        readings = Readings(columns.row[at], columns.times_ns[at], columns.words[at], columns.quality[at])
        if twin.record(judged(twin, readings, time.time_ns())) < len(at):  # some were removed meanwhile
            alive = twin.snapshot().alive[columns.row[at]]
            columns.state[at[~alive]] = ODD
            gone = np.bincount(columns.body[at[~alive]], minlength=len(columns.reports))
            for report, count in zip(columns.reports, gone.tolist(), strict=True):
                report.lose(count)
    kept = np.bincount(columns.body[columns.state == PLAIN], minlength=len(columns.reports))
    for report, count in zip(columns.reports, kept.tolist(), strict=True):
        report.accepted += count


def columns_as_objects(document: object) -> Objects:
    """`{"points","times","values","qualities"}`, lists of equal length, as objects. BODY_INVALID."""
    if not isinstance(document, dict):
        raise InputError("not an object of columns", code="BODY_INVALID")
    given = cast("dict[str, Any]", document)
    names = {"points": "point", "times": "time", "values": "value", "qualities": "quality"}
    unknown = sorted(given.keys() - names.keys())
    missing = sorted({"points", "times", "values"} - given.keys())
    if unknown or missing:
        told = f"unknown column {unknown[0]}" if unknown else f"no column {missing[0]}"
        raise InputError(told, code="BODY_INVALID", hint='{"points":[],"times":[],"values":[]}')
    columns = {names[name]: column for name, column in given.items()}
    if any(not isinstance(column, list) for column in columns.values()):
        raise InputError("a column is a list", code="BODY_INVALID")
    if len({len(column) for column in columns.values()}) != 1:
        raise InputError("the columns differ in length", code="BODY_INVALID")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
