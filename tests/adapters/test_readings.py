"""Readings of files: which point a row means, and its value in the point's type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.model import ReadingRows
from adapters.readings import resolve_readings
from ontology.errors import InputError

if TYPE_CHECKING:
    from graph.twin import Twin


def rows(*pairs: tuple[str, str]) -> ReadingRows:
    n = len(pairs)
    return ReadingRows(
        tuple(point for point, _ in pairs),
        np.arange(n, dtype=np.int64),
        tuple(value for _, value in pairs),
        np.zeros(n, np.uint8),
        np.arange(2, n + 2, dtype=np.int32),
    )


def test_values_take_the_type_of_their_point(campus_twin: Twin) -> None:
    stated = rows(
        ("AHU-1-SAT", "21.50"),
        ("campus:CH-1-RUN", "TRUE"),
        ("LINE-1-STA", "5"),
        ("LINE-1-CNT", "0012"),
        ("LINE-1-MSG", "007"),
        ("https://twinmesh.invalid/campus/FREE", "-1e3"),
    )
    found = resolve_readings(stated, campus_twin.snapshot(), "readings.csv")
    assert found.values == (21.5, True, "5", 12, "007", -1000.0)
    assert found.points[1] == "https://twinmesh.invalid/campus/CH-1-RUN"
    assert found.times_ns is stated.times_ns


def test_everything_that_fits_nothing_is_told(campus_twin: Twin) -> None:
    stated = rows(
        ("NOWHERE", "1"),
        ("AHU-1", "1"),
        ("NOWHERE", "2"),
        ("AHU-1-SAT", "warm"),
        ("CH-1-RUN", "2"),
        ("LINE-1-CNT", "-1"),
    )
    with pytest.raises(InputError) as caught:
        resolve_readings(stated, campus_twin.snapshot(), "readings.csv")
    assert [(p.code, p.place.line) for p in caught.value.problems] == [
        ("POINT_UNKNOWN", 2),  # told once, where it is met first
        ("POINT_UNKNOWN", 3),
        ("VALUE_TYPE", 5),
        ("VALUE_TYPE", 6),
        ("VALUE_TYPE", 7),
    ]
