"""The servers under measurement give the right answers, and the bench tells what it could not measure."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench.campus_data import Spec
from bench.graphql import FULL, QUICK, aims
from bench.graphql_peers.attacks import Attack, attacks, is_refusal, send_until_answered
from bench.graphql_peers.campus_questions import CAMPUS, DOWNSTREAM, LOOK_UP, NESTED, REVERSE
from bench.graphql_peers.fleet import Fleet, table_of
from bench.graphql_peers.growing import look_up, metrics, scan, walk
from bench.graphql_peers.installing import LOAD, MissingError, Package, run
from bench.graphql_peers.loading import Loader, Run
from bench.graphql_peers.measuring import Measuring
from bench.graphql_peers.peers import PEERS, STOCK, TUNED, Place, start_fleet
from bench.graphql_peers.questions import SMALL, TEN_THOUSAND, THOUSAND, WARM
from bench.graphql_peers.serving import ServerError
from bench.stores.engine import digest, digest_of_ids
from bench.stores.oracle import downstream, nested
from bench.stores.process import ROOT
from bench.stores.table import OURS, Figures
from tests.conftest import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.graphql_peers.serving import Server

PUMPS = 20


@pytest.fixture(scope="module")
def compiler() -> None:
    if shutil.which("rustc") is None:
        missing("no rustc: no load generator")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        place = Place(tmp_path_factory.mktemp("bench"))
        yield start_fleet(stack, place, (OURS, STOCK, TUNED), PUMPS)


def test_every_server_gives_the_right_answers(servers: dict[str, Server]) -> None:
    fleet = Fleet.of(PUMPS)
    assert set(servers) == {OURS, STOCK, TUNED}
    for question in WARM:
        expected = question.answer(fleet)
        for server in servers.values():
            assert server.data(question.text()) == expected, server.name


def test_a_fresh_text_asks_for_the_same(servers: dict[str, Server]) -> None:
    one, other = THOUSAND.text(1), THOUSAND.text(2)
    assert len(one) == len(other) and one != other
    for server in servers.values():
        [first, *_] = server.data(SMALL.text(7))["pumpList"]["nodes"]
        assert first["n000000007"] == 'Pump 0 "of hall é"'


def test_all_ask_for_a_token(servers: dict[str, Server]) -> None:
    for server in servers.values():
        status, text = server.send(b'{"query": "{ __typename }"}', token="another")
        assert status == 401, (server.name, text)


def test_growth_is_measured_on_right_answers(servers: dict[str, Server]) -> None:
    fleet, server = Fleet.of(PUMPS), servers[OURS]
    for measured in (walk, scan, look_up):
        value, agree = measured(server, fleet)
        assert value > 0 and agree
    assert "twinmesh_requests_total" not in metrics(server)  # has labels
    wrong = Fleet(PUMPS, fleet.values + 1, fleet.qualities)
    assert not walk(server, wrong)[1]
    assert server.resident_mb() > 10 and server.processor_s() > 0


@pytest.mark.long  # what `make test` sets up has no Rust
@pytest.mark.usefixtures("compiler")
def test_the_load_generator_counts(servers: dict[str, Server], tmp_path: Path) -> None:
    loader = Loader(tmp_path)
    bodies = [{"query": SMALL.text(number)} for number in range(40)]
    told = loader.run(servers[OURS], bodies, Run(60.0, 4, once=True))
    assert (told.requests, told.failures, told.differing) == (40, 0, 0)
    assert told.bytes > 40 * 300 and told.p50_s <= told.p99_s <= told.most_s
    wrong = loader.run(servers[OURS], [{"query": "{ nothing }"}], Run(60.0, 1, once=True))
    assert (wrong.requests, wrong.failures) == (1, 1) and not wrong.good


@pytest.mark.long  # what `make test` sets up has no Rust
@pytest.mark.usefixtures("compiler")
def test_a_wrong_answer_is_told(servers: dict[str, Server], tmp_path: Path) -> None:
    measuring = Measuring(Place(tmp_path))
    figures = measuring.figures_of("a question", "a table", "ms")

    def fail(server: Server) -> bool:
        raise ServerError("it broke off")

    measuring.rounds(
        [servers[OURS]], 1, figures, lambda _: False, lambda server: figures.add(server.name, 1.0)
    )
    measuring.rounds([servers[STOCK]], 1, figures, fail, lambda server: figures.add(server.name, 1.0))
    ours, theirs = figures.rows()
    assert (ours["agree"], ours["value"]) == (False, 1.0)
    assert (theirs["value"], theirs["note"]) == (None, "failed: it broke off")


# The campus


def test_right_answers_of_the_campus_are_those_of_the_oracle() -> None:
    graph = Spec("campus", 1).make()
    drawn = random.Random(1)
    asked = {"ids": [graph.ids[floor] for floor in graph.floors]}
    assert nested(graph, (0, 1, 2)) == (1_000, digest(NESTED.right(graph, asked)))
    found = DOWNSTREAM.right(graph, DOWNSTREAM.draw(drawn, graph, 1))
    assert downstream(graph) == (len(found), digest_of_ids(found))
    machine = LOOK_UP.draw(drawn, graph, 1)
    assert REVERSE.right(graph, machine) == ["https://twinmesh.invalid/campus/b0"]
    iri, name, power = LOOK_UP.right(graph, machine)
    assert iri == machine["id"] and name.startswith("Name of b0-f") and power > 0
    assert len({len(question.draw(drawn, graph, 1)) for question in CAMPUS}) == 1


# What is missing


def test_what_cannot_be_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TWINMESH_BENCH_TOOLS", str(tmp_path / "tools"))
    place = Place(tmp_path)
    with ExitStack() as stack:
        others = [name for name in PEERS if name not in (STOCK, TUNED)]
        assert start_fleet(stack, place, others, PUMPS) == {}
    assert sorted(place.missing) == sorted(others)
    assert place.missing["async-graphql"] == "no cargo on this machine"
    with pytest.raises(MissingError, match="rustc"):
        LOAD.install()


def test_a_build_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINMESH_BENCH_TOOLS", str(tmp_path))
    failing = Package("load", ((sys.executable, "-c", "raise SystemExit('out of sorts')"),))
    for _ in range(2):  # a failure is not taken for a build
        with pytest.raises(MissingError, match="out of sorts"):
            failing.install()
    working = Package("load", ((sys.executable, "-c", "open('made', 'w')"),))
    assert (working.install() / "made").exists()
    assert run((sys.executable, "-c", "print(1)"), tmp_path) == "1\n"


def test_aims_that_were_not_measured_are_not_met() -> None:
    rows = [aim.row() for aim in aims([], FULL)]
    assert len(rows) >= 23
    assert [row["met"] for row in rows] == [False] * len(rows)
    names = " ".join(row["name"] for row in rows)
    for part in (
        "mercurius",
        "strawberry tuned",
        "cold",
        "1,000,000 twins",
        "kinds",
        "MB of caches",
        "neo4j",
    ):
        assert part in names


def test_a_ratio_with_a_wrong_answer_meets_no_aim() -> None:
    figures = Figures(f"{TEN_THOUSAND.name}, warm", table_of(1_000), "requests/s", more_is_better=True)
    figures.add(OURS, 100.0, True)
    figures.add(TUNED, 1.0, True)

    def met() -> bool:
        return next(
            a.row()["met"] for a in aims([figures], QUICK) if a.name == f"{TEN_THOUSAND.name}, times {TUNED}"
        )

    assert met()
    figures.agree[OURS] = False
    assert not met()


def test_the_data_is_the_same_each_time() -> None:
    one, other = Fleet.of(3), Fleet.of(3)
    assert np.array_equal(one.values, other.values) and list(one.records()) == list(other.records())
    [record] = one.records([2])
    assert len(record["points"]) == 9 and record["points"][8]["id"].endswith("pump-0000002-s8")


@pytest.mark.long  # what `make test` sets up has no Rust
@pytest.mark.usefixtures("compiler")
def test_the_bench_runs_and_tells(tmp_path: Path) -> None:
    environment = {**os.environ, "TWINMESH_BENCH_QUICK": "1", "TWINMESH_BENCH_DIR": str(tmp_path)}
    command = [sys.executable, str(ROOT / "bench" / "graphql.py"), "schema", "--json"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert {"machine", "versions", "rows", "aims", "missing"} <= result.keys()
    assert [row["value"] is not None for row in result["rows"]] == [True] * len(result["rows"])
    measured = {aim["name"] for aim in result["aims"] if aim["value"] is not None}
    assert measured >= {
        "seconds of building the schema of 100 kinds",
        "seconds until one more kind can be asked for, after 50",
    }
    assert list(tmp_path.iterdir()) == []


def test_attacks_are_refused_and_told(servers: dict[str, Server]) -> None:
    """How fast is not asserted here; that each is refused is."""
    for attack in attacks():
        seconds, text = send_until_answered(servers[OURS], attack.body)
        assert seconds > 0 and is_refusal(text), (attack.name, text[:300])
    harmless = Attack("harmless", "{ __typename }")
    assert not is_refusal(send_until_answered(servers[OURS], harmless.body)[1])


def test_a_table_may_be_measured_twice_in_a_run(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for _ in range(2):
        with ExitStack() as stack:
            [server] = start_fleet(stack, place, [OURS], 2).values()
            assert server.data("{ pumpList { nodes { localId } } }")["pumpList"]["nodes"] == [
                {"localId": "pump-0000000"},
                {"localId": "pump-0000001"},
            ]
    assert place.missing == {}
