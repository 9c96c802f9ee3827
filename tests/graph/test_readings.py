"""History in files against a plain dictionary: whatever is appended, flushed, merged, reopened and asked."""

from __future__ import annotations

import os
import random
from contextlib import closing

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from graph.readings import segments, writing
from graph.readings.catalog import HOUR_NS, MINUTE_NS, read_catalog, write_catalog
from graph.readings.housekeeping import thin
from graph.readings.policy import DAY_NS, HistoryPolicy
from graph.readings.skew import ClockSkew
from graph.readings.store import HistoryReader, HistoryStore
from ontology.errors import StoreError, UsageError

STEPS = 60
STEPS_LONG = 1500
FOREVER = 2**62
SMALL = HistoryPolicy(flush_rows=60, merge_rows_max=2_000, fan_in=2)
POINTS = [f"urn:p{number}" for number in range(5)]


@pytest.fixture
def small_groups(monkeypatch):
    """Row groups so small that everything spans several."""
    for module in (segments, writing):
        monkeypatch.setattr(module, "GROUP_ROWS", 16)


def numbers(values):
    return np.array(values, np.float64).view(np.uint64)


def append(store, rows):
    """rows: point, time, value, quality[, text]."""
    points, times, values, quality, *more = zip(*rows, strict=True)
    words = numbers([0.0 if more and more[0][n] else value for n, value in enumerate(values)])
    store.append(
        points, np.array(times, np.int64), words, np.array(quality, np.uint8), more[0] if more else []
    )


