"""Silence of points as the writer tells it to followers: their last values are always the same."""

from __future__ import annotations

import random

import numpy as np
import pytest

from graph import doubts
from graph.doubts import FILE
from graph.feed import ReadingsEvent
from graph.quality import Reason, quality_byte
from graph.twin import Twin
from graph.values import Change, Quality, Readings, TwinRecord

STALE = quality_byte(Quality.UNCERTAIN, Reason.STALE)
DEAD = quality_byte(Quality.BAD, Reason.STALE)
NAMES = tuple(f"p{number}" for number in range(12))


@pytest.fixture
def opened(tmp_path, schema, units):
    """Opens the writer or a follower of one site; closes them at the end."""
    made = []

    def open_one(*, read_only=False):
        made.append(Twin.open(tmp_path / "s", schema, site="s", units=units, read_only=read_only))
        return made[-1]

    yield open_one
    for twin in made:
        twin.close()


def put(twin, *names):
    kind = twin.schema.kind("tm:Point").iri
    twin.apply(Change(put_twins=tuple(TwinRecord(twin.base + name, (kind,)) for name in names)))


def readings(twin, names, time_ns, quality=0):
    snapshot = twin.snapshot()
    rows = np.array([snapshot.row(twin.base + name) for name in names], np.int32)
    count = len(rows)
    times, words = np.full(count, time_ns, np.int64), np.arange(count, dtype=np.uint64)
    return Readings(rows, times, words, np.full(count, quality, np.uint8))


def last(twin):
    """Time, word and quality of the newest reading, by name."""
    shown = twin.snapshot()
    rows = {name: shown.row(twin.base + name) for name in NAMES}
    columns = (shown.twins.point_time, shown.point_word, shown.point_quality)
    return {
        name: tuple(int(column.take(np.array([row]))[0]) for column in columns)
        for name, row in rows.items()
        if row >= 0
    }


def test_a_follower_is_told_that_a_point_fell_silent(opened):
    writer = opened()
    put(writer, "p0", "p1")
    writer.record(readings(writer, ["p0", "p1"], 5))
    follower = opened(read_only=True)
    with follower.watch() as watch:
        assert writer.doubt(readings(writer, ["p0"], 5, STALE)) == 1
        assert last(follower)["p0"] == (5, 0, STALE) and last(follower)["p1"] == (5, 1, 0)
        events = [event for event in iter(lambda: watch.get(0), None) if isinstance(event, ReadingsEvent)]
    told = [int(each) for event in events for each in event.readings.quality]
    assert told[-1] == STALE, told
    assert last(opened(read_only=True)) == last(writer)
    writer.record(readings(writer, ["p0"], 6))
    assert last(follower) == last(writer)
    assert last(writer)["p0"] == (6, 0, 0)


def test_the_same_reading_once_more_ends_the_doubt(opened):
    """A device that is back may repeat its last message."""
    writer = opened()
    put(writer, "p0", "p1")
    writer.record(readings(writer, ["p0", "p1"], 5))
    follower = opened(read_only=True)
    writer.doubt(readings(writer, ["p0", "p1"], 5, STALE))
    writer.record(readings(writer, ["p0"], 5))  # no look of the follower in between
    assert last(follower) == last(writer) == {"p0": (5, 0, 0), "p1": (5, 1, STALE)}


def test_a_new_writer_doubts_nothing(opened):
    writer = opened()
    put(writer, "p0")
    writer.record(readings(writer, ["p0"], 5))
    writer.doubt(readings(writer, ["p0"], 5, STALE))
    follower = opened(read_only=True)
    assert last(follower)["p0"] == (5, 0, STALE)
    writer.close()
    assert last(follower)["p0"] == (5, 0, STALE), "nobody says otherwise"
    again = opened()
    assert last(follower) == last(again) == {"p0": (5, 0, 0)}
    again.doubt(readings(again, ["p0"], 5, DEAD))
    assert last(follower) == last(again) == {"p0": (5, 0, DEAD)}


def test_a_file_that_cannot_be_written_is_told_and_made_up_for(opened, tmp_path, caplog):
    writer = opened()
    put(writer, "p0", "p1")
    writer.record(readings(writer, ["p0", "p1"], 5))
    follower = opened(read_only=True)
    (tmp_path / "s" / FILE).mkdir()
    writer.doubt(readings(writer, ["p0"], 5, STALE))
    assert "followers are not told" in caplog.text and last(writer)["p0"] == (5, 0, STALE)
    (tmp_path / "s" / FILE).rmdir()
    writer.doubt(readings(writer, ["p1"], 5, STALE))
    assert last(follower) == last(writer)


@pytest.mark.parametrize("bytes_max", [1 << 24, 200])
def test_whatever_happens_followers_show_what_the_writer_shows(opened, monkeypatch, bytes_max):
    monkeypatch.setattr(doubts, "BYTES_MAX", bytes_max)
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    writer = opened()
    put(writer, *NAMES)
    followers = [opened(read_only=True)]
    told = [0] * 6
    for step in range(300):
        some = rng.sample(NAMES, rng.randint(1, 4))
        known = last(writer)
        some = [name for name in some if name in known]
        act = rng.choices(range(6), (8, 8, 3, 1, 1, 1))[0]
        told[act] += 1
        if act == 0:
            for name in some:
                time_ns = known[name][0] if rng.random() < 0.4 and known[name][0] else step + 1
                writer.record(readings(writer, [name], time_ns))
        elif act == 1:
            for name in some:
                if known[name][0]:
                    silent = readings(writer, [name], known[name][0], rng.choice((STALE, DEAD)))
                    writer.doubt(silent)
        elif act == 2:
            assert last(rng.choice(followers)) == last(writer)
        elif act == 3 and len(followers) < 4:
            followers.append(opened(read_only=True))
        elif act == 4:
            writer.close()
            writer = opened()
        elif some:
            gone = tuple(writer.base + name for name in some[:1])
            writer.apply(Change(remove_twins=gone))
            put(writer, *(name for name in NAMES if name not in last(writer)))
    for follower in followers:
        assert last(follower) == last(writer)
    print("acts", told, "doubted", sum(quality > 3 for *_, quality in last(writer).values()))
