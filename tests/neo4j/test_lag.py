"""How far behind a follower or a graph is, as `doctor`, /metrics and GraphQL tell it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from neo4j_waiting import mirror_of, wait_shown, wait_until

from bench.two_servers import PUT, Serving
from graph.stores.neo4j import mirror
from graph.values import Change, TwinRecord

pytestmark = pytest.mark.timeout(1200)  # programs are started, and the machine may be busy
PROGRAM = str(Path(sys.executable).parent / "twinmesh")
BASE = "https://twinmesh.invalid/campus/"
SITES = "{ sites { name revision lagCommits lagSeconds graphLagCommits graphLagSeconds } }"


def doctor(*words, env=None):
    """Findings by name."""
    done = subprocess.run(
        [PROGRAM, "doctor", *words, "--json"], env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode in (0, 1), done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)["findings"]}


def test_a_follower_that_was_stopped_catches_up_and_says_so(neo4j, open_mesh, tmp_path):
    maker = open_mesh("maker")
    maker.create_site("campus")
    maker.close()
    with ExitStack() as stack:
        writer = Serving(tmp_path / "writer", neo4j)
        stack.callback(writer.stop)
        follower = Serving(tmp_path / "follower", neo4j, "--follow")
        stack.callback(follower.stop)
        follower.process.send_signal(signal.SIGSTOP)
        try:
            for number in range(20):
                answer = writer.ask(PUT, id=f"t{number}", note={"x:note": "n"}, key=f"k{number}")
                assert "errors" not in answer, answer
        finally:
            follower.process.send_signal(signal.SIGCONT)

        def site_of(server):
            return server.ask(SITES)["data"]["sites"][0]

        wait_until(lambda: site_of(follower)["revision"] == "20", "catching up")
        wait_until(lambda: site_of(follower)["lagCommits"] == 0, "catching up")
        assert site_of(follower)["graphLagCommits"] is None
        wait_until(lambda: site_of(writer)["graphLagCommits"] == 0, "the graph")
        assert site_of(writer)["lagCommits"] == 0
        told = httpx.get(f"{writer.url}/metrics", timeout=60).text
        assert 'twinmesh_graph_lag_commits{site="campus"} 0' in told
        assert 'twinmesh_graph_foreign_by_trigger{site="campus"} 0' in told
        told = httpx.get(f"{follower.url}/metrics", timeout=60).text
        assert 'twinmesh_follower_lag_commits{site="campus",worker="1"} 0' in told
        found = doctor("--url", follower.url)
        assert found["site campus"]["detail"].startswith("revision 20, 0 commits behind"), found
        found = doctor("--url", writer.url)
        assert found["neo4j graph campus"]["detail"].startswith("0 commits behind"), found


def test_doctor_tells_what_a_graph_lacks_and_who_holds_the_lease(
    neo4j, open_mesh, environment, schema, tmp_path
):
    mesh = open_mesh()
    twin = mesh.create_site("campus")
    kind = schema.kind("brick:AHU").iri
    for number in range(4):
        twin.apply(Change(put_twins=(TwinRecord(f"https://twinmesh.invalid/campus/{number}", (kind,)),)))
    wait_shown(mesh)
    assert mirror_of(mesh).lag().commits == 0 and mirror_of(mesh).lag().age_s == 0.0
    detail = doctor("--data", str(tmp_path / "first"), env=environment)["neo4j site campus"]["detail"]
    assert "its graph is complete; written by" in detail and " lease " in detail
    mesh.close()
    neo4j.run("MATCH (p:_Projection) SET p.sequence = 1")
    found = doctor("--data", str(tmp_path / "first"), env=environment)["neo4j site campus"]
    assert found["state"] == "warning" and "its graph lacks 3 for " in found["detail"]
    assert found["detail"].endswith("nobody writes it")


@contextmanager
def locked(neo4j, iri):
    """Another program's transaction that has written to a twin, and does not end."""
    with neo4j.driver() as driver, driver.session() as session, session.begin_transaction() as foreign:
        foreign.run("MATCH (n:Entity {id: $id}) SET n.name = 'busy'", id=iri).consume()
        yield
        foreign.rollback()


def test_a_writer_whose_graph_cannot_follow_says_so_and_heals(neo4j, open_mesh, tmp_path):
    maker = open_mesh("maker")
    maker.create_site("campus")
    maker.close()
    with ExitStack() as stack:
        writer = Serving(tmp_path / "writer", neo4j, more={"TWINMESH_STORE__GRAPH_LAG_S_MAX": "2"})
        stack.callback(writer.stop)

        def put(note):
            answer = writer.ask(PUT, id="t0", note={"x:note": note}, key=note)
            assert "errors" not in answer, answer

        def ready():
            answer = httpx.get(f"{writer.url}/readyz", timeout=60)
            return answer.status_code, answer.json()["problem"]

        def shown():
            return neo4j.run("MATCH (n:Entity {id: $id}) RETURN n.`x:note` AS note", id=f"{BASE}t0")

        put("before")
        wait_until(lambda: shown() == [{"note": "before"}], "the graph")
        wait_until(lambda: ready() == (200, None), "readiness")
        with locked(neo4j, f"{BASE}t0"):
            put("meanwhile")  # the journal goes on
            wait_until(lambda: ready() == (503, "GRAPH_LAGGING"), "the lag")
            site = writer.ask(SITES)["data"]["sites"][0]
            assert site["graphLagCommits"] == 1 and site["graphLagSeconds"] > 2, site
            assert shown() == [{"note": "before"}]
        wait_until(lambda: ready() == (200, None), "healing")
        assert shown() == [{"note": "meanwhile"}]


def test_a_site_can_be_closed_although_its_graph_waits_for_somebody(neo4j, open_mesh, monkeypatch, caplog):
    monkeypatch.setattr(mirror, "FINISH_S_MAX", 0.5)
    monkeypatch.setattr(mirror, "END_S_MAX", 0.5)
    mesh = open_mesh()
    twin = mesh.create_site("campus")
    kind = twin.schema.kind("brick:AHU").iri

    def put(name):
        twin.apply(Change(put_twins=(TwinRecord(f"{BASE}t0", (kind,), name),)))

    put("before")
    wait_shown(mesh)
    with locked(neo4j, f"{BASE}t0"):
        put("meanwhile")
        wait_until(lambda: mirror_of(mesh).lag().age_s > 0.2, "the lag")
        mesh.close()
    assert "waits in Neo4j" in caplog.text
    again = open_mesh()
    wait_shown(again)
    assert neo4j.run("MATCH (n:Entity {id: $id}) RETURN n.name AS n", id=f"{BASE}t0") == [{"n": "meanwhile"}]
