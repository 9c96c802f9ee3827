"""Joint cascades over three hosts: the whole answer, bounds while one is cut off, the whole answer again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.network.hosts import Host

START = "mutation Run($input: CascadeInput!) { simulateCascade(input: $input) { id } }"
ASK = """query Ask($id: ID!) { simulation(id: $id) { status error completeness sources { site status code }
  impacts(first: 100) { nodes { localId probability probabilityHigh minLevel } } } }"""
PATIENT_S = 200
"""Servers compile the kernels of cascades once, beside other work."""


def cascade(host: Host, **document: Any) -> dict[str, Any]:
    """The finished simulation of a host's server."""
    job = host.graphql(START, input=document)["data"]["simulateCascade"]["id"]
    end = time.monotonic() + PATIENT_S
    while True:
        found = host.graphql(ASK, id=job)["data"]["simulation"]
        if found["status"] not in ("QUEUED", "RUNNING"):
            assert found["status"] == "DONE", found
            return found
        assert time.monotonic() < end, found
        time.sleep(0.1)


def until(host: Host, holds: Callable[[dict[str, Any]], bool], **document: Any) -> dict[str, Any]:
    end = time.monotonic() + PATIENT_S
    while True:
        found = cascade(host, **document)
        if holds(found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.2)


def is_full(found: dict[str, Any]) -> bool:
    return found["completeness"] == "FULL"


def bounds(found: dict[str, Any], twin: str) -> tuple[float, float]:
    rows = {row["localId"]: row for row in found["impacts"]["nodes"]}
    row = rows.get(twin, {"probability": 0.0, "probabilityHigh": None})
    return row["probability"], row["probabilityHigh"] or row["probability"]


FAILS = {"events": [{"type": "FAIL", "twin": "CH-1", "atHours": 1, "repairHours": 3}], "runs": 3}
CALM: dict[str, Any] = {"events": [], "runs": 3}


def test_a_cut_gives_bounds_that_hold_the_truth(three: list[Host]) -> None:
    campus, plant, supplier = three
    whole = until(campus, is_full, **FAILS)
    assert {row["localId"] for row in whole["impacts"]["nodes"]} == {"CH-1", "AHU-1", "LINE-1", "DRIVE-1"}
    calm = until(supplier, is_full, **CALM)
    assert bounds(calm, "DRIVE-1") == (0.0, 0.0)
    plant.refuse(campus, supplier, out=True)
    cut = cascade(supplier, **CALM)
    assert cut["completeness"] == "PARTIAL"
    assert bounds(cut, "DRIVE-1") == (0.0, 1.0), "who knows what plant does"
    assert {each["site"]: each["status"] for each in cut["sources"]}["plant"] == "TIMED_OUT"
    plant.heal()
    again = until(campus, is_full, **FAILS)
    assert again["impacts"] == whole["impacts"], "nothing lost, nothing doubled"
