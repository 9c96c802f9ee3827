"""A segment: readings sorted by point and time in a Parquet file, an index and roll-ups beside it.

Any program that reads Parquet can read them: `point, time, value, word, quality, kind`, where numbers stand
in `value` and all else in `word`, and the index says which IRI a point is.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.readings.arrow import ArrowError, pa, pq
from graph.readings.catalog import HOUR_NS, MINUTE_NS
from graph.readings.columns import NUMBER, Columns, empty, joined
from graph.readings.rollups import Rollup
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from graph.readings.catalog import SegmentEntry

GROUP_ROWS: Final = 32_768
UNIT_NS: Final = {"ms": 1_000_000, "us": 1_000, "ns": 1}
_KIND_COLUMN: Final = 5
PART_NS: Final = {"minute": MINUTE_NS, "hour": HOUR_NS}


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Of each point in a segment, in order: its first row, its first and last time, its last reading.

    points int32[p], offsets int64[p + 1], from_ns and to_ns int64[p]; last: p readings.
    """

    points: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    from_ns: npt.NDArray[np.int64]
    to_ns: npt.NDArray[np.int64]
    last: Columns

    def place(self, point: int) -> int | None:
        place = int(np.searchsorted(self.points, point))
        return place if place < len(self.points) and self.points[place] == point else None


@dataclass(frozen=True, slots=True, eq=False)
class LastBefore:
    """At most one reading of a point; `lost` int32[l]: points whose readings of then are no longer kept."""

    columns: Columns
    lost: npt.NDArray[np.int32]


class Segment:
    """One segment, open for any number of readers. FileNotFoundError where it was merged away meanwhile."""

    def __init__(self, folder: Path, entry: SegmentEntry) -> None:
        """StoreError HISTORY_CORRUPT, FileNotFoundError."""
        self.entry = entry
        self._folder = folder
        self._metadata: dict[str, Any] = {}
        self._lock = Lock()
        self.index = self._load_index()

    @property
    def has_readings(self) -> bool:
        return self.entry.resolution_ns == 0

    def has_rollup(self, bucket_ns: int) -> bool:
        return self.entry.file(_part_of(bucket_ns)) is not None

    def readings(
        self, point: int, from_ns: int, to_ns: int, limit: int | None = None, *, newest: bool = False
    ) -> Columns:
        """Of one point, from_ns <= time < to_ns, ascending: the first `limit` or with `newest` the last."""
        place = self.index.place(point)
        if place is None or self.index.from_ns[place] >= to_ns or self.index.to_ns[place] < from_ns:
            return empty()
        start, end = int(self.index.offsets[place]), int(self.index.offsets[place + 1])
        groups = self._groups(start, end, from_ns, to_ns)
        found: list[Columns] = []
        rows = 0
        with self._opened("") as file:
            for group in reversed(groups) if newest else groups:
                first = group * GROUP_ROWS
                columns = self._group(file, group).take(slice(max(start - first, 0), end - first))
                low, high = np.searchsorted(columns.times_ns, [from_ns, to_ns])
                found.append(columns.take(slice(int(low), int(high))))
                rows += len(found[-1])
                if limit is not None and rows >= limit:
                    break
        found = found[::-1] if newest else found
        return replace(whole := joined(found), points=np.full(len(whole), point, np.int32))

    def last_before(self, points: npt.NDArray[np.int32], time_ns: int) -> LastBefore:
        """Of some points (ascending, each once) the last reading at or before a time, if there is one."""
        index = self.index
        places = np.flatnonzero(np.isin(index.points, points) & (index.from_ns <= time_ns))
        is_open = index.to_ns[places] > time_ns  # there are later ones too: the index does not know
        known, asked = index.last.take(places[~is_open]), places[is_open]
        if not self.has_readings:
            return LastBefore(known, index.points[asked])
        return LastBefore(joined([known, *self._last_of_groups(asked, time_ns)]), points[:0])

    def _last_of_groups(self, places: npt.NDArray[np.intp], time_ns: int) -> list[Columns]:
        """Each row group is decoded once at most, the last one first."""
        spans = {
            place: (int(self.index.offsets[place]), int(self.index.offsets[place + 1])) for place in places
        }
        asking: dict[int, list[int]] = {}
        for place, (start, end) in spans.items():
            for group in self._groups(start, end, -(2**63), time_ns + 1):
                asking.setdefault(group, []).append(place)
        found: dict[int, Columns] = {}
        with self._opened("") as file:
            for group in sorted(asking, reverse=True):
                left = [place for place in asking[group] if place not in found]
                columns = self._group(file, group) if left else empty()
                for place in left:
                    first, last = (max(row - group * GROUP_ROWS, 0) for row in spans[place])
                    times = columns.times_ns[first:last]
                    row = first + int(np.searchsorted(times, time_ns, side="right")) - 1
                    if row >= first:
                        one = columns.take(slice(row, row + 1))
                        found[place] = replace(one, points=self.index.points[place : place + 1])
        return list(found.values())

    def _group(self, file: Any, group: int) -> Columns:
        """A row group without its points: who asks for one point knows which rows are of it."""
        kinds = file.metadata.row_group(group).column(_KIND_COLUMN).statistics
        is_numbers = kinds is not None and kinds.has_min_max and kinds.max == NUMBER
        names = ["time", "value", "quality", *([] if is_numbers else ["word", "kind"])]
        table = file.read_row_group(group, columns=names, use_threads=False)
        nothing = np.zeros(table.num_rows, np.uint8)
        kinds = pa.array(nothing)
        table = table.append_column("kind", kinds) if is_numbers else table
        return decoded(table.append_column("point", pa.array(nothing.astype(np.int32))), self.entry.unit)

    def streamed(self) -> Iterator[Columns]:
        """All readings, a part at a time."""
        with self._opened("") as file:
            for group in range(file.num_row_groups):
                yield self._decoded(file.read_row_group(group, use_threads=False))

    def rollup(self, bucket_ns: int, point: int | None = None) -> Rollup:
        """The roll-up over minutes or hours, of one point or all."""
        chosen = [] if point is None else [("point", "=", point)]
        with self._opened(_part_of(bucket_ns)) as file:
            if not chosen:
                return _as_rollup(file.read(use_threads=False), self.entry.resolution_ns)
            groups = _groups_of(file, point or 0)
            table = file.read_row_groups(groups, use_threads=False)
        whole = _as_rollup(table, self.entry.resolution_ns)
        low, high = np.searchsorted(whole.points, [point or 0, (point or 0) + 1])
        return whole.take(slice(int(low), int(high)))

    def rollups_streamed(self, bucket_ns: int) -> Iterator[Rollup]:
        with self._opened(_part_of(bucket_ns)) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, use_threads=False)
                yield _as_rollup(table, self.entry.resolution_ns)

    def _groups(self, start: int, end: int, from_ns: int, to_ns: int) -> list[int]:
        """Row groups that may hold a point's readings of a time."""
        first, last = start // GROUP_ROWS, (end - 1) // GROUP_ROWS
        if first == last:
            return [first]
        metadata, unit = self._metadata_of(""), UNIT_NS[self.entry.unit]
        found: list[int] = []
        for group in range(first, last + 1):
            times = metadata.row_group(group).column(1).statistics
            inside = first < group < last  # at the ends other points are there too
            if not inside or (times.min_raw * unit < to_ns and times.max_raw * unit >= from_ns):
                found.append(group)
        return found

    def _load_index(self) -> Index:
        with self._opened("index") as file:
            table = file.read(use_threads=False)
        points, rows = _array(table, "point", np.int32), _array(table, "rows", np.int64)
        to_ns = _array(table, "to_ns", np.int64)
        last = Columns(
            points,
            to_ns,
            _array(table, "last_word", np.int64).view(np.uint64),
            _array(table, "last_quality", np.uint8),
            _array(table, "last_kind", np.uint8),
        )
        offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(rows)))
        return Index(points, offsets, _array(table, "from_ns", np.int64), to_ns, last)

    @contextmanager
    def _opened(self, part: str) -> Generator[Any]:
        """A reader of its own: they are not safe for several threads."""
        path = self._path(part)
        with parquet_errors(path):
            metadata = self._metadata_of(part)
            with pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True) as file:
                yield file

    def _metadata_of(self, part: str) -> Any:
        with self._lock:
            if part not in self._metadata:
                self._metadata[part] = pq.read_metadata(self._path(part))
            return self._metadata[part]

    def _path(self, part: str) -> Path:
        entry = self.entry.file(part)
        name = entry.name if entry else f"{self.entry.name}.{part}"
        return self._folder / name

    def _decoded(self, table: Any) -> Columns:
        return decoded(table, self.entry.unit)


