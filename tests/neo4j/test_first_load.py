"""Whole sites by files into an empty Neo4j, with its own offline import: nothing is loaded twice or lost."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from graph_reading import of_neo4j, of_snapshot
from neo4j_waiting import mirror_of, wait_shown, wait_until
from rich_sites import RichWork

from bench import neo4j_server
from bench.neo4j_admin import run_import
from graph.content import content_of
from graph.mesh import Mesh
from graph.stores.choosing import open_journals
from graph.stores.neo4j.differences import contents
from graph.values import Change, TwinRecord, Value

PROGRAM = str(Path(sys.executable).parent / "twinmesh")

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy


@pytest.fixture
def server(tmp_path):
    """One that was never started; stopped at the end where it was."""
    server = neo4j_server.Server.make(tmp_path / "home")
    yield server
    server.stop()


def exported(folder, out, *words):
    command = [PROGRAM, "export", "--format", "neo4j-import", "--data", str(folder), "--out", str(out)]
    done = subprocess.run([*command, "--json", *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def imported(server, out):
    """(nodes, relationships) that the import tells."""
    said = run_import(server, out, "neo4j", options=("-Xmx512m", "-XX:TieredStopAtLevel=1"))
    return tuple(int(re.search(rf"(\d+) {what}", said)[1]) for what in ("nodes", "relationships"))


def opened(server, folder, schema, **how):
    folder.mkdir(exist_ok=True)
    (folder / "twinmesh.toml").write_text(f'format = 1\n[store]\nurl = "{server.url}"\n')
    journals = open_journals(folder, server.url, password=server.password)
    return Mesh.open(folder, schema, journals=journals, **how)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 12))])
def test_rich_sites_go_in_by_files_and_go_on(server, schema, tmp_path, seed):
    print("seed", seed)
    before = {}
    with Mesh.open(tmp_path / "data", schema) as mesh:
        work = RichWork(mesh, schema, random.Random(seed))
        for _ in range(60):
            work.step()
        for site in mesh.sites:
            snapshot = mesh.twin(site).snapshot()
            before[site] = (snapshot.revision, content_of(snapshot), of_snapshot(snapshot))
    print("revisions", {site: revision for site, (revision, *_) in before.items()}, "refused", work.refused)
    told = exported(tmp_path / "data", tmp_path / "files")
    assert imported(server, tmp_path / "files") == (told["nodes"], told["relationships"])
    server.start()
    later(server, schema, tmp_path / "data", before)
    # The folder goes on with its settings changed: readings, tokens and checkpoints are there.
    with opened(server, tmp_path / "data", schema) as mesh:
        for site, (revision, content, graph) in before.items():
            wait_shown(mesh, site)
            twin = mesh.twin(site)
            assert twin.snapshot().revision == revision
            assert content_of(twin.snapshot()) == content
            assert contents(mesh._journals.connection, twin.snapshot()) == []
            assert_shown(of_neo4j(server, site), graph, mesh, site)
        goes_on(mesh, server, schema, tmp_path)
    named = {**os.environ, "TWINMESH_STORE__PASSWORD": server.password}
    words = [PROGRAM, "verify", "--data", str(tmp_path / "data"), "--json"]
    done = subprocess.run(words, env=named, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the graph beside it" in done.stdout and "not compared" not in done.stdout, done.stdout


def later(server, schema, folder, before):
    """What is written behind the export follows by `migrate`; the graph goes on from the marks."""
    marks = server.run("MATCH (p:_Projection) RETURN p.site AS site, p.sequence AS at")
    assert {row["site"]: row["at"] for row in marks} == {site: one[0] for site, one in before.items()}
    with Mesh.open(folder, schema) as mesh:
        twin = mesh.twin("plant")
        iri = next(
            iri for iri in twin.snapshot().ids(twin.snapshot().living_rows) if iri.startswith(twin.base)
        )
        twin.apply(Change(merge_twins=(TwinRecord(iri, attributes={"note": Value("later")}),)))
        before["plant"] = (
            twin.snapshot().revision,
            content_of(twin.snapshot()),
            of_snapshot(twin.snapshot()),
        )
    named = {**os.environ, "TWINMESH_STORE__PASSWORD": server.password}
    words = [PROGRAM, "migrate", "--from", str(folder), "--to", server.url, "--json"]
    done = subprocess.run(words, env=named, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {one["site"]: one for one in json.loads(done.stdout)["sites"]}
    assert told["plant"]["began"] == before["plant"][0] - 1
    assert {site: one["content"] for site, one in told.items()} == {
        s: one[1].hash for s, one in before.items()
    }


def assert_shown(found, wanted, mesh, site):
    """A stub may be shown by the twin of another site; all else is there as it was."""
    stubs = wanted[0] - found[0]
    assert found[0] <= wanted[0]
    for text in stubs:
        node = json.loads(text)[0]
        others = [mesh.twin(other).snapshot() for other in mesh.sites if other != site]
        assert node["_kind"] == "tm:External" and any(one.row(node["id"]) >= 0 for one in others), node
    assert found[1] == wanted[1]


def goes_on(mesh, server, schema, tmp_path):
    """A change of the writer is in the graph and at a follower."""
    with opened(server, tmp_path / "follower", schema, read_only=True) as follower:
        first, *_ = mesh.sites
        twin = mesh.twin(first)
        kind = schema.kind("brick:AHU").iri
        new = TwinRecord(f"{twin.base}new", (kind,), "new", None, {"note": Value("after")})
        gone = twin.snapshot().id(int(twin.snapshot().living_rows[0]))
        for change in (Change(put_twins=(new,)), Change(remove_twins=(gone,))):
            commit = twin.apply(change)
        wait_shown(mesh, first)
        assert contents(mesh._journals.connection, twin.snapshot()) == []
        wait_until(lambda: follower.twin(first).snapshot().revision >= commit.revision, "the follower")
        assert content_of(follower.twin(first).snapshot()) == content_of(twin.snapshot())
    assert mirror_of(mesh, first).medium.trouble is None
