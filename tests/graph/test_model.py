"""Twin.apply against a plain dictionary, over random changes, with reopening and looks at the past."""

from __future__ import annotations

import os
import random
import time
from functools import partial

import pytest

from graph.twin import Twin
from graph.values import Change, RelationshipKey, RelationshipRecord, TwinRecord, Value
from ontology.errors import ChangeError
from tests.graph.plain_model import Model, expected, follow, seen

TWINS = 12
STEPS = 120
SEEDS = range(4)
LONG_SEEDS = 200
NAMES = ("rotation", "colour", "x:weird", "ratedPower")
ORIGINS = (None, "ifc", "brick")
PLAIN = (1, 2.5, True, False, "red", "", [1, {"a": None}], {"k": "v"}, 2**60, -3)


class Driver:
    """Makes random changes that are sound but for conflicts between origins."""

    def __init__(self, twin: Twin, rng: random.Random) -> None:
        self.rng = rng
        self.base = twin.base
        self.kinds = [twin.schema.kind(name).iri for name in ("AHU", "VAV", "Chiller", "tm:Party")]
        self.relations = [
            twin.schema.relation(name).iri for name in ("brick:feeds", "supplies", "tm:controls")
        ]

    def change(self, model: Model) -> Change:
        ids = [f"{self.base}t{number}" for number in range(TWINS)]
        put = self.rng.sample(ids, self.rng.randint(0, 3))
        merge = self.rng.sample(ids, self.rng.randint(0, 2))
        touched = {*put, *merge}
        known = [iri for iri in model.twins if iri not in touched]
        removed = self.rng.sample(known, min(len(known), self.rng.choice((0, 0, 1))))
        there = [
            iri for iri in {**model.twins, **dict.fromkeys(put), **dict.fromkeys(merge)} if iri not in removed
        ]
        edges = {(e.source, e.relation, e.target, e.group): e for e in self._edges(there)}
        gone = [key for key in model.edges if key not in edges and self.rng.random() < 0.1]
        return Change(
            put_twins=tuple(self._twin(iri) for iri in put),
            merge_twins=tuple(self._twin(iri) for iri in merge),
            remove_twins=tuple(removed),
            put_relationships=tuple(edges.values()),
            remove_relationships=tuple(RelationshipKey(*key) for key in gone),
        )

    def _twin(self, iri: str) -> TwinRecord:
        rng = self.rng
        kinds = tuple(rng.sample(self.kinds, rng.randint(1, 2)))
        name = rng.choice((None, "a", "b"))
        return TwinRecord(iri, kinds, name, attributes=self._values(), origin=rng.choice(ORIGINS))

    def _edges(self, ids: list[str]):
        for _ in range(self.rng.randint(0, 4) if ids else 0):
            source, target = self.rng.choice(ids), self.rng.choice(ids)
            group = self.rng.choice(("", "g"))
            relation = self.rng.choice(self.relations)
            values, origin = self._values(), self.rng.choice(ORIGINS)
            yield RelationshipRecord(source, relation, target, group, attributes=values, origin=origin)

    def _values(self) -> dict[str, Value]:
        names = self.rng.sample(NAMES, self.rng.randint(0, 3))
        return {name: Value(7.5 if name == "ratedPower" else self.rng.choice(PLAIN)) for name in names}


@pytest.mark.parametrize("seed", SEEDS)
def test_apply_equals_a_plain_dictionary(open_twin, seed):
    compare(open_twin, seed, STEPS)


@pytest.mark.long
def test_apply_equals_a_plain_dictionary_many_times(open_twin):
    """Fresh seeds, a site for each, until the time is up."""
    first = int.from_bytes(os.urandom(4))
    end = time.monotonic() + float(os.environ.get("TWINMESH_LONG_S", "600"))
    seeds = 0
    while seeds < LONG_SEEDS and time.monotonic() < end:
        site = f"site-{seeds}"
        compare(partial(open_twin, site), first + seeds, STEPS).close()
        seeds += 1
    print(f"model: {seeds} of {LONG_SEEDS} random histories, 0 differences, first seed {first}")


def compare(open_twin, seed, steps):
    """Run one random history on both sides; the twin, still open."""
    rng = random.Random(seed)
    twin, model = open_twin(), Model()
    driver = Driver(twin, rng)
    past = {0: expected(model)}
    accepted = refused = 0
    for step in range(steps):
        change = driver.change(model)
        if follow(model, change):
            twin.apply(change)
            accepted += 1
        else:
            refused += 1
            before = twin.snapshot().revision
            with pytest.raises(ChangeError) as caught:
                twin.apply(change)
            assert {problem.code for problem in caught.value.problems} == {"ATTRIBUTE_CONFLICT"}
            assert twin.snapshot().revision == before
        assert seen(twin.snapshot()) == expected(model), f"seed {seed}, step {step}"
        past[twin.snapshot().revision] = seen(twin.snapshot())
        if step % 30 == 29:
            twin.close()
            twin = open_twin()
            assert seen(twin.snapshot()) == expected(model), f"seed {seed}, reopened after step {step}"
    assert accepted > steps // 4
    assert refused > 0
    for revision in rng.sample(sorted(past), 8):
        assert seen(twin.snapshot_at(revision=revision)) == past[revision]
    assert twin.verify() == []
    return twin


def test_rows_of_stubs_and_of_merged_twins_keep_their_numbers(open_twin, schema):
    twin = open_twin()
    kind, feeds = schema.kind("AHU").iri, schema.relation("brick:feeds").iri
    a, b = twin.base + "a", twin.base + "b"
    links = (RelationshipRecord("urn:x:far", feeds, a), RelationshipRecord(b, feeds, "urn:x:further"))
    twins = (TwinRecord(a, (kind,)),)
    twin.apply(Change(put_twins=twins, merge_twins=(TwinRecord(b, (kind,)),), put_relationships=links))
    before = twin.snapshot()
    twin.close()
    after = open_twin().snapshot()
    assert [before.id(row) for row in range(4)] == [after.id(row) for row in range(4)]
    assert before.edge_target.tolist() == after.edge_target.tolist()


def test_rows_keep_their_numbers_over_reopening(open_twin):
    rng = random.Random(5)
    twin, model = open_twin(), Model()
    driver = Driver(twin, rng)
    for _ in range(60):
        change = driver.change(model)
        if follow(model, change):
            twin.apply(change)
    before = twin.snapshot()
    twin.close()
    after = open_twin().snapshot()
    assert [before.id(row) for row in range(before.size)] == [after.id(row) for row in range(after.size)]
    assert before.edge_source.tolist() == after.edge_source.tolist()
    assert before.edge_target.tolist() == after.edge_target.tolist()
    assert before.edge_relation.tolist() == after.edge_relation.tolist()
    assert before.edge_alive.tolist() == after.edge_alive.tolist()
    assert [before.revision_of(row) for row in range(before.size)] == [
        after.revision_of(row) for row in range(after.size)
    ]
