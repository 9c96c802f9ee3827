"""Finished cascades: written down before they are told, bounded, in backups, seen by whom they may be."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3

import pytest

from api.config import Settings
from api.impact_log import CAUSES_MAX, Impacts, scenario_hash
from api.policy import Role
from graph.backup import make_backup
from graph.restore import restore_backup
from graph.stores.site_files import IMPACTS, IMPACTS_FILE
from graph.stores.state_log import NewState, StateLog, check_states
from graph.verifying import verify_folder
from tests.api.conftest import served
from tests.api.webhooks import wait_for

RUN = """mutation Run($input: CascadeInput!) { simulateCascade(input: $input) { id status } }"""
STATE = "query State($id: ID!) { simulation(id: $id) { status error errorCode } }"
PAGE = """query Page($after: String, $scenario: String, $first: Int) {
  impacts(after: $after, scenario: $scenario, first: $first) {
    pageInfo { hasNextPage endCursor }
    nodes { id number scenario scenarioHash author finished seed horizonHours completeness hits
      summary { twinsHit expectedCost costP05 costP95 engine revisions deltas }
      sources { site status } impacts { localId probability why twin { id } } } } }"""
FAIL = {"name": "chiller", "events": [{"type": "FAIL", "twin": "campus:CH-1"}], "seed": 3, "runs": 2}


@pytest.fixture
def logged(mesh):
    """A server that keeps its cascades."""

    @contextlib.contextmanager
    def start(kept_max=10_000, **settings):
        with (
            Impacts.open(mesh.folder, kept_max) as impacts,
            served(mesh, Settings(), impacts=impacts, **settings) as running,
        ):
            yield running, impacts

    return start


def simulate(server, token=None, **more):
    """A cascade that is done; its id."""
    job = server.data(RUN, {"input": {**FAIL, **more}}, token)["simulateCascade"]["id"]
    ended = wait_for(lambda: final(server, job, token))
    assert ended["status"] == "DONE", ended
    return job


def final(server, job, token=None):
    found = server.data(STATE, {"id": job}, token)["simulation"]
    return found if found["status"] in ("DONE", "FAILED", "CANCELLED") else None


def test_a_cascade_is_in_the_log_when_it_is_answered(logged, mesh):
    with logged() as (server, _):
        job = simulate(server)
        whole = server.data(
            """query W($id: ID!) { simulation(id: $id) {
            summary { twinsHit expectedCost costP05 costP95 engine revisions deltas }
            impacts(first: 1000) { nodes { localId probability why twin { id } } } } }""",
            {"id": job},
        )["simulation"]
        (node,) = server.data(PAGE)["impacts"]["nodes"]
    assert (node["id"], node["number"], node["scenario"], node["seed"]) == (job, 1, "chiller", 3)
    assert node["summary"] == whole["summary"]
    assert node["impacts"] == whole["impacts"]["nodes"][:20]
    assert sum(node["hits"].values()) == whole["summary"]["twinsHit"]
    assert [source["site"] for source in node["sources"]] == ["campus", "plant"]
    asked = {"events": FAIL["events"], "horizonHours": 72, "runs": 2}
    plain = json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()
    assert node["scenarioHash"] == hashlib.sha256(plain).hexdigest()


def test_pages_go_back_by_scenario_and_the_limit_lets_the_oldest_go(logged, mesh):
    with logged(kept_max=5) as (server, impacts):
        jobs = [simulate(server, name=f"s{number % 2}", seed=number) for number in range(9)]
        page = server.data(PAGE, {"first": 2})["impacts"]
        assert [node["id"] for node in page["nodes"]] == jobs[:-3:-1]
        more = server.data(PAGE, {"first": 1000, "after": page["pageInfo"]["endCursor"]})["impacts"]
        kept = [node["number"] for node in more["nodes"]]
        assert kept == sorted(kept, reverse=True) and 3 <= len(kept) + 2 <= 6 and kept[0] == 7
        named = server.data(PAGE, {"scenario": "s1", "first": 2})["impacts"]
        assert [node["seed"] for node in named["nodes"]] == [7, 5]
        assert (impacts.log.head, impacts.log.oldest) == (9, kept[-1])
    assert [str(problem) for problem in verify_folder(mesh.folder, mesh.schema).problems] == []
    with Impacts.open(mesh.folder, 5) as impacts, served(mesh, impacts=impacts) as again:
        nodes = again.data(PAGE)["impacts"]["nodes"]
        assert [node["id"] for node in nodes] == jobs[-len(nodes) :][::-1]


def test_a_backup_holds_the_log_and_damage_is_found(logged, mesh, tmp_path):
    with logged() as (server, _):
        simulate(server)
        make_backup(mesh.folder, tmp_path / "backup", mesh.schema)
    restore_backup(tmp_path / "backup", tmp_path / "back", mesh.schema, verify=True)
    assert verify_folder(tmp_path / "back", mesh.schema).problems == []
    path = tmp_path / "back" / IMPACTS_FILE
    damaged = path.read_bytes().replace(b'"seed":3', b'"seed":4')
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    codes = {problem.code for problem in verify_folder(tmp_path / "back", mesh.schema).problems}
    assert codes == {"IMPACTS_CORRUPT"}


def test_what_was_let_go_leaves_a_chain_that_holds_and_shows_what_is_missing(tmp_path):
    path = tmp_path / IMPACTS_FILE
    with StateLog.open(path, IMPACTS) as log:
        log.append([NewState(f"s{n}", n, b"{}", "", is_open=False) for n in range(1, 11)])
        log.trim(4)
        log.trim(4)
        assert (log.oldest, log.head, [entry.number for entry in log.entries(0)]) == (5, 10, [*range(5, 11)])
        assert log.newest("s4") is None
        assert log.newest("s5").number == 5
        log.append([NewState("s11", 11, b"{}", "", is_open=False)])
    assert problems(path) == []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM entries WHERE number = 5")
        connection.execute("DELETE FROM subjects WHERE last = 5")
    assert problems(path) == ["entry 6 stands where 5 belongs", "entry 6 does not match its digest"]


def problems(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return check_states(connection, IMPACTS)


def test_a_cascade_that_cannot_be_written_down_is_not_told(logged, mesh):
    with logged() as (server, _):
        with contextlib.closing(sqlite3.connect(mesh.folder / IMPACTS_FILE, isolation_level=None)) as other:
            full = "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'full'); END"
            other.execute(full)
        found = server.data(RUN, {"input": FAIL})["simulateCascade"]
        ended = wait_for(lambda: final(server, found["id"]))
        assert (ended["status"], ended["errorCode"]) == ("FAILED", "IMPACTS_FAILED")
        assert server.data(PAGE)["impacts"]["nodes"] == []


def test_only_who_sees_every_twin_of_a_cascade_sees_it(logged):
    with logged(dev=False) as (server, _):
        make = server.tokens.create
        admin, operator = make("admin", Role.ADMIN), make("operator", Role.OPERATOR)
        whole = simulate(server, admin)
        campus = simulate(server, admin, sites=["campus"])
        seen = {
            operator: [campus, whole],
            make("of campus", Role.OPERATOR, sites=("campus",)): [campus],
            make("of both", Role.ANALYST, sites=("campus", "plant")): [campus, whole],
            make("of plant", Role.ANALYST, sites=("plant",)): [],
            make("of kinds", Role.OPERATOR, kinds=("brick:AHU",)): [],
            make("of both less", Role.OPERATOR, sites=("campus", "plant"), kinds=("brick:AHU",)): [],
            make("partner", Role.PARTNER): [],
        }
        for token, jobs in seen.items():
            page = server.data(PAGE, token=token)["impacts"]
            assert [node["id"] for node in page["nodes"]] == jobs
            assert not page["pageInfo"]["hasNextPage"]


def test_names_and_seeds_do_not_change_the_hash_and_all_else_does():
    asked = {"name": "a", "seed": 1, "runs": 5, "events": [{"type": "FAIL", "twin": "X"}]}
    assert scenario_hash(asked) == scenario_hash({**asked, "name": "b", "seed": 2})
    assert scenario_hash({**asked, "horizonHours": 72}) == scenario_hash({**asked, "horizonHours": 72.0})
    others = [{**asked, "runs": 6}, {**asked, "events": []}, {**asked, "horizonHours": 1}]
    assert len({scenario_hash(each) for each in (asked, *others)}) == 4
    assert CAUSES_MAX % 2 == 0
