"""The feed: every watcher gets every commit or is told what it missed; the writer never waits."""

from __future__ import annotations

import asyncio
from threading import Thread

import numpy as np
import pytest

from graph import feed
from graph.feed import Gap, ReadingsEvent, newest_readings
from graph.values import Change, Commit, Readings, TwinRecord, Value


@pytest.fixture
def ahu(schema):
    return schema.kind("AHU").iri


@pytest.fixture
def write(twin, ahu):
    """Writes that many commits."""
    written = iter(range(10**6))

    def some(count=1):
        for _ in range(count):
            twin.apply(Change(put_twins=(TwinRecord(f"{twin.base}{next(written)}", (ahu,)),)))

    return some


def readings(points, times, values):
    words = np.array(values, np.float64).view(np.uint64)
    rows = np.array(points, np.int32)
    return Readings(rows, np.array(times, np.int64), words, np.zeros(len(rows), np.uint8))


def test_a_watcher_gets_commits_from_now_on(twin, write):
    write(2)
    with twin.watch() as watch:
        assert watch.get(0) is None
        write(2)
        got = [watch.get(1), watch.get(1)]
        assert [event.sequence for event in got] == [3, 4]
        assert got == twin.commits(after=2), "live and from the journal are the same"
        assert watch.get(0) is None


def test_a_watcher_resumes_from_the_journal_and_goes_on_live(twin, write):
    write(300)
    watch = twin.watch(resume_from=20)
    write(5)
    assert [watch.get(0).sequence for _ in range(285)] == list(range(21, 306))
    assert watch.get(0) is None


def test_a_slow_watcher_is_told_its_gap_and_can_fill_it(twin, write, monkeypatch):
    monkeypatch.setattr(feed, "COMMITS_MAX", 10)
    watch = twin.watch()
    write(25)
    gap = watch.get(0)
    assert isinstance(gap, Gap)
    assert (gap.after, gap.until) == (0, 20)
    assert [watch.get(0).sequence for _ in range(5)] == [21, 22, 23, 24, 25]
    again = twin.watch(resume_from=gap.after)
    assert [again.get(0).sequence for _ in range(25)] == list(range(1, 26))


def test_readings_reach_watchers(twin, write):
    write(2)
    watch = twin.watch()
    twin.record(readings([0, 1], [5, 6], [1.5, 2.5]))
    event = watch.get(1)
    assert isinstance(event, ReadingsEvent)
    assert event.readings.points.tolist() == [0, 1]
    assert event.readings.words.view(np.float64).tolist() == [1.5, 2.5]
    assert event.conflated == 0


def test_readings_of_a_slow_watcher_are_conflated_and_counted(twin, write, monkeypatch):
    monkeypatch.setattr(feed, "READINGS_ROWS_MAX", 10)
    write(2)
    watch = twin.watch()
    for step in range(20):
        twin.record(readings([0, 1], [step + 1, step + 1], [step, -step]))
    events = []
    while (event := watch.get(0)) is not None:
        events.append(event)
    rows = sum(len(event.readings) for event in events)
    assert rows + sum(event.conflated for event in events) == 40
    assert rows <= 12
    assert events[-1].readings.times_ns.tolist() == [20, 20]


def test_newest_readings_keep_the_newest_of_each_point():
    merged = newest_readings([readings([3, 1], [5, 9], [1, 2]), readings([3, 1], [5, 8], [3, 4])])
    assert merged.points.tolist() == [1, 3]
    assert merged.times_ns.tolist() == [9, 5]
    assert merged.words.view(np.float64).tolist() == [2, 3], "of equal times the later one"


def test_get_waits_and_close_wakes(twin, write):
    watch = twin.watch()
    got = []
    waiter = Thread(target=lambda: got.append(watch.get(10)))
    waiter.start()
    write()
    waiter.join(120)
    assert isinstance(got[0], Commit)
    waiter = Thread(target=lambda: got.append(watch.get(10)))
    waiter.start()
    watch.close()
    waiter.join(120)
    assert got[1] is None
    write()
    assert watch.get(0) is None


async def test_a_watcher_in_an_event_loop_is_woken(twin, write):
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    watch = twin.watch(notify=lambda: loop.call_soon_threadsafe(woken.set))
    await asyncio.to_thread(write)
    await asyncio.wait_for(woken.wait(), 60)
    assert isinstance(watch.get(0), Commit)


def test_a_watcher_whose_event_loop_is_gone_is_dropped(twin, write):
    loop = asyncio.new_event_loop()
    watch = twin.watch(notify=lambda: loop.call_soon_threadsafe(print))
    loop.close()
    write()
    assert watch.closed


def test_closing_the_twin_closes_its_watches(twin):
    watch = twin.watch()
    twin.close()
    assert watch.get(0) is None
    assert watch.closed


def test_a_refused_or_empty_change_is_no_event(twin, ahu, write):
    write()
    watch = twin.watch()
    twin.apply(Change(put_twins=(TwinRecord(f"{twin.base}0", (ahu,)),)))
    twin.apply(Change(merge_twins=(TwinRecord(f"{twin.base}0", attributes={"a1": Value(1)}),), dry_run=True))
    assert watch.get(0) is None
