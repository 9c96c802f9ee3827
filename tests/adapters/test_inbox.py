"""The bounded queue: order, limits, counted shedding, and an end that loses nothing."""

from __future__ import annotations

import random
import threading

import numpy as np

from adapters.inbox import Inbox


def test_items_come_out_in_order_and_in_batches():
    inbox: Inbox[int] = Inbox(10)
    assert all(inbox.offer(i) for i in range(5))
    assert inbox.take(3, 0.0) == [0, 1, 2]
    assert inbox.take(3, 0.0) == [3, 4]


def test_what_does_not_fit_is_counted_and_the_reserve_is_for_what_must_be_kept():
    inbox: Inbox[int] = Inbox(2, reserve_rows=1)
    assert [inbox.offer(i) for i in range(3)] == [True, True, False]
    assert inbox.offer(3, keep=True)
    assert not inbox.offer(4, keep=True)
    assert inbox.shed == 2
    assert inbox.take(10, 0.0) == [0, 1, 3]


def test_a_closed_inbox_takes_nothing_in_and_gives_out_the_rest():
    inbox: Inbox[int] = Inbox(10)
    inbox.offer(1)
    inbox.close()
    assert not inbox.offer(2)
    assert inbox.take(10, 5.0) == [1]
    assert inbox.take(10, 5.0, idle_s=5.0) == []


def test_nothing_is_lost_between_threads():
    inbox: Inbox[int] = Inbox(100_000)
    threads = [
        threading.Thread(target=lambda k=k: [inbox.offer(k * 5000 + i) for i in range(5000)])
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    taken: list[int] = []
    while len(taken) < 20_000:
        taken += inbox.take(700, 0.001)
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(20_000))
    assert inbox.shed == 0


def halves(run, rows):
    return run[:rows], run[rows:]


def test_runs_count_as_their_rows_and_are_cut_where_a_batch_is_full():
    inbox = Inbox(10, reserve_rows=2, split=halves)
    weights = np.ones(7, np.int64)
    assert inbox.fitting(weights) == 7
    inbox.offer_run([0, 1, 2, 3, 4, 5, 6], weights)
    assert (len(inbox), inbox.fitting(weights), inbox.fitting(weights, keep=True)) == (7, 3, 5)
    assert inbox.take(4, 0.0) == [[0, 1, 2, 3]]
    assert inbox.offer(7)
    assert len(inbox) == 4
    assert inbox.take(10, 0.0) == [[4, 5, 6], 7]
    assert (len(inbox), inbox.fitting(np.ones(20, np.int64))) == (0, 10)


def test_bytes_of_runs_come_back_whole():
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    inbox = Inbox(1_000, bytes_max=500, split=halves)
    taken, offered = [], []
    for number in range(2_000):
        weights = np.array([draw.randint(0, 9) for _ in range(draw.randint(1, 30))], np.int64)
        fitting = inbox.fitting(weights)
        if fitting:
            run = [(number, place) for place in range(fitting)]
            inbox.offer_run(run, weights[:fitting])
            offered += run
        taken += [row for run in inbox.take(draw.randint(1, 40), 0.0) for row in run]
    while len(inbox):
        taken += [row for run in inbox.take(7, 0.0) for row in run]
    assert taken == offered
    assert inbox.fitting(np.full(60, 10, np.int64)) == 50
