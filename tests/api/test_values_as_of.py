"""`asOf` for values: points show their last readings of then."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from graph.times import time_text
from graph.values import Change, Readings
from tests.api.conftest import iri, twin

SECOND = 10**9
LIST = """query q($t: DateTime, $o: [TwinOrder!], $f: TwinFilter) {
  twins(kind: "tm:Point", asOf: $t, orderBy: $o, filter: $f) { nodes {
    localId ... on Point { value text state unit time quality } } } }"""
READING = "localId ... on Point { value text state unit time quality qualityReason }"


@pytest.fixture
def written(server: Any) -> tuple[Any, int]:
    """A server with points, and when their readings begin: after they were made, so in the future."""
    site = server.mesh.twin("campus")
    site.apply(
        Change(
            put_twins=(
                twin("campus", "T-1", "brick:Temperature_Sensor", valueType="number"),
                twin("campus", "T-2", "brick:Temperature_Sensor", valueType="number"),
                twin("campus", "MODE", "brick:Mode_Status", valueType="code"),
                twin("campus", "NEVER", "brick:Temperature_Sensor"),
            )
        )
    )
    return server, time.time_ns() // SECOND * SECOND + 3600 * SECOND


def record(server: Any, point: str, *readings: tuple[int, Any, int]) -> None:
    site = server.mesh.twin("campus")
    row = site.snapshot().row(iri("campus", point))
    times, values, quality = zip(*readings, strict=True)
    if isinstance(values[0], str):
        words = site.intern_texts(list(values))
    else:
        words = np.array(values, np.float64).view(np.uint64)
    rows = np.full(len(times), row, np.int32)
    site.record(Readings(rows, np.array(times, np.int64), words, np.array(quality, np.uint8)))


def shown(server: Any, time_ns: int, **more: Any) -> dict[str, Any]:
    """By local id: the number, text or state, and the quality."""
    found = server.data(LIST, {"t": time_text(time_ns), **more})["twins"]["nodes"]
    wanted = [node for node in found if node["localId"] in ("T-1", "T-2", "MODE", "NEVER")]
    for node in wanted:
        query = f"query q($t: DateTime, $i: ID!) {{ node(id: $i, asOf: $t) {{ {READING} }} }}"
        alone = server.data(query, {"t": time_text(time_ns), "i": node["localId"]})["node"]
        assert {key: alone[key] for key in node} == node
    return {node["localId"]: (node["value"], node["state"], node["quality"]) for node in wanted}


NONE = (None, None, None)


def test_values_at_several_times_and_late_ones(written: tuple[Any, int]) -> None:
    server, start = written
    record(server, "T-1", (start, 20.0, 0), (start + 10 * SECOND, 21.0, 0), (start + 20 * SECOND, 22.0, 2))
    record(server, "T-2", (start + 15 * SECOND, 5.0, 1))
    record(server, "MODE", (start + 5 * SECOND, "AUTO", 0), (start + 12 * SECOND, "MANUAL", 0))
    before = {"T-1": NONE, "T-2": NONE, "MODE": NONE, "NEVER": NONE}
    assert shown(server, start - 1) == before
    assert shown(server, start) == {**before, "T-1": (20.0, None, "GOOD")}
    at_11 = {**before, "T-1": (21.0, None, "GOOD"), "MODE": (None, "AUTO", "GOOD")}
    assert shown(server, start + 11 * SECOND) == at_11
    end = {"T-1": (22.0, None, "BAD"), "T-2": (5.0, None, "UNCERTAIN"), "MODE": (None, "MANUAL", "GOOD")}
    assert shown(server, start + 60 * SECOND) == {**before, **end}
    # Late: between two, and a correction of one. In a segment and in the log.
    server.mesh.twin("campus").history.flush()
    record(server, "T-1", (start + 3 * SECOND, 20.5, 0), (start + 10 * SECOND, 21.5, 0))
    assert shown(server, start + 2 * SECOND)["T-1"] == (20.0, None, "GOOD")
    assert shown(server, start + 9 * SECOND)["T-1"] == (20.5, None, "GOOD")
    assert shown(server, start + 11 * SECOND)["T-1"] == (21.5, None, "GOOD")
    assert shown(server, start + 60 * SECOND) == {**before, **end}


def test_filters_and_orders_are_of_that_time(written: tuple[Any, int]) -> None:
    server, start = written
    record(server, "T-1", (start, 1.0, 0), (start + 10 * SECOND, 9.0, 0))
    record(server, "T-2", (start, 2.0, 0), (start + 10 * SECOND, 3.0, 0))
    by_value = {"o": [{"by": "value"}], "f": {"attribute": [{"name": "value", "exists": True}]}}
    assert list(shown(server, start + SECOND, **by_value)) == ["T-1", "T-2"]
    assert list(shown(server, start + 11 * SECOND, **by_value)) == ["T-2", "T-1"]
    large = {"f": {"attribute": [{"name": "value", "gt": 1.5}]}}
    assert list(shown(server, start + SECOND, **large)) == ["T-2"]
    assert shown(server, start - SECOND, **large) == {}


def test_the_present_is_left_alone(written: tuple[Any, int]) -> None:
    server, start = written
    warm = twin("campus", "T-1", "brick:Temperature_Sensor", unit="Cel")
    server.mesh.twin("campus").apply(Change(put_twins=(warm,)))
    record(server, "T-1", (start, 1.0, 0), (start + SECOND, 2.0, 0))
    query = """query q($t: DateTime) { now: node(id: "T-1") { ... on Point { value time } }
      then: node(id: "T-1", asOf: $t) { ... on Point { value unit time } } }"""
    data = server.data(query, {"t": time_text(start)})
    assert (data["now"]["value"], data["then"]["value"], data["then"]["unit"]) == (2.0, 1.0, "Cel")
    assert data["then"]["time"] == server.data(query, {"t": time_text(start + SECOND - 1)})["then"]["time"]
