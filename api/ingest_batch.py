"""Bodies of `POST /ingest` become readings: many bodies at once, columns where they can be columns.

All bodies of a batch are recorded together, with one write to the disk for each site.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import numpy as np

from adapters.quality.judging import judged
from adapters.stamps import iso_ns
from api.ingest import IngestPoint, IngestReport, LineReader, Taken, checked_fields
from api.ingest_scan import BLANK, ODD, PLAIN, PointTable, Scanned, scan_lines
from graph.values import Quality, Readings, ValueType
from ontology.errors import InputError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from graph.view import View

    Objects: TypeAlias = "list[object]"
    Body: TypeAlias = "bytes | Objects | Table"

POINTS_MAX = 2_000_000
_QUALITIES: Final = {quality.name: int(quality) for quality in Quality}
_NUMBERS: Final = (int, float)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A body of columns: lists of equal length, as JSON says them."""

    points: list[Any]
    times: list[Any]
    values: list[Any]
    qualities: list[Any] | None

    def __len__(self) -> int:
        return len(self.points)

    def objects(self, rows: Sequence[int]) -> list[object]:
        """Some rows, as if each had been sent alone."""
        stated = {} if self.qualities is None else {"quality": self.qualities}
        columns = {"point": self.points, "time": self.times, "value": self.values, **stated}
        return [{name: column[row] for name, column in columns.items()} for row in rows]


class KnownPoints:
    """Points by the names that lines of one principal gave them, as long as the graph does not change."""

    def __init__(self) -> None:
        self._revisions: object = None
        self._clear()

    def follow(self, revisions: object) -> None:
        """revisions: of the mesh; points that are looked up from now on are of these or newer ones."""
        if revisions != self._revisions or self.table.count > POINTS_MAX:
            self._clear()
            self._revisions = revisions

    def are_of(self, revisions: object) -> bool:
        """Whether names are looked up in these revisions now."""
        return revisions == self._revisions

    def number(self, name: str) -> int | None:
        """The number in the table of a name that was added."""
        return self._names.get(name)

    def add(self, name: str, point: IngestPoint) -> None:
        """Points of numbers; others are left to the reference."""
        if point.value_type is ValueType.NUMBER and name not in self._names:
            self._names[name] = self.table.add(name.encode())
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
        self._names: dict[str, int] = {}
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


class _Reader:
    """The reference, made when the first reading needs it: it looks at a snapshot, most batches at none."""

    def __init__(self, mesh: Mesh, view: Callable[[], View], known: KnownPoints) -> None:
        self._mesh, self._view, self._known = mesh, view, known
        self._seen: Snapshot | None = None

    @cached_property
    def lines(self) -> LineReader:
        view = self._view()
        self._seen = view.snapshot
        return LineReader(self._mesh, view)

    def remember(self) -> None:
        """Names that were asked for are known from now on, if nothing was committed meanwhile."""
        if self._seen is None or not self._known.are_of(_revisions(self._seen)):
            return
        for name, point in self.lines.found():
            self._known.add(name, point)


def ingest_all(
    mesh: Mesh,
    view: Callable[[], View],
    bodies: Sequence[Body],
    known: KnownPoints,
    *,
    columnar: bool = True,
) -> list[IngestReport]:
    """Record all readings that are right; durable on return. A report for each body, in their order.

    A body is text of one reading a line, columns, or a list of objects. view: the present, asked for where a
    reading needs it. columnar: False leaves every reading to the reference. Raises StoreError where a store
    takes nothing: then no body was acknowledged.
    """
    mesh.check_writable()
    known.follow(mesh.revisions())
    reader = _Reader(mesh, view, known)
    texts = [body for body in bodies if isinstance(body, bytes)]
    reports: dict[int, IngestReport] = {}
    numbers = [number for number, body in enumerate(bodies) if isinstance(body, bytes)]
    if texts:
        reports |= zip(numbers, _texts(mesh, texts, known, reader, columnar), strict=True)
    for number, body in enumerate(bodies):
        if isinstance(body, Table):
            reports[number] = _table(mesh, body, known, reader, columnar)
        elif not isinstance(body, bytes):
            reports[number] = _objects(mesh, body, known, reader)
    return [reports[number] for number in range(len(bodies))]


def _texts(
    mesh: Mesh, bodies: Sequence[bytes], known: KnownPoints, reader: _Reader, columnar: bool
) -> list[IngestReport]:
    # Lines may end in "\r\n" or "\r": then the newline between is ours.
    plain = [body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in body else body for body in bodies]
    text = b"\n".join(plain)
    scanned = scan_lines(text, known.table if columnar else PointTable())
    # Where bodies begin in the text, and which line that is.
    begins = np.append(0, np.cumsum(np.fromiter(map(len, plain), np.int64, len(plain)) + 1))
    first = np.searchsorted(scanned.starts, begins)
    columns = _of(scanned, known, np.repeat(np.arange(len(bodies)), np.diff(first)), len(bodies))
    for at in np.flatnonzero(columns.state == ODD).tolist():
        line = text[scanned.starts[at] : scanned.starts[at + 1] - 1]
        body = int(columns.body[at])
        if not line.strip():
            columns.state[at] = BLANK
            continue
        try:
            taken = reader.lines.read(line)
        except TwinmeshError as error:
            columns.reports[body].refuse(at - int(first[body]) + 1, error)
            continue
        columns.put(at, taken, known.site_number(taken.point.site))
    reader.remember()
    _record(mesh, columns, known)
    return columns.reports


