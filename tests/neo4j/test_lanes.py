"""Lanes of a first load: all rows once, no two lanes at one node in a round, and the same cut every time."""

from __future__ import annotations

import random
from itertools import combinations
from threading import Thread

import numpy as np
import pytest
from graph_reading import of_neo4j, of_snapshot
from neo4j_waiting import mirror_of, wait_until

from graph.stores.neo4j import loading
from graph.stores.neo4j.batches import Batches
from graph.stores.neo4j.lanes import cut
from graph.values import Change, RelationshipRecord, TwinRecord
from ontology.errors import StoreError

BASE = "https://twinmesh.invalid/campus/"

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy


def drawn(seed, hubs):
    rng = np.random.default_rng(seed)
    size, count = int(rng.integers(1, 300)), int(rng.integers(0, 900))
    ends = rng.integers(0, max(1, size // 10) if hubs else size, (2, count))
    return size, ends[0], ends[1]


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("hubs", [False, True])
def test_every_row_is_in_one_lane_and_lanes_never_meet_in_a_round(lanes, hubs):
    seed = random.randrange(2**32)
    print("seed", seed)
    size, sources, targets = drawn(seed, hubs)
    dealt = cut(sources, targets, size, lanes)
    assert [lane.number for lane in dealt] == list(range(lanes))
    assert sorted(np.concatenate([lane.twins for lane in dealt]).tolist()) == list(range(size))
    assert sorted(np.concatenate([lane.edges for lane in dealt]).tolist()) == list(range(len(sources)))
    for number in range(2 * lanes - 1):
        ends = []
        for lane in dealt:
            begin, end = (0, *lane.rounds)[number : number + 2]
            mine = lane.edges[begin:end]
            ends.append({*sources[mine].tolist(), *targets[mine].tolist()})
        assert not any(one & other for one, other in combinations(ends, 2)), (seed, number)
    assert all(lane.rounds[-1] == len(lane.edges) for lane in dealt)


def test_lanes_have_about_the_same_to_do():
    rng = np.random.default_rng(5)
    ends = rng.integers(0, 10_000, (2, 100_000))
    for lanes in (2, 3, 4):
        counts = [len(lane.edges) for lane in cut(ends[0], ends[1], 10_000, lanes)]
        assert max(counts) < 1.03 * min(counts)


def a_site(schema, twin):
    kind, feeds = schema.kind("brick:AHU").iri, schema.relation("tm:feeds").iri
    rng = random.Random(11)
    names = [f"{BASE}{number}" for number in range(300)]
    links = {(rng.choice(names[:40]), rng.choice(names)) for _ in range(700)}
    links |= {(names[0], f"https://twinmesh.invalid/elsewhere/{n}") for n in range(9)}
    twin.apply(
        Change(
            put_twins=tuple(TwinRecord(name, (kind,)) for name in names),
            put_relationships=tuple(RelationshipRecord(a, feeds, b) for a, b in sorted(links)),
        )
    )


def not_loaded(open_mesh, neo4j, schema):
    """A site whose graph nobody loads, and the connection that it would be loaded by."""
    mesh = open_mesh()
    twin = mesh.create_site("campus")
    a_site(schema, twin)
    mirror_of(mesh).finish()
    neo4j.run("MATCH (n:Entity|_Projection|_Lane) DETACH DELETE n")
    return twin, mesh._journals.connection


@pytest.mark.parametrize("lanes", [1, 3, 4])
def test_a_load_goes_on_in_the_lanes_that_it_began_with(open_mesh, neo4j, schema, monkeypatch, lanes):
    """Broken off after every second mark, and gone on with by a program that would take another number."""
    twin, connection = not_loaded(open_mesh, neo4j, schema)
    monkeypatch.setattr(loading, "TWINS_PER_BATCH", 30)
    monkeypatch.setattr(loading, "EDGES_PER_BATCH", 25)
    monkeypatch.setattr(loading, "LANES", lanes)
    batches = Batches(connection, "campus", lambda: twin.epoch)
    mark, marked, breaks = Batches.mark, [], 0

    def breaking(self, transaction, statement, **values):
        marked.append(values)
        if len(marked) > 6:
            raise StoreError("broken off on purpose")
        mark(self, transaction, statement, **values)

    monkeypatch.setattr(Batches, "mark", breaking)
    is_done = False
    while not is_done:
        marked.clear()
        try:
            is_done = loading.FirstLoad(batches, twin.snapshot()).run()
        except StoreError as error:
            assert "on purpose" in str(error)
            breaks += 1
            if breaks == 1:
                monkeypatch.setattr(loading, "LANES", lanes + 1)
            assert neo4j.run("MATCH (l:_Lane) RETURN count(l) AS n")[0]["n"] == lanes
        assert breaks < 200, "it does not get on"
    assert breaks > 2
    assert of_neo4j(neo4j, "campus") == of_snapshot(twin.snapshot())
    assert neo4j.run("MATCH (l:_Lane) RETURN count(l) AS n")[0]["n"] == 0
    links = neo4j.run("MATCH (:Entity)-[r]->(:Entity) RETURN count(r) AS n")[0]["n"]
    assert links == int(twin.snapshot().edge_alive.sum())


def test_who_goes_on_waits_for_what_the_fenced_writer_still_commits(open_mesh, neo4j, schema):
    """Else the rows of that batch would be written twice."""
    twin, connection = not_loaded(open_mesh, neo4j, schema)
    load = loading.FirstLoad(Batches(connection, "campus", lambda: twin.epoch), twin.snapshot())
    load._begun()
    claimed = []
    with connection.transaction() as late:
        late.run("MATCH (l:_Lane {lane: 1}) SET l.twins = 7")
        claiming = Thread(target=lambda: claimed.append(load._claimed()))
        claiming.start()
        waits = "SHOW TRANSACTIONS YIELD status WHERE status STARTS WITH 'Blocked' RETURN count(*) AS n"
        wait_until(lambda: neo4j.run(waits)[0]["n"] > 0 or claimed, "the claim to wait")
        assert not claimed
    claiming.join(120)
    assert [(state.twins, state.size) for state in claimed] == [([0, 7], twin.snapshot().size)]


def test_a_writer_that_recovers_is_not_taken_for_another_one(open_mesh, neo4j, schema):
    """It moves the epoch in Neo4j, and knows the new one only when the answer is there."""
    twin, connection = not_loaded(open_mesh, neo4j, schema)
    before, asked = twin.epoch, []

    def late():
        asked.append(None)
        return before if len(asked) < 4 else twin.epoch

    twin._store.recover()
    assert twin.epoch > before
    assert loading.FirstLoad(Batches(connection, "campus", late), twin.snapshot()).run()
    assert len(asked) > 4 and of_neo4j(neo4j, "campus") == of_snapshot(twin.snapshot())
    neo4j.run("MATCH (n:Entity|_Projection) DETACH DELETE n")
    with pytest.raises(StoreError) as caught:
        loading.FirstLoad(Batches(connection, "campus", lambda: twin.epoch + 1), twin.snapshot()).run()
    assert caught.value.code == "STORE_FENCED"