@contextmanager
def parquet_errors(path: Path) -> Generator[None]:
    """What is no whole Parquet file, and what the disk refuses, as StoreError. FileNotFoundError as it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (ArrowError, OSError) as error:
        refused = isinstance(error, OSError) and error.errno is not None
        code = "STORE_FAILED" if refused else "HISTORY_CORRUPT"
        place, hint = Place(path=str(path)), "look at the disk, then restore a backup"
        raise StoreError(f"history: {error}", code=code, place=place, hint=hint) from error


def decoded(table: Any, unit: str) -> Columns:
    """Rows of a segment's file."""
    kinds = _array(table, "kind", np.uint8)
    words = _array(table, "value", np.float64).view(np.uint64)
    if (kinds != NUMBER).any():
        words = np.where(kinds == NUMBER, words, _array(table, "word", np.int64).view(np.uint64))
    times = table.column("time").cast(pa.int64()).to_numpy() * UNIT_NS[unit]
    return Columns(_array(table, "point", np.int32), times, words, _array(table, "quality", np.uint8), kinds)


def _array(table: Any, name: str, kind: Any) -> npt.NDArray[Any]:
    column = table.column(name)
    if column.null_count:
        column = column.fill_null(0)
    return np.ascontiguousarray(column.to_numpy(), kind)


def _as_rollup(table: Any, resolution_ns: int) -> Rollup:
    return Rollup(
        _array(table, "point", np.int32),
        _array(table, "start_ns", np.int64),
        _array(table, "count", np.int64),
        _array(table, "sum", np.float64),
        _array(table, "low", np.float64),
        _array(table, "high", np.float64),
        np.full(int(table.num_rows), resolution_ns, np.int64),
    )


def _groups_of(file: Any, point: int) -> list[int]:
    """Row groups of a roll-up that may hold a point."""
    metadata = file.metadata
    found: list[int] = []
    for group in range(metadata.num_row_groups):
        points = metadata.row_group(group).column(0).statistics
        if points.min <= point <= points.max:
            found.append(group)
    return found


def _part_of(bucket_ns: int) -> str:
    return next(part for part, span_ns in PART_NS.items() if span_ns == bucket_ns)