def _revisions(snapshot: Snapshot) -> object:
    """As `Mesh.revisions`."""
    return tuple(zip(snapshot.sites, snapshot.revisions, strict=True))


def _objects(mesh: Mesh, body: Objects, known: KnownPoints, reader: _Reader) -> IngestReport:
    columns = _blank(len(body))
    _put_odd(columns, body, known, reader)
    _record(mesh, columns, known)
    return columns.reports[0]


def _table(mesh: Mesh, body: Table, known: KnownPoints, reader: _Reader, columnar: bool) -> IngestReport:
    """What is plain becomes columns at once, the other rows are left to the reference."""
    columns = _blank(len(body))
    if columnar:
        _put_plain(columns, body, known)
    at = np.flatnonzero(columns.state == ODD).tolist()
    _put_odd(columns, body.objects(at), known, reader, at)
    reader.remember()
    _record(mesh, columns, known)
    return columns.reports[0]


def _put_plain(columns: _Columns, body: Table, known: KnownPoints) -> None:
    """Rows of known points, with a number, a time in UTC and a quality that is spelt as we do."""
    found = [known.number(name) if type(name) is str else None for name in body.points]
    site, row = known.columns
    if not len(row):
        return
    try:
        values = np.array([each if type(each) in _NUMBERS else np.nan for each in body.values], np.float64)
    except OverflowError:  # a whole number beyond all floats
        return
    times_ns = iso_ns([each if type(each) is str else "" for each in body.times])
    numbers = np.array([-1 if number is None else number for number in found], np.int64)
    plain = (numbers >= 0) & (times_ns > 0) & np.isfinite(values)
    if body.qualities is not None:
        stated = [_QUALITIES.get(each, -1) if type(each) is str else -1 for each in body.qualities]
        quality = np.array(stated, np.int8)
        plain &= quality >= 0
        columns.quality[:] = quality.view(np.uint8)
    at = np.maximum(numbers, 0)
    columns.state[plain] = PLAIN
    columns.site[:], columns.row[:] = site[at], row[at]
    columns.times_ns[:], columns.words[:] = times_ns, values.view(np.uint64)


def _put_odd(
    columns: _Columns,
    objects: Sequence[object],
    known: KnownPoints,
    reader: _Reader,
    places: Sequence[int] | None = None,
) -> None:
    """Objects one after the other, by the reference; places: which rows they are, None: all of them."""
    for number, item in enumerate(objects):
        at = number if places is None else places[number]
        try:
            taken = reader.lines.take(checked_fields(item))
        except TwinmeshError as error:
            columns.reports[0].refuse(at + 1, error)
            continue
        columns.put(at, taken, known.site_number(taken.point.site))


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
        at = _rows_of(columns, number, is_only=len(known.sites) == 1)
        readings = Readings(columns.row[at], columns.times_ns[at], columns.words[at], columns.quality[at])
        if not len(readings):
            continue
        twin = mesh.twin(site)
        if twin.record(judged(twin, readings, time.time_ns())) < len(readings):  # some were removed meanwhile
            at = np.arange(len(columns.state))[at]
            alive = twin.snapshot().alive[columns.row[at]]
            columns.state[at[~alive]] = ODD
            gone = np.bincount(columns.body[at[~alive]], minlength=len(columns.reports))
            for report, count in zip(columns.reports, gone.tolist(), strict=True):
                report.lose(count)
    kept = np.bincount(columns.body[columns.state == PLAIN], minlength=len(columns.reports))
    for report, count in zip(columns.reports, kept.tolist(), strict=True):
        report.accepted += count


def _rows_of(columns: _Columns, site: int, *, is_only: bool) -> slice | npt.NDArray[np.intp]:
    """Which lines are readings of a site; all of them, where every line is plain, without a copy."""
    if is_only and not columns.state.any():
        return slice(None)
    return np.flatnonzero((columns.state == PLAIN) & (columns.site == site))


def table_of(document: object) -> Table:
    """`{"points","times","values","qualities"}`, lists of equal length. BODY_INVALID."""
    if not isinstance(document, dict):
        raise InputError("not an object of columns", code="BODY_INVALID")
    given = cast("dict[str, Any]", document)
    unknown = sorted(given.keys() - {"points", "times", "values", "qualities"})
    missing = sorted({"points", "times", "values"} - given.keys())
    if unknown or missing:
        told = f"unknown column {unknown[0]}" if unknown else f"no column {missing[0]}"
        raise InputError(told, code="BODY_INVALID", hint='{"points":[],"times":[],"values":[]}')
    if any(not isinstance(column, list) for column in given.values()):
        raise InputError("a column is a list", code="BODY_INVALID")
    if len({len(column) for column in given.values()}) != 1:
        raise InputError("the columns differ in length", code="BODY_INVALID")
    return Table(given["points"], given["times"], given["values"], given.get("qualities"))
