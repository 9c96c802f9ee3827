"""Cells and tables: numbers, times, names, and what is wrong with a file and where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.csv.decode import (
    any_number,
    plain_number,
    quality_of,
    read_sheets,
    time_ns_of,
)
from adapters.problems import Problems
from graph.values import Quality

if TYPE_CHECKING:
    from pathlib import Path

    from ontology.errors import Problem


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("0", 0),
        ("12", 12),
        ("-3", -3),
        ("0.5", 0.5),
        ("-0.25", -0.25),
        ("1e3", 1000.0),
        ("12345678901234567890", 12345678901234567890),
        ("007", None),
        ("00", None),
        ("01.5", None),
        (".5", None),
        ("5.", None),
        ("+5", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("1_000", None),
        ("1,5", None),
        ("", None),
        ("٣", None),
    ],
)
def test_plain_numbers(cell: str, number: float | None) -> None:
    found = plain_number(cell)
    assert found == number
    assert type(found) is type(number)


def test_declared_numbers_may_have_leading_zeros() -> None:
    assert [any_number(cell) for cell in ("007", "+5", ".5", "5.", "x")] == [7, 5, 0.5, 5.0, None]


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_every_python_number_reads_back(number: float) -> None:
    assert plain_number(repr(number)) == number


@given(
    st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["T", " "]),
)
def test_times_agree_with_datetime(naive: datetime, minutes: int, between: str) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    expected = (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
    assert time_ns_of(moment.isoformat(sep=between)) == expected


@pytest.mark.parametrize(
    ("cell", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T01:00:00+01", 0),
        ("1970-01-01T01:00:00+0100", 0),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("1970-01-01T00:00:00", None),
        ("1970-01-01", None),
        ("1970-13-01T00:00:00Z", None),
        ("yesterday", None),
        ("9999-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_times(cell: str, time_ns: int | None) -> None:
    assert time_ns_of(cell) == time_ns


def test_quality() -> None:
    cells = ("", "good", "UNCERTAIN", "2", "fine")
    assert [quality_of(cell) for cell in cells] == [
        Quality.GOOD,
        Quality.GOOD,
        Quality.UNCERTAIN,
        Quality.BAD,
        None,
    ]


def problems_of(tmp_path: Path, content: bytes) -> tuple[Problem, ...]:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    problems = Problems(str(path))
    read_sheets(path, problems)
    return problems.all()


@pytest.mark.parametrize(
    ("content", "code", "line", "column"),
    [
        (b"", "CSV_EMPTY", 1, None),
        (b"\n\n", "CSV_EMPTY", 1, None),
        (b"id,kind\nA,brick:AHU\nB,br\xffick\n", "CSV_ENCODING", 3, 5),
        (b'id,kind\nA,brick:AHU\nB,"brick:AHU\nC,x\n', "CSV_SYNTAX", 3, None),
        (b'id,kind\nA,"x"y\n', "CSV_SYNTAX", 2, None),
        (b"name,colour\nA,red\n", "CSV_HEADER", 1, 1),
        (b"id;kind\nA;brick:AHU\n", "CSV_HEADER", 1, 1),
        (b"id,kind\nA,brick:AHU,3\n", "CSV_CELLS", 2, 3),
        (b"id,kind\n\nA\n", "CSV_CELLS", 3, 2),
    ],
)
def test_broken_tables(tmp_path: Path, content: bytes, code: str, line: int, column: int | None) -> None:
    found = problems_of(tmp_path, content)
    assert [(p.code, p.place.line, p.place.column) for p in found] == [(code, line, column)]
    assert found[0].place.path == str(tmp_path / "table.csv")


def test_all_broken_rows_are_told_up_to_a_limit(tmp_path: Path) -> None:
    found = problems_of(tmp_path, b"id,kind\n" + b"A\n" * 250)
    assert [p.place.line for p in found[:100]] == list(range(2, 102))
    assert (len(found), found[-1].code, found[-1].message) == (
        101,
        "MORE_PROBLEMS",
        "150 more are not listed",
    )


def test_bom_quotes_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(
        b'\xef\xbb\xbfid,kind,name\r\nA,brick:AHU,"two\r\nlines, ""quoted"""\r\nB,brick:AHU,x\r\n,,\r\n'
    )
    problems = Problems(str(path))
    (sheet,) = read_sheets(path, problems)
    assert sheet.header == ["id", "kind", "name"]
    assert sheet.rows == [["A", "brick:AHU", 'two\r\nlines, "quoted"'], ["B", "brick:AHU", "x"]]
    assert sheet.lines == [2, 4]
    assert not problems.all()


def test_a_blank_line_may_begin_another_table(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_text("id,kind\nA,k\n\nB,k\n\nsource,relation,target\nA,feeds,B\n")
    first, second = read_sheets(path, Problems("x"))
    assert (first.role.role, first.rows) == ("twins", [["A", "k"], ["B", "k"]])
    assert (second.role.role, second.rows, second.lines) == ("relationships", [["A", "feeds", "B"]], [7])
