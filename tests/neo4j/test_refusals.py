"""What a Neo4j refuses, and what somebody else put into it: stable codes, nothing lost, healing by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from graph_reading import of_neo4j, of_snapshot
from neo4j_waiting import wait_shown, wait_until

from graph.stores.choosing import open_journals
from graph.values import Change, TwinRecord
from ontology.errors import StoreError, UsageError

BASE = "https://twinmesh.invalid/campus/"
pytestmark = pytest.mark.timeout(1200)  # it starts programs, and the machine may be busy
PROGRAM = str(Path(sys.executable).parent / "twinmesh")


def put(schema, *names):
    kind = schema.kind("brick:AHU").iri
    return Change(put_twins=tuple(TwinRecord(BASE + name, (kind,), name) for name in names))


def run(environment, *words, code):
    done = subprocess.run([PROGRAM, *words], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_wrong_password_is_told_and_never_shown(neo4j, environment, tmp_path):
    secret = "not-the-pass-word"
    told = run(
        {**environment, "TWINMESH_STORE__PASSWORD": secret},
        "import", str(_csv(tmp_path)), "--site", "campus", "--data", str(tmp_path / "data"),
        code=1,
    )  # fmt: skip
    assert "STORE_AUTH" in told.stderr and secret not in told.stderr + told.stdout


@pytest.mark.parametrize("url", ["bolt://127.0.0.1:1", "bolt://host.invalid:7687"])
def test_nobody_there_is_told(url, tmp_path):
    journals = open_journals(tmp_path, url)
    with pytest.raises(StoreError) as caught:
        journals.names()
    journals.close()
    assert caught.value.code == "STORE_UNREACHABLE"


def test_a_url_of_no_store_is_wrong_usage(environment, tmp_path):
    for url in ("mysql://x",):
        told = run(
            {**environment, "TWINMESH_STORE__URL": url},
            "import", str(_csv(tmp_path)), "--site", "campus", "--data", str(tmp_path / "data"),
            code=2,
        )  # fmt: skip
        assert "STORE_URL" in told.stderr, told.stderr


def test_the_command_line_works_on_a_neo4j_as_on_files(neo4j, environment, tmp_path):
    data = str(tmp_path / "data")
    run(environment, "import", str(_csv(tmp_path)), "--site", "campus", "--data", data, code=0)
    text = '{ twins(kind: "brick:AHU") { nodes { localId name } } }'
    for folder in (data, str(tmp_path / "elsewhere")):
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "twinmesh.toml").touch()
        found = json.loads(run(environment, "query", text, "--data", folder, code=0).stdout)
        assert found["data"]["twins"]["nodes"] == [{"localId": "AHU-1", "name": "One"}]
    sound = json.loads(run(environment, "verify", "--data", data, "--json", code=0).stdout)
    assert sound["sound"] and sound["sites"][0]["revision"] == "1" and sound["sites"][0]["gaps"] == []
    told = run(environment, "backup", str(tmp_path / "kept"), "--data", data, code=1)
    assert "BACKUP_UNSUPPORTED" in told.stderr and not (tmp_path / "kept").exists()
    told = json.loads(run(environment, "doctor", "--data", data, "--json", code=0).stdout)["findings"]
    assert {"neo4j", "neo4j clock", "neo4j apoc", "neo4j constraints"} <= {one["name"] for one in told}
    states = {one["name"]: one for one in told if one["name"].startswith("neo4j ")}
    assert states["neo4j graph campus"]["detail"] == "no foreign change"
    assert states["neo4j site campus"]["detail"].endswith("its graph is complete; nobody writes it")
    neo4j.run("CREATE (:Entity)")
    assert "have no id" in run(environment, "doctor", "--data", data, code=1).stdout
    neo4j.run("MATCH (n:Entity) WHERE n.id IS NULL DELETE n")
    neo4j.run("MATCH (n:`brick:AHU`) SET n.name = 'Two'")
    told = run(environment, "verify", "--data", data, code=1)
    assert "STORE_FOREIGN_CHANGE" in told.stderr
    neo4j.run("MATCH (n:`brick:AHU`) SET n.name = 'One'")
    shown = neo4j.run("MATCH (n:`brick:AHU`) RETURN n.name AS name, labels(n) AS labels")
    assert shown[0]["name"] == "One" and {"Entity", "tm:Asset"} <= set(shown[0]["labels"]), shown


def test_a_node_of_somebody_else_without_an_id_is_told_until_it_has_one(open_mesh, neo4j, schema):
    neo4j.run("CREATE (:Entity {name: 'stranger'})")
    mesh = open_mesh()
    twin = mesh.create_site("campus")
    wait_until(lambda: twin.troubles, "the refusal")
    assert [trouble.code for trouble in twin.troubles] == ["STORE_FOREIGN_NODE"]
    twin.apply(put(schema, "a"))  # the journal goes on
    neo4j.run("MATCH (n:Entity {name: 'stranger'}) SET n.id = 'urn:stranger'")
    wait_until(lambda: not twin.troubles, "healing")
    wait_shown(mesh)
    assert of_neo4j(neo4j, "campus") == of_snapshot(twin.snapshot())


def test_a_constraint_of_somebody_else_is_told_and_nothing_is_lost(open_mesh, neo4j, schema):
    mesh = open_mesh()
    twin = mesh.create_site("campus")
    twin.apply(put(schema, "a"))
    wait_shown(mesh)
    neo4j.run("CREATE CONSTRAINT foreign FOR (n:Entity) REQUIRE n.name IS UNIQUE")
    kind = schema.kind("brick:AHU").iri
    change = Change(put_twins=(TwinRecord(BASE + "b", (kind,), "a"), TwinRecord(BASE + "c", (kind,), "c")))
    twin.apply(change)
    wait_until(lambda: twin.troubles, "the refusal")
    assert [trouble.code for trouble in twin.troubles] == ["STORE_CONSTRAINT"]
    assert len(twin.snapshot().living_rows) == 3
    neo4j.run("DROP CONSTRAINT foreign")
    wait_until(lambda: not twin.troubles, "healing")
    wait_shown(mesh)
    assert of_neo4j(neo4j, "campus") == of_snapshot(twin.snapshot())


def test_a_constraint_on_the_journal_refuses_changes_and_they_heal(open_mesh, neo4j, schema):
    twin = open_mesh().create_site("campus")
    twin.apply(put(schema, "a"))
    neo4j.run("CREATE CONSTRAINT foreign FOR (c:_Commit) REQUIRE c.author IS UNIQUE")
    with pytest.raises(StoreError) as caught:
        twin.apply(put(schema, "b"))
    assert caught.value.code == "STORE_CONSTRAINT"
    with pytest.raises(StoreError) as caught:
        twin.apply(put(schema, "b"))
    assert caught.value.code in ("STORE_READ_ONLY", "STORE_CONSTRAINT")
    assert twin.snapshot().revision == 1
    neo4j.run("DROP CONSTRAINT foreign")
    wait_until(lambda: not twin.troubles, "healing")
    assert twin.apply(put(schema, "b")).revision == 2
    assert twin.verify() == []


def test_somebody_who_writes_into_the_journal_is_found(open_mesh, neo4j, schema):
    twin = open_mesh().create_site("campus")
    for name in "abc":
        twin.apply(put(schema, name))
    neo4j.run("MATCH (c:_Commit {sequence: 2}) SET c.author = 'somebody'")
    assert next(problem.place.item for problem in twin.verify()) == "commit 2"
    neo4j.run("MATCH (j:_Journal) SET j.answers_last = 7")
    assert any(problem.place.item == "head" for problem in twin.verify())


def test_a_journal_of_a_newer_program_is_left_alone(open_mesh, neo4j):
    open_mesh().create_site("campus")
    neo4j.run("MATCH (j:_Journal) SET j.format = 99")
    with pytest.raises(StoreError) as caught:
        open_mesh("second")
    assert caught.value.code == "STORE_VERSION"


def test_names_cannot_break_out_of_a_statement(schema):
    from graph.stores.neo4j.naming import quoted

    assert quoted("a`b") == "`a``b`"
    assert quoted("a\\u0060) DETACH DELETE n //") == "`a\\u005Cu0060) DETACH DELETE n //`"


def test_quoted_names_come_back(neo4j):
    from graph.stores.neo4j.naming import quoted

    for name in ("a`b", "\\u0060", "``", "\\", "x\\u005Cu0060y", "brick:AHU", "ä\U0001f980 '\""):
        found = neo4j.run(f"CREATE (n:{quoted(name)}) RETURN labels(n) AS labels")
        assert found == [{"labels": [name]}]


def _csv(folder):
    path = folder / "plant.csv"
    path.write_text("id,kind,name\nAHU-1,brick:AHU,One\n")
    return path


def test_urls_are_refused_before_anything_is_opened():
    with pytest.raises(UsageError):
        open_journals(Path(), "http://x")
    assert open_journals(Path(), "") is None
