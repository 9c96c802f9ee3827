"""Contracts as files: read whole, every mistake with its line and what was probably meant."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.coarse import HOUR_US, Coarse
from federation.contract import GROUP_MIN, Naming, Purpose, Release, changes
from federation.contract_file import CONTRACT_BYTES_MAX, Known, parse_contract
from ontology.errors import InputError, Problem
from ontology.schema import load_schema

KNOWN = Known(load_schema(), frozenset({"assetTag"}), ("campus", "plant"), {"dock": "F" * 43})
GOOD = """\
partner = "dock"
sites = ["campus"]
kinds = [
  "brick:AHU",
  "rec:Room",
]
attributes = ["ratedPower", "assetTag", "name"]
relations = ["isFedBy"]
release = "rows"
purposes = ["query", "cascade"]
events = ["FAIL"]
expires = 2027-06-30

[window]
from = 2026-01-01T00:00:00+02:00

[limits]
per_minute = 10
"""


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        parse_contract(text, KNOWN, "c.toml")
    return list(caught.value.problems)


def ns(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9  # pyright: ignore


def test_a_good_contract() -> None:
    contract = parse_contract(GOOD, KNOWN)
    schema = KNOWN.schema
    assert contract.partner == "F" * 43
    assert contract.sites == {"campus"}
    assert contract.kinds == {schema.kind("brick:AHU").iri, schema.kind("rec:Room").iri}
    assert contract.attributes == {"ratedPower", "assetTag", "name"}
    # An inverse name shares the relation that is stored.
    assert contract.relations == {schema.relations[schema.relation("isFedBy").inverse_of or 0].iri}
    assert contract.release is Release.ROWS
    assert contract.purposes == {Purpose.QUERY, Purpose.CASCADE}
    assert contract.expires_ns == ns(2027, 6, 30)
    assert contract.window_from_ns == ns(2025, 12, 31, 22)
    assert contract.window_until_ns is None
    assert (contract.per_minute, contract.scenarios_per_day, contract.group_min) == (10, 0, GROUP_MIN)


def test_a_signal_is_coarse_in_levels_in_time_or_in_both() -> None:
    assert parse_contract(GOOD, KNOWN).signal is None
    for text, means in (
        ("levels = 4", Coarse(4, 0)),
        ("step_hours = 0.25", Coarse(0, HOUR_US // 4)),
        ("levels = 1\nstep_hours = 24", Coarse(1, 24 * HOUR_US)),
    ):
        assert parse_contract(f"{GOOD}[signal]\n{text}\n", KNOWN).signal == means
    for text, code, says in (
        ("levels = -1", "CONTRACT_TYPE", "levels"),
        ("levels = 5000", "CONTRACT_TYPE", "4,096"),
        ("levels = true", "CONTRACT_TYPE", "levels"),
        ('step_hours = "1"', "CONTRACT_TYPE", "step_hours"),
        ("step_hours = nan", "CONTRACT_TYPE", "step_hours"),
        ("steps = 3", "CONTRACT_UNKNOWN_KEY", "steps"),
        ("", "CONTRACT_MISSING", "says nothing"),
    ):
        problem = problems_of(f"{GOOD}[signal]\n{text}\n")[0]
        assert problem.code == code and says in problem.message, text
    queries = GOOD.replace('"query", "cascade"', '"query"').replace('events = ["FAIL"]', "")
    assert "cascades" in problems_of(f"{queries}[signal]\nlevels = 4\n")[0].message


def test_nothing_is_assumed() -> None:
    told = problems_of("")
    assert {problem.code for problem in told} == {"CONTRACT_MISSING"}
    assert {problem.place.item for problem in told} == {
        "partner", "sites", "kinds", "release", "purposes", "expires",
    }  # fmt: skip


# What is written, which line of GOOD it replaces, the code, what the hint or message says.
MISTAKES = [
    ('partner = "dok"', 1, "CONTRACT_UNKNOWN_NAME", "dock"),
    ("partner = 7", 1, "CONTRACT_UNKNOWN_NAME", "peers list"),
    ('sites = ["canpus"]', 2, "CONTRACT_UNKNOWN_NAME", "campus"),
    ('sites = "campus"', 2, "CONTRACT_TYPE", "list"),
    ('  "brick:AUH",', 4, "CONTRACT_UNKNOWN_NAME", "brick:AHU"),
    ('  "Room",', 5, "CONTRACT_UNKNOWN_NAME", "write brick:Room or rec:Room"),
    ('  "*",', 5, "CONTRACT_UNKNOWN_NAME", "name each one"),
    ('attributes = ["ratedPwer"]', 7, "CONTRACT_UNKNOWN_NAME", "ratedPower"),
    ('attributes = ["*"]', 7, "CONTRACT_UNKNOWN_NAME", "name each one"),
    ('relations = ["feads"]', 8, "CONTRACT_UNKNOWN_NAME", "feeds"),
    ('release = "all"', 9, "CONTRACT_TYPE", "aggregates"),
    ('purposes = ["querry"]', 10, "CONTRACT_UNKNOWN_NAME", "query"),
    ('events = ["FIAL"]', 11, "CONTRACT_UNKNOWN_NAME", "FAIL"),
    ('expires = "2027-01-01"', 12, "CONTRACT_TYPE", "zone"),
    ("expires = 2027-01-01T00:00:00", 12, "CONTRACT_TYPE", "zone"),
    ("expires = 1969-01-01", 12, "CONTRACT_TIMES", "before"),
    ("form = 2026-01-01", 15, "CONTRACT_UNKNOWN_KEY", "from"),
    ("per_minute = -1", 18, "CONTRACT_TYPE", "whole number"),
    ("per_minute = true", 18, "CONTRACT_TYPE", "whole number"),
    ("group_min = 4", 18, "CONTRACT_TYPE", "5"),
    ("per_mnute = 5", 18, "CONTRACT_UNKNOWN_KEY", "per_minute"),
    ("per_minute = = 5", 18, "CONTRACT_SYNTAX", "TOML"),
]


@pytest.mark.parametrize(("written", "line", "code", "says"), MISTAKES, ids=[each[0] for each in MISTAKES])
def test_mistakes_are_told_with_their_line(written: str, line: int, code: str, says: str) -> None:
    lines = GOOD.splitlines()
    lines[line - 1] = written
    (problem,) = [each for each in problems_of("\n".join(lines)) if each.code == code]
    assert problem.place.line == line
    assert problem.place.path == "c.toml"
    assert says in f"{problem.message} {problem.hint}"


def test_all_mistakes_are_told_at_once_in_order() -> None:
    text = GOOD.replace('"dock"', '"x"').replace("rec:Room", "rec:Rooom").replace("rows", "row")
    assert [problem.place.line for problem in problems_of(text)] == [1, 5, 9]


def test_events_need_the_purpose() -> None:
    (problem,) = problems_of(GOOD.replace(', "cascade"', ""))
    assert (problem.code, problem.place.line) == ("CONTRACT_TYPE", 11)


def test_a_window_has_its_ends_in_order() -> None:
    text = GOOD.replace("[limits]", "until = 2025-01-01\n[limits]")
    (problem,) = problems_of(text)
    assert (problem.code, problem.place.line) == ("CONTRACT_TIMES", 17)


def test_a_huge_file_is_refused() -> None:
    (problem,) = problems_of("#" * (CONTRACT_BYTES_MAX + 1))
    assert problem.code == "CONTRACT_SYNTAX"


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(
    ["partner", "sites", "kinds", "attributes", "relations", "release", "purposes", "events", "starts",
     "expires", "window", "limits", "other"]
)  # fmt: skip


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(toml(each) for each in value) + "]"  # pyright: ignore
    if isinstance(value, str):
        return (
            '"' + "".join(f"\\U{ord(sign):08x}" for sign in value if not 0xD800 <= ord(sign) < 0xE000) + '"'
        )
    return str(value)


@given(document=st.dictionaries(KEYS, VALUES, max_size=6))
def test_anything_else_is_refused_with_codes(document: dict[str, object]) -> None:
    text = "\n".join(f"{key} = {toml(value)}" for key, value in document.items())
    assert all(problem.code.startswith("CONTRACT_") for problem in problems_of(text))


def test_ids_are_plain_or_opaque() -> None:
    top = GOOD.replace("expires =", 'ids = "opaque"\nexpires =', 1)
    plain, opaque = parse_contract(GOOD, KNOWN), parse_contract(top, KNOWN)
    assert (plain.ids, opaque.ids) == (Naming.PLAIN, Naming.OPAQUE)
    assert changes(plain, opaque) == ([], ["ids: plain -> opaque"])
    assert changes(opaque, plain) == (["ids: opaque -> plain"], [])
    (problem,) = problems_of(GOOD.replace("expires =", 'ids = "hidden"\nexpires =', 1))
    assert problem.code == "CONTRACT_TYPE"


def test_opaque_ids_go_with_nothing_that_tells_whose_they_are() -> None:
    top = GOOD.replace("expires =", 'ids = "opaque"\nexpires =', 1)
    for was, becomes, code in (
        ('"cascade"', '"cascade", "sync"', "CONTRACT_OPAQUE_SYNC"),
        ('"name"', '"name", "localId"', "CONTRACT_OPAQUE_NAMES"),
        ('"name"', '"name", "externalIds"', "CONTRACT_OPAQUE_NAMES"),
    ):
        assert top.count(was) == 1
        (problem,) = problems_of(top.replace(was, becomes))
        assert problem.code == code
        assert parse_contract(GOOD.replace(was, becomes), KNOWN).ids is Naming.PLAIN


def test_readings_over_time_leave_only_where_the_last_ones_do() -> None:
    named = GOOD.replace('"name"]', '"name", "history"]', 1)
    (problem,) = problems_of(named)
    assert (problem.code, problem.hint) == ("CONTRACT_MISSING", "name `value` too")
    assert "history" in parse_contract(named.replace('"history"', '"history", "value"'), KNOWN).attributes
