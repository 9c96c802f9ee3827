"""A Neo4j whose limits are too low for our batches: they are halved, and what still does not pass is told."""

from __future__ import annotations

from itertools import pairwise

import pytest
from graph_reading import of_neo4j, of_snapshot
from neo4j_waiting import mirror_of, wait_shown

from bench import neo4j_server
from graph.mesh import Mesh
from graph.stores.choosing import open_journals
from graph.stores.neo4j.connection import Connection, Neo4jPlace
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.errors import StoreError
from ontology.units import load_units
from tests.conftest import missing

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy
BASE = "https://twinmesh.invalid/campus/"
TWINS = 6_000


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A Neo4j with little memory for one transaction."""
    try:
        server = neo4j_server.Server.make(tmp_path_factory.mktemp("narrow") / "home")
    except neo4j_server.MissingError as error:
        missing(f"Neo4j: {error}")
    server.settings = "db.memory.transaction.max=8m\n"
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def connection(narrow):
    narrow.clear()
    made = Connection(Neo4jPlace(narrow.url, "neo4j", narrow.password))
    yield made
    made.close()


def test_too_little_memory_is_told_with_what_to_do(connection):
    with pytest.raises(StoreError) as caught:
        connection.run(
            "UNWIND range(1, 500000) AS i WITH collect({a: i, b: toString(i)}) AS a RETURN size(a)"
        )
    assert caught.value.code == "STORE_MEMORY" and "db.memory.transaction.max" in (caught.value.hint or "")


@pytest.mark.long
def test_batches_are_halved_until_they_pass(narrow, connection, tmp_path, schema):
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "twinmesh.toml").write_text("format = 1\n")
    journals = open_journals(folder, narrow.url, password=narrow.password)
    mesh = Mesh.open(folder, schema, units=load_units(), read_only=False, journals=journals)
    try:
        twin, kind = mesh.create_site("campus"), schema.kind("brick:AHU").iri
        feeds = schema.relation("tm:feeds").iri
        names = [f"{BASE}{number}" for number in range(TWINS)]
        note = {"xnote": Value("n" * 400)}
        for first in range(0, TWINS, 500):  # the journal writes a commit at a time
            some = names[first : first + 500]
            twin.apply(Change(put_twins=tuple(TwinRecord(name, (kind,), None, None, note) for name in some)))
        links = pairwise(names)
        twin.apply(Change(put_relationships=tuple(RelationshipRecord(a, feeds, b) for a, b in links)))
        wait_shown(mesh)
        connection.run("MATCH (p:_Projection) DELETE p")
        projection = mirror_of(mesh)._projection
        mesh.close()
        mesh = Mesh.open(
            folder, schema, units=load_units(), read_only=False,
            journals=open_journals(folder, narrow.url, password=narrow.password),
        )  # fmt: skip
        wait_shown(mesh)
        halvings = mirror_of(mesh)._projection.batches.halvings + projection.batches.halvings
        assert halvings > 0, "the limit was never met"
        assert of_neo4j(narrow, "campus") == of_snapshot(mesh.twin("campus").snapshot())
        print("halved", halvings, "times")
    finally:
        mesh.close()


def test_a_transaction_that_takes_too_long_is_told(narrow):
    before = narrow.settings
    narrow.stop()
    narrow.settings = "db.transaction.timeout=1s\ndb.transaction.monitor.check.interval=200ms\n"
    narrow.start()
    connection = Connection(Neo4jPlace(narrow.url, "neo4j", narrow.password))
    try:
        with pytest.raises(StoreError) as caught:
            connection.run("UNWIND range(1, 100000000000) AS i RETURN count(i)")
        assert caught.value.code == "STORE_TIMED_OUT" and "db.transaction.timeout" in (
            caught.value.hint or ""
        )
    finally:
        connection.close()
        narrow.stop()
        narrow.settings = before
        narrow.start()