class Model:
    """What a history must say: by point and time a value, its quality and perhaps a text."""

    def __init__(self, rng):
        self.rng = rng
        self.kept = {point: {} for point in POINTS}
        self.now = 1_760_000_000_000_000_000

    def draw(self):
        """A batch: mostly in order, some late, some corrections, all units of time, odd values."""
        rng, rows = self.rng, []
        for _ in range(rng.choice((1, 3, 40, 90))):
            point = rng.choice(POINTS)
            self.now += rng.choice((0, 1_000_000, 20_000_000_000, 37 * 60_000_000_000))
            late = rng.random() < 0.2
            time = self.now - rng.randrange(3 * 86_400) * 10**9 if late else self.now
            if rng.random() < 0.1 and self.kept[point]:
                time = rng.choice(list(self.kept[point]))
            value = rng.choice((rng.random(), -0.0, 1e300, float("nan"), float("inf"), 3.5))
            text = f"state {rng.randrange(3)}" if point == POINTS[4] else None
            rows.append((point, time, value, rng.choice((0, 0, 0, 1, 2, 13, 22)), text))
        return rows

    def keep(self, rows):
        for point, time, value, quality, text in rows:
            self.kept[point][time] = (value, quality, text)

    def check(self, history):
        for point in POINTS:
            self.check_range(history, point, 0, FOREVER, 10**6, newest=False)
        for _ in range(6):
            point = self.rng.choice(POINTS)
            low, high = sorted(self.rng.randrange(-(10**6), 10**6) * 10**9 for _ in range(2))
            low, high = self.now + low, self.now + high
            self.check_range(
                history, point, low, high, self.rng.choice((0, 1, 7, 1000)), newest=self.rng.random() < 0.5
            )
            for bucket in (HOUR_NS, MINUTE_NS, 5 * HOUR_NS, 90 * 10**9, 17):
                self.check_roll_up(history, point, low, high, bucket)
            self.check_roll_up(history, point, 0, FOREVER, HOUR_NS)
        self.check_last(history)
        every = sorted({time for kept in self.kept.values() for time in kept})
        for time in (
            0,
            self.now,
            self.now - self.rng.randrange(10**15),
            *self.rng.sample(every, min(4, len(every))),
        ):
            self.check_last_before(history, time - self.rng.randrange(2))

    def check_last_before(self, history, time_ns):
        asked = self.rng.sample([*POINTS, "urn:unknown"], self.rng.randrange(1, len(POINTS) + 2))
        found = {value.point: value for value in history.last_before(asked, time_ns)}
        wanted = {point: [time for time in self.kept.get(point, ()) if time <= time_ns] for point in asked}
        assert found.keys() == {point for point, times in wanted.items() if times}
        for point, last in found.items():
            value, quality, text = self.kept[point][max(wanted[point])]
            assert (last.time_ns, last.quality, last.text) == (max(wanted[point]), quality, text)
            assert text is not None or last.word == int(numbers([value])[0])

    def check_range(self, history, point, low, high, limit, *, newest):
        times = sorted(time for time in self.kept[point] if low <= time < high)
        times = times[len(times) - min(limit, len(times)) :] if newest else times[:limit]
        found = history.range(point, low, high, limit, newest=newest)
        assert found.times_ns.tolist() == times
        wanted = [self.kept[point][time] for time in times]
        assert found.quality.tolist() == [quality for _, quality, _ in wanted]
        if point == POINTS[4]:
            assert found.texts == (tuple(text for _, _, text in wanted) or None)
        else:
            assert found.words.tolist() == numbers([value for value, _, _ in wanted]).tolist()

    def check_roll_up(self, history, point, low, high, bucket):
        groups = {}
        for time, (value, quality, text) in sorted(self.kept[point].items()):
            if low <= time < high and quality & 3 < 2 and text is None and np.isfinite(value):
                groups.setdefault(time // bucket * bucket, []).append(value)
        found = history.roll_up(point, low, high, bucket)
        assert found.starts_ns.tolist() == sorted(groups)
        values = [groups[start] for start in sorted(groups)]
        assert found.counts.tolist() == [len(group) for group in values]
        assert found.lows.tolist() == [min(group) for group in values]
        assert found.highs.tolist() == [max(group) for group in values]
        assert found.sums == pytest.approx([sum(group) for group in values], rel=1e-12, abs=1e-9)
        assert not found.resolution_ns.any()

    def check_last(self, history):
        _, found = history.last_values()
        by_point = {value.point: value for value in found}
        for point, kept in self.kept.items():
            if not kept:
                assert point not in by_point
                continue
            newest = max(kept)
            value, quality, text = kept[newest]
            last = by_point[point]
            assert (last.time_ns, last.quality, last.text) == (newest, quality, text)
            if text is None:
                assert last.word == int(numbers([value])[0])


def run_model(folder, steps):
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    rng = random.Random(seed)
    model, store = Model(rng), HistoryStore(folder, SMALL)
    reader = HistoryReader(folder)
    seen, told = 0, {}
    try:
        for step in range(steps):
            rows = model.draw()
            append(store, rows)
            model.keep(rows)
            match rng.randrange(12):
                case 0:
                    store.flush()
                case 1:
                    store.settle()
                case 2:
                    store.close()
                    store = HistoryStore(folder, SMALL)
                case 3:
                    seen, values = reader.last_values(seen)
                    told |= {value.point: value.time_ns for value in values}
                    assert told == {p: max(kept) for p, kept in model.kept.items() if kept}
                case 4 | 5:
                    model.check(rng.choice((store, reader)))
            if step % 20 == 19:
                model.check(store)
                model.check(HistoryReader(folder))
        store.settle()
        model.check(store)
        model.check(reader)
        assert read_catalog(folder / "history").segments
    finally:
        store.close()


def test_a_history_says_what_a_dictionary_says(tmp_path, small_groups):
    run_model(tmp_path, STEPS)


@pytest.mark.long
def test_a_history_says_what_a_dictionary_says_for_long(tmp_path, small_groups):
    run_model(tmp_path, STEPS_LONG)


def steady(store, points, count, start=0, every_ns=10 * 10**9):
    """Readings of `points` points, one every 10 s."""
    for first in range(start, start + count, 500):
        steps = range(first, min(first + 500, start + count))
        append(store, [(f"urn:p{p}", s * every_ns, p + s / 8, 0) for s in steps for p in range(points)])


def test_duckdb_and_pyarrow_read_the_segments(tmp_path):
    with closing(HistoryStore(tmp_path)) as store:
        steady(store, 3, 2000)
        store.flush()
    folder = tmp_path / "history"
    query = f"""SELECT iri, count(*), sum(value), epoch_ms(max(time))
        FROM '{folder}/s????????.parquet'
        JOIN (SELECT point, iri FROM '{folder}/*.index.parquet') USING (point)
        GROUP BY iri ORDER BY iri"""
    with closing(duckdb.connect()) as base:
        rows = base.execute(query).fetchall()
    assert [(iri, count) for iri, count, *_ in rows] == [(f"urn:p{p}", 2000) for p in range(3)]
    assert [total for _, _, total, *_ in rows] == [p * 2000 + sum(range(2000)) / 8 for p in range(3)]
    assert rows[0][3] == 19_990_000
    table = pq.read_table(folder / "s00000001.parquet")
    assert table.num_rows == 6000
    assert table.column("value").to_pylist()[:3] == [0, 1 / 8, 2 / 8]


def test_old_readings_become_minutes_then_hours_then_a_last_value(tmp_path):
    policy = HistoryPolicy(raw_days=1, minute_days=10, hour_days=100)
    with closing(HistoryStore(tmp_path, policy)) as store:
        # The keeper looks at the clock of today: readings of 1970 would be gone at once.
        store._keeper.close()
        steady(store, 2, 1000)
        logs = store._contents.logs
        store._rotate()
        assert len(logs) == 2
        store._keeper._closing = False
        assert store._keeper._flush()
        whole = store.roll_up("urn:p1", 0, FOREVER, HOUR_NS)
        last = store.last_values()
        [before] = store.last_before(["urn:p1"], 5_005 * 10**9)
        assert before.time_ns == 5_000 * 10**9
        newest_ns = 9990 * 10**9
        thin(store, newest_ns + DAY_NS)
        assert store.range("urn:p1", 0, FOREVER).resolution_ns is None, "young enough"
        thin(store, newest_ns + DAY_NS + 1)
        minutes = store.range("urn:p1", 0, FOREVER)
        assert minutes.resolution_ns.tolist() == [MINUTE_NS] * 167
        assert minutes.times_ns.tolist() == [n * MINUTE_NS for n in range(167)]
        assert minutes.numbers[0] == pytest.approx(1 + sum(range(6)) / 8 / 6)
        check_thinned(store, whole, MINUTE_NS, last)
        assert store.last_before(["urn:p1"], 5_005 * 10**9) == [], "a mean is no reading"
        assert store.last_before(["urn:p1", "urn:p0"], newest_ns) == last[1]
        thin(store, newest_ns + 10 * DAY_NS + 1)
        assert store.range("urn:p1", 0, FOREVER).resolution_ns.tolist() == [HOUR_NS] * 3
        check_thinned(store, whole, HOUR_NS, last)
        assert not list((tmp_path / "history").glob("*.minute.parquet"))
        thin(store, newest_ns + 100 * DAY_NS + 1)
        assert len(store.range("urn:p1", 0, FOREVER)) == 0
        assert store.last_values() == last
        append(store, [("urn:p1", newest_ns + 200 * DAY_NS, 5.0, 0)])
        assert store.range("urn:p1", 0, FOREVER).numbers.tolist() == [5.0]
    assert HistoryReader(tmp_path).range("urn:p1", 0, FOREVER).numbers.tolist() == [5.0]


def check_thinned(store, whole, resolution_ns, last):
    found = store.roll_up("urn:p1", 0, FOREVER, HOUR_NS)
    assert found.counts.tolist() == whole.counts.tolist()
    assert found.sums == pytest.approx(whole.sums.tolist())
    assert (found.lows.tolist(), found.highs.tolist()) == (whole.lows.tolist(), whole.highs.tolist())
    assert set(found.resolution_ns.tolist()) == {resolution_ns}
    assert store.last_values() == last


def test_days_that_fall_are_refused():
    for days in ({"raw_days": 10, "minute_days": 5}, {"raw_days": 0, "hour_days": 5}, {"raw_days": -1}):
        with pytest.raises(UsageError) as caught:
            HistoryPolicy(**days)
        assert caught.value.code == "HISTORY_POLICY"


def filled(folder):
    with closing(HistoryStore(folder)) as store:
        for number in range(20):
            append(store, [(f"urn:p{number % 3}", number, float(number), 0)])
    return folder / "history" / "log-00000001.tml"


def test_a_torn_frame_is_cut_and_damage_in_the_middle_is_told(tmp_path):
    log = filled(tmp_path)
    whole = log.read_bytes()
    log.write_bytes(whole[:-7])
    with closing(HistoryStore(tmp_path)) as store:
        assert sum(len(store.range(f"urn:p{p}", 0, 100)) for p in range(3)) == 19
    assert len(log.read_bytes()) < len(whole) - 7, "cut to whole frames"
    for place in range(0, len(whole) - 60, 41):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        log.write_bytes(damaged)
        for opener in (HistoryStore, HistoryReader):
            with pytest.raises(StoreError) as caught:
                opener(tmp_path).last_values()
            assert caught.value.code == "HISTORY_CORRUPT", place
            assert caught.value.place.path == str(log)


def test_a_newer_format_is_refused(tmp_path):
    filled(tmp_path)
    folder = tmp_path / "history"
    catalog = read_catalog(folder)
    write_catalog(folder, type(catalog)(format=2))
    with pytest.raises(StoreError) as caught:
        HistoryStore(tmp_path)
    assert caught.value.code == "STORE_VERSION"


def test_what_an_interrupted_merge_left_is_cleared_away(tmp_path):
    filled(tmp_path)
    stray = tmp_path / "history" / "s00000009.parquet"
    stray.write_bytes(b"half")
    HistoryStore(tmp_path).close()
    assert not stray.exists()


def test_whole_numbers_are_rolled_up_as_numbers(tmp_path):
    with closing(HistoryStore(tmp_path)) as store:
        words = np.array([1, 0, 1, 1], np.uint64)
        times = np.arange(4, dtype=np.int64) * 60 * 10**9
        store.append(["urn:b"] * 4, times, words, np.zeros(4, np.uint8), [], np.ones(4, np.uint8))
        for _ in range(2):
            found = store.roll_up("urn:b", 0, FOREVER, HOUR_NS)
            assert (found.sums.tolist(), found.counts.tolist()) == ([3], [4])
            assert store.range("urn:b", 0, FOREVER).words.tolist() == [1, 0, 1, 1]
            store.flush()


def test_appends_of_many_threads_are_all_kept(tmp_path):
    from threading import Thread

    with closing(HistoryStore(tmp_path, HistoryPolicy(flush_rows=500, fan_in=2))) as store:

        def work(worker):
            for step in range(100):
                append(store, [(f"urn:p{worker}", step * 7 + part, float(step), 0) for part in range(7)])

        threads = [Thread(target=work, args=(worker,)) for worker in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.settle()
        for worker in range(6):
            assert len(store.range(f"urn:p{worker}", 0, FOREVER)) == 700
    assert len(read_catalog(tmp_path / "history").segments) < 5


def test_the_skew_of_a_clock_is_the_median_delay_of_its_newest_messages():
    skew, rng = ClockSkew(), random.Random(5)
    assert skew.median_ns is None
    delays = [rng.randrange(-(10**9), 10**9) for _ in range(1_000)]
    for number, delay in enumerate(delays):
        stamp = number * 10**10
        skew.add(stamp + delay, np.array([stamp - 5, stamp], np.int64))
    skew.add(0, np.zeros(0, np.int64))
    assert skew.median_ns == sorted(delays[-256:])[127]
