"""Leases when the clock of Neo4j jumps, when a writer is slow, and when one is lost while taken."""

from __future__ import annotations

import threading

import pytest
from neo4j_waiting import wait_until

from graph.stores.neo4j import lease
from graph.stores.neo4j.connection import Connection, Neo4jPlace
from graph.stores.neo4j.lease import Holder, Leases
from graph.stores.neo4j.store import Neo4jStore
from graph.values import Change, TwinRecord
from ontology.errors import StoreError

pytestmark = pytest.mark.timeout(1200)  # programs are started, and the machine may be busy
BASE = "https://twinmesh.invalid/campus/"


def put(twin, name):
    kind = twin.schema.kind("brick:AHU").iri
    return twin.apply(Change(put_twins=(TwinRecord(f"{BASE}{name}", (kind,)),)))


def shift(neo4j, hours):
    """As if the clock of Neo4j jumped: of all that is stored only leases know what it said."""
    neo4j.run("MATCH (j:_Journal) SET j.held_until = j.held_until - $ms", ms=round(hours * 3_600_000))


def test_a_writer_that_lives_is_not_put_out_by_the_clock_of_neo4j(open_mesh, neo4j, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 1.0)
    monkeypatch.setattr(lease, "SILENT_S", 120.0)
    first = open_mesh("first").create_site("campus")
    put(first, "one")
    for number, hours in enumerate((5, -20, 1000)):
        shift(neo4j, hours)
        with pytest.raises(StoreError) as caught:
            open_mesh(f"second{number}")
        assert caught.value.code == "STORE_LOCKED" and "first" in caught.value.message
    assert put(first, "two").revision == 2
    assert first.troubles == ()


@pytest.mark.parametrize("hours", [3, -3])
def test_whoever_shows_no_life_is_dead_whatever_the_clock_says(open_mesh, neo4j, monkeypatch, hours):
    monkeypatch.setattr(lease, "LEASE_S", 3600.0)
    monkeypatch.setattr(lease, "SILENT_S", 1.0)
    first = open_mesh("first")
    for site in ("campus", "plant"):
        first.create_site(site)
    first.close()
    neo4j.run("MATCH (j:_Journal) SET j.holder = 'x', j.holder_name = 'dead'")
    neo4j.run("MATCH (j:_Journal) SET j.held_until = timestamp() + 900000")
    with pytest.raises(StoreError) as caught:
        open_mesh("second")
    assert caught.value.code == "STORE_LOCKED" and "dead" in caught.value.message
    shift(neo4j, hours)
    assert put(open_mesh("second").twin("campus"), "one").revision == 1


def test_a_commit_is_a_sign_of_life(open_mesh, neo4j, monkeypatch):
    """A large import may hold the journal for longer than a lease, so that it is not renewed meanwhile."""
    monkeypatch.setattr(lease, "SILENT_S", 120.0)
    monkeypatch.setattr(lease, "RENEW_S", 3600.0)
    first = open_mesh("first").create_site("campus")
    neo4j.run("MATCH (j:_Journal) SET j.holder = 'busy', j.holder_name = 'busy', j.held_until = 1")
    stop = threading.Event()

    def write():
        number = 0
        while not stop.wait(0.2):
            put(first, number := number + 1)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        with pytest.raises(StoreError) as caught:
            open_mesh("second")
    finally:
        stop.set()
        writing.join()
    assert caught.value.code == "STORE_LOCKED" and "busy" in caught.value.message


def test_what_an_old_writer_wrote_while_the_new_one_opened_is_there(open_mesh, monkeypatch):
    first = open_mesh("first").create_site("campus")
    put(first, "one")
    take_over = Neo4jStore.take_over

    def late(store):
        monkeypatch.undo()
        put(first, "late")  # the new one has read the journal, and is not the writer yet
        return take_over(store)

    monkeypatch.setattr(Neo4jStore, "take_over", late)
    second = open_mesh("second", take_over=True).twin("campus")
    assert second.snapshot().row(f"{BASE}late") >= 0
    assert put(second, "next").revision == 3
    assert second.troubles == ()


def test_whoever_lost_its_lease_while_it_opened_does_not_fence_the_new_writer(open_mesh, monkeypatch):
    first = open_mesh("first")
    first.create_site("campus")
    first.close()
    take_over, made = Neo4jStore.take_over, []

    def late(store):
        if not made:
            made.append(None)
            made[0] = open_mesh("second", take_over=True)
        return take_over(store)

    monkeypatch.setattr(Neo4jStore, "take_over", late)
    slow = open_mesh("slow").twin("campus")
    assert [trouble.code for trouble in slow.troubles] == ["STORE_FENCED"]
    assert put(made[0].twin("campus"), "one").revision == 1
    with pytest.raises(StoreError) as caught:
        put(slow, "two")
    assert caught.value.code == "STORE_FENCED"


def test_a_lease_lost_between_taking_and_keeping_is_told(open_mesh, neo4j, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    mesh = open_mesh("first")
    twin = mesh.create_site("campus")
    with Connections(neo4j) as connection:
        leases = Leases(connection)
        leases.take("campus", Holder("other", "other", force=True))
        wait_until(lambda: twin.troubles, "the loss")
        neo4j.run("MATCH (j:_Journal) SET j.holder = 'third'")
        wait_until(lambda: "campus" in leases._lost, "the loss")
        told = Told()
        leases.keep(told)
        assert told.codes == ["STORE_FENCED"]
        leases.close()


class Connections:
    """One of its own to the Neo4j of the suite."""

    def __init__(self, neo4j):
        self._connection = Connection(Neo4jPlace(neo4j.url, password=neo4j.password))

    def __enter__(self):
        return self._connection

    def __exit__(self, *_):
        self._connection.close()


class Told:
    """In the place of a twin: what it is told."""

    site = "campus"

    def __init__(self):
        self.codes = []
        self.media = (self,)

    def fail(self, error):
        self.codes.append(error.code)
