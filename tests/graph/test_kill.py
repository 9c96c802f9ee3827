"""kill -9 at random moments: nothing acknowledged is lost, nothing is torn, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graph.twin import Twin
from graph.values import Change, RelationshipRecord, TwinRecord, Value

TRIES = 20
LONG_TRIES = 100

# The child writes from two threads and prints what was acknowledged, unbuffered, after `apply` returned.
CHILD = """
import os, sys, threading
from pathlib import Path
from graph.twin import Twin
from ontology.schema import load_schema

sys.path.append(sys.argv[2])
from test_kill import change_of

schema = load_schema()
twin = Twin.open(Path(sys.argv[1]), schema, site="campus")
start = twin.snapshot().revision
os.write(1, f"open {start}\\n".encode())

def work(worker):
    for step in range(100_000):
        name = f"{start}-{worker}-{step}"
        revision = twin.apply(change_of(twin.base, schema, name)).revision
        os.write(1, f"ack {revision} {name}\\n".encode())

for worker in range(2):
    threading.Thread(target=work, args=(worker,)).start()
"""


def change_of(base, schema, name):
    """The change of a name: two twins and their relationship, under the name as idempotency key."""
    kind, feeds = schema.kind("AHU").iri, schema.relation("brick:feeds").iri
    ids = [f"{base}{name}-{part}" for part in "ab"]
    twins = tuple(TwinRecord(iri, (kind,), attributes={"name1": Value(name)}) for iri in ids)
    link = RelationshipRecord(ids[0], feeds, ids[1])
    return Change(put_twins=twins, put_relationships=(link,), idempotency_key=name)


def run_and_kill(folder, delay_s):
    """Lines that the child wrote before it was killed."""
    command = [sys.executable, "-c", CHILD, str(folder), str(Path(__file__).parent)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        opened = child.stdout.readline()
        assert opened.startswith(b"open"), opened
        time.sleep(delay_s)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read()
        child.wait()
        child.stdout.close()
    return [line.split() for line in rest.decode().splitlines() if line.startswith("ack")]


def check(folder, schema, acknowledged):
    with Twin.open(folder, schema, site="campus") as twin:
        assert twin.verify() == []
        snapshot = twin.snapshot()
        commits = twin.commits(limit=1_000_000)
        assert [commit.sequence for commit in commits] == list(range(1, snapshot.revision + 1))
        for revision, name in acknowledged.items():
            put = [record.id for record in commits[revision - 1].change.put_twins]
            assert put == [f"{twin.base}{name}-{part}" for part in "ab"], f"revision {revision} is lost"
        for name in list(acknowledged.values())[-2:]:
            assert twin.apply(change_of(twin.base, schema, name)).replayed, "it would be done twice"
        # Each change made two twins and their relationship: all of it or nothing, and nothing twice.
        assert int(snapshot.alive.sum()) == 2 * snapshot.revision
        assert int(snapshot.edge_alive.sum()) == snapshot.revision


def kill_rounds(folder, schema, tries, budget_s=float("inf")):
    seed = int.from_bytes(os.urandom(4))
    rng = random.Random(seed)
    acknowledged = {}
    done, end = 0, time.monotonic() + budget_s
    while done < tries and time.monotonic() < end:
        done += 1
        for _, revision, name in run_and_kill(folder, rng.uniform(0.0, 0.12)):
            assert int(revision) not in acknowledged, "a revision was given out twice"
            acknowledged[int(revision)] = name
        check(folder, schema, acknowledged)
    print(f"kill -9: {done} of {tries} tries, {len(acknowledged)} acknowledged, 0 lost, seed {seed}")
    assert acknowledged, "the child must get somewhere"


def test_kill_9_loses_nothing_acknowledged(tmp_path, schema):
    kill_rounds(tmp_path / "campus", schema, TRIES)


@pytest.mark.long
def test_kill_9_many_times(tmp_path, schema):
    budget_s = float(os.environ.get("TWINMESH_LONG_S", "600"))
    kill_rounds(tmp_path / "campus", schema, LONG_TRIES, budget_s)
