"""The graph in a real Neo4j: labels, types and properties equal the columns, after whatever happened."""

from __future__ import annotations

import random
from threading import Barrier, Thread

import pytest
from graph_reading import of_neo4j, of_snapshot
from neo4j_waiting import mirror_of, wait_shown, wait_until

from graph.stores.neo4j.connection import is_deadlock
from graph.stores.neo4j.differences import contents
from graph.stores.neo4j.projection import Projection
from graph.values import Change, ExternalId, RelationshipKey, RelationshipRecord, TwinRecord, Value
from ontology.errors import StoreError, TwinmeshError

BASE = "https://twinmesh.invalid/campus/"
KINDS = ("brick:AHU", "brick:VAV", "brick:Chiller", "rec:Room", "brick:Temperature_Sensor")
VALUES = (1, 2.5, True, "text", "\x01odd", "", [1, 2], {"a": [None, "b"]}, 2**60, 2**70, -0.0, "`{x}'\\u0060")

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy


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


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 20))])
def test_random_changes_give_the_graph_that_the_columns_hold(open_mesh, neo4j, schema, seed):
    mesh = open_mesh()
    twin = mesh.create_site("campus")
    work = Work(twin, schema, seed)
    for number in range(40):
        work.step()
        if number % 20 == 19:
            wait_shown(mesh)
            assert_equal(neo4j, mesh)
    assert twin.snapshot().edge_alive.any(), "the game made nothing"
    print("seed", seed, "commits", twin.snapshot().revision, "refused", work.refused)


CHANGES = {
    "a twin more": """CREATE (:Entity:`brick:AHU`
    {id: 'urn:x', _site: 'campus', _kind: 'brick:AHU', _revision: 1})""",
    "a twin less": "MATCH (n:Entity {_site: 'campus'}) WITH n LIMIT 1 DETACH DELETE n",
    "a relationship more": """MATCH (a:Entity {_site: 'campus'}) WITH a LIMIT 1
    CREATE (a)-[:`tm:feeds` {_site: 'campus'}]->(a)""",
    "a relationship less": "MATCH ()-[r {_site: 'campus'}]->() WITH r LIMIT 1 DELETE r",
}


@pytest.mark.parametrize(
    "change",
    ["a twin more", "a relationship less"]
    + [pytest.param(one, marks=pytest.mark.long) for one in ("a twin less", "a relationship more")],
)
def test_what_another_program_changes_is_told(open_mesh, neo4j, schema, change):
    mesh = open_mesh()
    work = Work(mesh.create_site("campus"), schema, 3)
    work.apply(Change(put_relationships=tuple(work.link() for _ in range(9))))
    wait_shown(mesh)
    connection, snapshot = mesh._journals.connection, work.twin.snapshot()
    assert contents(connection, snapshot) == []
    neo4j.run(CHANGES[change])
    mirror_of(mesh).check_soon()
    wait_until(lambda: work.twin.troubles, "the finding")
    assert [trouble.code for trouble in work.twin.troubles] == ["STORE_FOREIGN_CHANGE"]
    assert contents(connection, snapshot) != []
    # The graph made anew is right again.
    mesh.close()
    neo4j.run("MATCH (p:_Projection) DELETE p")
    again = open_mesh("again")
    wait_shown(again)
    assert_equal(neo4j, again)


def test_a_property_changed_by_another_program_is_found_by_reading_all(open_mesh, neo4j, schema):
    mesh = open_mesh()
    work = Work(mesh.create_site("campus"), schema, 4)
    wait_shown(mesh)
    neo4j.run("MATCH (n:Entity {id: $id}) SET n.name = 'somebody'", id=work.names[7])
    found = contents(mesh._journals.connection, work.twin.snapshot())
    assert found == [f"{work.names[7]} is not what was written"]


