"""Histories of before the Parquet files, `history.sqlite`: read by followers, migrated by the next writer."""

from __future__ import annotations

import logging
import shutil
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.files import failing, sync_tree
from graph.folders import sync_folder
from graph.history import RANGE_ROWS_MAX, LastValue, Samples
from graph.readings.catalog import FOLDER, Catalog, SegmentEntry, write_catalog
from graph.readings.columns import CODED, NUMBER, Columns
from graph.readings.names import Names, NamesFile
from graph.readings.rollups import Rollup, roll_up
from graph.readings.segments import Segment
from graph.readings.writing import unit_of, write_segment
from graph.sealing import write_seal
from graph.stores.faults import SQLITE_FAULTS
from graph.stores.reading import connect_unchanged
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

OLD: Final = "history.sqlite"
KEPT: Final = "before-history-2"
_ROWS_AT_ONCE: Final = 1 << 17
_LOG = logging.getLogger("twinmesh.history")
_ROWS: Final = """SELECT point, time_ns, word, quality, coalesce(coded, 0) FROM readings LEFT JOIN
    (SELECT point, coded FROM last) USING (point) ORDER BY point, time_ns"""


def has_old_history(site: Path) -> bool:
    """Whether a site's readings are still in the old file."""
    return (site / OLD).exists() and not (site / FOLDER).exists()


