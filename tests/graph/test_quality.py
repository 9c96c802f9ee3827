"""The quality byte: severities and reasons, which of two wins, and what counts in figures."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from graph import plan
from graph.execute import matching_rows
from graph.grouping import parse_group_key, run_grouping
from graph.history import Aggregate, Samples, bucketed
from graph.quality import (
    Reason,
    is_quality,
    quality_byte,
    reason_of,
    severities,
    severity_of,
    usable,
    worse,
)
from graph.twin import Twin
from graph.values import Change, Quality, Readings, TwinRecord
from graph.view import Budget, View
from ontology.units import Units

EVERY = [quality_byte(*pair) for pair in product(Quality, (None, *Reason))]
STALE = quality_byte(Quality.UNCERTAIN, Reason.STALE)
STUCK = quality_byte(Quality.BAD, Reason.STUCK)


def test_a_byte_holds_both() -> None:
    for severity, reason in product(Quality, (None, *Reason)):
        byte = quality_byte(severity, reason)
        assert is_quality(byte)
        assert (severity_of(byte), reason_of(byte)) == (severity, None if reason is None else reason.name)
    assert len(set(EVERY)) == len(EVERY)


def test_bytes_without_a_reason_are_those_of_before() -> None:
    assert [quality_byte(severity) for severity in Quality] == [0, 1, 2]
    assert [reason_of(byte) for byte in (0, 1, 2)] == [None] * 3


def test_what_is_no_quality() -> None:
    assert [is_quality(byte) for byte in (-1, 3, 7, 256)] == [False] * 4
    with pytest.raises(ValueError, match="3"):
        severity_of(3)
    assert reason_of(63 << 2) == "REASON_63"


def test_the_worse_wins_and_of_equals_the_one_that_tells_more() -> None:
    ones, others = (np.array(side, np.uint8) for side in zip(*product(EVERY, EVERY), strict=True))
    found = worse(ones, others)
    assert found.tolist() == worse(others, ones).tolist()
    assert (severities(found) == np.maximum(severities(ones), severities(others))).all()
    told = (severities(ones) == severities(others)) & ((ones > 3) != (others > 3))
    assert (found[told] > 3).all()
    assert worse(ones, ones).tolist() == ones.tolist()


def test_only_bad_ones_are_left_out_of_buckets() -> None:
    quality = np.array([0, STALE, STUCK, 2, quality_byte(Quality.GOOD, Reason.LATE)], np.uint8)
    words = np.array([1.0, 2.0, 400.0, 800.0, 16.0]).view(np.uint64)
    found = bucketed(Samples(np.arange(5), words, quality), 0, 10, Aggregate.SUM)
    assert found.values.tolist() == [19.0]
    assert usable(quality).tolist() == [True, True, False, False, True]


def test_filters_and_groups_by_quality(twin: Twin, units: Units) -> None:
    kind = twin.schema.kind("tm:Point").iri
    names = [f"{twin.base}p{number}" for number in range(5)]
    twin.apply(Change(put_twins=tuple(TwinRecord(name, (kind,)) for name in names)))
    rows = twin.snapshot().rows(names[:4])
    quality = np.array([0, STALE, STUCK, STUCK], np.uint8)
    words = np.array([1.0, 2.0, 4.0, 8.0]).view(np.uint64)
    twin.record(Readings(rows, np.full(4, 9, np.int64), words, quality))
    view = View(twin.snapshot(), units, Budget(nodes_max=1_000, wall_s=60.0))

    def found(name: str, operand: str) -> list[str]:
        test = plan.AttributeTest(name, (plan.Comparison(plan.Operator.EQ, operand),))
        return [iri[-2:] for iri in view.snapshot.ids(matching_rows(view, "tm:Point", test))]

    assert found("quality", "BAD") == ["p2", "p3"]
    assert found("quality", "GOOD") == ["p0"]
    assert found("qualityReason", "STALE") == ["p1"]
    assert found("quality", "FINE") == []
    measures = (plan.Measured(Aggregate.COUNT, "value", "n"), plan.Measured(Aggregate.SUM, "value", "sum"))
    keys = (parse_group_key(view.snapshot.schema, "quality"),)
    groups = run_grouping(view, plan.Grouping("tm:Point", None, keys, measures))
    assert [(*each.keys.values(), *each.values.values()) for each in groups] == [
        ("BAD", 2, None), ("GOOD", 1, 1.0), ("UNCERTAIN", 1, 2.0), (None, 1, None),
    ]  # fmt: skip
