"""Paged columns against plain numpy arrays; snapshots never change while the writer goes on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.attributes import ColumnWriter
from graph.columns import PAGE_ROWS, ConstantColumn, PagedColumn
from graph.joined import JoinedColumn, MappedColumn, PartColumn, Starts
from graph.pools import Pools
from graph.values import Value

ROWS = 4 * PAGE_ROWS

writes = st.lists(
    st.tuples(
        st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=40),
        st.integers(1, 2**30),
        st.booleans(),
    ),
    max_size=12,
)


@given(writes)
@settings(deadline=None)
def test_a_paged_column_reads_like_an_array_and_its_snapshots_stand_still(steps):
    column, plain = PagedColumn(np.int32), np.zeros(ROWS, np.int32)
    frozen = []
    for rows, value, freeze in steps:
        column.write(rows, [value + place for place in range(len(rows))])
        for place, row in enumerate(rows):
            plain[row] = value + place
        if freeze:
            frozen.append((column.freeze(ROWS), plain.copy()))
    everything = np.arange(ROWS)
    assert column.take(everything).tolist() == plain.tolist()
    for view, expected in frozen:
        assert view.flat.tolist() == expected.tolist()
        assert view.take(everything[::-7]).tolist() == expected[::-7].tolist()
        assert view.at(ROWS - 1) == expected[-1]


def test_freezing_twice_without_a_write_gives_the_same_object():
    column = PagedColumn(np.int64)
    column.set(5, 7)
    first = column.freeze(10)
    assert column.freeze(10) is first
    column.set(5, 8)
    assert column.freeze(10) is not first
    assert (first.at(5), column.at(5)) == (7, 8)


def test_a_write_after_a_snapshot_copies_only_the_pages_it_meets():
    column = PagedColumn(np.int64)
    rows = np.arange(64 * PAGE_ROWS)
    column.write(rows, rows)
    column.freeze(len(rows))
    column.set(0, -1)  # makes room
    column.freeze(len(rows))
    before = column.pages_in_use
    column.set(3, -1)
    column.set(4, -1)
    assert column.pages_in_use == before + 1


def test_many_snapshots_and_writes_do_not_pile_up_pages():
    column = PagedColumn(np.int64)
    rows = np.arange(16 * PAGE_ROWS)
    column.write(rows, rows)
    for step in range(1000):
        column.set(step % len(rows), step)
        column.freeze(len(rows))
    assert column.nbytes < 4 * len(rows) * 8


def test_a_flat_view_is_read_only():
    column = PagedColumn(np.int32)
    column.write(range(100), range(100))
    with pytest.raises(ValueError, match="read-only"):
        column.freeze(100).flat[0] = 1


def test_rows_beyond_what_was_written_read_as_zero():
    column = PagedColumn(np.int32)
    column.set(1, 5)
    view = column.freeze(3 * PAGE_ROWS)
    assert view.at(3 * PAGE_ROWS - 1) == 0
    assert view.flat.sum() == 5
    assert len(view.flat) == 3 * PAGE_ROWS


@pytest.mark.parametrize("scattered", [False, True], ids=["in order", "scattered"])
@pytest.mark.parametrize("count", [10, 2_000, 30_000])
def test_many_rows_read_like_few(scattered, count):
    """Many rows are read through the flat view, and rows outside still read as zero."""
    size = 20 * PAGE_ROWS + 17
    column = PagedColumn(np.int32)
    pages = np.random.default_rng(1).permutation(21) if scattered else np.arange(21)
    for page in pages.tolist():
        rows = np.arange(page * PAGE_ROWS, min((page + 1) * PAGE_ROWS, size))
        column.write(rows, 3 * rows + 1)
    frozen = column.freeze(size)
    asked = np.random.default_rng(2).integers(0, size, count)
    assert np.array_equal(frozen.take(asked), 3 * asked + 1)
    asked[:2] = -1, 40 * PAGE_ROWS
    assert np.array_equal(frozen.take(asked)[:2], [0, 0])
    assert np.array_equal(frozen.take(asked)[2:], 3 * asked[2:] + 1)


def test_joined_columns_read_like_their_concatenation():
    rng = np.random.default_rng(3)
    sizes = [5, 0, 3000, 17]
    parts = []
    for size in sizes:
        column = PagedColumn(np.int32)
        column.write(np.arange(size), rng.integers(1, 100, size))
        parts.append(column.freeze(size))
    parts[3] = None
    starts = Starts.of(sizes)
    joined = JoinedColumn(parts, starts, np.int32)
    plain = np.concatenate(
        [np.zeros(n, np.int32) if p is None else p.flat for p, n in zip(parts, sizes, strict=True)]
    )
    some = rng.integers(0, len(plain), 500)
    assert joined.flat.tolist() == plain.tolist()
    assert joined.take(some).tolist() == plain[some].tolist()
    assert [joined.at(row) for row in (0, 4, 5, 3004, 3005)] == plain[[0, 4, 5, 3004, 3005]].tolist()
    owner = np.repeat([0, 2, 3], [5, 3000, 17])
    assert PartColumn(starts).flat.tolist() == owner.tolist()
    assert PartColumn(starts).take(some).tolist() == owner[some].tolist()
    doubled = MappedColumn(joined, lambda rows, values: values * 2 + rows)
    assert doubled.flat.tolist() == (plain * 2 + np.arange(len(plain))).tolist()
    assert doubled.at(7) == plain[7] * 2 + 7


def test_a_constant_column():
    column = ConstantColumn(np.int16(3), 4)
    assert (column.flat.tolist(), column.at(2), column.take(np.array([1, 2])).tolist()) == (
        [3] * 4,
        3,
        [3, 3],
    )


VALUES = [
    1,
    0,
    -7,
    2.5,
    1e300,
    True,
    False,
    "text",
    "",
    [1, [2]],
    {"a": {"b": None}},
    2**53,
    2**53 + 1,
    -(2**63),
]


@pytest.mark.parametrize("plain", VALUES, ids=repr)
def test_a_value_comes_back_as_it_was_stated(plain):
    writer = ColumnWriter(Pools())
    value = Value(plain, "kW", "file")
    writer.write([3, 4], [value, Value("other")])
    column = writer.freeze(10)
    assert column.value(3) == value
    assert type(column.value(3).value) is type(plain)
    assert column.values(np.array([2, 3, 4])) == [None, value, Value("other")]
    assert column.present(np.array([2, 3])).tolist() == [False, True]


def test_numbers_are_nan_where_there_is_none():
    writer = ColumnWriter(Pools())
    writer.write([0, 1, 2, 3], [Value(1), Value(2.5), Value(True), Value("7")])
    numbers = writer.freeze(5).numbers(np.arange(5))
    assert numbers[:2].tolist() == [1.0, 2.5]
    assert np.isnan(numbers[2:]).all()


def test_a_reader_cannot_change_what_others_read():
    writer = ColumnWriter(Pools())
    writer.write([0], [Value([1, 2])])
    column = writer.freeze(1)
    column.value(0).value.append(3)
    assert column.value(0).value == [1, 2]


@pytest.mark.parametrize(
    "spans", [[(0, 5000)], [(0, 100), (100, 3000), (3000, 3001)], [(2000, 4100), (10, 1500)]]
)
def test_ranges_of_rows_are_written_as_single_rows_are(spans):
    """Before and after a snapshot, over new pages, old pages and pages in any order."""
    rng = np.random.default_rng(1)
    column, expected = PagedColumn(np.int32), np.zeros(6000, np.int32)
    for first, last in spans:
        before = column.freeze(6000)
        seen = before.flat.copy()
        values = rng.integers(1, 1000, last - first).astype(np.int32)
        column.write(range(first, last), values)
        expected[first:last] = values
        again = rng.integers(1, 1000, 40).astype(np.int32)
        column.write(range(first + 5, first + 45) if last - first > 50 else range(first, first + 40), again)
        begin = first + 5 if last - first > 50 else first
        expected[begin : begin + 40] = again
        assert np.array_equal(before.flat, seen)
        assert np.array_equal(before.take(np.arange(6000)), seen)
    assert np.array_equal(column.freeze(6000).flat, expected)


def test_a_saved_column_is_written_only_in_a_copy():
    pages = np.zeros((3, PAGE_ROWS), np.int32)
    pages[1:] = np.arange(2 * PAGE_ROWS).reshape(2, PAGE_ROWS)
    pages.flags.writeable = False
    column = PagedColumn.of(pages, np.array([1, 0, 2, 0], np.int32))
    before = column.freeze(3 * PAGE_ROWS).flat.tolist()
    assert before == [*range(PAGE_ROWS), *[0] * PAGE_ROWS, *range(PAGE_ROWS, 2 * PAGE_ROWS)]
    frozen = column.freeze(3 * PAGE_ROWS)
    column.set(PAGE_ROWS + 1, 9)
    column.write(range(5, 50), np.full(45, 7))
    assert frozen.flat.tolist() == before
    assert [column.at(row) for row in (4, 5, 49, 50, PAGE_ROWS + 1)] == [4, 7, 7, 50, 9]
