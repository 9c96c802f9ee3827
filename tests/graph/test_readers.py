"""Readers in other threads: a snapshot is one moment, however busy the writer is, and stays it."""

from __future__ import annotations

import random
from threading import Event, Thread

import numpy as np

from graph.values import Change, Readings, RelationshipKey, RelationshipRecord, TwinRecord, Value, Way

CHANGES = 120
READERS = 3


def _digest(snapshot):
    rows = np.arange(snapshot.size)
    level = snapshot.attribute("level1").numbers(rows).tolist()
    edges, owner = snapshot.expand(rows, Way.BOTH)
    return level, edges.tolist(), owner.tolist(), snapshot.point_word.tolist(), snapshot.alive.tolist()


def test_snapshots_are_whole_and_stand_still_while_the_writer_goes_on(twin, schema):
    """Each change moves an amount between two twins and turns a relationship round: sums must hold."""
    kind, feeds = schema.kind("tm:Point").iri, schema.relation("brick:feeds").iri
    ids = [f"{twin.base}{number}" for number in range(40)]
    twins = tuple(TwinRecord(iri, (kind,), attributes={"level1": Value(100)}) for iri in ids)
    links = tuple(RelationshipRecord(ids[n], feeds, ids[n + 1]) for n in range(39))
    twin.apply(Change(put_twins=twins, put_relationships=links))
    stop, failures, looked = Event(), [], []

    def read():
        held = []
        while not stop.is_set():
            snapshot = twin.snapshot()
            level, edges, *_ = _digest(snapshot)
            if sum(level) != 4000 or len(edges) != 2 * 39:
                failures.append((snapshot.revision, sum(level), len(edges)))
            if len(held) < 20:
                held.append((snapshot, _digest(snapshot)))
            looked.append(snapshot.revision)
        for snapshot, digest in held:
            if _digest(snapshot) != digest:
                failures.append(("changed", snapshot.revision))

    threads = [Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        _write(twin, ids, feeds)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(set(looked)) > 3, "the readers saw several moments"


def _write(twin, ids, feeds):
    rng = random.Random(1)
    levels = dict.fromkeys(ids, 100)
    forward = [True] * 39
    for step in range(CHANGES):
        giver, taker = rng.sample(ids, 2)
        amount = rng.randint(1, 5)
        levels[giver] -= amount
        levels[taker] += amount
        place = rng.randrange(39)
        ends = (ids[place], ids[place + 1]) if forward[place] else (ids[place + 1], ids[place])
        forward[place] = not forward[place]
        moved = tuple(TwinRecord(iri, attributes={"level1": Value(levels[iri])}) for iri in (giver, taker))
        twin.apply(
            Change(
                merge_twins=moved,
                remove_relationships=(RelationshipKey(ends[0], feeds, ends[1]),),
                put_relationships=(RelationshipRecord(ends[1], feeds, ends[0]),),
            )
        )
        rows, times = np.array([step % 40], np.int32), np.array([step + 1], np.int64)
        twin.record(Readings(rows, times, np.array([step], np.uint64), np.zeros(1, np.uint8)))
