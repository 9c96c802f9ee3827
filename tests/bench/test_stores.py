"""Every engine under measurement gives the right answers, and the measuring tells when one does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from bench.campus_data import Spec
from bench.stores.child import ENGINES, Tasks, memory, new_engine
from bench.stores.engine import Nested, digest, digest_of_ids, leaves_of
from bench.stores.measuring import BARE, Measuring, Site
from bench.stores.oracle import downstream, looked_up, nested, twin_row
from bench.stores.process import ROOT, Child, ChildError
from bench.stores.table import Aim, Figures

if TYPE_CHECKING:
    from pathlib import Path

CAMPUS = Spec("campus", 1)


@pytest.fixture(params=sorted(set(ENGINES) - {BARE}))
def tasks(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Tasks(new_engine(request.param))
    folder = str(tmp_path / "campus")
    loaded = made.load(folder, CAMPUS.shape, CAMPUS.size)
    assert loaded["rows"] == 5_532 + 10_030
    graph = CAMPUS.make()
    opened = made.open(folder, graph.ids[graph.start])
    assert opened["digest"] == digest(twin_row(graph, graph.start))
    yield made
    made.close()


def test_every_engine_gives_the_right_answers(tasks: Tasks) -> None:
    graph = CAMPUS.make()
    rows = list(range(0, graph.twins, 50))
    assert tasks.look_up([graph.ids[row] for row in rows])["digest"] == looked_up(graph, rows)
    floors = [graph.ids[floor] for floor in graph.floors]
    found = tasks.nested(floors, list(graph.relations[:3]))
    assert (found["count"], found["digest"]) == nested(graph, (0, 1, 2))
    assert found["count"] == 1_000
    reached = tasks.downstream(graph.ids[graph.start], graph.relations[graph.walked])
    assert (reached["count"], reached["digest"]) == downstream(graph)
    assert reached["count"] == 1_000


def test_what_an_engine_wrote_is_looked_up(tasks: Tasks) -> None:
    graph = CAMPUS.make()
    row = graph.start
    tasks.write([graph.ids[row]] * 3, [1.25, 2.5, 3.75])
    expected = [(*twin_row(graph, row)[:3], 3.75)]
    assert tasks.look_up([graph.ids[row]])["digest"] == digest(expected)
    assert tasks.look_up([graph.ids[row]])["digest"] != looked_up(graph, [row])


def test_answers_are_told_apart() -> None:
    assert digest_of_ids(["a", "b"]) == digest_of_ids(["b", "a"])
    assert digest_of_ids(["a", "b"]) != digest_of_ids(["a", "b", "b"])
    floor = {
        "id": "f",
        "rooms": [{"id": "r", "machines": [{"id": "m", "points": [{"id": "p", "name": "n"}]}]}],
    }
    assert leaves_of(json.dumps([floor]).encode()) == [["f", "r", "m", "p", "n"]]
    assert Nested(("f",), "a", "b", "c").relations == ("a", "b", "c")
    assert memory()["peak_bytes"] >= memory()["anonymous_bytes"] > 0


# The process of an engine


def test_a_child_that_fails_says_why(tmp_path: Path) -> None:
    with Child("sqlite") as child, pytest.raises(ChildError, match="look_up"):
        child.ask("look_up", 30, twins=["x"])


def test_a_child_that_takes_too_long_is_ended() -> None:
    with Child("sqlite") as child:
        with pytest.raises(ChildError, match="more than 0 s"):
            child.ask("memory", 0.0)
        with pytest.raises(ChildError, match="died"):
            child.ask("memory", 30)


def test_an_engine_that_fails_is_left_out_and_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        measuring = Measuring(stack)
        site = Site("campus", CAMPUS, CAMPUS.make(), tmp_path)
        measuring.load(site, {"sqlite": 1})
        measuring.open(site, ["sqlite", "ladybug"], 1)  # Ladybug has nothing to open
        measuring.look_up(site, 1, 20)
        measuring.close(site)
    ready = next(one for one in measuring.figures if one.question == "ready again")
    assert ready.agree == {"sqlite": True}
    assert ready.notes["ladybug"].startswith("failed: open: ")
    looked_up_by = next(one for one in measuring.figures if one.question.startswith("point look-up"))
    assert looked_up_by.agree == {"sqlite": True}


# Figures


def test_ratios_are_paired_by_round() -> None:
    rates = Figures("loads", "g", "rows/s", more_is_better=True)
    for ours, theirs in ((100, 100), (10, 5), (30, 10)):
        rates.add("twinmesh", ours)
        rates.add("sqlite", theirs)
    assert rates.ratio("sqlite") == 2
    times = Figures("walk", "g", "ms", values={"twinmesh": [2.0], "ladybug": [10.0, 6.0, 8.0]})
    assert times.ratio("ladybug") == 4
    assert times.ratio("networkx") is None


def test_one_wrong_answer_spoils_the_row() -> None:
    figures = Figures("walk", "g", "ms")
    for right in (True, False, True):
        figures.add("twinmesh", 1.0, right)
    [row] = figures.rows()
    assert (row["agree"], row["value"], row["rounds"]) == (False, 1.0, 3)


@pytest.mark.parametrize(
    ("aim", "met"),
    [
        (Aim("a", 0.5, 0.5), True),
        (Aim("a", 0.49, 0.5), False),
        (Aim("a", 2.0, 2.0, at_most=True), True),
        (Aim("a", 2.1, 2.0, at_most=True), False),
        (Aim("a", None, 2.0, at_most=True), False),
    ],
)
def test_aims(aim: Aim, met: bool) -> None:
    assert aim.row()["met"] is met


# The whole


def test_the_quick_benchmark_tells_everything() -> None:
    done = subprocess.run(
        [sys.executable, "bench/store.py", "--json"],
        cwd=ROOT,
        env=os.environ | {"TWINMESH_BENCH_QUICK": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
    )
    told = json.loads(done.stdout)
    assert set(told) == {"machine", "versions", "quick", "rows", "aims"}
    assert told["quick"] is True
    assert set(told["versions"]) >= {"twinmesh", "sqlite", "ladybug", "networkx"}
    assert told["machine"]["processors_busy_with_other_work"] >= 0
    failed = [row for row in told["rows"] if "failed" in row["note"]]
    assert failed == []
    assert [row for row in told["rows"] if row["agree"] is False] == []
    assert {row["engine"] for row in told["rows"]} >= set(ENGINES)
    growth = [row for row in told["rows"] if row["question"] == "growth"]
    assert [row["relationships"] for row in growth] == [3_000]
    assert len(told["aims"]) == 10
    assert {frozenset(aim) for aim in told["aims"]} == {frozenset({"name", "aim", "value", "met"})}
    by_name = {aim["name"]: aim for aim in told["aims"]}
    assert next(aim for name, aim in by_name.items() if name.startswith("right answers"))["met"]
