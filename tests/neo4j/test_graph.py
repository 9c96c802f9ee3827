"""The graph in a real Neo4j: labels, types and properties equal the columns, after whatever happened."""

from __future__ import annotations

import random

import pytest
from graph_reading import of_neo4j, of_snapshot
from neo4j_waiting import wait_shown

from graph.values import Change, ExternalId, RelationshipKey, RelationshipRecord, TwinRecord, Value
from ontology.errors import StoreError, TwinmeshError

BASE = "https://twinmesh.invalid/campus/"
KINDS = ("brick:AHU", "brick:VAV", "brick:Chiller", "rec:Room", "brick:Temperature_Sensor")
VALUES = (1, 2.5, True, "text", "\x01odd", "", [1, 2], {"a": [None, "b"]}, 2**60, 2**70, -0.0, "`{x}'\\u0060")


def iri(name):
    return BASE + str(name)


def assert_equal(server, mesh, site="campus"):
    assert of_neo4j(server, site) == of_snapshot(mesh.twin(site).snapshot())


class Work:
    """Random changes of one site."""

    def __init__(self, twin, schema, seed):
        self.rng = random.Random(seed)
        self.twin, self.schema = twin, schema
        self.names = [iri(number) for number in range(25)]
        self.refused = 0
        self.apply(Change(put_twins=tuple(TwinRecord(name, (self.kind(),)) for name in self.names)))

    def kind(self):
        return self.schema.kind(self.rng.choice(KINDS)).iri

    def attributes(self):
        names = ("ratedPower2", "note", "id", "_x", "shares")
        picked = self.rng.sample(names, self.rng.randint(0, 3))
        return {f"x{name}" if name[0] != "_" else name: Value(self.rng.choice(VALUES)) for name in picked}

    def step(self):
        rng = self.rng
        some = rng.sample(self.names, rng.randint(1, 5))
        match rng.choice(("put", "put", "merge", "link", "link", "unlink", "remove")):
            case "put":
                kinds = tuple(dict.fromkeys(self.kind() for _ in range(rng.randint(1, 2))))
                external = (ExternalId("ifc", f"g{rng.randint(0, 9)}"),) if rng.random() < 0.3 else ()
                records = [
                    TwinRecord(one, kinds, f"n{rng.randint(0, 9)}", None, self.attributes(), external)
                    for one in some
                ]
                self.apply(Change(put_twins=tuple(records)))
            case "merge":
                self.apply(
                    Change(merge_twins=tuple(TwinRecord(one, attributes=self.attributes()) for one in some))
                )
            case "link":
                self.apply(Change(put_relationships=tuple(self.link() for _ in some)))
            case "unlink":
                snapshot = self.twin.snapshot()
                alive = [e for e in range(snapshot.edge_count) if snapshot.edge_alive[e]]
                if alive:
                    record = snapshot.relationship(rng.choice(alive))
                    key = RelationshipKey(record.source, record.relation, record.target, record.group)
                    self.apply(Change(remove_relationships=(key,)))
            case "remove":
                self.apply(Change(remove_twins=tuple(some[:2])))

    def link(self):
        rng = self.rng
        relation = self.schema.relation(rng.choice(("tm:feeds", "brick:feeds", "tm:dependsOn"))).iri
        own = f"{BASE}own/{rng.randint(0, 50)}" if rng.random() < 0.2 else None
        group = rng.choice(("", "", "a", "b"))
        return RelationshipRecord(
            *rng.sample(self.living(), 1), relation, *rng.sample(self.living(), 1), group, own,
            {"weight": Value(rng.randint(1, 5))} if rng.random() < 0.4 else {},
        )  # fmt: skip

    def living(self):
        snapshot = self.twin.snapshot()
        return snapshot.ids(snapshot.living_rows)

    def apply(self, change):
        try:
            self.twin.apply(change)
        except StoreError:
            raise
        except TwinmeshError:
            self.refused += 1  # part of the game


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_give_the_graph_that_the_columns_hold(open_mesh, neo4j, schema, seed):
    mesh = open_mesh()
    twin = mesh.create_site("campus")
    work = Work(twin, schema, seed)
    for number in range(60):
        work.step()
        if number % 20 == 19:
            wait_shown(mesh)
            assert_equal(neo4j, mesh)
    assert twin.snapshot().edge_alive.any(), "the game made nothing"
    print("seed", seed, "commits", twin.snapshot().revision, "refused", work.refused)
