"""The campus brought to Neo4j and back, both broken off by kills: the same hashes everywhere.

`make long` takes all 100 buildings (552,111 twins, 1,001,186 relationships), every run two of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from neo4j_waiting import mirror_of, wait_until

from bench import neo4j_server
from bench.campus_folder import make_campus
from graph.content import content_of
from graph.journals import LocalJournals
from graph.mesh import Mesh
from graph.stores.choosing import open_journals
from ontology.errors import StoreError

PROGRAM = str(Path(sys.executable).parent / "twinmesh")
BUILDINGS = 100
HEAP_MB, PAGES_MB = 2048, 512
LOAD_S_MAX = 5400.0

pytestmark = [pytest.mark.timeout(10_800), pytest.mark.long]


@pytest.fixture
def server(tmp_path):
    """A Neo4j of its own: the one of the suite has too small a heap."""
    with neo4j_server.running(tmp_path / "home", heap_mb=HEAP_MB, pages_mb=PAGES_MB) as server:
        yield server


def migrating(server, source, target):
    named = {**os.environ, "TWINMESH_STORE__PASSWORD": server.password}
    words = [PROGRAM, "migrate", "--from", str(source), "--to", str(target), "--json"]
    return subprocess.Popen(words, env=named, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process, code):
    out, err = process.communicate(timeout=LOAD_S_MAX)
    assert process.returncode == code, out + err
    return out, err


def in_neo4j(server):
    rows = server.run("MATCH (j:_Journal {site: 'campus'}) RETURN j.sequence AS n")
    return rows[0]["n"] if rows else 0


def in_folder(folder):
    try:
        with closing(LocalJournals(folder).journal("campus").open_reader()) as reader:
            return reader.head().sequence
    except StoreError:
        return 0


def test_a_campus_migrates_both_ways_in_spite_of_kills(server, schema, tmp_path):
    buildings = int(os.environ.get("TWINMESH_CAMPUS_BUILDINGS", BUILDINGS))
    began_s = time.monotonic()

    def say(what):
        print(f"{time.monotonic() - began_s:6.0f} s  {what}", flush=True)

    content, counts, revision = make_campus(tmp_path / "files", schema, buildings)
    say(f"made {counts[0]:,} twins, {counts[1]:,} relationships, {revision} commits: {content.hash}")

    # There: Neo4j is killed in the middle.
    process = migrating(server, tmp_path / "files", server.url)
    wait_until(lambda: in_neo4j(server) > 0 or process.poll() is not None, "the first commits")
    server.kill()
    _, told = finished(process, 1)
    assert "STORE_UNREACHABLE" in told, told
    server.start()
    before = in_neo4j(server)
    say(f"Neo4j was killed with {before} commits in it: {told.strip().splitlines()[-1][:120]}")
    out, _ = finished(migrating(server, tmp_path / "files", server.url), 0)
    (there,) = json.loads(out)["sites"]
    say(f"gone on at {there['began']}: {there}")
    assert (there["content"], int(there["revision"])) == (content.hash, revision)
    assert 0 < before <= there["began"]
    assert there["began"] < revision or buildings < BUILDINGS, "it was killed too late"

    # The graph of the twins, too, is loaded in spite of a kill, and is what the journal says.
    shown_in_spite_of_a_kill(server, schema, tmp_path / "writer", content, say)

    # Back: once Neo4j is killed, once the program.
    back = tmp_path / "back"
    process = migrating(server, server.url, back)
    wait_until(lambda: in_folder(back) > 0 or process.poll() is not None, "the first commits")
    server.kill()
    finished(process, 1)
    server.start()
    some = in_folder(back)
    process = migrating(server, server.url, back)
    wait_until(lambda: in_folder(back) > some or process.poll() is not None, "more commits")
    process.kill()
    process.communicate()
    more = in_folder(back)
    out, _ = finished(migrating(server, server.url, back), 0)
    (home,) = json.loads(out)["sites"]
    say(f"back: killed at {some} and {more} commits, gone on at {home['began']}: {home}")
    assert 0 < some <= more <= home["began"] <= revision
    assert some < revision or buildings < BUILDINGS, "it was killed too late"
    assert (home["content"], home["digest"]) == (content.hash, there["digest"])
    with Mesh.open(back, schema, read_only=True) as mesh:
        snapshot = mesh.twin("campus").snapshot()
        assert (len(snapshot.living_rows), int(snapshot.edge_alive.sum())) == counts
        assert content_of(snapshot).hash == content.hash
    say("all hashes are equal")


def shown_in_spite_of_a_kill(server, schema, folder, content, say):
    folder.mkdir()
    (folder / "twinmesh.toml").write_text("format = 1\n")
    journals = open_journals(folder, server.url, password=server.password)
    with Mesh.open(folder, schema, journals=journals) as mesh:
        twin, mirror = mesh.twin("campus"), mirror_of(mesh)
        size = twin.snapshot().size
        reached(server, "twins", size // 2, say)
        server.kill()
        server.start()
        reached(server, "edges", twin.snapshot().edge_count // 2, say)
        server.kill()
        server.start()
        wait_until(lambda: mirror.sequence >= twin.snapshot().revision, "the graph", LOAD_S_MAX)
        problems, undone = journals.compared(twin.snapshot())
        assert (problems, undone) == ([], [])
        assert content_of(twin.snapshot()).hash == content.hash
    nodes = server.run("MATCH (n:Entity) WHERE n._kind IS NOT NULL RETURN count(n) AS n")[0]["n"]
    links = server.run("MATCH (:Entity)-[r]->(:Entity) RETURN count(r) AS n")[0]["n"]
    say(f"shown in spite of two kills: {nodes:,} nodes, {links:,} relationships, all compared")


def reached(server, counter, wanted, say):
    def there():
        rows = server.run(f"MATCH (l:_Lane {{site: 'campus'}}) RETURN sum(l.{counter}) AS n")
        return bool(rows) and (rows[0]["n"] or 0) >= wanted

    wait_until(there, counter, LOAD_S_MAX)
    say(f"{counter} is at {wanted:,}")
