"""Writing a segment: sorted readings go by in parts of any size, so memory does not grow with the segment."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.folders import sync_folder
from graph.readings.arrow import pa, pq
from graph.readings.catalog import FileEntry, SegmentEntry
from graph.readings.columns import NUMBER, Columns, joined
from graph.readings.rollups import combined, roll_up
from graph.readings.segments import GROUP_ROWS, PART_NS, UNIT_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from graph.readings.rollups import Rollup

# A roll-up is kept beside the readings where it is so much shorter than they are.
ROLLUP_SHARE_MAX: Final = 0.25
_LEVEL: Final = 3
_DICTIONARIES: Final = ("point", "quality", "kind")
_READING: Final = (
    ("point", pa.int32()), ("value", pa.float64()), ("word", pa.int64()), ("quality", pa.uint8()),
    ("kind", pa.uint8()),
)  # fmt: skip
_INDEX: Final = (
    ("point", pa.int32()), ("iri", pa.string()), ("rows", pa.int64()), ("from_ns", pa.int64()),
    ("to_ns", pa.int64()), ("last_word", pa.int64()), ("last_quality", pa.uint8()), ("last_kind", pa.uint8()),
)  # fmt: skip
_ROLLUP: Final = pa.schema(
    [("point", pa.int32()), ("start_ns", pa.int64()), ("count", pa.int64()),
     ("sum", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
)  # fmt: skip


def unit_of(times_ns: npt.NDArray[np.int64]) -> str:
    """The coarsest unit that says these times exactly."""
    return next(unit for unit, ns in UNIT_NS.items() if not (times_ns % ns).any())


def write_segment(
    folder: Path, name: str, parts: Iterable[Columns], unit: str, iri_of: Callable[[int], str]
) -> SegmentEntry | None:
    """A segment from parts sorted by point and time; durable on return. None where there is no reading.

    The files count only once a catalog names them. OSError.
    """
    writer = _SegmentWriter(folder, name, unit)
    try:
        for part in parts:
            writer.add(part)
        entry = writer.finish(iri_of)
    finally:
        writer.close()
    sync_folder(folder)
    return entry


def write_rollup(folder: Path, name: str, bucket_ns: int, parts: Iterable[Rollup]) -> FileEntry:
    """A roll-up from finer ones or from parts of itself, sorted by point and start. OSError."""
    writer = _RollupWriter(folder, name, bucket_ns)
    try:
        for part in parts:
            writer.add(part)
        entry = writer.finish()
    finally:
        writer.close()
    sync_folder(folder)
    return entry


class _File:
    """A Parquet file that is hashed while it is written."""

    def __init__(self, path: Path, schema: Any, **options: Any) -> None:
        self.path = path
        self._hashing = _Hashing(path)
        self._sink = pa.PythonFile(self._hashing, mode="w")
        self._writer = pq.ParquetWriter(
            self._sink, schema, compression="zstd", compression_level=_LEVEL, version="2.6", **options
        )

    def write(self, table: Any) -> None:
        self._writer.write_table(table, row_group_size=GROUP_ROWS)

    def finish(self) -> FileEntry:
        self._writer.close()
        return self._hashing.finish()

    def close(self) -> None:
        """Whatever happened. Arrow ends a file that was given up too: that goes nowhere."""
        self._hashing.close()
        self._writer.close()


class _Hashing:
    """What Arrow writes to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._hash, self._size = sha256(), 0
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self._file < 0:
            return len(view)
        self._hash.update(view)
        length = len(view)
        while view:
            written = os.pwrite(self._file, view, self._size)
            view, self._size = view[written:], self._size + written
        return length

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        return None

    def writable(self) -> bool:
        return True

    def finish(self) -> FileEntry:
        os.fsync(self._file)
        return FileEntry(self._path.name, self._size, self._hash.hexdigest())

    def close(self) -> None:
        self.closed = True
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _SegmentWriter:
    def __init__(self, folder: Path, name: str, unit: str) -> None:
        self._folder, self._name, self._unit = folder, name, unit
        encodings = {
            "time": "DELTA_BINARY_PACKED",
            "value": "BYTE_STREAM_SPLIT",
            "word": "DELTA_BINARY_PACKED",
        }
        time = ("time", pa.timestamp(unit, "UTC"))
        schema = pa.schema([_READING[0], time, *_READING[1:]])
        self._schema = schema
        self._file = _File(
            folder / f"{name}.parquet",
            schema,
            use_dictionary=list(_DICTIONARIES),
            column_encoding=encodings,
            write_page_checksum=True,
        )
        self._rollups = {part: _RollupWriter(folder, name, span) for part, span in PART_NS.items()}
        self._index = _IndexWriter()
        self._waiting: list[Columns] = []
        self._rows = self._written = 0

    def add(self, columns: Columns) -> None:
        if not len(columns):
            return
        self._index.add(columns)
        for rollup in self._rollups.values():
            rollup.add(roll_up(columns, rollup.bucket_ns))
        self._waiting.append(columns)
        self._rows += len(columns)
        if self._rows - self._written >= GROUP_ROWS:
            self._write(whole=False)

    def finish(self, iri_of: Callable[[int], str]) -> SegmentEntry | None:
        if not self._rows:
            return None
        self._write(whole=True)
        files = [self._file.finish(), self._index.write(self._folder, self._name, iri_of)]
        for rollup in self._rollups.values():
            entry = rollup.finish()
            if rollup.rows <= ROLLUP_SHARE_MAX * self._rows:
                files.append(entry)
            else:
                rollup.path.unlink()
        from_ns, to_ns = self._index.span_ns
        return SegmentEntry(self._name, self._rows, from_ns, to_ns, 0, self._unit, tuple(files))

    def close(self) -> None:
        self._file.close()
        for rollup in self._rollups.values():
            rollup.close()

    def _write(self, *, whole: bool) -> None:
        """Row groups of one size: a row's group is known from its number."""
        columns = joined(self._waiting)
        ready = len(columns) if whole else len(columns) // GROUP_ROWS * GROUP_ROWS
        self._waiting = [columns.take(slice(ready, None))]
        self._written += ready
        if ready:
            self._file.write(self._table(columns.take(slice(0, ready))))

    def _table(self, columns: Columns) -> Any:
        is_number = columns.kinds == NUMBER
        times = pa.array(columns.times_ns // UNIT_NS[self._unit]).cast(self._schema.field("time").type)
        arrays = [
            pa.array(columns.points),
            times,
            pa.array(columns.words.view(np.float64), mask=~is_number),
            pa.array(columns.words.view(np.int64), mask=is_number),
            pa.array(columns.quality),
            pa.array(columns.kinds),
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)


class _RollupWriter:
    """Spans of one length; the last one waits, because the next part may go on with it."""

    def __init__(self, folder: Path, name: str, bucket_ns: int) -> None:
        part = next(part for part, span_ns in PART_NS.items() if span_ns == bucket_ns)
        self.path = folder / f"{name}.{part}.parquet"
        self.bucket_ns = bucket_ns
        self.rows = 0
        encodings = {"start_ns": "DELTA_BINARY_PACKED", "count": "DELTA_BINARY_PACKED"}
        encodings |= dict.fromkeys(("sum", "low", "high"), "BYTE_STREAM_SPLIT")
        self._file = _File(self.path, _ROLLUP, use_dictionary=["point"], column_encoding=encodings)
        self._waiting: list[Rollup] = []

    def add(self, rollup: Rollup) -> None:
        if len(rollup):
            self._waiting.append(rollup)
        if sum(map(len, self._waiting)) >= GROUP_ROWS:
            self._write(last=False)

    def finish(self) -> FileEntry:
        self._write(last=True)
        return self._file.finish()

    def close(self) -> None:
        self._file.close()

    def _write(self, *, last: bool) -> None:
        whole = combined(self._waiting, self.bucket_ns)
        ready = len(whole) if last else max(0, len(whole) - 1)
        self._waiting = [whole.take(slice(ready, None))]
        self.rows += ready
        if ready:
            arrays = (whole.points, whole.starts_ns, whole.counts, whole.sums, whole.lows, whole.highs)
            self._file.write(pa.Table.from_arrays([pa.array(a[:ready]) for a in arrays], schema=_ROLLUP))


class _IndexWriter:
    """Of each point how many rows it has, its first time and its last reading."""

    def __init__(self) -> None:
        self._parts: list[tuple[npt.NDArray[np.int64], Columns, npt.NDArray[np.int64]]] = []

    def add(self, columns: Columns) -> None:
        ends = np.append(np.flatnonzero(np.diff(columns.points)), len(columns) - 1)
        starts = np.append(0, ends[:-1] + 1)
        self._parts.append((ends - starts + 1, columns.take(ends), columns.times_ns[starts]))

    @property
    def span_ns(self) -> tuple[int, int]:
        first = min(int(times.min()) for _, _, times in self._parts)
        return first, max(int(last.times_ns.max()) for _, last, _ in self._parts)

    def write(self, folder: Path, name: str, iri_of: Callable[[int], str]) -> FileEntry:
        """A point that goes on in the next part has one row: the first time and the last reading count."""
        counts = np.concatenate([part[0] for part in self._parts])
        last = joined([part[1] for part in self._parts])
        begins = np.concatenate([part[2] for part in self._parts])
        ends = np.append(np.flatnonzero(np.diff(last.points)), len(last) - 1)
        starts = np.append(0, ends[:-1] + 1)
        kept = last.take(ends)
        rows = np.add.reduceat(counts, starts)
        columns: Sequence[Any] = (
            kept.points,
            [iri_of(point) for point in kept.points.tolist()],
            rows,
            begins[starts],
            kept.times_ns,
            kept.words.view(np.int64),
            kept.quality,
            kept.kinds,
        )
        schema = pa.schema(_INDEX)
        arrays = [pa.array(column, kind) for column, (_, kind) in zip(columns, _INDEX, strict=True)]
        file = _File(folder / f"{name}.index.parquet", schema, use_dictionary=False)
        try:
            file.write(pa.Table.from_arrays(arrays, schema=schema))
            return file.finish()
        finally:
            file.close()
