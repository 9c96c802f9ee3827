"""Readings over time of points of a peer, held against one folder that has all sites."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from federation.contract import Naming
from federation.opaque import Names
from graph.mesh import Mesh
from graph.quality import Quality, Reason, quality_byte
from graph.times import time_text
from graph.values import Change, Readings
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import campus_change, iri, twin
from tests.api.federated_sites import QUICK, Group, group_of, wait_until
from tests.simulation.cascade_worlds import fresh_seed

SECOND = 10**9
START_NS = 1_790_000_000 * SECOND
READINGS = 200
POINTS = {"T": "number", "ON": "boolean", "N": "counter", "MODE": "code", "NOTE": "text"}
SAMPLE = "{ time value text state quality qualityReason aggregates resolution }"


def plant_change() -> Change:
    points = [
        twin("plant", name, "brick:Temperature_Sensor", valueType=value_type)
        for name, value_type in POINTS.items()
    ]
    return Change(put_twins=(*points, twin("plant", "EMPTY", "brick:Temperature_Sensor")))


def drawn(random: Random, value_type: str) -> Any:
    match value_type:
        case "number":
            return random.choice((float("nan"), random.gauss(20, 5), random.gauss(20, 5)))
        case "boolean" | "counter":
            return random.randrange(2 if value_type == "boolean" else 10**9)
        case _:
            return random.choice(("AUTO", "MANUAL", "été", ""))


def record(mesh: Mesh, name: str, readings: list[tuple[int, Any, int]]) -> None:
    site = mesh.twin("plant")
    times, values, quality = zip(*readings, strict=True)
    if isinstance(values[0], str):
        words = site.intern_texts(list(values))
    else:
        form = np.float64 if isinstance(values[0], float) else np.uint64
        words = np.array(values, form).view(np.uint64)
    rows = np.full(len(times), site.snapshot().row(iri("plant", name)), np.int32)
    site.record(Readings(rows, np.array(times, np.int64), words, np.array(quality, np.uint8)))


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Group]:
    random = Random(fresh_seed("federated history"))
    changes = {"campus": [campus_change()], "plant": [plant_change()]}
    qualities = (
        0,
        0,
        0,
        quality_byte(Quality.UNCERTAIN, Reason.SPIKE),
        quality_byte(Quality.BAD, Reason.STUCK),
    )
    with group_of(tmp_path_factory.mktemp("history"), ontology, units, changes) as made:
        for name, value_type in POINTS.items():
            times = sorted(random.sample(range(86_400), READINGS))
            readings = [
                (START_NS + at * SECOND, drawn(random, value_type), random.choice(qualities)) for at in times
            ]
            for mesh in (made["plant"].running.mesh, made.merged.mesh):
                record(mesh, name, readings)
        made.share_all()
        made.settle("campus", "plant")
        yield made


def questions() -> Iterator[str]:
    """Arguments of `history`: every kind of window, of buckets, of filling."""
    day = [time_text(START_NS + hours * 3_600 * SECOND) for hours in (6, 12)]
    yield from ("", "(last: 7)", "(last: 0)", f'(from: "{day[0]}")', f'(to: "{day[0]}", last: 3)')
    yield f'(from: "{day[0]}", to: "{day[1]}")'
    yield '(from: "2030-01-01T00:00:00Z")'
    for fill in ("", ", fill: PREVIOUS", ", fill: LINEAR"):
        yield f'(bucket: "PT10M"{fill})'
        yield f'(bucket: "PT1H", aggregate: [MEAN, COUNT, MIN, MAX, SUM]{fill}, last: 5)'
        yield f'(bucket: "PT1H", aggregate: [P95, MEAN, P05, P50], from: "{day[0]}"{fill})'


def asked(point: str, arguments: str) -> str:
    return f'{{ node(id: "{iri("plant", point)}") {{ ... on Point {{ history{arguments} {SAMPLE} }} }} }}'


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", ())]


@pytest.mark.parametrize("point", [*POINTS, "EMPTY"])
def test_readings_of_a_peers_point_are_those_of_one_folder(group: Group, point: str) -> None:
    for arguments in questions():
        answer, oracle = (
            each.ask(asked(point, arguments)) for each in (group["campus"].running, group.merged)
        )
        assert answer.get("data") == oracle.get("data"), arguments
        codes = [
            [error["extensions"]["code"] for error in each.get("errors", ())] for each in (answer, oracle)
        ]
        assert codes[0] == codes[1], arguments
        assert answer["extensions"]["completeness"] == "FULL", arguments
        assert "errors" in oracle or point == "EMPTY" or len(oracle["data"]["node"]["history"]) < READINGS + 1


def test_many_points_and_several_series_of_each(group: Group) -> None:
    question = f"""{{ twins(kind: "tm:Point", filter: {{site: {{eq: "plant"}}}}, first: 100) {{ nodes {{
      localId ... on Point {{ value all: history {SAMPLE} few: history(last: 2) {SAMPLE} }} }} }} }}"""
    told = group["campus"].running.ask(question)
    assert told["data"] == group.merged.data(question)
    assert sum(len(node["all"]) for node in told["data"]["twins"]["nodes"]) == READINGS * len(POINTS)
    assert told["extensions"]["completeness"] == "FULL"


def sources(answer: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in answer["extensions"]["sources"] if each["site"] == "plant")


LAST = asked("T", "(last: 1)")


@pytest.fixture
def narrowed(group: Group) -> Generator[Group]:
    """Contracts may be narrowed; all is shared again behind it."""
    yield group
    group.share_all()
    wait_until(lambda: sources(group["campus"].running.ask(LAST))["status"] == "ANSWERED", "shared again")


@pytest.mark.parametrize("hidden", ["history", "value"])
def test_it_leaves_only_where_both_are_named(narrowed: Group, hidden: str) -> None:
    whole, campus = narrowed.share("plant", "campus"), narrowed["campus"].running
    narrowed.share("plant", "campus", attributes=whole.attributes - {hidden})
    wait_until(lambda: sources(campus.ask(LAST))["status"] == "PARTIAL", "the contract is narrower")
    answer = campus.ask(LAST)
    assert answer["data"] == {"node": {"history": []}}
    assert answer["extensions"]["completeness"] == "PARTIAL"
    if hidden == "history":
        wait_until(
            lambda: sources(campus.ask(LAST)).get("withheld") == ["history"], "it says what is withheld"
        )


def test_where_types_are_hidden_numbers_alone_leave(narrowed: Group) -> None:
    whole, campus = narrowed.share("plant", "campus"), narrowed["campus"].running
    narrowed.share("plant", "campus", attributes=whole.attributes - {"valueType"})
    assert len(campus.ask(LAST)["data"]["node"]["history"]) == 1
    for point in ("ON", "N", "MODE", "NOTE"):
        assert campus.ask(asked(point, "(last: 1)"))["data"] == {"node": {"history": []}}, point


def test_a_window_lets_out_what_lies_in_it(narrowed: Group) -> None:
    begins, ends = (START_NS + hours * 3_600 * SECOND for hours in (6, 12))
    narrowed.share("plant", "campus", window_from_ns=begins, window_until_ns=ends)
    campus = narrowed["campus"].running
    inside = f'(from: "{time_text(begins)}", to: "{time_text(ends)}"'
    for more in (")", ', bucket: "PT10M", aggregate: [COUNT, P50])'):
        answer = campus.ask(asked("T", inside + more))
        assert answer["data"] == narrowed.merged.data(asked("T", inside + more))
        # Its last reading is out of the window.
        assert answer["extensions"]["completeness"] == "FULL"
    beyond = campus.ask(asked("T", ""))
    assert beyond["data"] == narrowed.merged.data(asked("T", inside + ")"))
    assert sources(beyond)["status"] == "PARTIAL"


def test_opaque_points_have_readings_too(narrowed: Group) -> None:
    plant, campus = narrowed["plant"], narrowed["campus"].running
    names = Names.of(plant.node.key, narrowed["campus"].key)
    whole = narrowed.share("plant", "campus")
    narrowed.share(
        "plant", "campus", ids=Naming.OPAQUE, attributes=whole.attributes - {"localId", "externalIds"}
    )
    opaque = names.iri(iri("plant", ""), iri("plant", "T"))
    for arguments in ("", '(bucket: "PT1H", aggregate: [SUM, P95])'):
        told = campus.data(asked("T", arguments).replace(iri("plant", "T"), opaque))
        assert told == narrowed.merged.data(asked("T", arguments)) and told["node"]["history"]
    assert campus.ask(asked("T", ""))["data"] == {"node": None}


def test_the_ledger_has_the_points_whose_readings_left(group: Group) -> None:
    ledger = group["plant"].node.ledger
    before = [entry.number for entry in ledger.entries()][-1]
    group["campus"].running.data(asked("T", "(last: 2)"))
    group["campus"].running.data(asked("EMPTY", "(last: 2)"))
    facts = {fact for entry in ledger.entries(after=before) for fact in entry.facts()}
    assert {twin for twin, name in facts if name == "history"} == {iri("plant", "T")}


def test_what_a_user_must_not_ask_is_refused_before_any_peer_is_asked(group: Group) -> None:
    for point, arguments in (("T", "(last: 10001)"), ("NOTE", '(bucket: "PT1H")'), ("T", '(bucket: "PT0S")')):
        code = group["campus"].running.code(asked(point, arguments))
        assert code == group.merged.code(asked(point, arguments)) == "HISTORY_INVALID"


def test_series_for_which_there_is_no_room_follow_in_the_next_round(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    """And of one that fits into no answer it is said that it is too long."""
    small = replace(QUICK, federation=replace(QUICK.federation, answer_bytes_max=16_000))
    points = [f"P-{number}" for number in range(12)]
    made = [twin("plant", name, "brick:Temperature_Sensor") for name in points]
    changes = {"campus": [campus_change()], "plant": [Change(put_twins=tuple(made))]}
    with group_of(tmp_path, ontology, units, changes, small) as group:
        for number, name in enumerate(points):
            readings = [(START_NS + at * SECOND, float(at + number), 0) for at in range(100)]
            for mesh in (group["plant"].running.mesh, group.merged.mesh):
                record(mesh, name, readings)
        group.share_all()
        group.settle("campus", "plant")
        question = """{ twins(kind: "brick:Temperature_Sensor", filter: {site: {eq: "plant"}}) { nodes {
          id ... on Point { history { time value } } } } }"""
        answer = group["campus"].running.ask(question)
        assert answer["data"] == group.merged.data(question)
        assert answer["extensions"]["completeness"] == "FULL"
        more = [(START_NS + at * SECOND, 1.0, 0) for at in range(2_000)]
        for mesh in (group["plant"].running.mesh, group.merged.mesh):
            record(mesh, "P-0", more)
        assert group["campus"].running.code(asked("P-0", "")) == "HISTORY_TOO_LONG"
        assert len(group.merged.data(asked("P-0", ""))["node"]["history"]) == 2_000
        few = asked("P-0", "(last: 50)")
        assert group["campus"].running.data(few) == group.merged.data(few)
