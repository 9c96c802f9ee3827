"""A writer on a file system that forgets: `python mounted_writer.py MOUNT PREFIX CHANGES SYNCHRONOUS`.

Two threads apply named changes and record readings; what was acknowledged is told to the file system itself
(the file `acks`), so that its trace holds it in the very order of things.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Thread

import numpy as np

from graph.twin import Twin
from graph.values import Change, Readings, RelationshipRecord, TwinRecord, Value
from ontology.schema import load_schema

THREADS = 2
# One bigger change in so many, so that the log is written into the file now and then.
BIG_EVERY, BIG_BYTES, SMALL_BYTES = 10, 60_000, 300


def change_of(twin, name, size):
    """Two twins and their relationship, under the name as idempotency key."""
    kind, feeds = twin.schema.kind("AHU").iri, twin.schema.relation("brick:feeds").iri
    ids = [f"{twin.base}{name}-{part}" for part in "ab"]
    values = {"text1": Value(name + "x" * size)}
    twins = tuple(TwinRecord(iri, (kind,), attributes=values) for iri in ids)
    link = RelationshipRecord(ids[0], feeds, ids[1])
    return Change(put_twins=twins, put_relationships=(link,), idempotency_key=name)


def work(twin, acks, names):
    for number, name in enumerate(names):
        size = BIG_BYTES if number % BIG_EVERY == 7 else SMALL_BYTES
        revision = twin.apply(change_of(twin, name, size)).revision
        os.write(acks, f"change {name} {revision}\n".encode())
        if number % 5 == 0:
            row = np.array([twin.snapshot().row(f"{twin.base}{name}-a")], np.int32)
            word = np.array([float(number)]).view(np.uint64)
            twin.record(Readings(row, np.array([number + 1], np.int64), word, np.zeros(1, np.uint8)))
            os.write(acks, f"reading {name}-a {number}\n".encode())
        os.write(1, b"step\n")


def main(mount, prefix, changes, synchronous):
    acks = os.open(mount / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    twin = Twin.open(mount / "sites" / "campus", load_schema(), site="campus")
    twin._store._connection.execute(f"PRAGMA synchronous = {synchronous}")
    names = [[f"{prefix}-{k}-{n}" for n in range(changes // THREADS)] for k in range(THREADS)]
    threads = [Thread(target=work, args=(twin, acks, some)) for some in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    twin.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
