"""Power losses: a writer on a file system that forgets what was not synced; 0 acknowledged may be lost.

A writer runs on the mounted file system, is killed, and the trace of all operations tells what a disk may
hold had the power gone after any of them. One of these disks is where the next writer goes on.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from graph.twin import Twin
from ontology.errors import StoreError
from ontology.schema import load_schema
from tests.faults.lost_power import Disk

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CHANGES = 80
LOSSES = 24
LOSSES_LONG = 200
LOSSES_PER_WRITER = 8


@dataclass
class Tally:
    """What was found over many losses."""

    losses: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)

    def __str__(self):
        return f"{self.losses} losses, {self.acknowledged} acknowledged, {len(self.lost)} lost"


@pytest.fixture(scope="module")
def schema():
    return load_schema()


def run_writer(fusermount, folder, image, prefix, rng, synchronous="FULL"):
    """The trace of a writer that began on an image and was killed at some moment."""
    mount, trace = folder / "mount", folder / "trace"
    mount.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    files = subprocess.Popen([sys.executable, HERE / "forgetful.py", mount, image, trace])
    try:
        wait_for(lambda: mount.is_mount())
        command = [sys.executable, HERE / "mounted_writer.py", mount, prefix, str(CHANGES), synchronous]
        writer = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        for _ in range(rng.randint(1, CHANGES)):
            assert writer.stdout.readline(), "the writer failed"
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    finally:
        subprocess.run([fusermount, "-u", "-z", str(mount)], check=True)
        files.wait(60)
    return pickle.loads(trace.read_bytes())


def wait_for(what):
    until = time.monotonic() + 120
    while not what() and time.monotonic() < until:
        time.sleep(0.01)
    assert what()


def lose_power_at(image, trace, cut, target, rng):
    """A folder as it may be found after the power went before operation `cut`; what was acknowledged."""
    disk = Disk.of(image)
    for operation in trace[:cut]:
        disk.follow(operation)
    disk.lose_power(target, rng)
    return disk.acknowledged


def losses_of(folder, schema, acknowledged):
    """What of the acknowledged is not in a folder: names of changes and readings, or why it does not open."""
    try:
        with Twin.open(folder / "sites" / "campus", schema, site="campus") as twin:
            problems = twin.verify()
            if problems:
                return [str(problem) for problem in problems]
            return list(missing_in(twin, acknowledged))
    except StoreError as error:
        return [str(error)]


def missing_in(twin, acknowledged):
    snapshot = twin.snapshot()
    commits = twin.commits(limit=1_000_000)
    sequences = [commit.sequence for commit in commits]
    put = [[record.id for record in commit.change.put_twins] for commit in commits]
    if sequences != list(range(1, snapshot.revision + 1)) or int(snapshot.alive.sum()) != 2 * len(commits):
        yield "torn: the columns are not what the commits say"
    if len({ids[0] for ids in put}) != len(put):
        yield "doubled: a change was done twice"
    for ack in acknowledged:
        kind, name, number = ack.split()
        if kind == "change":
            expected = [f"{twin.base}{name}-{part}" for part in "ab"]
            if int(number) > len(put) or put[int(number) - 1] != expected:
                yield ack
        elif not len(twin.history.range(f"{twin.base}{name}", 0, 1 << 60)):
            yield ack


def lose_power_often(fusermount, folder, schema, seed, losses, synchronous="FULL", budget_s=float("inf")):
    """Writers one after the other, each on what the loss before left."""
    rng, tally, end = random.Random(seed), Tally(), time.monotonic() + budget_s
    image, kept = folder / "image", []  # what was acknowledged up to the image
    image.mkdir()
    while tally.losses < losses and time.monotonic() < end and not tally.lost:
        prefix = f"g{tally.losses}"
        trace = run_writer(fusermount, folder, image, prefix, rng, synchronous)
        cuts = [*sorted(rng.sample(range(len(trace)), LOSSES_PER_WRITER - 1)), len(trace)]
        for cut in cuts:
            target = folder / f"lost-{tally.losses}"
            target.mkdir()
            acknowledged = kept + lose_power_at(image, trace, cut, target, rng)
            tally.losses += 1
            tally.lost += losses_of(target, schema, acknowledged)
            if cut != cuts[-1]:
                shutil.rmtree(target)
        tally.acknowledged += len(acknowledged) - len(kept)
        shutil.rmtree(image)
        image, kept = target, acknowledged
    return tally


def test_a_power_loss_loses_nothing_acknowledged(fusermount, tmp_path, schema, seed):
    tally = lose_power_often(fusermount, tmp_path, schema, seed, LOSSES)
    print(f"power: {tally}, seed {seed}")
    assert tally.lost == []
    assert tally.acknowledged > 20, "the writers must get somewhere"


@pytest.mark.long
def test_two_hundred_power_losses(fusermount, tmp_path, schema, seed):
    budget_s = float(os.environ.get("TWINMESH_LONG_S", "600"))
    tally = lose_power_often(fusermount, tmp_path, schema, seed, LOSSES_LONG, budget_s=budget_s)
    print(f"power: {tally}, seed {seed}")
    assert tally.lost == []


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_journal_that_does_not_sync_would_be_caught(fusermount, tmp_path, schema, seed, synchronous):
    """A planted defect: kill -9 cannot see it, this has to."""
    tally = lose_power_often(fusermount, tmp_path, schema, seed, 2 * LOSSES, synchronous)
    print(f"power, synchronous {synchronous}: {tally}, seed {seed}")
    assert tally.lost


def test_the_model_of_a_disk_keeps_what_was_synced_and_may_drop_the_rest(tmp_path):
    trace = [
        ("create", "/a", 1),
        ("write", 1, 0, b"safe"),
        ("sync", 1),
        ("syncdir", "/"),
        ("write", 1, 4, b"x" * 9000),
        ("create", "/b", 2),
        ("sync", 2),
    ]
    found = set()
    image = tmp_path / "image"
    image.mkdir()
    for number in range(60):
        target = tmp_path / str(number)
        target.mkdir()
        lose_power_at(image, trace, len(trace), target, random.Random(number))
        content = (target / "a").read_bytes()
        assert content.startswith(b"safe")
        pages = (content[4:4096].strip(b"\0"), content[4096:8192].strip(b"\0"), content[8192:])
        found.add((tuple(map(bool, pages)), (target / "b").exists()))
    assert ((False, False, False), False) in found, "nothing more"
    assert ((True, True, True), True) in found, "all of it"
    assert any(pages[2] and not pages[0] for pages, _ in found), "in any order"
