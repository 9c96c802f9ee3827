"""Readings over time: append, range, buckets.

A thin SQLite file behind a protocol that a Parquet store will share.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np

from graph.quality import usable
from graph.stores.connecting import connect
from graph.stores.faults import SQLITE_FAULTS
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    import numpy.typing as npt

RANGE_ROWS_MAX = 1_000_000
BUSY_TIMEOUT_S = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS points (point INTEGER PRIMARY KEY, iri TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS texts (code INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS readings (point INTEGER NOT NULL, time_ns INTEGER NOT NULL, word INTEGER NOT NULL,
    quality INTEGER NOT NULL, PRIMARY KEY (point, time_ns)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS last (point INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, word INTEGER NOT NULL,
    quality INTEGER NOT NULL, coded INTEGER NOT NULL, batch INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS last_by_batch ON last (batch);
"""
_PUT = "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?)"
_PUT_LAST = """INSERT INTO last VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (point) DO UPDATE SET
    time_ns = excluded.time_ns, word = excluded.word, quality = excluded.quality,
    coded = excluded.coded, batch = excluded.batch
    WHERE excluded.time_ns >= last.time_ns"""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Readings of one point, ascending in time: times_ns int64[n], words uint64[n], quality uint8[n].

    texts: what the words of a code or text point mean, str[n]; None for the others.
    """

    times_ns: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint64]
    quality: npt.NDArray[np.uint8]
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.times_ns)

    @property
    def numbers(self) -> npt.NDArray[np.float64]:
        """float64[n]: the words of a number point."""
        return self.words.view(np.float64)


@dataclass(frozen=True, slots=True)
class LastValue:
    """The newest reading of a point. `text`: what the word of a code or text point means."""

    point: str
    time_ns: int
    word: int
    quality: int
    text: str | None


class Aggregate(StrEnum):
    COUNT = "COUNT"
    MIN = "MIN"
    MAX = "MAX"
    MEAN = "MEAN"
    SUM = "SUM"
    P05 = "P05"
    P50 = "P50"
    P95 = "P95"


class History(Protocol):
    """The readings of one site, by IRI of the point. Safe from any thread."""

    def append(
        self,
        points: Sequence[str],
        times_ns: npt.NDArray[np.int64],
        words: npt.NDArray[np.uint64],
        quality: npt.NDArray[np.uint8],
        texts: Sequence[str | None],
    ) -> None:
        """Add readings, all arrays n long; durable on return. The same point and time again replaces.

        texts: str[n], what the words of code and text points mean, None for others; empty: no such points.
        """
        ...

    def range(
        self, point: str, from_ns: int, to_ns: int, limit: int = RANGE_ROWS_MAX, *, newest: bool = False
    ) -> Samples:
        """Readings with from_ns <= time < to_ns: the first `limit` of them, or with `newest` the last."""
        ...

    def last_values(self, after_batch: int = 0) -> tuple[int, list[LastValue]]:
        """Newest readings of the points that changed after a batch, and the number of the newest batch."""
        ...

    def recover(self) -> None:
        """After an append that failed: prove that it can be written again. Raises StoreError if not."""
        ...

    def close(self) -> None: ...


class SqliteHistory:
    """`History` in one SQLite file, written with the same care as the journal."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._lock = Lock()
        self._points: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        with self._guard():
            self._connection = connect(path, BUSY_TIMEOUT_S)
            self._connection.executescript(_TABLES)
            if read_only:
                self._connection.execute("PRAGMA query_only = ON")

    def append(
        self,
        points: Sequence[str],
        times_ns: npt.NDArray[np.int64],
        words: npt.NDArray[np.uint64],
        quality: npt.NDArray[np.uint8],
        texts: Sequence[str | None],
    ) -> None:
        signed = words.view(np.int64).tolist()
        with self._lock, self._guard(), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            known = [self._number("points", "iri", iri, self._points) for iri in points]
            coded = [text is not None for text in texts] or [False] * len(known)
            for place, text in enumerate(texts):
                if text is not None:
                    signed[place] = self._number("texts", "text", text, self._codes)
            rows = list(zip(known, times_ns.tolist(), signed, quality.tolist(), strict=True))
            connection.executemany(_PUT, rows)
            self._put_last(connection, rows, coded)

    def range(
        self, point: str, from_ns: int, to_ns: int, limit: int = RANGE_ROWS_MAX, *, newest: bool = False
    ) -> Samples:
        order = "DESC" if newest else "ASC"
        query = f"""SELECT time_ns, word, quality FROM readings JOIN points USING (point)
            WHERE iri = ? AND time_ns >= ? AND time_ns < ? ORDER BY time_ns {order} LIMIT ?"""
        with self._lock, self._guard():
            rows = self._connection.execute(query, (point, from_ns, to_ns, limit)).fetchall()
            texts = self._texts([word for _, word, _ in rows]) if self._is_coded(point) else None
        ordered = slice(None, None, -1 if newest else 1)
        table = np.array(rows, np.int64).reshape(-1, 3)[ordered]
        words = np.ascontiguousarray(table[:, 1]).view(np.uint64)
        return Samples(table[:, 0], words, table[:, 2].astype(np.uint8), texts[ordered] if texts else texts)

    def last_values(self, after_batch: int = 0) -> tuple[int, list[LastValue]]:
        query = """SELECT iri, time_ns, word, quality, CASE coded WHEN 1 THEN text END, batch FROM last
            JOIN points USING (point) LEFT JOIN texts ON code = word AND coded = 1 WHERE batch > ?"""
        with self._lock, self._guard():
            rows = self._connection.execute(query, (after_batch,)).fetchall()
        newest = max((row[-1] for row in rows), default=after_batch)
        return newest, [LastValue(iri, time, word % 2**64, q, text) for iri, time, word, q, text, _ in rows]

    def recover(self) -> None:
        with self._lock, self._guard():
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = connect(self._path, BUSY_TIMEOUT_S)
            if self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise StoreError("history: readers hold it", place=Place(path=str(self._path)))
            with self._connection as connection:
                connection.executescript("BEGIN IMMEDIATE; CREATE TABLE probe (a); DROP TABLE probe; COMMIT;")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _put_last(
        self, connection: sqlite3.Connection, rows: list[tuple[int, int, int, int]], coded: list[bool]
    ) -> None:
        batch = connection.execute("SELECT coalesce(max(batch), 0) + 1 FROM last").fetchone()[0]
        newest: dict[int, tuple[int, ...]] = {}
        for (point, time_ns, word, quality), is_code in zip(rows, coded, strict=True):
            known = newest.get(point)
            if known is None or time_ns >= known[1]:
                newest[point] = (point, time_ns, word, quality, int(is_code), batch)
        connection.executemany(_PUT_LAST, newest.values())

    def _number(self, table: str, column: str, text: str, known: dict[str, int]) -> int:
        """The number of a point or text, new if it was never seen. Inside a transaction."""
        number = known.get(text)
        if number is None:
            insert = f"INSERT INTO {table} ({column}) VALUES (?) ON CONFLICT DO NOTHING"
            self._connection.execute(insert, (text,))
            query = f"SELECT rowid FROM {table} WHERE {column} = ?"
            number = known[text] = int(self._connection.execute(query, (text,)).fetchone()[0])
        return number

    def _is_coded(self, point: str) -> bool:
        query = "SELECT coded FROM last JOIN points USING (point) WHERE iri = ?"
        return self._connection.execute(query, (point,)).fetchone() == (1,)

    def _texts(self, codes: list[int]) -> tuple[str, ...]:
        wanted = sorted(set(codes))
        find = "SELECT text FROM texts WHERE code = ?"
        found = {code: self._connection.execute(find, (code,)).fetchone() for code in wanted}
        return tuple((found[code] or ("",))[0] for code in codes)

    @contextmanager
    def _guard(self) -> Generator[None]:
        """Errors of SQLite as StoreError; numbers given out in a transaction that failed are forgotten."""
        try:
            yield
        except SQLITE_FAULTS as error:
            self._points.clear()
            self._codes.clear()
            raise StoreError(f"history: {error}", place=Place(path=str(self._path))) from error


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Aggregates of numbers over equal spans of time that hold any: starts_ns int64[b], values float64[b]."""

    starts_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def bucketed(samples: Samples, origin_ns: int, bucket_ns: int, aggregate: Aggregate) -> Buckets:
    """Aggregate a number point's samples over buckets that begin at origin_ns + k * bucket_ns.

    Quantiles are nearest-rank: always a value that was measured. Only GOOD and UNCERTAIN readings count.
    """
    counted = usable(samples.quality)
    times, numbers = samples.times_ns[counted], samples.numbers[counted]
    bucket = (times - origin_ns) // bucket_ns
    numbered, first, count = np.unique(bucket, return_index=True, return_counts=True)
    with np.errstate(over="ignore"):  # a sum beyond the largest number is infinite; who asked is told
        values = _reduce(numbers, first, count, aggregate) if len(first) else np.zeros(0)
    return Buckets(origin_ns + numbered * bucket_ns, values)


def _reduce(
    numbers: npt.NDArray[np.float64],
    first: npt.NDArray[np.intp],
    count: npt.NDArray[np.intp],
    aggregate: Aggregate,
) -> npt.NDArray[np.float64]:
    match aggregate:
        case Aggregate.COUNT:
            return count.astype(np.float64)
        case Aggregate.MIN:
            return np.minimum.reduceat(numbers, first)
        case Aggregate.MAX:
            return np.maximum.reduceat(numbers, first)
        case Aggregate.SUM:
            return np.add.reduceat(numbers, first)
        case Aggregate.MEAN:
            return np.add.reduceat(numbers, first) / count
        case Aggregate.P05 | Aggregate.P50 | Aggregate.P95:
            return _quantile(numbers, first, count, int(aggregate[1:]))


def _quantile(
    numbers: npt.NDArray[np.float64], first: npt.NDArray[np.intp], count: npt.NDArray[np.intp], percent: int
) -> npt.NDArray[np.float64]:
    owner = np.repeat(np.arange(len(first)), count)
    ordered = numbers[np.lexsort((numbers, owner))]
    rank = (percent * count + 99) // 100  # ceil in integers
    return ordered[first + rank - 1]
