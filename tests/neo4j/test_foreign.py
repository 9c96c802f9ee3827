"""Changes of other programs, noted by an APOC trigger in a real Neo4j: all of them are told, none of ours."""

from __future__ import annotations

import json
import random
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from threading import Event, Thread

import pytest
from graph_reading import listed, of_neo4j, of_snapshot
from neo4j.spatial import CartesianPoint
from neo4j_waiting import mirror_of, wait_shown, wait_until
from test_graph import Work, iri

from bench import apoc, neo4j_server
from bench.jars import MissingError
from graph.mesh import Mesh
from graph.stores.choosing import open_journals
from graph.stores.neo4j.trigger import CHANGES_MAX, NAME, STATEMENT
from graph.values import Change, TwinRecord
from ontology.units import load_units
from tests.conftest import missing

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy
VALUES = (
    7, 2.5, True, "text", "", [1, 2], [1.5], ["a"], b"bytes", date(2026, 11, 22), 2**62, -0.5, float("inf"),
    datetime(2026, 11, 22, tzinfo=UTC), timedelta(days=1, seconds=3), CartesianPoint((1.0, 2.0)),
)  # fmt: skip


@pytest.fixture(scope="module")
def apoc_started(tmp_path_factory):
    """A Neo4j of this file's own, with APOC that may have triggers."""
    if apoc.APOC is None:
        pytest.skip(f"Maven Central has no APOC for Neo4j {neo4j_server.VERSION}")
    try:
        server = neo4j_server.Server.make(tmp_path_factory.mktemp("apoc") / "home")
        apoc.add(server)
    except MissingError as error:
        missing(f"Neo4j with APOC: {error}")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(apoc_started):
    """The same, empty. A trigger that an earlier test left does no harm: there is nothing to note."""
    apoc_started.clear()
    return apoc_started


@pytest.fixture
def open_watched(server, tmp_path, schema):
    """Opens the folder `first` on that Neo4j; closes what is open at the end."""
    with ExitStack() as stack:

        def open_one(name="first", *, by_trigger=True):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "twinmesh.toml").write_text("format = 1\n")
            journals = open_journals(folder, server.url, password=server.password, by_trigger=by_trigger)
            mesh = Mesh.open(folder, schema, units=load_units(), read_only=False, journals=journals)
            stack.callback(mesh.close)
            return mesh

        yield open_one


def wait_active(mesh):
    foreign = mirror_of(mesh).foreign
    wait_until(lambda: foreign.means.by_trigger, f"the trigger ({foreign.means.reason})")
    return foreign


def watch_of(server):
    rows = server.run("MATCH (w:_Watch {site: 'campus'}) RETURN properties(w) AS w")
    notes = server.run("MATCH (f:_Foreign) RETURN count(f) AS c")[0]["c"]
    return rows[0]["w"], notes


def wait_quiet(server, mesh):
    """Until everything that was noted is compared with the newest commit."""
    mirror, twin = mirror_of(mesh), mesh.twin("campus")

    def is_quiet():
        watch, notes = watch_of(server)
        shown = mirror.sequence >= twin.snapshot().revision
        return shown and not notes and not watch["whole"] and watch["turn"] == watch["handled"]

    wait_until(is_quiet, "the reading of notes")


def differing_by_hand(server, snapshot):
    """Ids of twins that are there otherwise, or have other relationships: set difference of plain texts."""
    (twins, edges), (wanted_twins, wanted_edges) = listed(server, "campus"), of_snapshot(snapshot)
    found = {json.loads(text)[0]["id"] for text in set(twins) ^ wanted_twins}
    there, wanted = Counter(edges), Counter(wanted_edges)
    return found | {json.loads(text)[0] for text in (there - wanted) + (wanted - there)}


