"""Followers of a folder: what appears later, a journal that is replaced, long tails, damage."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from threading import Event, Thread

import numpy as np
import pytest

from graph.following import LIGHT_TAIL_BYTES
from graph.mesh import Mesh
from graph.values import Change, Readings, TwinRecord, Value
from ontology.errors import StoreError


@pytest.fixture
def mesh(tmp_path, schema, units):
    with Mesh.open(tmp_path / "data", schema, units=units) as opened:
        yield opened


@pytest.fixture
def follower(mesh, schema, units):
    with Mesh.open(mesh.folder, schema, units=units, read_only=True) as opened:
        yield opened


def put(twin, *names, **attributes):
    kind = twin.schema.kind("tm:Point").iri
    values = {name: Value(value) for name, value in attributes.items()}
    records = tuple(TwinRecord(twin.base + name, (kind,), attributes=values) for name in names)
    return twin.apply(Change(put_twins=records))


def reading(twin, name, time_ns, word):
    row = twin.snapshot().row(twin.base + name)
    columns = (np.int32, row), (np.int64, time_ns), (np.uint64, word), (np.uint8, 0)
    return twin.record(Readings(*(np.array([value], kind) for kind, value in columns)))


def last_word(mesh, site, name):
    snapshot = mesh.twin(site).snapshot()
    return int(snapshot.point_word[snapshot.row(mesh.twin(site).base + name)])


def test_sites_that_appear_later_are_there_at_once(mesh, follower):
    assert follower.sites == ()
    for number in range(5):
        twin = mesh.create_site(f"s{number}")
        put(twin, "a")
        assert f"s{number}" in follower.sites
        assert follower.snapshot().row(twin.base + "a") >= 0
        assert follower.twin(f"s{number}").snapshot().revision == 1


def test_an_empty_site_may_still_get_another_base(mesh, follower):
    mesh.create_site("campus")
    assert follower.twin("campus").snapshot().revision == 0
    twin = mesh.create_site("campus", "https://campus.example/")
    put(twin, "a")
    snapshot = follower.snapshot()
    assert (snapshot.bases, snapshot.id(snapshot.find("a"))) == (
        ("https://campus.example/",), "https://campus.example/a")  # fmt: skip


def test_a_reading_of_a_point_that_is_new_too_is_not_missed(mesh, follower):
    twin = mesh.create_site("campus")
    put(twin, "a")
    assert follower.snapshot().size == 1
    for number in range(20):
        put(twin, f"p{number}")
        reading(twin, f"p{number}", 5, number + 1)
        assert last_word(follower, "campus", f"p{number}") == number + 1


def test_readings_are_told_to_watchers_of_a_follower(mesh, follower):
    twin = mesh.create_site("campus")
    put(twin, "a")
    watch = follower.twin("campus").watch()
    reading(twin, "a", 5, 7)
    follower.twin("campus").follow()
    assert watch.get(0).readings.words.tolist() == [7]
    follower.twin("campus").follow()
    assert watch.get(0) is None, "only once"


def test_writing_is_refused_with_the_url_of_the_writer(mesh, follower):
    twin = mesh.create_site("campus")
    mesh.announce("http://127.0.0.1:4711")
    for refused in (
        lambda: follower.twin("campus").apply(Change()),
        lambda: follower.twin("campus").record(Readings(*(np.zeros(0, np.int32),) * 4)),
        lambda: follower.create_site("other"),
        follower.check_writable,
    ):
        with pytest.raises(StoreError) as caught:
            refused()
        assert caught.value.code == "STORE_LOCKED"
        assert "http://127.0.0.1:4711" in caught.value.hint
    twin.close()
    with pytest.raises(StoreError) as caught:
        follower.check_writable()
    assert (caught.value.code, "serve" in caught.value.hint) == ("STORE_LOCKED", True)


def test_a_journal_that_was_replaced_is_read_anew(mesh, follower, tmp_path, schema):
    twin = mesh.create_site("campus")
    put(twin, "a")
    assert follower.twin("campus").snapshot().revision == 1
    watch = follower.twin("campus").watch()
    folder = mesh.folder / "sites" / "campus"
    twin.close()
    with Mesh.open(tmp_path / "other", schema) as other:
        put(other.create_site("campus"), "b")
        put(other.twin("campus"), "c")
    folder.rename(tmp_path / "old")
    shutil.copytree(tmp_path / "other" / "sites" / "campus", folder)
    snapshot = follower.twin("campus").snapshot()
    assert snapshot.revision == 2
    assert [snapshot.local_id(row) for row in np.flatnonzero(snapshot.alive)] == ["b", "c"]
    assert watch.closed, "its revisions mean nothing any more"


def test_a_journal_that_is_gone_is_an_error_and_not_an_old_answer(mesh, follower, tmp_path):
    twin = mesh.create_site("campus")
    put(twin, "a")
    assert follower.twin("campus").snapshot().revision == 1
    twin.close()
    (mesh.folder / "sites" / "campus").rename(tmp_path / "old")
    with pytest.raises(StoreError) as caught:
        follower.twin("campus").snapshot()
    assert caught.value.code == "STORE_MISSING"


def test_before_a_damaged_commit_a_follower_stops(mesh, follower):
    twin = mesh.create_site("campus")
    put(twin, "a")
    put(twin, "b")
    path = mesh.folder / "sites" / "campus" / "journal.sqlite"
    put(twin, "c")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE commits SET message = 'other' WHERE sequence = 2")
    with pytest.raises(StoreError) as caught:
        follower.twin("campus").snapshot()
    assert (caught.value.code, caught.value.place.item) == ("JOURNAL_CORRUPT", "site campus commit 2")


def test_readers_do_not_wait_for_a_long_tail(mesh, follower):
    """Where a thread follows, a reader leaves what is heavy to it, and gets what was there before."""
    twin = mesh.create_site("campus")
    put(twin, "a")
    following = follower.twin("campus")
    assert following.follow()
    put(twin, "b", note1="x" * (2 * LIGHT_TAIL_BYTES))
    assert following.snapshot().revision == 1
    assert (following.lag().commits, following.newest_revision()) == (1, 2)
    assert following.follow()
    assert following.snapshot().revision == 2
    assert following.lag().commits == 0


def test_who_is_told_of_a_commit_finds_it_even_where_readers_cannot_wait(mesh, follower):
    """While the thread that follows is busy, readers get what was published: not less than was told."""
    twin = mesh.create_site("campus")
    put(twin, "a")
    following = follower.twin("campus")
    assert following.follow() and following.snapshot().revision == 1
    told = following.watch()
    put(twin, "b")
    assert following.follow()
    assert told.get(0).sequence == 2
    busy, done = Event(), Event()

    def hold():
        with following._lock:
            busy.set()
            done.wait(60)

    holder = Thread(target=hold)
    holder.start()
    assert busy.wait(60)
    try:
        assert following.snapshot().revision == 2
    finally:
        done.set()
        holder.join()


def test_readers_in_threads_see_revisions_ascend(mesh, follower):
    twin = mesh.create_site("campus")
    put(twin, "a")
    stop, wrong, looks = Event(), [], []

    def read():
        newest = 0
        while not stop.is_set():
            on_disk = following.newest_revision()
            snapshot = following.snapshot()
            shown = int(np.count_nonzero(snapshot.alive))
            if snapshot.revision < max(newest, on_disk) or shown != snapshot.revision:
                wrong.append((newest, on_disk, snapshot.revision, shown))
            newest = snapshot.revision
            looks.append(newest)

    following = follower.twin("campus")
    threads = [Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 120
    for number in range(100):
        put(twin, f"b{number}")
    while max(looks, default=0) < 101 and time.monotonic() < until:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert (wrong, max(looks)) == ([], 101)
