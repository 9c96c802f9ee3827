"""Queries as streams of lines: all of it, from one moment, and said so at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import httpx
import pytest

from api.config import Limits, Settings, Streams
from api.policy import Role
from graph.values import Change
from tests.api.conftest import twin

LINES = "application/x-ndjson"
ALL = "{ twins { nodes { localId kind } } }"


@pytest.fixture
def narrow(mesh: Any, serve: Callable[..., Any]) -> Generator[Any]:
    """Pages of a few objects."""
    with serve(mesh, Settings(limits=Limits(cost_max=200, nodes_max=12))) as running:
        yield running


def export(server: Any, query: str, **variables: Any) -> list[dict[str, Any]]:
    with server.client(Accept=LINES) as client:
        answer = client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(LINES)
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


def refusal(server: Any, query: str, accept: str = LINES) -> httpx.Response:
    with server.client(Accept=accept) as client:
        return client.post("/graphql", json={"query": query})


def test_every_twin_is_a_line(narrow: Any) -> None:
    *found, last = export(narrow, ALL)
    page = export_by_pages(narrow)
    assert sorted(each["localId"] for each in found) == sorted(page)
    assert len(found) > 12  # more than one page can hold
    assert last == {
        "__export": {"complete": True, "count": len(found), "revisions": {"campus": "1", "plant": "1"}}
    }


def export_by_pages(server: Any) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        query = """query q($after: String) { twins(first: 7, after: $after) {
          nodes { localId } pageInfo { hasNextPage endCursor } } }"""
        listing = server.data(query, {"after": cursor})["twins"]
        found += [each["localId"] for each in listing["nodes"]]
        if not listing["pageInfo"]["hasNextPage"]:
            return found
        cursor = listing["pageInfo"]["endCursor"]


def test_nesting_aliases_variables_and_order(narrow: Any) -> None:
    query = """query q($kind: String!) { all: twins(kind: $kind, orderBy: [{by: "name", direction: DESC}]) {
      rows: nodes { name out(relation: "partOf") { nodes { twin { localId } } } } } }"""
    *found, last = export(narrow, query, kind="rec:Room")
    assert [each["name"] for each in found] == [f"Room {n}" for n in range(6, 0, -1)]
    assert found[0]["out"]["nodes"] == [{"twin": {"localId": "L-2"}}]
    assert last["__export"]["count"] == 6


def test_a_root_of_a_kind(narrow: Any) -> None:
    query = '{ vavList(filter: {name: {contains: "Box"}}) { nodes { __typename localId } } }'
    *found, _ = export(narrow, query)
    assert sorted(each["localId"] for each in found) == [f"VAV-{n}" for n in range(1, 7)]
    assert {each["__typename"] for each in found} == {"VAVTwin"}


def test_all_that_can_be_reached(narrow: Any) -> None:
    walk = 'reachable(from: ["campus:CH-1"], relations: ["feeds"])'
    *found, last = export(narrow, f"{{ {walk} {{ nodes {{ depth twin {{ localId }} }} }} }}")
    assert [each["depth"] for each in found] == [1] * 2 + [2] * 6 + [3] * 6
    assert [each["twin"]["localId"] for each in found[:3]] == ["AHU-1", "AHU-2", "VAV-1"]
    assert (last["__export"]["complete"], last["__export"]["count"]) == (True, 14)


def test_a_walk_that_meets_its_budget_is_not_complete(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.view.Budget.is_half_gone", True)
    last = export(reader, '{ reachable(from: ["AHU-1"]) { nodes { depth } } }')[-1]["__export"]
    assert (last["complete"], last["errors"][0]["extensions"]["code"]) == (False, "EXPORT_TRUNCATED")


def test_first_bounds_the_whole(narrow: Any) -> None:
    *found, last = export(narrow, "{ twins(first: 17) { nodes { id } } }")
    assert (len(found), last["__export"]["complete"]) == (17, True)
    assert len(export(narrow, "{ twins(first: 100000) { nodes { id } } }")) > 20
    assert export(narrow, "{ twins(first: 0) { nodes { id } } }")[0]["__export"]["count"] == 0


def test_nothing_found_is_complete(narrow: Any) -> None:
    only = export(narrow, '{ twins(filter: {name: {eq: "nobody"}}) { nodes { id } } }')
    assert only[0]["__export"] == {"complete": True, "count": 0, "revisions": {"campus": "1", "plant": "1"}}


@pytest.mark.parametrize(
    "query",
    [
        "{ sites { name } }",
        "{ twins { nodes { id } totalCount } }",
        "{ twins { nodes { id } } sites { name } }",
        "{ twins { edges { node { id } } } }",
        "{ twins { ...f } } fragment f on TwinConnection { nodes { id } }",
        "{ twins { nodes @skip(if: true) { id } } }",
        'mutation { dropScenario(id: "x") }',
    ],
)
def test_other_forms_are_refused(reader: Any, query: str) -> None:
    answer = refusal(reader, query)
    assert answer.headers["content-type"].startswith("application/graphql-response+json")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "EXPORT_INVALID"


def test_invalid_queries_are_refused_as_ever(reader: Any) -> None:
    assert refusal(reader, "{ nope }").json()["errors"][0]["extensions"]["code"] == "GRAPHQL_INVALID"
    deep = "{ twins { nodes { " + "out { nodes { twin { " * 8 + "id" + "}}}" * 8 + "} } }"
    assert refusal(reader, deep).json()["errors"][0]["extensions"]["code"] == "QUERY_TOO_DEEP"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ('{ twins(after: "x") { nodes { id } } }', "EXPORT_INVALID"),
        ("{ twins(last: 3) { nodes { id } } }", "EXPORT_INVALID"),
        ("{ twins(first: -1) { nodes { id } } }", "PAGE_INVALID"),
        ('{ twins(kind: "brick:AHUU") { nodes { id } } }', "KIND_UNKNOWN"),
        ('{ search(text: "room") { nodes { id } } }', "EXPORT_INVALID"),
        ('{ twins(kind: "brick:AHU") { nodes { attribute(name: "nope") { value } } } }', "ATTRIBUTE_UNKNOWN"),
    ],
)
def test_an_export_that_fails_says_so_in_its_last_line(reader: Any, query: str, code: str) -> None:
    last = export(reader, query)[-1]["__export"]
    assert last["complete"] is False
    assert last["errors"][0]["extensions"]["code"] == code


def test_all_pages_are_of_one_moment(narrow: Any) -> None:
    """Twins that come while it runs are not in it, those that go are."""
    with (
        narrow.client(Accept=LINES) as client,
        client.stream("POST", "/graphql", json={"query": ALL}) as answer,
    ):
        lines = answer.iter_lines()
        first = json.loads(next(lines))
        narrow.mesh.twin("campus").apply(Change(put_twins=(twin("campus", "LATE", "tm:Asset"),)))
        rest = [json.loads(line) for line in lines]
    names = [first["localId"], *(each["localId"] for each in rest[:-1])]
    assert "LATE" not in names
    assert rest[-1]["__export"]["revisions"]["campus"] == "1"
    assert rest[-1]["__export"]["count"] == len(names) == len(export(narrow, ALL)) - 2


def test_a_partner_exports_its_share(guarded: Any, token: Callable[..., str]) -> None:
    share = token(Role.PARTNER, sites=("campus",), kinds=("brick:AHU",))
    with guarded.client(share, Accept=LINES) as client:
        lines = client.post("/graphql", json={"query": ALL}).text.splitlines()
    assert sorted(json.loads(line)["localId"] for line in lines[:-1]) == ["AHU-1", "AHU-2"]


def test_an_export_takes_a_seat(mesh: Any, serve: Callable[..., Any]) -> None:
    with serve(mesh, Settings(streams=Streams(open_max=0))) as server:
        answer = refusal(server, ALL)
        assert (answer.status_code, answer.json()["code"]) == (429, "STREAMS_FULL")
