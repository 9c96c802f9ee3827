"""Readings: last values, history, value types, buckets against plain Python."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from graph.history import Aggregate, Samples, bucketed
from graph.values import Change, Readings, TwinRecord, Value, ValueType
from ontology.errors import StoreError


@pytest.fixture
def points(twin):
    """Rows of one point per value type, by type."""
    kind = twin.schema.kind("tm:Point").iri
    records = tuple(
        TwinRecord(f"{twin.base}{value_type}", (kind,), attributes={"valueType": Value(str(value_type))})
        for value_type in ValueType
    )
    twin.apply(Change(put_twins=(*records, TwinRecord(f"{twin.base}plain", (kind,)))))
    snapshot = twin.snapshot()
    return {name: snapshot.row(f"{twin.base}{name}") for name in (*ValueType, "plain")}


def record(twin, rows, times, words, quality=None):
    quality = np.zeros(len(rows), np.uint8) if quality is None else np.array(quality, np.uint8)
    rows, times = np.array(rows, np.int32), np.array(times, np.int64)
    return twin.record(Readings(rows, times, np.array(words, np.uint64), quality))


def numbers(values):
    return np.array(values, np.float64).view(np.uint64)


def test_last_values_by_type_survive_reopening(open_twin, twin, points):
    texts = twin.intern_texts(["AUTO", "all is well"])
    words = [*numbers([-2.5, 7.0]), 1, texts[0], texts[1], 2**63 + 5]
    rows = [points[n] for n in (ValueType.NUMBER, "plain", "boolean", "code", "text", "counter")]
    assert record(twin, rows, [10] * 6, words) == 6
    expected = [-2.5, 7.0, True, "AUTO", "all is well", 2**63 + 5]
    assert [twin.snapshot().point_value(row) for row in rows] == expected
    twin.close()
    twin = open_twin()
    twin.intern_texts(["shifts", "all", "codes"])
    snapshot = twin.snapshot()
    assert [snapshot.point_value(row) for row in rows] == expected
    assert snapshot.point_time_ns[rows].tolist() == [10] * 6
    assert snapshot.value_type(points["code"]) == ValueType.CODE
    text = twin.history.range(twin.base + "text", 0, 100)
    assert text.texts == ("all is well",)
    assert twin.history.range(twin.base + "plain", 0, 100).texts is None


def test_the_newest_time_wins_whatever_the_order_of_arrival(open_twin, twin, points):
    row = points["plain"]
    record(twin, [row, row, row], [30, 50, 40], numbers([3, 5, 4]), [0, 1, 2])
    snapshot = twin.snapshot()
    assert (snapshot.point_value(row), snapshot.point_quality[row]) == (5.0, 1)
    record(twin, [row], [45], numbers([9]))
    assert twin.snapshot().point_value(row) == 5.0
    assert open_twin(read_only=True).snapshot().point_value(row) == 5.0, "the same from the disk"
    record(twin, [row, row], [50, 50], numbers([6, 7]))
    assert twin.snapshot().point_value(row) == 7.0, "of equal times the later one"
    assert snapshot.point_value(row) == 5.0, "the older snapshot stands still"
    samples = twin.history.range(twin.base + "plain", 0, 100)
    assert samples.times_ns.tolist() == [30, 40, 45, 50]
    assert samples.numbers.tolist() == [3, 4, 9, 7], "the same point and time again replaces"


def test_a_point_that_never_had_a_reading_has_no_value(twin, points):
    assert twin.snapshot().point_value(points["plain"]) is None
    assert len(twin.history.range(twin.base + "plain", 0, 2**62)) == 0
    assert len(twin.history.range("urn:x:nobody", 0, 2**62)) == 0


def test_rows_that_are_no_living_twin_are_left_out(twin, points):
    twin.apply(Change(remove_twins=(twin.base + "boolean",)))
    rows = [points["plain"], points["boolean"], -1, 10_000]
    assert record(twin, rows, [1, 1, 1, 1], numbers([1, 1, 1, 1])) == 1
    assert record(twin, rows[1:], [1, 1, 1], numbers([1, 1, 1])) == 0


def test_range_takes_the_first_or_the_last(twin, points):
    row = points["plain"]
    record(twin, [row] * 10, range(10), numbers(range(10)))
    history = twin.history
    iri = twin.base + "plain"
    assert history.range(iri, 3, 8).times_ns.tolist() == [3, 4, 5, 6, 7]
    assert history.range(iri, 3, 8, limit=2).times_ns.tolist() == [3, 4]
    assert history.range(iri, 3, 8, limit=2, newest=True).times_ns.tolist() == [6, 7]


def test_a_point_that_is_put_again_shows_the_newest_of_its_history_now_and_after_reopening(
    open_twin, twin, points
):
    record(twin, [points["plain"]], [5], numbers([1]))
    iri = twin.base + "plain"
    twin.apply(Change(remove_twins=(iri,)))
    twin.apply(Change(put_twins=(TwinRecord(iri, (twin.schema.kind("tm:Point").iri,)),)))
    assert twin.snapshot().point_value(points["plain"]) == 1
    assert len(twin.history.range(iri, 0, 100)) == 1
    twin.close()
    assert open_twin().snapshot().point_value(points["plain"]) == 1


def test_a_read_only_twin_takes_no_readings(open_twin, twin, points):
    follower = open_twin(read_only=True)
    with pytest.raises(StoreError) as caught:
        record(follower, [points["plain"]], [1], numbers([1]))
    assert caught.value.code == "STORE_LOCKED"


# Buckets


def oracle(op, values):
    ordered = sorted(values)
    rank = {Aggregate.P05: 5, Aggregate.P50: 50, Aggregate.P95: 95}.get(op)
    if rank is not None:  # nearest rank: the smallest value that at least rank % do not exceed
        return next(v for k, v in enumerate(ordered, 1) if 100 * k >= rank * len(ordered))
    plain = {"COUNT": len, "MIN": min, "MAX": max, "SUM": sum, "MEAN": statistics.fmean}
    return plain[op](values)


@pytest.mark.parametrize("op", list(Aggregate))
def test_buckets_equal_plain_python(op):
    rng = np.random.default_rng(9)
    times = np.sort(rng.choice(10_000, 400, replace=False)).astype(np.int64)
    values = rng.normal(size=400)
    quality = rng.integers(0, 3, 400).astype(np.uint8)
    result = bucketed(Samples(times, values.view(np.uint64), quality), 37, 250, op)
    groups = {}
    for time, value, grade in zip(times.tolist(), values.tolist(), quality.tolist(), strict=True):
        if grade < 2:  # BAD readings do not count
            groups.setdefault(37 + (time - 37) // 250 * 250, []).append(value)
    assert result.starts_ns.tolist() == sorted(groups)
    expected = [oracle(op, groups[start]) for start in sorted(groups)]
    assert result.values == pytest.approx(expected, rel=1e-12)


def test_no_samples_make_no_buckets():
    empty = Samples(np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint8))
    assert len(bucketed(empty, 0, 10, Aggregate.MEAN).values) == 0
