"""Scenarios that cannot be: what is wrong, and in which field; and nothing is changed by asking."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

# Shared helpers; test modules have no names to import (import mode "importlib").
sys.path.append(str(Path(__file__).parent))
from flow_helpers import Folder, command, small_world


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Folder:
    return small_world(tmp_path_factory.mktemp("scenarios"))


FAIL = {"type": "FAIL", "twin": "CH-1"}
DELAY = {"type": "DELAY", "hours": 1}


@pytest.mark.parametrize(
    ("scenario", "code", "item"),
    [
        ({"events": [FAIL, {**FAIL, "twin": "CH-2"}]}, "TWIN_UNKNOWN", "events[1].twin"),
        ({"events": [{**FAIL, "twin": "nowhere:CH-1"}]}, "TWIN_UNKNOWN", "events[0].twin"),
        ({"evnts": []}, "SCENARIO_UNKNOWN_FIELD", "evnts"),
        ({"events": [{**FAIL, "repairHour": 1}]}, "SCENARIO_UNKNOWN_FIELD", "events[0].repairHour"),
        ({"events": [{**FAIL, "forHours": 1}]}, "SCENARIO_UNKNOWN_FIELD", "events[0].forHours"),
        ({"events": [{**FAIL, "type": "FIAL"}]}, "SCENARIO_INVALID", "events[0].type"),
        ({"events": [{"type": "FAIL"}]}, "SCENARIO_INVALID", "events[0].twin"),
        ({"events": [{**FAIL, "atHours": -1}]}, "SCENARIO_INVALID", "events[0].atHours"),
        ({"events": {"a": FAIL}}, "SCENARIO_INVALID", "events"),
        ({"events": [{**FAIL, "type": "DEGRADE", "level": 2}]}, "SCENARIO_INVALID", "events[0].level"),
        (
            {"events": [{**FAIL, "type": "SET", "attribute": "helth", "value": 1}]},
            "SCENARIO_INVALID",
            "events[0].attribute",
        ),
        (
            {"events": [{**FAIL, "type": "SET", "attribute": "timeToRepair", "value": "weibul(1,2)"}]},
            "DISTRIBUTION_INVALID",
            "events[0].value",
        ),
        (
            {"events": [{**DELAY, "relation": ["CH-1", "brick:feedz", "AHU-1"]}]},
            "RELATION_UNKNOWN",
            "events[0].relation",
        ),
        (
            {"events": [{**DELAY, "relation": ["CH-1", "tm:supplies", "VAV-1"]}]},
            "RELATIONSHIP_UNKNOWN",
            "events[0].relation",
        ),
        ({"start": "2026-01-01T00:00:00"}, "SCENARIO_INVALID", "start"),
        ({"runs": 0}, "SCENARIO_INVALID", "runs"),
        ({"runs": 10**9}, "LIMIT_EXCEEDED", "runs"),
        ({"horizonHours": 0}, "SCENARIO_INVALID", "horizonHours"),
        ({"gridLevels": 1.5}, "SCENARIO_INVALID", "gridLevels"),
    ],
)
def test_a_bad_scenario_is_refused_with_code_and_place(folder, tmp_path, scenario, code, item):
    before = folder.head()
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(scenario))
    done = command("simulate", "--data", folder.data, "--scenario", path, "--json")
    assert done.code == 1
    first = done.json["errors"][0]
    assert folder.head() == before
    assert (first["code"], first["path"], first["item"]) == (code, str(path), item)
    assert done.err.startswith(f"error: {code}: {path} ({item}): ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'{"events":\n [', 2),
        (b"", 1),
        (b"[]", None),
        (b'"FAIL"', None),
        (b"\xff\xfe{}", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_scenario_that_is_no_json_object_is_refused(folder, tmp_path, text, line):
    path = tmp_path / "scenario.json"
    path.write_bytes(text)
    done = command("simulate", "--data", folder.data, "--scenario", path, "--json")
    first = done.json["errors"][0]
    assert (done.code, first["code"], first["path"], first["line"]) == (1, "SCENARIO_SYNTAX", str(path), line)
    assert first["hint"]
