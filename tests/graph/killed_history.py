"""A writer of a history that is killed: `python killed_history.py FOLDER FIRST`.

Prints the number of each batch once it is acknowledged. Flushes, merges and thins all the time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from graph.readings.policy import HistoryPolicy
from graph.readings.store import HistoryStore

# Old readings are thinned, new ones stay: both lie in the same history.
POLICY = HistoryPolicy(raw_days=20_000, flush_rows=400, merge_rows_max=20_000, fan_in=2, retention_s=0.01)
ROWS = 50
OLD_BLOCK = 20
START_NS = 1_760_000_000_000_000_000


def is_old(number):
    return number // OLD_BLOCK % 2 == 0


def batch_of(number):
    """Points, times and words of a batch; some blocks are of 1970, which the policy thins."""
    points = [f"urn:p{row % 10}" for row in range(ROWS)]
    start = 0 if is_old(number) else START_NS
    times = start + (np.arange(ROWS, dtype=np.int64) + number * ROWS) * 10**9
    return points, times, (np.arange(ROWS) + number / 1000).view(np.uint64)


def main(folder, first):
    store = HistoryStore(folder, POLICY)
    print("ready", flush=True)
    for number in range(first, 1_000_000):
        points, times, words = batch_of(number)
        store.append(points, times, words, np.zeros(ROWS, np.uint8), [])
        print(number, flush=True)
        if number % OLD_BLOCK == OLD_BLOCK - 1:
            store.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
