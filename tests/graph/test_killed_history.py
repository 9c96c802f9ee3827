"""kill -9 at any moment of appending, flushing, merging and thinning: what was acknowledged is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from killed_history import ROWS, batch_of, is_old

from graph.readings.catalog import read_catalog
from graph.readings.checking import check_history
from graph.readings.store import HistoryReader, HistoryStore

ROOT = Path(__file__).parents[2]
KILLS = 3
KILLS_LONG = 60
DAY_NS = 86_400 * 10**9


def killed_after(folder, first, batches):
    """Run a writer until it acknowledged so many batches, then kill it; the last number that it told."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, Path(__file__).parent / "killed_history.py", folder, str(first)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        ready = writer.stdout.readline()
        last = first - 1
        while ready and last < first + batches and (line := writer.stdout.readline()):
            last = int(line)
        writer.send_signal(signal.SIGKILL)
        rest, errors = writer.communicate()
        # What it still told before it died was acknowledged too; a line may be cut.
        whole = rest[: rest.rfind(b"\n") + 1].split()
        assert last >= first + batches, errors.decode()
    return int(whole[-1]) if whole else last


def check(history, acknowledged):
    """Every young reading is there, every old one counts in its minute or is there."""
    young, old = Counter(), Counter()
    wanted = {}
    for number in range(acknowledged + 1):
        points, times, words = batch_of(number)
        for point, time, word in zip(points, times.tolist(), words.tolist(), strict=True):
            if not is_old(number):
                wanted.setdefault(point, {})[time] = word
            else:
                old[point] += 1
    for point in sorted({*wanted, *old}):
        samples = history.range(point, DAY_NS * 10_000, 2**62)
        found = dict(zip(samples.times_ns.tolist(), samples.words.tolist(), strict=True))
        mine = wanted.get(point, {})
        assert {time: found.get(time) for time in mine} == mine
        young[point] = len(found)
        counted = int(history.roll_up(point, 0, DAY_NS * 10_000, 60 * 10**9).counts.sum())
        assert counted >= old[point], "old readings are lost"
        assert counted <= old[point] + 2 * ROWS, "old readings are counted twice"
    return sum(young.values())


def kill_often(folder, kills):
    seed = int.from_bytes(os.urandom(4))
    rng = random.Random(seed)
    acknowledged, states = -1, Counter()
    for _ in range(kills):
        acknowledged = killed_after(folder, acknowledged + 1, rng.randrange(5, 120))
        assert check_history(folder, live=False) == [], f"seed {seed}"
        check(HistoryReader(folder), acknowledged)
        with closing(HistoryStore(folder)) as store:
            check(store, acknowledged)
        states.update(str(entry.resolution_ns) for entry in read_catalog(folder / "history").segments)
    print(f"killed {kills} times: {(acknowledged + 1) * ROWS} readings acknowledged, 0 lost, seed {seed}")
    print(f"segments by resolution: {dict(states)}")
    return states


def test_what_was_acknowledged_before_a_kill_is_there(tmp_path):
    states = kill_often(tmp_path, KILLS)
    assert states["0"], "nothing was flushed"


@pytest.mark.long
def test_sixty_kills(tmp_path):
    states = kill_often(tmp_path, KILLS_LONG)
    assert len(states) > 1, "nothing was thinned"
