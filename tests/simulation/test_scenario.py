"""Scenarios: defaults, every event, and refusals with code, place and suggestion."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ontology.errors import InputError, LimitError, Problem
from ontology.schema import load_schema
from simulation.attributes import OF_RELATIONSHIP, OF_TWIN, Holds
from simulation.distributions import parse_duration
from simulation.events import (
    AddRelation,
    AddTwin,
    Degrade,
    Delay,
    Fail,
    RelationRef,
    RemoveRelation,
    RemoveTwin,
    SetAttribute,
    Surge,
)
from simulation.scenario import Scenario, from_failure, parse_scenario
from simulation.world import FULL, HOUR_US, NEVER, Grid


def problems(document: object) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        parse_scenario(document)
    return list(caught.value.problems)


def only_problem(document: object) -> tuple[str, str | None, str]:
    found = problems(document)
    assert len(found) == 1, found
    return found[0].code, found[0].place.item, str(found[0])


def event(**fields: Any) -> Any:
    return parse_scenario({"events": [fields]}).events[0]


def test_defaults_are_those_of_the_interface() -> None:
    assert parse_scenario({}) == Scenario()
    scenario = parse_scenario({"events": []})
    assert (scenario.horizon_hours, scenario.runs, scenario.seed) == (72.0, 1000, 0)
    assert scenario.grid == Grid(HOUR_US // 4, 64)
    assert scenario.start == datetime(1970, 1, 1, tzinfo=UTC)


def test_every_field_is_read() -> None:
    text = """{"name": "flood", "start": "2026-03-01T14:00:00+01:00", "horizonHours": 12.5, "runs": 7,
               "seed": 9, "gridHours": 0.1, "gridLevels": 128, "events": [{"type": "FAIL", "twin": "P-1"}]}"""
    scenario = parse_scenario(json.loads(text))
    assert scenario == Scenario(
        name="flood",
        start=datetime(2026, 3, 1, 13, tzinfo=UTC),
        horizon_us=45_000_000_000,
        runs=7,
        seed=9,
        grid=Grid(360_000_000, 128),
        events=(Fail("P-1"),),
    )


def test_null_is_absent() -> None:
    assert parse_scenario({"name": None, "runs": None, "events": None}) == Scenario()
    assert event(type="FAIL", twin="a", atHours=None, repairHours=None) == Fail("a")


HOUR = HOUR_US
REF = RelationRef("s", "supplies", "t")
EVENTS = [
    ({"type": "FAIL", "twin": "a", "atHours": 2, "repairHours": 4}, Fail("a", 2 * HOUR, parse_duration(4))),
    (
        {"type": "FAIL", "twin": "a", "repairHours": "exponential(3)"},
        Fail("a", 0, parse_duration("exponential(3)")),
    ),
    ({"type": "DEGRADE", "twin": "a", "level": 0.5, "forHours": 1}, Degrade("a", FULL // 2, 0, HOUR)),
    ({"type": "CLOSE", "twin": "a", "atHours": 1, "forHours": 2}, Degrade("a", 0, HOUR, 3 * HOUR)),
    ({"type": "CLOSE", "twin": "a"}, Degrade("a", 0, 0, NEVER)),
    ({"type": "DELAY", "relation": ["s", "supplies", "t"], "hours": 5}, Delay(REF, 5 * HOUR)),
    (
        {"type": "DELAY", "relation": ["s", "supplies", "t", "g"], "hours": 5, "atHours": 1, "forHours": 0},
        Delay(RelationRef("s", "supplies", "t", "g"), 5 * HOUR, HOUR, HOUR),
    ),
    ({"type": "SURGE", "twin": "a", "factor": 1.5}, Surge("a", FULL * 3 // 2)),
    ({"type": "SET", "twin": "a", "attribute": "health", "value": 0.25}, SetAttribute("a", "health", 0.25)),
    (
        {"type": "SET", "twin": "a", "attribute": "restartHours", "value": "uniform(1,2)", "atHours": 3},
        SetAttribute("a", "restartHours", parse_duration("uniform(1,2)"), 3 * HOUR),
    ),
    ({"type": "SET", "twin": "a", "attribute": "demand", "value": 2}, SetAttribute("a", "demand", 2.0)),
    ({"type": "REMOVE", "twin": "a"}, RemoveTwin("a")),
    ({"type": "REMOVE", "relation": ["s", "supplies", "t"]}, RemoveRelation(REF)),
    (
        {"type": "ADD", "twin": {"id": "n", "kind": "tm:Asset;brick:AHU", "name": "New", "health": 0.5}},
        AddTwin("n", ("tm:Asset", "brick:AHU"), "New", {"health": 0.5}),
    ),
    (
        {"type": "ADD", "twin": {"id": "n", "kinds": ["AHU"], "attributes": {"timeToRepair": 4}}},
        AddTwin("n", ("AHU",), None, {"timeToRepair": parse_duration(4)}),
    ),
    (
        {"type": "ADD", "relation": {"source": "s", "relation": "feeds", "target": "t", "need": 1}},
        AddRelation("s", "feeds", "t", "", None, {"need": 1.0}),
    ),
    ({"type": "ADD", "relation": ["s", "feeds", "t", "g"]}, AddRelation("s", "feeds", "t", "g", None, {})),
]  # fmt: skip


@pytest.mark.parametrize(("document", "expected"), EVENTS, ids=lambda value: str(value)[:60])
def test_events(document: dict[str, Any], expected: Any) -> None:
    assert event(**document) == expected


@pytest.mark.parametrize(
    ("document", "place", "hint"),
    [
        ({"horizonhours": 3}, "horizonhours", "horizonHours"),
        ({"events": [{"type": "FAIL", "twin": "a", "atHour": 3}]}, "events[0].atHour", "atHours"),
        ({"events": [{"type": "FAIL", "twin": "a"}, {"type": "CLOSE", "twin": "a", "repairHours": 3}]},
         "events[1].repairHours", "forHours"),
        ({"events": [{"type": "ADD", "twin": {"id": "n", "kind": "AHU", "helth": 1}}]},
         "events[0].twin.helth", "health"),
        ({"events": [{"type": "ADD", "twin": {"id": "n", "kind": "AHU", "attributes": {"helth": 1}}}]},
         "events[0].twin.attributes.helth", "health"),
    ],
)  # fmt: skip
def test_unknown_fields_are_named_with_a_suggestion(document: object, place: str, hint: str) -> None:
    code, item, text = only_problem(document)
    assert (code, item) == ("SCENARIO_UNKNOWN_FIELD", place)
    assert hint in text


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], None),
        ({"runs": 0}, "runs"),
        ({"runs": 1.5}, "runs"),
        ({"runs": True}, "runs"),
        ({"runs": "10"}, "runs"),
        ({"seed": -1}, "seed"),
        ({"horizonHours": 0}, "horizonHours"),
        ({"horizonHours": float("nan")}, "horizonHours"),
        ({"gridLevels": 0}, "gridLevels"),
        ({"start": "yesterday"}, "start"),
        ({"start": "2026-01-01T00:00:00"}, "start"),
        ({"name": 3}, "name"),
        ({"events": {"type": "FAIL"}}, "events"),
        ({"events": ["FAIL"]}, "events[0]"),
        ({"events": [{"twin": "a"}]}, "events[0].type"),
        ({"events": [{"type": "BREAK", "twin": "a"}]}, "events[0].type"),
        ({"events": [{"type": "FAIL"}]}, "events[0].twin"),
        ({"events": [{"type": "FAIL", "twin": ""}]}, "events[0].twin"),
        ({"events": [{"type": "FAIL", "twin": "a", "atHours": -1}]}, "events[0].atHours"),
        ({"events": [{"type": "DEGRADE", "twin": "a"}]}, "events[0].level"),
        ({"events": [{"type": "DEGRADE", "twin": "a", "level": 1.5}]}, "events[0].level"),
        ({"events": [{"type": "SURGE", "twin": "a", "factor": "2"}]}, "events[0].factor"),
        ({"events": [{"type": "DELAY", "hours": 2}]}, "events[0].relation"),
        ({"events": [{"type": "DELAY", "relation": ["a", "b"], "hours": 2}]}, "events[0].relation"),
        ({"events": [{"type": "DELAY", "relation": ["a", "b", 3], "hours": 2}]}, "events[0].relation"),
        ({"events": [{"type": "SET", "twin": "a", "attribute": "health"}]}, "events[0].value"),
        ({"events": [{"type": "SET", "twin": "a", "attribute": "hue", "value": 1}]}, "events[0].attribute"),
        ({"events": [{"type": "SET", "twin": "a", "attribute": "need", "value": 1}]}, "events[0].attribute"),
        ({"events": [{"type": "SET", "twin": "a", "attribute": "demand", "value": -1}]}, "events[0].value"),
        ({"events": [{"type": "SET", "twin": "a", "attribute": "repairCost", "value": 1, "atHours": 2}]},
         "events[0].atHours"),
        ({"events": [{"type": "REMOVE"}]}, "events[0]"),
        ({"events": [{"type": "REMOVE", "twin": "a", "relation": ["a", "b", "c"]}]}, "events[0]"),
        ({"events": [{"type": "ADD", "twin": "a"}]}, "events[0].twin"),
        ({"events": [{"type": "ADD", "twin": {"id": "n"}}]}, "events[0].twin.kind"),
        ({"events": [{"type": "ADD", "relation": {"source": "s", "relation": "feeds"}}]},
         "events[0].relation.target"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_at_their_place(document: object, place: str | None) -> None:
    found = problems(document)
    assert ("SCENARIO_INVALID", place) in [(problem.code, problem.place.item) for problem in found]


def test_values_of_attributes_keep_their_own_codes() -> None:
    health = {"type": "SET", "twin": "a", "attribute": "health", "value": 2}
    assert only_problem({"events": [health]})[:2] == ("ATTRIBUTE_INVALID", "events[0].value")
    repair = {"type": "FAIL", "twin": "a", "repairHours": "weibul(1,2)"}
    code, place, text = only_problem({"events": [repair]})
    assert (code, place) == ("DISTRIBUTION_INVALID", "events[0].repairHours")
    assert "weibull" in text


def test_all_problems_come_at_once() -> None:
    document = {
        "runs": -1,
        "evnts": [],
        "events": [{"type": "FAIL"}, {"type": "SURGE", "twin": "a", "factor": -1}],
    }
    assert [problem.place.item for problem in problems(document)] == [
        "runs",
        "events[0].twin",
        "events[1].factor",
        "evnts",
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"runs": 1_000_001},
        {"horizonHours": 1e7},
        {"events": [{"type": "FAIL", "twin": "a"}] * 10_001},
        {"horizonHours": 87_600, "gridHours": 0.01},
    ],
)
def test_limits(document: object) -> None:
    with pytest.raises(LimitError) as caught:
        parse_scenario(document)
    assert caught.value.code == "LIMIT_EXCEEDED"


def test_one_failure() -> None:
    assert from_failure("CH-1", 5.0).events == (Fail("CH-1", 0, parse_duration(5.0)),)
    assert from_failure("CH-1") == Scenario(name="CH-1 fails", events=(Fail("CH-1"),))


def test_attributes_are_those_of_the_vocabulary() -> None:
    """The vocabulary's table and the engine's must tell the same story."""
    declared = {a.name: a for a in load_schema().attributes.values() if a.cascade and a.name != "group"}
    assert {name for name, a in declared.items() if a.on == "twin"} == set(OF_TWIN)
    assert {name for name, a in declared.items() if a.on == "relationship"} == set(OF_RELATIONSHIP)
    for name, attribute in {**OF_TWIN, **OF_RELATIONSHIP}.items():
        assert (declared[name].datatype == "hours") == (attribute.holds is Holds.HOURS)
        assert declared[name].minimum == 0
        assert (declared[name].maximum == 1) == (attribute.holds is Holds.LEVEL)