class OldHistory:
    """`History` over the old file, which nobody writes any more. Safe from any thread."""

    def __init__(self, site: Path) -> None:
        self._path = site / OLD

    def numbers(self, points: Sequence[str]) -> npt.NDArray[np.int32]:
        raise self._read_only()

    def append(
        self,
        points: Sequence[str] | npt.NDArray[np.int32],
        times_ns: npt.NDArray[np.int64],
        words: npt.NDArray[np.uint64],
        quality: npt.NDArray[np.uint8],
        texts: Sequence[str | None],
        kinds: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        raise self._read_only()

    def _read_only(self) -> StoreError:
        return StoreError("this history is only read", code="STORE_LOCKED", place=Place(path=str(self._path)))

    def range(
        self, point: str, from_ns: int, to_ns: int, limit: int = RANGE_ROWS_MAX, *, newest: bool = False
    ) -> Samples:
        order = "DESC" if newest else "ASC"
        query = f"""SELECT readings.time_ns, readings.word, readings.quality, text
            FROM readings JOIN points USING (point) LEFT JOIN last USING (point)
            LEFT JOIN texts ON code = readings.word AND coded = 1
            WHERE iri = ? AND readings.time_ns >= ? AND readings.time_ns < ?
            ORDER BY readings.time_ns {order} LIMIT ?"""
        query = query.replace(
            "SELECT time_ns, word, quality", "SELECT readings.time_ns, readings.word, readings.quality"
        )
        with _opened(self._path) as connection:
            rows = connection.execute(query, (point, from_ns, to_ns, limit)).fetchall()
        rows = rows[::-1] if newest else rows
        table = np.array([row[:3] for row in rows], np.int64).reshape(-1, 3)
        texts = tuple(row[3] or "" for row in rows) if any(row[3] is not None for row in rows) else None
        words = np.ascontiguousarray(table[:, 1]).view(np.uint64)
        return Samples(table[:, 0], words, table[:, 2].astype(np.uint8), texts)

    def roll_up(self, point: str, from_ns: int, to_ns: int, bucket_ns: int) -> Rollup:
        found = self.range(point, from_ns, to_ns)
        rows = len(found)
        kinds = np.full(rows, NUMBER if found.texts is None else CODED, np.uint8)
        return roll_up(
            Columns(np.zeros(rows, np.int32), found.times_ns, found.words, found.quality, kinds), bucket_ns
        )

    def last_before(self, points: Sequence[str], time_ns: int) -> list[LastValue]:
        end_ns = min(time_ns, 2**63 - 2) + 1  # SQLite has no greater number
        found = ((point, self.range(point, -(2**63), end_ns, 1, newest=True)) for point in points)
        return [
            LastValue(
                point,
                int(one.times_ns[0]),
                int(one.words[0]),
                int(one.quality[0]),
                one.texts[0] if one.texts else None,
            )
            for point, one in found
            if len(one)
        ]

    def last_values(self, after_batch: int = 0) -> tuple[int, list[LastValue]]:
        query = """SELECT iri, time_ns, word, quality, CASE coded WHEN 1 THEN text END, batch FROM last
            JOIN points USING (point) LEFT JOIN texts ON code = word AND coded = 1 WHERE batch > ?"""
        with _opened(self._path) as connection:
            rows = connection.execute(query, (after_batch,)).fetchall()
        newest = max((row[-1] for row in rows), default=after_batch)
        return newest, [LastValue(iri, time, word % 2**64, q, text) for iri, time, word, q, text, _ in rows]

    def recover(self) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        """The file is open only while it is read."""


def migrate_history(site: Path) -> int | None:
    """Bring an old history into files of this format; how many readings, None where there is none.

    New files are made beside and read back; then they get their name in one step, and the old file stays in
    `before-history-2/`. Interrupted at any moment, the next call goes on. The caller holds the site's lock.

    Raises StoreError MIGRATION_FAILED (the disk refused, or the copy says something else), HISTORY_CORRUPT.
    """
    old, new, fresh = site / OLD, site / FOLDER, site / f"{FOLDER}.migrating"
    if not old.exists():
        return None
    rows: int | None = None
    with failing("MIGRATION_FAILED", site):
        if not new.exists():
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            rows = _rewrite(old, fresh)
            sync_tree(fresh)
            fresh.rename(new)
            sync_folder(site)
            _LOG.warning("site %s: %s readings migrated; the old file stays in %s", site.name, rows, KEPT)
        _keep(site)
    return rows


def _rewrite(old: Path, fresh: Path) -> int:
    with _opened(old) as connection:
        connection.execute("BEGIN")
        names, number_of, text_of = _copy_names(connection, fresh)
        (count,) = connection.execute("SELECT count(*) FROM readings").fetchone()
        unit = _unit(connection)
        parts = _parts(connection, number_of, text_of)
        entry = write_segment(fresh, "s00000001", parts, unit, names.points.names.__getitem__)
        rows = entry.rows if entry else 0
        if rows != count or not _is_same(connection, fresh, entry, number_of, text_of):
            message, hint = "the copy of the history says something else", "nothing was changed; report this"
            raise StoreError(message, code="MIGRATION_FAILED", place=Place(path=str(old)), hint=hint)
    write_catalog(fresh, Catalog(batch=1, next=2, segments=(entry,) if entry else ()))
    return rows


def _copy_names(
    connection: sqlite3.Connection, fresh: Path
) -> tuple[Names, npt.NDArray[np.int64], dict[int, int]]:
    """Names; the new number by the old of points, in the same order; and of texts."""
    points = connection.execute("SELECT point, iri FROM points ORDER BY point").fetchall()
    texts = connection.execute("SELECT code, text FROM texts ORDER BY code").fetchall()
    names = Names()
    file = NamesFile(fresh, names)
    with closing(file.file):
        file.add([iri for _, iri in points], [text for _, text in texts])
    known = np.array([point for point, _ in points], np.int64)
    return names, known, {code: number for number, (code, _) in enumerate(texts)}


def _unit(connection: sqlite3.Connection) -> str:
    for unit, span in (("ms", 1_000_000), ("us", 1_000)):
        query = f"SELECT EXISTS (SELECT 1 FROM readings WHERE time_ns % {span} != 0)"
        if connection.execute(query).fetchone() == (0,):
            return unit
    return unit_of(np.ones(1, np.int64))


def _parts(
    connection: sqlite3.Connection, known: npt.NDArray[np.int64], text_of: dict[int, int]
) -> Iterator[Columns]:
    cursor = connection.execute(_ROWS)
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        table = np.array(rows, np.int64)
        coded = table[:, 4] == 1
        table[coded, 2] = [text_of.get(code, 0) for code in table[coded, 2].tolist()]
        yield Columns(
            np.searchsorted(known, table[:, 0]).astype(np.int32),
            np.ascontiguousarray(table[:, 1]),
            np.ascontiguousarray(table[:, 2]).view(np.uint64),
            table[:, 3].astype(np.uint8),
            np.where(coded, CODED, NUMBER).astype(np.uint8),
        )


def _is_same(
    connection: sqlite3.Connection,
    fresh: Path,
    entry: SegmentEntry | None,
    known: npt.NDArray[np.int64],
    text_of: dict[int, int],
) -> bool:
    """Every reading of the old file against what was written."""
    if entry is None:
        return True
    written = Segment(fresh, entry).streamed()
    have = next(written, None)
    for part in _parts(connection, known, text_of):
        place = 0
        while place < len(part):
            if have is None or not len(have):
                have = next(written, None)
                if have is None:
                    return False
            step = min(len(part) - place, len(have))
            mine, its = part.take(slice(place, place + step)), have.take(slice(0, step))
            if any(not np.array_equal(a, b) for a, b in zip(mine.arrays, its.arrays, strict=True)):
                return False
            place, have = place + step, have.take(slice(step, None))
    return True


def _keep(site: Path) -> None:
    """The old file out of the way, as a sealed backup."""
    kept = site / KEPT
    kept.mkdir(mode=0o700, exist_ok=True)
    with _opened(site / OLD) as connection:
        connection.execute("SELECT 1").fetchone()
    for suffix in ("-wal", "-shm", ""):
        path = site / f"{OLD}{suffix}"
        if path.exists() and suffix != "-shm":
            path.rename(kept / path.name)
        path.unlink(missing_ok=True)
    write_seal(kept)
    sync_tree(kept)
    sync_folder(site)


@contextmanager
def _opened(path: Path) -> Generator[sqlite3.Connection]:
    try:
        with closing(connect_unchanged(path)) as connection:
            yield connection
    except SQLITE_FAULTS as error:
        place, hint = Place(path=str(path)), "restore a backup"
        raise StoreError(f"history: {error}", code="HISTORY_CORRUPT", place=place, hint=hint) from error
