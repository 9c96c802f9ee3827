"""Many threads at once: shared transactions, own answers; a transaction that fails acknowledges nobody."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread

import numpy as np
import pytest

from graph.stores.sqlite import SqliteStore
from graph.twin import BATCH_CHANGES_MAX
from graph.values import Change, ItemStatus, Readings, TwinRecord, Value
from ontology.errors import ChangeError, StoreError

THREADS = 8
EACH = 40


@pytest.fixture
def ahu(schema):
    return schema.kind("AHU").iri


def put(twin, ahu, name, **attributes):
    values = {key: Value(value) for key, value in attributes.items()}
    return Change(put_twins=(TwinRecord(f"{twin.base}{name}", (ahu,), attributes=values),))


def wait_until_writable(twin):
    until = time.monotonic() + 20
    while twin.troubles and time.monotonic() < until:
        time.sleep(0.01)
    assert twin.troubles == ()


def test_each_caller_gets_its_own_answer(open_twin, ahu):
    twin = open_twin()
    start = Barrier(THREADS)

    def work(number):
        start.wait()
        revisions, refused = [], 0
        for step in range(EACH):
            if step % 10 == 9:  # a change that fails must refuse only itself
                with pytest.raises(ChangeError):
                    twin.apply(put(twin, ahu, f"bad{number}", health=7))
                refused += 1
            else:
                revisions.append(twin.apply(put(twin, ahu, f"{number}-{step}", step1=step)).revision)
        return revisions, refused

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(work, range(THREADS)))
    revisions = sorted(revision for some, _ in results for revision in some)
    accepted = THREADS * EACH * 9 // 10
    assert revisions == list(range(1, accepted + 1)), "one revision each, none twice"
    assert all(some == sorted(some) for some, _ in results)
    assert int(twin.snapshot().alive.sum()) == accepted
    assert twin.verify() == []
    twin.close()
    snapshot = open_twin().snapshot()
    for number in range(THREADS):
        assert snapshot.row(f"{twin.base}bad{number}") == -1


def test_waiting_changes_share_a_transaction(open_twin, ahu, monkeypatch):
    twin = open_twin()
    sizes = []
    append = SqliteStore.append

    def counting(self, entries, answers):
        sizes.append(len(entries))
        append(self, entries, answers)

    monkeypatch.setattr(SqliteStore, "append", counting)
    with twin._lock:  # everybody has to wait until we let go
        threads = [Thread(target=twin.apply, args=(put(twin, ahu, str(n)),)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        while len(twin._waiting) < THREADS:
            pass
    for thread in threads:
        thread.join()
    assert sizes == [THREADS]
    assert THREADS <= BATCH_CHANGES_MAX


def test_changes_of_one_batch_see_each_other(open_twin, ahu):
    twin = open_twin()
    first, second = put(twin, ahu, "a", x1=1), put(twin, ahu, "a", x1=2)
    with twin._lock:
        threads = []
        for change in (first, second):
            thread = Thread(target=twin.apply, args=(change,))
            thread.start()
            threads.append(thread)
            while len(twin._waiting) < len(threads):
                pass
    for thread in threads:
        thread.join()
    assert twin.snapshot().revision == 2
    assert twin.snapshot().attributes(0) == {"x1": Value(2)}


def test_if_the_transaction_fails_nothing_is_acknowledged_and_memory_equals_the_disk(
    open_twin, ahu, monkeypatch
):
    twin = open_twin()
    twin.apply(put(twin, ahu, "a", x1=1))
    before = twin.snapshot()

    def full(self, entries, answers):
        raise StoreError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "append", full)
        with pytest.raises(StoreError):
            twin.apply(put(twin, ahu, "a", x1=2))
        with pytest.raises(StoreError):
            twin.apply(put(twin, ahu, "b"))
        assert twin.snapshot().attributes(0) == {"x1": Value(1)}
    assert twin.snapshot().revision == before.revision
    wait_until_writable(twin)
    applied = twin.apply(put(twin, ahu, "b"))
    assert applied.revision == 2, "it recovers without being opened again"
    assert applied.items[0].status == ItemStatus.CREATED
    seen = twin.snapshot()
    assert seen.attributes(0) == {"x1": Value(1)}
    assert twin.verify() == []
    twin.close()
    again = open_twin().snapshot()
    assert again.ids(np.arange(again.size)) == seen.ids(np.arange(seen.size))
    assert [again.record(row) for row in range(2)] == [seen.record(row) for row in range(2)]


def test_a_real_full_disk_is_refused_too(open_twin, ahu):
    """SQLite itself refuses to grow the file: the way a full disk looks from here."""
    twin = open_twin()
    twin.apply(put(twin, ahu, "a"))
    twin._store._connection.execute("PRAGMA max_page_count = 12")
    with pytest.raises(StoreError) as caught:
        for number in range(200):
            twin.apply(put(twin, ahu, f"n{number}", text1="x" * 4000))
    assert caught.value.code == "STORE_FAILED"
    seen = twin.snapshot()
    assert int(seen.alive.sum()) == seen.revision
    wait_until_writable(twin)
    assert twin.apply(put(twin, ahu, "later")).revision == seen.revision + 1
    assert twin.verify() == []


def test_last_readings_survive_a_transaction_that_fails(open_twin, ahu, monkeypatch):
    twin = open_twin()
    twin.apply(put(twin, ahu, "a"))
    words = np.array([4.5]).view(np.uint64)
    rows, times, quality = np.array([0], np.int32), np.array([9], np.int64), np.zeros(1, np.uint8)
    twin.record(Readings(rows, times, words, quality))

    def full(self, entries, answers):
        raise StoreError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "append", full)
        with pytest.raises(StoreError):
            twin.apply(put(twin, ahu, "b"))
    wait_until_writable(twin)
    twin.apply(put(twin, ahu, "c"))
    assert twin.snapshot().point_value(0) == 4.5
