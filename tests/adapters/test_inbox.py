"""The bounded queue: order, limits, counted shedding, and an end that loses nothing."""

from __future__ import annotations

import threading

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