class Stranger:
    """Random writes of another program to the graph of a site."""

    def __init__(self, server, schema, names, seed):
        self.rng, self.server, self.schema, self.names = random.Random(seed), server, schema, list(names)
        self.transactions = 0
        self.number = 0

    def step(self):
        """One transaction of several statements."""
        rng = self.rng
        with self.server.driver() as driver, driver.session() as session:
            asked = [self._statement() for _ in range(rng.randint(1, 4))]

            def work(transaction):
                for statement, values in asked:
                    transaction.run(statement, values).consume()

            session.execute_write(work)
        self.transactions += 1

    def _statement(self):
        rng, values = self.rng, {"a": self.rng.choice(self.names), "b": self.rng.choice(self.names)}
        values["v"] = rng.choice(VALUES)
        key = rng.choice(("name", "_revision", "_kind", "xnote", "xnew", "_local"))
        label = rng.choice(("brick:AHU", "brick:VAV", "tm:Asset", "Mine", "_Gone"))
        kind = rng.choice(("tm:feeds", "tm:dependsOn", "MINE"))
        self.number += 1
        fresh = iri(f"foreign{self.number}-{rng.randint(0, 10**9)}")
        match rng.randint(0, 13):
            case 0:
                self.names.append(fresh)
                row = {"id": fresh, "_site": "campus", "_kind": "brick:AHU", "_revision": 1, "x": values["v"]}
                return "CREATE (n:Entity:`brick:AHU`) SET n = $row", {"row": row}
            case 1:
                return "MATCH (n:Entity {id: $a}) DETACH DELETE n", values
            case 2 | 3:
                return f"MATCH (n:Entity {{id: $a}}) SET n.`{key}` = $v", values
            case 4:
                return f"MATCH (n:Entity {{id: $a}}) REMOVE n.`{key}`", values
            case 5:
                return f"MATCH (n:Entity {{id: $a}}) SET n:`{label}`", values
            case 6:
                return f"MATCH (n:Entity {{id: $a}}) REMOVE n:`{label}`", values
            case 7:
                link = f"CREATE (n)-[:`{kind}` {{_site: 'campus', weight: $v}}]->(m)"
                return f"MATCH (n:Entity {{id: $a}}) MATCH (m:Entity {{id: $b}}) {link}", values
            case 8:
                own = rng.choice(("weight", "_group", "_id"))
                return f"MATCH (:Entity {{id: $a}})-[r]->() WITH r LIMIT 1 SET r.`{own}` = $v", values
            case 9:
                return "MATCH (:Entity {id: $a})-[r]-() WITH r LIMIT 1 DELETE r", values
            case 10:  # nothing changes
                return "MATCH (n:Entity {id: $a}) SET n.name = n.name", values
            case 11:  # not ours
                return "CREATE (:Other {id: $a, _mine: $v})-[:MINE]->(:Other)", values
            case 12:
                self.names.append(fresh)
                return "MATCH (n:Entity {id: $a}) SET n.id = $fresh", {**values, "fresh": fresh}
            case _:
                return "MATCH (n:Entity {id: $a}) SET n._site = 'plant'", values


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 30))])
def test_random_changes_of_others_are_told_while_we_write(open_watched, server, schema, seed):
    mesh = open_watched()
    twin = mesh.create_site("campus")
    work = Work(twin, schema, seed)
    wait_shown(mesh)
    foreign = wait_active(mesh)
    stranger, ends = Stranger(server, schema, work.names, seed), Event()

    def write():
        while not ends.is_set():
            work.step()
            ends.wait(0.02)

    writer = Thread(target=write)
    writer.start()
    try:
        for _ in range(25):
            stranger.step()
    finally:
        ends.set()
        writer.join()
    for _ in range(5):  # of which we mend nothing
        stranger.step()
    wait_quiet(server, mesh)
    expected = differing_by_hand(server, twin.snapshot())
    assert set(foreign.standing) == expected
    codes = ["STORE_FOREIGN_CHANGE"] if expected else []
    wait_until(lambda: [trouble.code for trouble in twin.troubles] == codes, f"{codes}")
    watch, _ = watch_of(server)
    assert set(watch["suspects"]) == expected and watch["waiting"] == 0
    commits = twin.snapshot().revision
    print(f"seed {seed}: {stranger.transactions} transactions of others, {watch['turn'] - 1} notes, "
          f"{commits} commits of ours, {len(expected)} twins told")  # fmt: skip


def test_our_own_writes_are_not_noted(open_watched, server, schema):
    """Nor those of a graph that is cleared and made anew, in transactions within transactions."""
    mesh = open_watched()
    wait_active_of(mesh, "campus", schema)
    before = watch_of(server)[0]["turn"]
    work = Work(mesh.twin("campus"), schema, 5)
    for _ in range(15):
        work.step()
    wait_quiet(server, mesh)
    mesh.close()
    server.run("MATCH (p:_Projection) DELETE p")
    again = open_watched("again")
    wait_shown(again)
    wait_quiet(server, again)
    assert watch_of(server) == ({**watch_of(server)[0], "turn": before}, 0)
    assert of_neo4j(server, "campus") == of_snapshot(again.twin("campus").snapshot())


def wait_active_of(mesh, site, schema):
    mesh.create_site(site)
    wait_shown(mesh, site)
    return wait_active(mesh)