def test_a_stub_never_hides_the_twin_of_another_site(open_mesh, neo4j, schema):
    """In whatever order sites tell of it: the node is the twin, and no site takes it for a foreign change."""
    mesh = open_mesh()
    campus, plant = mesh.create_site("campus"), mesh.create_site("plant")
    ahu, line = iri("AHU-1"), "https://twinmesh.invalid/plant/LINE-1"
    kind = schema.kind("brick:AHU").iri

    def told():
        for site in ("campus", "plant"):
            wait_shown(mesh, site)
        connection = mesh._journals.connection
        differences = [contents(connection, twin.snapshot()) for twin in (campus, plant)]
        found = neo4j.run("MATCH (n:Entity {id: $id}) RETURN n._site AS site, labels(n) AS labels", id=ahu)
        labels = {label for row in found for label in row["labels"]}
        return differences, [row["site"] for row in found], "tm:External" in labels, "brick:AHU" in labels

    needs = RelationshipRecord(line, schema.relation("tm:dependsOn").iri, ahu)
    plant.apply(Change(put_twins=(TwinRecord(line, (kind,)),), put_relationships=(needs,)))
    assert told() == ([[], []], ["plant"], True, False)  # nobody has it: the stub
    campus.apply(Change(put_twins=(TwinRecord(ahu, (kind,), "AHU 1"),)))
    assert told() == ([[], []], ["campus"], False, True)
    plant.apply(Change(merge_twins=(TwinRecord(line, attributes={"xnote": Value("again")}),)))
    plant.apply(Change(put_relationships=(RelationshipRecord(line, schema.relation("tm:feeds").iri, ahu),)))
    assert told() == ([[], []], ["campus"], False, True)
    neo4j.run("MATCH (p:_Projection) DELETE p")  # both graphs are made anew, whichever is first
    mesh.close()
    mesh = open_mesh()
    campus, plant = mesh.twin("campus"), mesh.twin("plant")
    assert told() == ([[], []], ["campus"], False, True)
    edges = neo4j.run("MATCH ({id: $line})-[r]->({id: $ahu}) RETURN type(r) AS t", line=line, ahu=ahu)
    assert sorted(row["t"] for row in edges) == ["tm:dependsOn", "tm:feeds"]


def test_a_stub_that_comes_while_an_empty_graph_is_loaded_does_not_stop_it(open_mesh, neo4j, schema):
    """Into an empty graph twins are made without a look for them; whoever came meanwhile is still found."""
    mesh = open_mesh()
    work = Work(mesh.create_site("campus"), schema, 6)
    wait_shown(mesh)
    connection, snapshot = mesh._journals.connection, work.twin.snapshot()
    for had_stub in (False, True):
        neo4j.run("MATCH (n:Entity|_Projection|_Lane) DETACH DELETE n")
        projection = Projection(connection, "campus", lambda: work.twin.epoch)
        statement = "MERGE (:Entity {id: $id})" if had_stub else "RETURN $id"

        def come(statement=statement):
            neo4j.run(statement, id=work.names[3])  # between the look whether it is empty and the first batch
            return False

        projection.batches.stopped = come
        assert projection.load(snapshot)
        assert_equal(neo4j, mesh)
        assert neo4j.run("MATCH (n:Entity) RETURN count(n) AS n")[0]["n"] == len(snapshot.living_rows)


def deadlock(connection, neo4j):
    """The error of one of two transactions that wait for each other."""
    neo4j.run("CREATE (:_Lock {n: 0}), (:_Lock {n: 1})")
    both, errors = Barrier(2, timeout=120), []

    def hold(first):
        try:
            with connection.transaction() as transaction:
                for number in (first, 1 - first):
                    transaction.run("MATCH (l:_Lock {n: $n}) SET l.x = 1", n=number)
                    if number == first:
                        both.wait()
        except StoreError as error:
            errors.append(error)

    threads = [Thread(target=hold, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    neo4j.run("MATCH (l:_Lock) DELETE l")
    [error] = errors
    return error


def test_transactions_that_wait_for_each_other_are_no_trouble(open_mesh, neo4j, schema):
    mesh = open_mesh()
    work = Work(mesh.create_site("campus"), schema, 7)
    wait_shown(mesh)
    error = deadlock(mesh._journals.connection, neo4j)
    assert is_deadlock(error)
    projection, met = mirror_of(mesh)._projection, []
    update = projection.update

    def ended_twice(*words):
        if len(met) < 2:
            met.append(words)
            raise error
        return update(*words)

    projection.update = ended_twice
    work.apply(Change(merge_twins=(TwinRecord(work.names[0], name="new"),)))
    wait_shown(mesh)  # fails where the site is in trouble
    assert len(met) == 2
    assert_equal(neo4j, mesh)
