"""Bindings in one word: what can never work, what does not come, what does; and clocks."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.binding import parse_bindings
from adapters.binding_state import Condition, state_of
from adapters.routing import Router
from adapters.skew import WINDOW, Skew
from graph.twin import Twin
from ontology.errors import Problem
from ontology.units import load_units

UNITS = load_units()


@pytest.mark.parametrize(
    ("counts", "code", "expected"),
    [
        ((3, 3, 9, 0, {}), None, (Condition.BOUND, None)),
        ((3, 2, 9, 0, {"VALUE_TYPE": 2}), None,
         (Condition.BOUND, "1 of 3 points never seen; refused: VALUE_TYPE 2")),
        ((3, 0, 0, 0, {}), None, (Condition.NEVER_SEEN, "nothing came for any of 3 points")),
        ((3, 3, 9, 2, {}), None, (Condition.STALE, "2 of 3 points are silent")),
        ((0, 0, 0, 0, {}), "BINDING_POINT_UNKNOWN", (Condition.POINT_UNKNOWN, "why")),
        ((1, 0, 0, 0, {}), "BINDING_TYPE", (Condition.TYPE_MISMATCH, "why")),
        ((1, 0, 0, 0, {}), "UNIT_MISMATCH", (Condition.UNIT_MISMATCH, "why")),
        ((1, 0, 0, 0, {"VALUE_TYPE": 5, "PAYLOAD_SYNTAX": 1}), None,
         (Condition.TYPE_MISMATCH, "refused: VALUE_TYPE 5, PAYLOAD_SYNTAX 1")),
        ((1, 0, 0, 0, {"PAYLOAD_SYNTAX": 1_000}), None, (Condition.REFUSED, "refused: PAYLOAD_SYNTAX 1,000")),
        ((2, 1, 5, 0, {}), "UNIT_MISMATCH", (Condition.BOUND, "1 of 2 points never seen; why")),
    ],
)  # fmt: skip
def test_states(counts: tuple, code: str | None, expected: tuple[Condition, str | None]) -> None:
    assert state_of(*counts, Problem(code, "why") if code else None) == expected


def test_what_can_never_work_is_known_before_anything_came(campus_twin: Twin) -> None:
    tables = [
        {"topic": "a", "point": "CH-1-PWR", "unit": "W"},
        {"topic": "b", "point": "CH-1-PWR", "type": "boolean"},
        {"topic": "c/{x}", "point": "{x}-SAT", "unit": "kW"},
        {"topic": "d", "point": "NOWHERE"},
    ]
    bindings = parse_bindings({"binding": tables}, "b.toml", UNITS)
    found = Router(bindings, campus_twin.snapshot(), UNITS).health(1)
    assert [each.state for each in found] == ["NEVER_SEEN", "TYPE_MISMATCH", "UNIT_MISMATCH", "POINT_UNKNOWN"]
    assert [(each.address, each.point, each.unit) for each in found[:2]] == [
        ("a", "CH-1-PWR", "W"), ("b", "CH-1-PWR", None),
    ]  # fmt: skip
    assert "'kW' does not convert to 'Cel'" in (found[2].message or "")


def test_clocks_are_the_median_over_a_window() -> None:
    skew = Skew()
    assert skew.median_s is None
    skew.add(np.array([0, 0, 0], np.int64), 5 * 10**9)
    assert skew.median_s == 5.0
    for _ in range(WINDOW):
        skew.add(np.full(10_000, 10**18, np.int64), 10**18 - 3 * 10**9)
    assert skew.median_s == -3.0
    skew.add(np.zeros(0, np.int64), 1)
    assert skew.median_s == -3.0
