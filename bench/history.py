"""Readings over time beside SQLite, DuckDB and Postgres: the same readings, questions and answers.

    uv run twinmesh bench history [--json]

The data of notes/telemetry.md: 1,000 points, 7 days, one reading a minute with +-40 ms of jitter, 0.5 % of
them BAD, a quarter of the points with full-precision floats, the others with one decimal. Every engine gets
the same arrays in order of arrival; every answer is checked against numpy. twinmesh and SQLite (WAL,
synchronous=FULL) sync each commit, DuckDB as it does by itself; Postgres, if installed, through psql.

TWINMESH_BENCH_QUICK=1 or --quick: 100 points. TWINMESH_BENCH_DIR: on the disk of that folder.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
import numpy as np
import pyarrow as pa

from bench.history_postgres import Postgres, program
from bench.stores.machine import Meter
from graph.readings.catalog import HOUR_NS
from graph.readings.store import HistoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

START_MS = 1_760_000_400_000
DAYS, MINUTES = 7, 1440
COMMIT_ROWS = 1_000
BULK_ROWS = 100_000
ROUNDS = 7


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """In order of arrival: points int32[n], times_ns int64[n], values float64[n], quality uint8[n]."""

    points: npt.NDArray[np.int32]
    times_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]
    iris: list[str]

    def __len__(self) -> int:
        return len(self.points)


def make(points: int) -> Data:
    rng = np.random.default_rng(7)
    steps = DAYS * MINUTES
    times = START_MS + np.arange(steps)[:, None] * 60_000 + rng.integers(-40, 41, (steps, points))
    values = 20 + np.cumsum(rng.normal(size=(steps, points)) * 0.1, axis=0)
    rounded = rng.permutation(points) >= points // 4
    values[:, rounded] = np.round(values[:, rounded], 1)
    quality = np.where(rng.random(steps * points) < 0.005, 2, 0).astype(np.uint8)
    numbers = np.tile(np.arange(points, dtype=np.int32), steps)
    iris = [f"https://site.example/point-{number}" for number in range(points)]
    return Data(numbers, times.ravel() * 1_000_000, values.ravel(), quality, iris)


class Engine(Protocol):
    name: str

    def load(self, data: Data) -> None: ...

    def commit(self, data: Data, rows: slice) -> None: ...

    def size(self) -> int: ...

    def day(self, point: int, low: int, high: int) -> tuple[list[int], list[float]]: ...

    def hourly(self) -> dict[tuple[int, int], tuple[int, float]]: ...

    def close(self) -> None: ...


class Twinmesh:
    name = "twinmesh"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "twinmesh"
        self._folder.mkdir()
        self._store = HistoryStore(self._folder)

    def load(self, data: Data) -> None:
        for start in range(0, len(data), BULK_ROWS):
            self.commit(data, slice(start, start + BULK_ROWS))
        self._store.flush()
        self._store.settle()

    def commit(self, data: Data, rows: slice) -> None:
        iris = [data.iris[point] for point in data.points[rows].tolist()]
        words = data.values[rows].view(np.uint64)
        self._store.append(iris, data.times_ns[rows], words, data.quality[rows], [])

    def size(self) -> int:
        return sum(path.stat().st_size for path in (self._folder / "history").iterdir())

    def day(self, point: int, low: int, high: int) -> tuple[list[int], list[float]]:
        found = self._store.range(f"https://site.example/point-{point}", low, high)
        return found.times_ns.tolist(), found.numbers.tolist()

    def hourly(self) -> dict[tuple[int, int], tuple[int, float]]:
        _, found = self._store.roll_up_all(0, HOUR_NS * 1_000_000, HOUR_NS)
        return {"columns": (found.points, found.starts_ns, found.counts, found.sums)}  # type: ignore[dict-item]

    def close(self) -> None:
        self._store.close()


class Sqlite:
    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sqlite.db"
        self._base = sqlite3.connect(self._path, isolation_level=None)
        self._base.executescript("""PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE readings (point INTEGER, time_ns INTEGER, value REAL, quality INTEGER,
            PRIMARY KEY (point, time_ns)) WITHOUT ROWID;""")

    def load(self, data: Data) -> None:
        for start in range(0, len(data), BULK_ROWS):
            self.commit(data, slice(start, start + BULK_ROWS))
        self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def commit(self, data: Data, rows: slice) -> None:
        columns = (data.points[rows], data.times_ns[rows], data.values[rows], data.quality[rows])
        self._base.execute("BEGIN")
        table = zip(*(column.tolist() for column in columns), strict=True)
        self._base.executemany("INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?)", table)
        self._base.execute("COMMIT")

    def size(self) -> int:
        return self._path.stat().st_size

    def day(self, point: int, low: int, high: int) -> tuple[list[int], list[float]]:
        query = """SELECT time_ns, value FROM readings WHERE point = ? AND time_ns >= ? AND time_ns < ?
            ORDER BY time_ns"""
        rows = self._base.execute(query, (point, low, high)).fetchall()
        return [time for time, _ in rows], [value for _, value in rows]

    def hourly(self) -> dict[tuple[int, int], tuple[int, float]]:
        query = f"""SELECT point, time_ns / {HOUR_NS}, count(*), sum(value) FROM readings
            WHERE quality < 2 GROUP BY 1, 2 ORDER BY 1, 2"""
        return {"rows": self._base.execute(query).fetchall()}  # type: ignore[dict-item]

    def close(self) -> None:
        self._base.close()


class Duck:
    name = "duckdb"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "duck.db"
        self._base = duckdb.connect(str(self._path))
        self._base.execute("""CREATE TABLE readings (point INTEGER, time_ns BIGINT, value DOUBLE,
            quality UTINYINT)""")

    def load(self, data: Data) -> None:
        self.commit(data, slice(None))
        self._base.execute("CHECKPOINT")

    def commit(self, data: Data, rows: slice) -> None:
        names = ("point", "time_ns", "value", "quality")
        columns = (data.points[rows], data.times_ns[rows], data.values[rows], data.quality[rows])
        batch = pa.table(dict(zip(names, map(pa.array, columns), strict=True)))
        self._base.register("batch", batch)
        self._base.execute("INSERT INTO readings SELECT * FROM batch")
        self._base.unregister("batch")

    def size(self) -> int:
        return self._path.stat().st_size

    def day(self, point: int, low: int, high: int) -> tuple[list[int], list[float]]:
        query = """SELECT time_ns, value FROM readings WHERE point = ? AND time_ns >= ? AND time_ns < ?
            ORDER BY time_ns"""
        found = self._base.execute(query, (point, low, high)).fetchnumpy()
        return found["time_ns"].tolist(), found["value"].tolist()

    def hourly(self) -> dict[tuple[int, int], tuple[int, float]]:
        query = f"""SELECT point, time_ns // {HOUR_NS} AS hour, count(*) AS n, sum(value) AS s FROM readings
            WHERE quality < 2 GROUP BY 1, 2 ORDER BY 1, 2"""
        found = self._base.execute(query).fetchnumpy()
        return {"columns": (found["point"], found["hour"] * HOUR_NS, found["n"], found["s"])}  # type: ignore[dict-item]

    def close(self) -> None:
        self._base.close()


def expected_hourly(data: Data) -> tuple[Any, ...]:
    keep = data.quality < 2
    points, hours, values = data.points[keep], data.times_ns[keep] // HOUR_NS, data.values[keep]
    order = np.lexsort((hours, points))
    points, hours, values = points[order], hours[order], values[order]
    first = np.flatnonzero(np.r_[True, (np.diff(points) != 0) | (np.diff(hours) != 0)])
    counts = np.diff(np.append(first, len(points)))
    return points[first], hours[first] * HOUR_NS, counts, np.add.reduceat(values, first)


def agrees(found: dict[Any, Any], expected: tuple[Any, ...]) -> bool:
    if "rows" in found:
        table = np.array(found["rows"], np.float64)
        found = {"columns": (table[:, 0], table[:, 1] * HOUR_NS, table[:, 2], table[:, 3])}
    columns = found["columns"]
    same = all(np.array_equal(mine, its) for mine, its in zip(columns[:3], expected[:3], strict=True))
    return same and bool(np.allclose(columns[3], expected[3], rtol=1e-9))


def median_ms(work: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def measure(engine: Engine, data: Data, expected: tuple[Any, ...]) -> dict[str, Any]:
    """One engine: load, then ask; commits of 1,000 rows come last, on top of everything."""
    points = len(data.iris)
    started = time.perf_counter()
    engine.load(data)
    seconds = time.perf_counter() - started
    row: dict[str, Any] = {"engine": engine.name, "load_rows_s": round(len(data) / seconds)}
    row["bytes_per_sample"] = round(engine.size() / len(data), 2)
    point, low = points // 2, (START_MS + 2 * 86_400_000) * 1_000_000
    high = low + 86_400 * 10**9
    chosen = (data.points == point) & (data.times_ns >= low) & (data.times_ns < high)
    day = engine.day(point, low, high)
    right = day == (data.times_ns[chosen].tolist(), data.values[chosen].tolist())
    row["day_ms"] = round(median_ms(lambda: engine.day(point, low, high)), 2)
    right = agrees(engine.hourly(), expected) and right
    row["hourly_ms"] = round(median_ms(engine.hourly), 1)
    row["right"] = bool(right)
    later = Data(data.points, data.times_ns + 30 * 86_400 * 10**9, data.values, data.quality, data.iris)
    commits = iter(range(0, ROUNDS * COMMIT_ROWS, COMMIT_ROWS))

    def commit() -> None:
        start = next(commits)
        engine.commit(later, slice(start, start + COMMIT_ROWS))

    row["commit_1000_ms"] = round(median_ms(commit), 2)
    return row


def aims(ours: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that issue 7 names, for 10M readings."""
    wanted = (
        ("bytes a sample", "bytes_per_sample", 6.0),
        ("one day of one point, ms", "day_ms", 5.0),
        ("hourly aggregate of all readings, ms", "hourly_ms", 200.0),
    )
    found = [
        {"name": name, "aim": aim, "value": ours[key], "met": ours[key] <= aim} for name, key, aim in wanted
    ]
    right = sum(row["right"] for row in rows)
    return [
        *found,
        {"name": "engines with right answers", "aim": len(rows), "value": right, "met": right == len(rows)},
    ]


def run(points: int) -> dict[str, Any]:
    meter, data = Meter(), make(points)
    expected = expected_hourly(data)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TWINMESH_BENCH_DIR")) as name:
        has_postgres = program("initdb") is not None and program("psql") is not None
        for kind in (Twinmesh, Sqlite, Duck, *([Postgres] if has_postgres else [])):
            engine = kind(Path(name))
            try:
                rows.append(measure(engine, data, expected))
            finally:
                engine.close()
        machine = meter.machine(Path(name))
    versions = {"duckdb": duckdb.__version__, "sqlite": sqlite3.sqlite_version, "pyarrow": pa.__version__}
    result = {"machine": machine, "versions": versions, "readings": len(data), "rows": rows}
    missing = [] if has_postgres else ["postgres: not installed (apt-get install postgresql)"]
    return {**result, "aims": aims(rows[0], rows), "not measured": missing}


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
    result = run(100 if quick else 1_000)
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    print(f"{result['readings']:,} readings")
    for row in result["rows"]:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    print(f"processors busy with other work: {result['machine']['processors_busy_with_other_work']}")
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'NOT MET'}: {aim['name']}: {aim['value']} (aim {aim['aim']})")
    for text in result["not measured"]:
        print(f"not measured: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
