"""One writer: the epoch fences off every earlier one. Answers are bounded. Nothing of it changes unseen."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import closing
from hashlib import sha256

import pytest

from graph.following import JOURNAL
from graph.stores import layout
from graph.stores.chain import make_entry
from graph.stores.protocol import Answer, Header
from graph.stores.sqlite import SqliteStore
from graph.twin import LOCK
from graph.values import Change, TwinRecord
from ontology.errors import StoreError

HEADER = Header("campus", "https://campus.example/")


@pytest.fixture
def ahu(schema):
    return schema.kind("AHU").iri


def put(twin, ahu, name, key=None):
    return Change(put_twins=(TwinRecord(f"{twin.base}{name}", (ahu,)),), idempotency_key=key)


def entry_after(head):
    return make_entry(head.digest, head.sequence + 1, head.time_ns + 1, "local", "", b"payload")


def answer_of(key):
    return Answer(key, sha256(key.encode()).digest(), 1, b"items")


@pytest.fixture
def store(tmp_path):
    with closing(SqliteStore.create(tmp_path / JOURNAL, HEADER)) as store:
        yield store


# Fencing


def test_every_writer_gets_the_next_epoch(open_twin):
    epochs = []
    for _ in range(3):
        twin = open_twin()
        epochs.append(twin.epoch)
        twin.close()
    assert epochs == [1, 2, 3]
    assert open_twin(read_only=True).epoch == 0


def test_who_did_not_take_over_cannot_append(store):
    with pytest.raises(StoreError) as caught:
        store.append([entry_after(store.head())], [])
    assert caught.value.code == "STORE_FENCED"
    assert store.head().sequence == 0


def test_an_older_writer_is_fenced_off_and_writes_nothing(store, tmp_path):
    store.take_over()
    store.append([entry_after(store.head())], [])
    with closing(SqliteStore.create(tmp_path / JOURNAL, HEADER)) as newer:
        assert newer.take_over() == 2
        for attempt in (lambda: store.append([entry_after(store.head())], [answer_of("a")]), store.recover):
            with pytest.raises(StoreError) as caught:
                attempt()
            assert caught.value.code == "STORE_FENCED"
        newer.append([entry_after(newer.head())], [])
        assert newer.head().sequence == 2
        assert newer.answer("a") is None
        assert newer.verify() == []


def test_a_lock_that_was_taken_away_does_not_let_two_write(open_twin, ahu):
    """Somebody removes the lock file and starts a second server: the first one must notice, and stay so."""
    first = open_twin()
    first.apply(put(first, ahu, "a"))
    (first._folder / LOCK).unlink()
    second = open_twin()
    second.apply(put(second, ahu, "b"))
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            first.apply(put(first, ahu, "c"))
        assert caught.value.code == "STORE_FENCED"
    [trouble] = first.troubles
    assert trouble.lasting
    assert first.snapshot().revision == 1, "reading goes on"
    assert second.apply(put(second, ahu, "d")).revision == 3
    assert second.verify() == []


def test_it_is_fenced_even_where_both_are_at_the_same_commit(open_twin, ahu):
    first = open_twin()
    (first._folder / LOCK).unlink()
    second = open_twin()
    with pytest.raises(StoreError) as caught:
        first.apply(put(first, ahu, "a"))
    assert caught.value.code == "STORE_FENCED"
    assert second.apply(put(second, ahu, "a")).revision == 1


# A disk that refuses at the start


def test_a_site_on_a_full_disk_opens_to_be_read_and_heals(open_twin, ahu, monkeypatch):
    twin = open_twin()
    twin.apply(put(twin, ahu, "a"))
    twin.close()

    def full(self):
        raise StoreError("journal: database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "_reserve_log", full)
        twin = open_twin()
        assert twin.snapshot().revision == 1
        assert [trouble.code for trouble in twin.troubles] == ["STORE_FAILED"]
        with pytest.raises(StoreError) as caught:
            twin.apply(put(twin, ahu, "b"))
        assert caught.value.code == "STORE_READ_ONLY"
    until = time.monotonic() + 20
    while twin.troubles and time.monotonic() < until:
        time.sleep(0.01)
    assert twin.apply(put(twin, ahu, "b")).revision == 2
    assert twin.media[0].recoveries == 1


def test_what_was_written_though_it_failed_is_taken_over_and_told(open_twin, ahu, monkeypatch):
    """An error after the write: the outcome is unknown, then it is in the journal. Nobody may miss it."""
    twin = open_twin()
    append = SqliteStore.append

    def late(self, entries, answers):
        append(self, entries, answers)
        raise StoreError("journal: disk I/O error")

    with twin.watch() as watch:
        with monkeypatch.context() as patch:
            patch.setattr(SqliteStore, "append", late)
            with pytest.raises(StoreError):
                twin.apply(put(twin, ahu, "a", key="k"))
            commit = watch.get(20)
        assert commit is not None
        assert (commit.sequence, commit.touched) == (1, (f"{twin.base}a",))
    assert twin.snapshot().revision == 1
    again = twin.apply(put(twin, ahu, "a", key="k"))
    assert (again.revision, again.replayed) == (1, True)


# Answers


def test_the_oldest_answers_are_dropped_and_the_newest_stay(store, monkeypatch):
    monkeypatch.setattr(layout, "ANSWERS_MAX", 10)
    monkeypatch.setattr(layout, "ANSWERS_DROPPED_AT_ONCE", 4)
    store.take_over()
    for number in range(50):
        store.append([entry_after(store.head())], [answer_of(f"k{number}")])
        kept = [n for n in range(50) if store.answer(f"k{n}") is not None]
        assert kept == list(range(kept[0], number + 1)), "no gaps"
        assert min(number + 1, 10) <= len(kept) < 14
        assert store.verify() == []
    assert store.answer("k49") == answer_of("k49")


@pytest.mark.parametrize(
    ("statement", "item"),
    [
        ("UPDATE answers SET result = x'00' WHERE number = 2", "answer 2"),
        ("UPDATE answers SET key = 'other' WHERE number = 3", "answer 3"),
        ("UPDATE answers SET revision = 99 WHERE number = 1", "answer 1"),
        ("DELETE FROM answers WHERE number = 1", "answer 2"),
        ("DELETE FROM answers WHERE number = 3", "answer 4"),
        ("DELETE FROM answers WHERE number = 5", "answer 5"),
        ("UPDATE head SET epoch = 7", "head"),
        ("UPDATE head SET answers_first = 2", "head"),
        ("UPDATE head SET seal = x'00'", "head"),
    ],
)
def test_answers_and_head_do_not_change_unseen(store, tmp_path, statement, item):
    store.take_over()
    store.append([entry_after(store.head())], [answer_of(f"k{number}") for number in range(5)])
    assert store.verify() == []
    with closing(sqlite3.connect(tmp_path / JOURNAL)) as connection, connection:
        connection.execute(statement)
    assert item in {problem.place.item for problem in store.verify()}


def test_random_bits_of_answers_and_head_are_found(store, tmp_path):
    store.take_over()
    store.append([entry_after(store.head())], [answer_of(f"k{number}") for number in range(5)])
    seed = int.from_bytes(os.urandom(4))
    rng = random.Random(seed)
    places = [("answers", name) for name in ("request", "result", "digest")]
    places += [("head", name) for name in ("digest", "seal")]
    for _ in range(60):
        table, column = rng.choice(places)
        key = "number" if table == "answers" else "one"
        row = rng.randint(1, 5) if table == "answers" else 1
        with closing(sqlite3.connect(tmp_path / JOURNAL)) as connection, connection:
            query = f"SELECT {column} FROM {table} WHERE {key} = ?"
            raw = bytearray(connection.execute(query, (row,)).fetchone()[0])
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            before = connection.execute(query, (row,)).fetchone()[0]
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (bytes(raw), row))
        assert store.verify(), f"seed {seed}: {table}.{column}"
        with closing(sqlite3.connect(tmp_path / JOURNAL)) as connection, connection:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (before, row))
    assert store.verify() == []
