"""Health of many bindings: columns say what the plain loop says."""

from __future__ import annotations

import random

import numpy as np
import pytest

from adapters.binding import parse_bindings
from adapters.coverage import NAMED_MAX, NEVER_NS, coverage, pairs_of
from adapters.routing import Router
from graph.values import Change, TwinRecord
from ontology.units import load_units

UNITS = load_units()


def plain(expected, seen, now_ns, silent_ns):
    """By binding: seen, first never seen, how many silent, the first of them; one binding after the other."""
    found = []
    for index, rows in enumerate(expected):
        own = {row: at for (binding, row), at in seen.items() if binding == index}
        stale = sorted(row for row, at in own.items() if at < now_ns - silent_ns[index])
        missing = sorted(row for row in rows if row not in own)
        found.append((len(own), missing[:NAMED_MAX], len(stale), stale[:NAMED_MAX]))
    return found


@pytest.mark.parametrize("bindings", [0, 1, 60])
def test_columns_say_what_a_loop_says(bindings):
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    named = 0
    for _ in range(40):
        points = draw.choice([1, 5, 80])
        expected = [frozenset(draw.sample(range(points), draw.randint(0, points))) for _ in range(bindings)]
        pairs = [(b, row) for b in range(bindings) for row in range(points) if draw.random() < 0.4]
        draw.shuffle(pairs)
        seen = {pair: draw.randint(1, 1_000) for pair in pairs}
        silent_ns = [draw.choice([NEVER_NS, 0, 400]) for _ in range(bindings)]
        columns = (
            np.array([b for b, _ in seen], np.int32),
            np.array([row for _, row in seen], np.int32),
            np.array(list(seen.values()), np.int64),
        )
        oldest_ns = 900 - np.array(silent_ns, np.int64)
        came, silent = coverage(bindings, pairs_of(expected), columns, oldest_ns)

        def rows_of(rows):
            return rows.tolist()

        told = zip(came.counts, came.told(rows_of), silent.counts, silent.told(rows_of), strict=True)
        found = [(a, list(b), c, list(d)) for a, b, c, d in told]
        assert found == plain(expected, seen, 900, silent_ns)
        named += sum(len(each[1]) + len(each[3]) for each in found)
    assert named > 100 or bindings < 60


def health_of_one(router, index, seen, now_ns):
    """What the loop over all places said of one binding."""
    binding, expected = router.bindings[index], router.expected[index]
    snapshot = router._snapshot
    own = {row: at for (b, row), at in seen.items() if b == index}
    oldest_ns = now_ns - int((binding.stale_after_s or 0) * 1e9)
    stale = [row for row, at in own.items() if at < oldest_ns] if binding.stale_after_s else []
    missing = sorted(row for row in expected if row not in own)[:NAMED_MAX]
    return (
        binding.name, len(expected), len(own), tuple(snapshot.local_id(row) for row in missing),
        tuple(snapshot.local_id(row) for row in sorted(stale)[:NAMED_MAX]), len(stale),
        next((p for (at, _), p in router._problems.items() if at == index), None),
    )  # fmt: skip


def test_a_router_of_many_bindings_says_of_each_what_the_loop_said(campus_twin):
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    kind = campus_twin.schema.kind("tm:Point").iri
    ids = [f"M-{number}" for number in range(400)]
    campus_twin.apply(Change(put_twins=tuple(TwinRecord(campus_twin.base + each, (kind,)) for each in ids)))
    tables = [
        {"topic": f"one/{each}", "point": each if draw.random() < 0.9 else f"absent-{each}",
         **({"stale_after_s": draw.choice([1, 20])} if draw.random() < 0.5 else {})}
        for each in ids
    ]  # fmt: skip
    tables += [{"name": "all", "topic": "all/{x}", "point": "M-{x}", "stale_after_s": 5}]
    tables += [{"topic": "bad", "point": "AHU-1-SAT", "unit": "kW"}]
    router = Router(
        parse_bindings({"binding": tables}, "bindings.toml", UNITS), campus_twin.snapshot(), UNITS
    )
    seen = {}
    for each in draw.sample(ids, 300):
        for route in router.routes(draw.choice([f"one/{each}", f"all/{each[2:]}"])):
            at = draw.randint(1, 30) * 10**9
            router.saw(route, at)
            seen[route.binding, route.row] = at
    now_ns = 30 * 10**9
    router.routes("bad")
    told = [
        (h.name, h.expected, h.seen, h.never_seen, h.stale, h.stale_count, h.problem)
        for h in router.health(now_ns)
    ]
    assert told == [health_of_one(router, index, seen, now_ns) for index in range(len(tables))]
    assert {h.state for h in router.health(now_ns)} == {
        "BOUND", "NEVER_SEEN", "STALE", "POINT_UNKNOWN", "UNIT_MISMATCH"
    }  # fmt: skip
    assert [h.plain()["name"] for h in router.health(now_ns)] == [each[0] for each in told]
