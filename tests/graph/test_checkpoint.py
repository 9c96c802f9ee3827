"""A site saved and loaded again is the same to all readers, alone or beside others, and goes on alike."""

from __future__ import annotations

import random

import numpy as np
import pytest

from graph.checkpoint import capture, load_checkpoint, save
from graph.checkpoint_file import verify_checkpoint
from graph.content import content_of
from graph.pools import Pools
from graph.stores.protocol import Head
from graph.values import Change, ExternalId, RelationshipKey, RelationshipRecord, TwinRecord, Value, Way
from graph.writer import new_state, replay
from ontology.errors import ChangeError, StoreError
from ontology.terms import KindRecord

KINDS = ("brick:AHU", "brick:VAV", "tm:Point", "brick:Chiller")
RELATIONS = ("brick:feeds", "tm:dependsOn", "tm:connectedTo")
PLAIN = (1, 2.5, True, "warm", "kühl", "", [1, {"a": None}], {"b": 2**60}, 2**53)
ORIGINS = (None, "ifc", "brick")


def everything(snapshot):
    """What all readers of a snapshot say, by name."""
    schema, rows = snapshot.schema, np.flatnonzero(snapshot.alive)
    edges = np.flatnonzero(snapshot.edge_alive)
    ids, edge_ids = snapshot.ids(rows), [snapshot.edge_id(edge) for edge in edges.tolist()]
    records = [snapshot.record(row) for row in rows.tolist()]
    links = [snapshot.relationship(edge) for edge in edges.tolist()]
    found, owner = snapshot.expand(rows, Way.BOTH)
    of_edge = dict(zip(edges.tolist(), edge_ids, strict=True))
    return {
        "head": (snapshot.heads, snapshot.size, snapshot.edge_count),
        "content": content_of(snapshot),
        "twins": records,
        "relationships": links,
        "revisions": [snapshot.revision_of(row) for row in rows.tolist()],
        "origins": [snapshot.origins(row) for row in rows.tolist()],
        "edge origins": [snapshot.edge_origins(edge) for edge in edges.tolist()],
        "of origin": [snapshot.rows_of_origin(name).tolist() for name in ORIGINS if name],
        "kinds": (schema.user_kind_records(), schema.version),
        "rows": [snapshot.row(iri) for iri in ids],
        "rows of all": snapshot.rows([*ids, "https://nowhere.org/x"]).tolist(),
        "candidates": [snapshot.candidates(snapshot.local_id(row)) for row in rows.tolist()],
        "outside": [snapshot.find_external(None, f"G{number}") for number in range(9)],
        "of kind": [snapshot.rows_of_kind(schema.kind(name).index).tolist() for name in KINDS],
        "by id": [snapshot.edge_by_id(edge_id) for edge_id in edge_ids],
        "by key": [
            snapshot.edge_by_key(
                snapshot.row(r.source), schema.relation(r.relation).index, snapshot.row(r.target), r.group
            )
            for r in links
        ],
        "walk": [
            (ids[place], of_edge[edge]) for place, edge in zip(owner.tolist(), found.tolist(), strict=True)
        ],
        "statements": dict(snapshot.statements()),
    }


class Author:
    """Writes random changes of every sort; some contradict themselves and are refused."""

    def __init__(self, twin, seed):
        self.twin, self.rng, self.number = twin, random.Random(seed), 0
        self.kinds = [twin.schema.kind(name).iri for name in KINDS]
        self.relations = [twin.schema.relation(name).iri for name in RELATIONS]

    def work(self, commits):
        until = self.twin.snapshot().revision + commits
        while self.twin.snapshot().revision < until:
            self.number += 1
            try:
                self.twin.apply(self.change())
            except ChangeError:
                continue

    def iri(self):
        return f"{self.twin.base}{self.rng.choice('abc')}{self.rng.randrange(15)}"

    def twin_record(self, iri):
        rng = self.rng
        names = rng.sample(["rotation", "x:weird", "x:größe", "ratedPower"], rng.randrange(3))
        values = {name: Value(rng.choice(PLAIN)) for name in names if name != "ratedPower"}
        if "ratedPower" in names:
            values["ratedPower"] = Value(float(rng.randrange(9)), rng.choice(["kW", "W", None]))
        name = rng.choice([None, f"Name {rng.randrange(9)}", "Lüfter"])
        local = rng.choice([None, f"L-{rng.randrange(5)}"])
        outside = tuple(ExternalId("ifc", f"G{rng.randrange(9)}") for _ in range(rng.randrange(2)))
        kinds = tuple(dict.fromkeys(rng.choices(self.kinds, k=rng.randrange(1, 3))))
        return TwinRecord(iri, kinds, name, local, values, outside, rng.choice(ORIGINS))

    def link(self):
        rng = self.rng
        own = rng.choice([None, None, f"https://example.org/link/{rng.randrange(9)}"])
        values = {"weight": Value(rng.random())} if rng.randrange(2) else {}
        ends = (self.iri(), rng.choice(self.relations), rng.choice([self.iri(), "https://far.org/x"]))
        return RelationshipRecord(*ends, rng.choice(["", "air", "Wärme"]), own, values, rng.choice(ORIGINS))

    def change(self):
        rng, number = self.rng, self.number
        twins = {record.id: record for record in (self.twin_record(self.iri()) for _ in range(3))}
        known = self.twin.snapshot()
        edges = np.flatnonzero(known.edge_alive).tolist()
        gone = rng.sample(edges, min(len(edges), rng.randrange(2)))
        removed = [known.edge_id(e) if rng.randrange(2) else _key(known.relationship(e)) for e in gone]
        dead = tuple({self.iri()} - set(twins)) if number % 4 == 0 else ()
        other = f"https://example.org/k{number - 9}" if number > 9 else None
        kind = KindRecord(
            f"https://example.org/k{number}",
            f"ex:K{number}",
            (self.kinds[0],),
            label=f"Kind {number}",
            placeholder=number % 2 == 0,
            replaced_by=other,
        )
        return Change(
            put_twins=tuple(twins.values()) if number % 3 else (),
            merge_twins=() if number % 3 else tuple(twins.values()),
            put_relationships=tuple(self.link() for _ in range(rng.randrange(3))),
            remove_twins=tuple(iri for iri in dead if known.row(iri) >= 0),
            remove_relationships=tuple(removed),
            put_kinds=(kind,) if number % 9 == 0 else (),
            statements={f"file{number % 3}": (f"<urn:a> <urn:b> <urn:{number}> .",)}
            if number % 5 == 0
            else {},
        )


