"""`twinmesh serve` with `[store] mode = "push-down"`: GraphQL over a real Neo4j, with nothing in memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from neo4j_waiting import wait_shown

from api.commands.pushed import open_place
from api.commands.serve import ServeRequest
from api.config import StoreSettings
from graph.values import Change, RelationshipRecord, TwinRecord
from ontology.errors import UsageError

PROGRAM = str(Path(sys.executable).parent / "twinmesh")
ANSWER_S_MAX = 120.0
BASE = "https://twinmesh.invalid/campus/"

TWINS = (("AHU-1", "brick:AHU"), ("VAV-1", "brick:VAV"))
LIST = """{ ahuList { totalCount nodes { name
  out(relation: "feeds") { nodes { twin { name } } } } } }"""

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy


def run(environment, *words, code=0):
    done = subprocess.run([PROGRAM, *words], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@contextmanager
def serving(environment, folder, log):
    """The URL of a server of its own."""
    command = [PROGRAM, "serve", "--data", str(folder), "--port", "0"]
    with log.open("wb") as said:
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=said)
        try:
            line = server.stdout.readline()
            assert line, log.read_text()
            yield line.decode().split()[1]
        finally:
            server.send_signal(signal.SIGTERM)
            server.stdout.close()
            server.wait(ANSWER_S_MAX)


def ask(url, token, text):
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{url}/graphql", json={"query": text}, headers=headers, timeout=ANSWER_S_MAX)


def test_a_server_that_holds_nothing_answers_inside_neo4j(open_mesh, environment, schema, tmp_path):
    mesh = open_mesh("writer")
    ahu, vav = (TwinRecord(BASE + name, (schema.kind(kind).iri,), name) for name, kind in TWINS)
    feeds = RelationshipRecord(ahu.id, schema.relation("tm:feeds").iri, vav.id)
    mesh.create_site("campus").apply(Change(put_twins=(ahu, vav), put_relationships=(feeds,)))
    wait_shown(mesh)
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "twinmesh.toml").write_text('format = 1\n[store]\nmode = "push-down"\n')
    made = run(environment, "tokens", "create", "--name", "a", "--data", str(folder), "--json")
    text = json.loads(made.stdout)["token"]
    with serving(environment, folder, tmp_path / "log") as url:
        found = ask(url, text, LIST).json()["data"]["ahuList"]
        assert found["totalCount"] == 1
        [one] = found["nodes"]
        assert one == {"name": "AHU-1", "out": {"nodes": [{"twin": {"name": "VAV-1"}}]}}
        told = ask(url, text, "{ sites { name twins relationships } }").json()["data"]["sites"]
        assert told == [{"name": "campus", "twins": 2, "relationships": 1}]
        counted = ask(
            url, text, '{ aggregate(groupBy: ["kind"], measures: [{ op: COUNT }]) { keys values } }'
        )
        assert counted.json()["data"]["aggregate"] == [
            {"keys": {"kind": kind}, "values": {"count": 1}} for _, kind in TWINS
        ]
        assert ask(url, "tm_no_token", "{ twins { totalCount } }").status_code == 401
        refused = ask(url, text, '{ search(text: "One") { totalCount } }').json()
        assert refused["errors"][0]["extensions"]["code"] == "PUSHDOWN_UNSUPPORTED"
        headers = {"Authorization": f"Bearer {text}"}
        other = httpx.post(f"{url}/sparql", headers=headers, content=b"ASK {}", timeout=ANSWER_S_MAX)
        assert other.status_code == 501 and other.json()["code"] == "PUSHDOWN_UNSUPPORTED"
        ready = httpx.get(f"{url}/readyz", timeout=ANSWER_S_MAX).json()
        assert ready == {"ready": True, "problem": None, "reason": None, "behind": 0}
        shown = httpx.get(f"{url}/metrics", headers=headers, timeout=ANSWER_S_MAX).text
        assert 'twinmesh_pushdown_commits_behind{site="campus"} 0' in shown


def test_a_mode_that_cannot_be_is_wrong_usage(tmp_path, monkeypatch):
    for name in ("URL", "MODE"):
        monkeypatch.delenv(f"TWINMESH_STORE__{name}", raising=False)
    request = ServeRequest(tmp_path, None, dev=True, host="127.0.0.1", port=0)
    assert not request.is_pushed
    (tmp_path / "twinmesh.toml").write_text('format = 1\n[store]\nmode = "nothing"\n')
    with pytest.raises(UsageError) as caught:
        _ = request.is_pushed
    assert caught.value.code == "STORE_MODE"
    with pytest.raises(UsageError) as caught:
        open_place(StoreSettings(mode="push-down"))
    assert caught.value.code == "STORE_MODE"
