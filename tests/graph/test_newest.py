"""Newest values by one pass, and the log with room ahead: held against plain ways of the same."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np

from graph.columns import PagedColumn
from graph.newest import Stamped, put_newest
from graph.readings.checking import check_history
from graph.readings.columns import Columns
from graph.readings.last import LastTable
from graph.readings.store import HistoryReader, HistoryStore


def drawn(draw: random.Random, points: int) -> Columns:
    size = draw.randint(0, 60)
    rng = np.random.default_rng(draw.randrange(2**32))
    return Columns(
        rng.integers(0, points, size).astype(np.int32),
        rng.integers(1, 9, size),
        rng.integers(0, 2**63, size).astype(np.uint64),
        rng.integers(0, 3, size).astype(np.uint8),
        rng.integers(0, 2, size).astype(np.uint8),
    )


def test_the_newest_of_each_point_is_kept_whatever_the_order() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(40):
        points = draw.choice([3, 5_000])
        pages = PagedColumn(np.int64), PagedColumn(np.uint64), PagedColumn(np.uint8)
        last, expected = LastTable(), {}
        frozen = None
        for batch in range(1, 8):
            columns = drawn(draw, points)
            rows = zip(*(column.tolist() for column in columns.arrays), strict=True)
            for point, time_ns, word, quality, kind in rows:
                if time_ns >= expected.get(point, (0,))[0]:
                    expected[point] = (time_ns, word, quality, kind)
            given = Stamped(columns.points, columns.times_ns, columns.words, columns.quality)
            before = None if frozen is None else frozen[0].flat.copy()
            put_newest(given, *pages)
            if frozen is not None:
                assert np.array_equal(frozen[0].flat, before)  # a snapshot never changes
            frozen = [column.freeze(points) for column in pages] if draw.random() < 0.5 else frozen
            last.put(columns, batch, points)
        known = np.array(sorted(expected), np.int32)
        found = [column.take(known).tolist() for column in pages]
        assert list(zip(*found, strict=True)) == [expected[point][:3] for point in known.tolist()]
        told = last.since(0)
        assert told.points.tolist() == known.tolist()
        arrays = (told.times_ns, told.words, told.quality, told.kinds)
        rows = zip(*(array.tolist() for array in arrays), strict=True)
        assert list(rows) == [expected[point] for point in known.tolist()]


def test_room_that_the_log_takes_ahead_says_nothing(tmp_path: Path) -> None:
    site, copy = tmp_path / "site", tmp_path / "copy"
    site.mkdir()
    store = HistoryStore(site)
    reader = HistoryReader(site)
    nothing = np.zeros(3, np.uint8)
    for n in range(40):
        numbers = store.numbers(["urn:a", f"urn:{n}", "urn:a"])
        times = np.array([3 * n, 3 * n, 3 * n + 1]) + 1
        store.append(
            numbers if n % 2 else ["urn:a", f"urn:{n}", "urn:a"], times, times.astype(np.uint64), nothing, []
        )
        assert len(reader.range("urn:a", 0, 2**62)) == 2 * n + 2
    log = next((site / "history").glob("log-*.tml"))
    shutil.copytree(site, copy)  # as a crash leaves it
    size = log.stat().st_size
    assert log.read_bytes().endswith(bytes(64))
    store.close()
    assert log.stat().st_size < size
    assert check_history(site, live=False) == []
    assert check_history(copy, live=False) == []
    for folder in (site, copy):
        again = HistoryStore(folder)
        assert again.range("urn:a", 0, 2**62).times_ns.tolist() == [
            time for n in range(40) for time in (3 * n + 1, 3 * n + 2)
        ]
        again.append(["urn:b"], np.array([7]), np.array([7], np.uint64), np.zeros(1, np.uint8), [])
        again.close()
        assert len(HistoryReader(folder).range("urn:b", 0, 2**62)) == 1
