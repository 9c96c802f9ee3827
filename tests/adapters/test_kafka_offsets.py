"""Which offsets are committed: never one before its reading is durable, never one of others' partitions."""

from __future__ import annotations

import random

from adapters.kafka.decode import split
from adapters.kafka.offsets import Offsets
from adapters.mqtt.decode import Message

PARTITIONS = [("t", n) for n in range(4)]


def play(rng):
    """Batches go in, become durable in their order, partitions come and go; what is due is checked."""
    offsets, numbers = Offsets(), {}  # numbers: of the message behind each offset
    next_offset = dict.fromkeys(PARTITIONS, 0)
    ours, durable, committed = set(PARTITIONS), 0, dict.fromkeys(PARTITIONS, 0)
    for _ in range(rng.randrange(1, 120)):
        step = rng.random()
        if step < 0.4 and ours:
            after, count = {}, rng.randrange(1, 5)
            for n in range(count):
                partition = rng.choice(sorted(ours))
                next_offset[partition] += 1
                after[partition] = next_offset[partition]
                numbers[partition, after[partition]] = offsets.taken + n + 1
            offsets.took(count, after)
        elif step < 0.7 and durable < offsets.taken:
            durable = rng.randrange(durable, offsets.taken) + 1
            offsets.durable(durable)
            assert offsets.is_settled == (durable == offsets.taken)
        elif step < 0.9:
            due = offsets.due()
            for partition, offset in due.items():
                assert partition in ours
                assert numbers[partition, offset] <= durable
            if rng.random() < 0.3:
                offsets.again(due)
            else:
                committed |= due
        elif step < 0.95 and ours:
            gone = set(rng.sample(sorted(ours), rng.randrange(1, len(ours) + 1)))
            offsets.forget(gone)
            ours -= gone
        else:
            for partition in set(PARTITIONS) - ours:  # read again from what was committed
                next_offset[partition] = committed[partition]
            ours = set(PARTITIONS)
    offsets.durable(offsets.taken)
    for partition, offset in (committed | offsets.due()).items():
        assert partition not in ours or offset == next_offset[partition] or offset == committed[partition]


def test_only_what_is_durable_and_ours_is_committed():
    seed = random.randrange(2**32)
    print("seed", seed)
    for number in range(400):
        play(random.Random(seed + number))


def test_a_commit_that_failed_does_not_go_behind_a_later_one():
    offsets = Offsets()
    offsets.took(1, {("t", 0): 1, ("t", 1): 7})
    offsets.durable(1)
    due = offsets.due()
    assert (due, offsets.due()) == ({("t", 0): 1, ("t", 1): 7}, {})
    offsets.took(1, {("t", 0): 2})
    offsets.durable(2)
    offsets.again(due)
    assert offsets.due() == {("t", 0): 2, ("t", 1): 7}
    offsets.again({("t", 0): 1})  # told late: the commit after it reached the cluster
    assert offsets.due() == {}
    offsets.again({("t", 0): 2})
    offsets.forget([("t", 0)])
    offsets.again({("t", 0): 2})
    assert offsets.due() == {}


def test_large_messages_go_in_one_by_one():
    messages = [Message("t", b"x" * size, 1) for size in (10, 10, 10)]
    assert split(messages, 100) == [messages]
    assert split(messages, 50) == [[message] for message in messages]
    assert split([], 50) == []