def _key(record):
    return RelationshipKey(record.source, record.relation, record.target, record.group)


def _taken(twin, path):
    """A checkpoint of a twin as it is now."""
    state = replayed(twin)
    head = twin.commits(state.revision - 1)[-1]
    save(capture(state, Head(head.sequence, head.time_ns, head.digest)), path)
    return path


def replayed(twin, until=None, pools=None):
    state = new_state(twin._store.header, twin._writer.base_schema, pools or Pools())
    replay(state, twin._store, until=until)
    return state


@pytest.fixture
def worked(open_twin):
    """A site with a history of 60 commits."""
    twin = open_twin()
    Author(twin, 1).work(60)
    return twin


def test_what_is_loaded_is_what_was_saved(worked, schema, tmp_path):
    path = _taken(worked, tmp_path / "one.tmc")
    state, head = load_checkpoint(path, schema, Pools())
    expected = everything(worked.snapshot())
    assert len(expected["relationships"]) > 5
    assert len(expected["twins"]) > 10
    assert everything(state.freeze()) == expected
    assert head == worked._store.head()
    assert verify_checkpoint(path) == []


@pytest.mark.parametrize("seed", range(4))
def test_it_goes_on_as_if_it_had_never_been_saved(open_twin, schema, tmp_path, seed):
    """Changes before and after; the loaded state replays the tail and equals one that replayed everything."""
    twin = open_twin()
    author = Author(twin, seed)
    author.work(15)
    path = _taken(twin, tmp_path / "one.tmc")
    author.work(40)
    pools = Pools()
    state, head = load_checkpoint(path, schema, pools)
    replay(state, twin._store, head)
    assert everything(state.freeze()) == everything(twin.snapshot())
    # And saved again, and once more loaded.
    again = tmp_path / "two.tmc"
    save(capture(state, twin._store.head()), again)
    state, head = load_checkpoint(again, schema, Pools())
    assert everything(state.freeze()) == everything(twin.snapshot())


def test_sites_that_share_pools_are_loaded_in_any_order(open_twin, schema, tmp_path):
    pools, sites, paths = Pools(), ["campus", "plant", "supplier"], {}
    twins = {}
    for number, site in enumerate(sites):
        twins[site] = open_twin(site, pools=pools)
        Author(twins[site], number).work(25)
    for site, twin in twins.items():
        state = replayed(twin, pools=pools)
        paths[site] = tmp_path / f"{site}.tmc"
        pools.users.update(sites)
        save(capture(state, twin._store.head()), paths[site])
    for order in (sites, sites[::-1]):
        shared = Pools()
        for site in order:
            state, _ = load_checkpoint(paths[site], schema, shared)
            assert everything(state.freeze()) == everything(twins[site].snapshot())


def test_a_site_saves_no_texts_of_other_sites(open_twin, schema, tmp_path):
    pools = Pools()
    secret = open_twin("plant", pools=pools)
    secret.apply(
        Change(put_twins=(TwinRecord(secret.base + "x", (schema.kind("AHU").iri,), "top secret press"),))
    )
    mine = open_twin("campus", pools=pools)
    Author(mine, 5).work(10)
    pools.users.update({"plant", "campus"})
    path = tmp_path / "campus.tmc"
    save(capture(replayed(mine, pools=pools), mine._store.head()), path)
    assert b"top secret" not in path.read_bytes()
    assert everything(load_checkpoint(path, schema, Pools())[0].freeze()) == everything(mine.snapshot())


def test_an_empty_site_can_be_saved(open_twin, schema, tmp_path):
    twin = open_twin()
    path = tmp_path / "none.tmc"
    save(capture(replayed(twin), twin._store.head()), path)
    state, head = load_checkpoint(path, schema, Pools())
    assert (state.freeze().size, head.sequence) == (0, 0)


def test_the_arrays_are_used_where_they_lie(worked, schema, tmp_path):
    state, _ = load_checkpoint(_taken(worked, tmp_path / "one.tmc"), schema, Pools())
    snapshot = state.freeze()
    for column in (snapshot.alive, snapshot.edge_source, snapshot.twins.revision.flat):
        assert not column.flags.writeable
        assert not column.flags.owndata
    before = snapshot.edge_source.tolist()
    state.edges.source.write([0], [7])  # writing copies, and no snapshot sees it
    assert snapshot.edge_source.tolist() == before
    assert state.edges.source.at(0) == 7


def test_a_relation_that_this_program_does_not_know_is_not_guessed(worked, tmp_path):
    class Fewer:
        def with_kinds(self, kinds):
            return self

        def relation_by_iri(self, iri):
            return None

    with pytest.raises(StoreError) as raised:
        load_checkpoint(_taken(worked, tmp_path / "one.tmc"), Fewer(), Pools())
    assert raised.value.code == "CHECKPOINT_FOREIGN"
