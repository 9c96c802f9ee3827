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
from tests.graph.killed_writer import change_of

WRITER = Path(__file__).with_name("killed_writer.py")
ROOT = WRITER.parents[2]
TRIES = 30
LONG_TRIES = 1000
# Kills of one site in a row; then a fresh one begins, or the checks would read ever longer journals.
TRIES_PER_SITE = 8
DELAY_S_MAX = 0.12


@pytest.fixture
def writers():
    """The process that forks writers."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, WRITER], **pipes, env=environment) as process:
        yield process
        process.stdin.close()


def run_and_kill(writers, folder, rng):
    """What a writer acknowledged before it was killed: (revision, name). Some die before they have opened."""
    writers.stdin.write(f"{folder}\n")
    writers.stdin.flush()
    word, pid = writers.stdout.readline().split()
    assert word == "pid"
    lines = []
    if rng.random() < 0.9:
        lines.append(writers.stdout.readline())
        assert lines[0].startswith("open"), lines
    time.sleep(rng.uniform(0.0, DELAY_S_MAX))
    os.kill(int(pid), signal.SIGKILL)
    while (line := writers.stdout.readline()) != "dead\n":
        assert line, "the writers are gone"
        lines.append(line)
    acks = [line.split() for line in lines if line.startswith("ack")]
    return [(int(revision), name) for _, revision, name in acks]


def check(folder, schema, units, acknowledged):
    with Twin.open(folder, schema, site="campus", units=units) as twin:
        assert twin.verify() == []
        snapshot = twin.snapshot()
        commits = twin.commits(limit=1_000_000)
        assert [commit.sequence for commit in commits] == list(range(1, snapshot.revision + 1))
        for revision, name in acknowledged.items():
            put = [record.id for record in commits[revision - 1].change.put_twins]
            assert put == [f"{twin.base}{name}-{part}" for part in "ab"], f"revision {revision} is lost"
        for revision, name in list(acknowledged.items())[-2:]:
            again = twin.apply(change_of(twin.base, schema, name))
            assert (again.replayed, again.revision) == (True, revision), "it would be done twice"
        # Each change made two twins and their relationship: all of it or nothing, and nothing twice.
        assert int(snapshot.alive.sum()) == 2 * snapshot.revision
        assert int(snapshot.edge_alive.sum()) == snapshot.revision


def kill_rounds(writers, folder, schema, units, tries, budget_s=float("inf")):
    seed = int(os.environ.get("TWINMESH_SEED") or int.from_bytes(os.urandom(4)))
    rng = random.Random(seed)
    total = done = 0
    acknowledged = {}
    end = time.monotonic() + budget_s
    while done < tries and time.monotonic() < end:
        if done % TRIES_PER_SITE == 0:
            total += len(acknowledged)
            site, acknowledged = folder / f"site-{done}" / "campus", {}
        done += 1
        for revision, name in run_and_kill(writers, site, rng):
            assert revision not in acknowledged, "a revision was given out twice"
            acknowledged[revision] = name
        check(site, schema, units, acknowledged)
    total += len(acknowledged)
    print(f"kill -9 of the writer: {done} of {tries} kills, {total} acknowledged, 0 lost, seed {seed}")
    assert total > done, "the writers must get somewhere"


def test_kill_9_loses_nothing_acknowledged(writers, tmp_path, schema, units):
    kill_rounds(writers, tmp_path, schema, units, TRIES)


@pytest.mark.long
def test_kill_9_a_thousand_times(writers, tmp_path, schema, units):
    budget_s = float(os.environ.get("TWINMESH_LONG_S", "600"))
    kill_rounds(writers, tmp_path, schema, units, LONG_TRIES, budget_s)