def test_what_others_change_while_we_are_away_is_told_and_undone_it_heals(open_watched, server, schema):
    mesh = open_watched()
    wait_active_of(mesh, "campus", schema)
    work = Work(mesh.twin("campus"), schema, 6)
    wait_quiet(server, mesh)
    mesh.close()
    name = work.names[7]
    server.run("MATCH (n:Entity {id: $id}) SET n.xnew = date()", id=name)
    assert watch_of(server)[1] == 1
    mesh = open_watched()
    twin = mesh.twin("campus")
    wait_until(lambda: twin.troubles, "the finding")
    assert twin.troubles[0].reason == f"another program changed the graph: {name} is not what was written"
    assert mirror_of(mesh).foreign.standing == {name}
    mesh.close()  # it is remembered, although its note is gone
    mesh = open_watched()
    twin = mesh.twin("campus")
    wait_until(lambda: twin.troubles, "the finding after a restart")
    server.run("MATCH (n:Entity {id: $id}) REMOVE n.xnew", id=name)
    wait_until(lambda: not twin.troubles, "healing")
    wait_quiet(server, mesh)
    assert watch_of(server)[0]["suspects"] == [] and mirror_of(mesh).foreign.standing == frozenset()


@pytest.mark.parametrize("count", [5_000, pytest.param(9_000, marks=pytest.mark.long)])
def test_many_at_once_are_told_one_by_one(open_watched, server, schema, count):
    """Beyond CHANGES_MAX everything is compared: the same is found."""
    mesh = open_watched()
    foreign = wait_active_of(mesh, "campus", schema)
    twin, kind = mesh.twin("campus"), schema.kind("brick:AHU").iri
    names = [iri(f"m{number}") for number in range(count + 100)]
    twin.apply(Change(put_twins=tuple(TwinRecord(name, (kind,)) for name in names)))
    wait_shown(mesh)
    wait_quiet(server, mesh)
    changed = "UNWIND $ids AS id MATCH (n:Entity {id: id}) SET n += {xnew: 1, xold: 2, xolder: 3}"
    server.run(changed, ids=names[:count])
    if 3 * count > CHANGES_MAX:
        assert watch_of(server)[0]["whole"]
    wait_quiet(server, mesh)
    assert foreign.standing == set(names[:count])
    server.run("MATCH (n:Entity) REMOVE n.xnew, n.xold, n.xolder")
    wait_until(lambda: not twin.troubles and not foreign.standing, "healing")
    print(count, "changed at once and told")


def test_a_twin_without_an_id_has_everything_compared(open_watched, server, schema):
    mesh = open_watched()
    wait_active_of(mesh, "campus", schema)
    work = Work(mesh.twin("campus"), schema, 7)
    wait_shown(mesh)
    wait_quiet(server, mesh)
    before = watch_of(server)[0]["turn"]
    server.run("CREATE (:Entity {_site: 'campus', _kind: 'brick:AHU', _revision: 1, id: 7})")
    wait_until(lambda: work.twin.troubles, "the finding")
    assert "brick:AHU" in work.twin.troubles[0].reason
    assert watch_of(server)[0]["turn"] == before + 1


def test_the_trigger_of_an_older_version_is_replaced_and_taken_away_on_request(open_watched, server, schema):
    mesh = open_watched()
    wait_active_of(mesh, "campus", schema)
    mesh.close()
    shown = "CALL apoc.trigger.list() YIELD name, query RETURN name, query"
    with server.driver() as driver, driver.session(database="system") as session:
        old = "CALL apoc.trigger.install('neo4j', $name, 'RETURN 1', {phase: 'before'}, {})"
        session.run(old, name=NAME).consume()
    wait_until(lambda: server.run(shown) == [{"name": NAME, "query": "RETURN 1"}], "the older one")
    mesh = open_watched()
    wait_shown(mesh)
    wait_active(mesh)
    assert server.run(shown) == [{"name": NAME, "query": STATEMENT}]
    mesh.close()
    mesh = open_watched(by_trigger=False)
    wait_shown(mesh)
    wait_until(lambda: server.run(shown) == [], "the taking away")
    assert server.run("MATCH (n:_Watch|_Foreign) RETURN count(n) AS c") == [{"c": 0}]
    assert mirror_of(mesh).foreign.means.reason.startswith("comparing was asked for")


def test_without_leave_to_have_triggers_changes_are_found_by_comparing(open_watched, server, schema):
    config = server.home / "conf" / "apoc.conf"
    allowed = config.read_text()
    server.stop()
    config.write_text(allowed.replace("enabled=true", "enabled=false"))
    server.start()
    try:
        mesh = open_watched()
        work = Work(mesh.create_site("campus"), schema, 8)
        wait_shown(mesh)
        means = mirror_of(mesh).foreign.means
        assert not means.by_trigger and "not allowed" in means.reason, means
        server.run("CREATE (:Entity {_site: 'campus', _kind: 'brick:AHU', _revision: 1, id: 'urn:x'})")
        mirror_of(mesh).check_soon()
        wait_until(lambda: work.twin.troubles, "the finding")
        assert [trouble.code for trouble in work.twin.troubles] == ["STORE_FOREIGN_CHANGE"]
        mesh.close()
    finally:
        server.stop()
        config.write_text(allowed)
        server.start()
