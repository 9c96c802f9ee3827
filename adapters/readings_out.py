"""Readings of a folder as one file: CSV that import reads back, or Parquet."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from graph.quality import severities
from graph.readings.arrow import pa, pq
from graph.values import Quality, ValueType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from graph.history import Samples
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from graph.twin import Twin

READINGS_FORMATS: Final = ("csv", "parquet")
_PAGE_ROWS: Final = 100_000
_QUALITY: Final = np.array([quality.name for quality in Quality] + [Quality.BAD.name])
_SCHEMA: Final = pa.schema(
    [("point", pa.string()), ("time", pa.timestamp("ns", "UTC")), ("value", pa.float64()),
     ("text", pa.string()), ("quality", pa.string())]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """Which readings: from_ns <= time < to_ns, of these points (IRIs; None: all)."""

    from_ns: int
    to_ns: int
    points: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """left_out: readings that are no finite number, which no CSV cell can say."""

    rows: int
    left_out: int


def export_readings(mesh: Mesh, sites: Sequence[str], span: Span, format: str, out: Path) -> Written:
    """Write the readings of points that are there now, by site, point and time. OSError, StoreError."""
    rows = left_out = 0
    pages = (page for site in sites for page in _pages(mesh.twin(site), span))
    if format == "parquet":
        with pq.ParquetWriter(out, _SCHEMA, compression="zstd") as writer:
            for point, value_type, samples in pages:
                writer.write_table(_table(point, value_type, samples))
                rows += len(samples)
        return Written(rows, 0)
    with out.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(("point", "time", "value", "quality"))
        for point, value_type, samples in pages:
            kept = _write_page(file, point, value_type, samples)
            rows, left_out = rows + kept, left_out + len(samples) - kept
    return Written(rows, left_out)


def _pages(twin: Twin, span: Span) -> Iterator[tuple[str, ValueType, Samples]]:
    snapshot = twin.snapshot()
    for point, value_type in _points(snapshot, span):
        start = span.from_ns
        while len(samples := twin.history.range(point, start, span.to_ns, _PAGE_ROWS)):
            yield point, value_type, samples
            start = int(samples.times_ns[-1]) + 1


def _points(snapshot: Snapshot, span: Span) -> Iterator[tuple[str, ValueType]]:
    schema = snapshot.schema
    for row in np.flatnonzero(snapshot.alive).tolist():
        iri = snapshot.id(row)
        wanted = span.points is None or iri in span.points
        if wanted and any(schema.is_a(kind, schema.point_kind) for kind in snapshot.kinds(row)):
            yield iri, snapshot.value_type(row)


def _write_page(file: IO[str], point: str, value_type: ValueType, samples: Samples) -> int:
    """CSV rows; how many."""
    times = np.datetime_as_string(samples.times_ns.view("M8[ns]"), timezone="UTC").tolist()
    values, keep = _values(value_type, samples)
    rows = zip([point] * len(samples), times, values, _qualities(samples), strict=True)
    csv.writer(file).writerows(row for row, kept in zip(rows, keep.tolist(), strict=True) if kept)
    return int(keep.sum())


def _values(value_type: ValueType, samples: Samples) -> tuple[Sequence[object], npt.NDArray[np.bool_]]:
    everything = np.ones(len(samples), np.bool_)
    if samples.texts is not None:
        return samples.texts, everything
    if value_type is ValueType.BOOLEAN:
        return ["true" if word else "false" for word in samples.words.tolist()], everything
    if value_type is ValueType.COUNTER:
        return samples.words.tolist(), everything
    return [repr(value) for value in samples.numbers.tolist()], np.isfinite(samples.numbers)


def _qualities(samples: Samples) -> list[str]:
    return _QUALITY[severities(samples.quality)].tolist()


def _table(point: str, value_type: ValueType, samples: Samples) -> Any:
    rows = len(samples)
    whole = value_type in (ValueType.BOOLEAN, ValueType.COUNTER)
    numbers = samples.words.astype(np.float64) if whole else samples.numbers
    texts = samples.texts
    columns: list[Any] = [
        [point] * rows,
        samples.times_ns,
        [None] * rows if texts is not None else numbers,
        [None] * rows if texts is None else list(texts),
        _qualities(samples),
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)
