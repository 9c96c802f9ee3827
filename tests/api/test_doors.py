"""The plain HTTP doors: negotiation, limits, ingest, import, export, documents, health, figures."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pyoxigraph
import pytest

from api.config import Limits, Settings
from api.graphql_http import Media, preferred_media
from graph.mesh import Mesh
from ontology.errors import UsageError
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import served

QUERY = "{ sites { name } }"
GRAPHQL = "application/graphql-response+json"


def post(server: Any, content: Any, **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    with server.client() as client:
        return client.post("/graphql", content=body, headers={"Content-Type": "application/json", **headers})


# GraphQL over HTTP


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, Media.JSON),
        ("*/*", Media.JSON),
        ("application/json", Media.JSON),
        (GRAPHQL, Media.GRAPHQL),
        (f"{GRAPHQL}, application/json;q=0.9", Media.GRAPHQL),
        ("application/json;q=0.5, " + GRAPHQL + ";q=0.4", Media.JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Media.HTML),
        ("text/event-stream", Media.EVENTS),
        ("application/*", Media.JSON),
        ("application/json; charset=utf-8", Media.JSON),
    ],
)
def test_negotiation(accept: str | None, media: Media) -> None:
    assert preferred_media(accept) is media


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "", "nonsense"])
def test_nothing_acceptable(accept: str) -> None:
    if accept == "":
        assert preferred_media(accept) is Media.JSON
        return
    with pytest.raises(UsageError):
        preferred_media(accept)


@pytest.mark.parametrize(
    ("query", "variables", "status", "has_data"),
    [
        (QUERY, {}, 200, True),
        ("{", {}, 400, False),
        ("{ nope }", {}, 400, False),
        ("query q($n: Int!) { twins(first: $n) { totalCount } }", {"n": "x"}, 400, False),
        ("query q($n: Int!) { twins(first: $n) { totalCount } }", {}, 400, False),
        ('{ node(id: "campus:CH-1") { attribute(name: "nope") { value } } }', {}, 200, True),
    ],
)
def test_statuses_of_both_response_types(
    reader: Any, query: str, variables: dict[str, Any], status: int, has_data: bool
) -> None:
    body = {"query": query, "variables": variables}
    plain, typed = post(reader, body, Accept="application/json"), post(reader, body, Accept=GRAPHQL)
    assert (plain.status_code, typed.status_code) == (200, status)
    assert plain.headers["content-type"].startswith("application/json; charset=utf-8")
    assert typed.headers["content-type"].startswith(GRAPHQL)
    assert plain.json() == typed.json()
    assert ("data" in typed.json()) == has_data


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'[{"query": "{ sites { name } }"}]', b'{"query": 7}', b"{}",
     b'{"query": "{a}", "variables": []}',
     b'{"query": "{a}", "operationName": {}}', b'{"query": "{a}", "extensions": "x"}', b"\xff\xfe"],
)  # fmt: skip
def test_requests_that_are_none(reader: Any, body: bytes) -> None:
    answer = post(reader, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "BODY_INVALID")
    assert answer.headers["content-type"] == "application/problem+json"


def test_nulls_are_as_good_as_nothing(reader: Any) -> None:
    body = {"query": QUERY, "variables": None, "operationName": None, "extensions": None}
    assert post(reader, body).json()["data"]


def test_get_with_variables(reader: Any) -> None:
    with reader.client() as client:
        parameters = {
            "query": "query q($n: Int) { twins(first: $n) { nodes { id } } }",
            "variables": '{"n": 2}',
        }
        assert len(client.get("/graphql", params=parameters).json()["data"]["twins"]["nodes"]) == 2
        assert client.get("/graphql", params={**parameters, "variables": "{"}).status_code == 400
        assert client.put("/graphql").status_code == 405


def test_one_of_several_operations(reader: Any) -> None:
    text = "query a { sites { name } } query b { twins { totalCount } }"
    assert "twins" in post(reader, {"query": text, "operationName": "b"}).json()["data"]
    assert post(reader, {"query": text}).json()["errors"][0]["extensions"]["code"] == "OPERATION_UNKNOWN"


# Limits


def doubling(levels: int) -> str:
    chain = "".join(f"fragment f{i} on Twin{{...f{i + 1} ...f{i + 1}}}" for i in range(levels))
    return f'{{node(id:"AHU-1"){{...f0}}}}{chain}fragment f{levels} on Twin{{id}}'


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (doubling(20), "QUERY_TOO_COSTLY"),
        ("{" + "".join(f"a{i}: sites {{ name }} " for i in range(2_000)) + "}", "QUERY_TOO_LARGE"),
        ("{" + "".join(f"a{i}: sites {{ name }} " for i in range(300)) + "}", "TOO_MANY_ALIASES"),
        ("{ sites {" + "name " * 3_000 + "} }", "TOO_MANY_REPEATS"),
        ("{ a" * 100_000, "QUERY_TOO_LARGE"),
        ("{ a" * 20_000, "QUERY_TOO_LARGE QUERY_TOO_DEEP"),
        ("{ twins(first: 1000) { nodes { out(first: 1000) { nodes { id } } } } }", "QUERY_TOO_COSTLY"),
    ],
)
def test_hostile_queries_are_refused(reader: Any, query: str, code: str) -> None:
    answer = post(reader, {"query": query}).json()
    assert answer["errors"][0]["extensions"]["code"] in code.split()


def test_the_hostile_query_is_small() -> None:
    assert len(doubling(20)) < 900


def test_a_body_that_is_too_large(reader: Any) -> None:
    answer = post(reader, b'{"query": "' + b" " * (2 << 20) + b'"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")
    with reader.client() as client:  # without a stated length
        chunked = client.post(
            "/graphql",
            content=(b" " * 65536 for _ in range(32)),
            headers={"Content-Type": "application/json"},
        )
    assert chunked.status_code == 413


@pytest.fixture
def tight(mesh: Mesh, serve: Callable[..., AbstractContextManager[Any]]) -> Generator[Any]:
    """A server that lets an answer hold five objects."""
    with serve(mesh, Settings(limits=Limits(nodes_max=5))) as running:
        yield running


def test_budgets_hold_while_running(tight: Any) -> None:
    assert len(tight.data("{ twins(first: 5) { nodes { id } } }")["twins"]["nodes"]) == 5
    assert tight.code("{ twins(first: 6) { nodes { id } } }") == "NODE_BUDGET"
    assert (
        tight.code('{ node(id: "AHU-1") { out { nodes { twin { out { nodes { id } } } } } } }')
        == "NODE_BUDGET"
    )


# Ingest


def ingested(server: Any, *lines: Any) -> dict[str, Any]:
    content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    with server.client() as client:
        return client.post("/ingest", content=content.encode()).json()


def reading(point: str = "T-1", value: Any = 20.5, **fields: Any) -> dict[str, Any]:
    return {"point": point, "time": "2026-01-01T08:00:00+01:00", "value": value, **fields}


def test_good_lines_are_kept_and_bad_ones_counted(server: Any) -> None:
    report = ingested(
        server,
        reading(),
        reading("campus:T-2", 21, quality="uncertain"),
        "",
        reading("T-99"),
        reading("AHU-1"),
        reading(value="warm"),
        reading(value=True),
        reading(quality="fine"),
        reading(colour="red"),
        {"point": "T-1", "value": 1},
        {**reading(), "time": "yesterday"},
        {**reading(), "time": "2026-01-01T08:00:00"},
        "{",
        "7",
        reading("CH-1"),
    )
    assert (report["accepted"], report["refused"]) == (2, 12)
    codes = {reason["line"]: reason["code"] for reason in report["reasons"]}
    assert codes == {
        4: "TWIN_UNKNOWN", 5: "POINT_UNKNOWN", 6: "VALUE_TYPE", 7: "VALUE_TYPE", 8: "QUALITY_UNKNOWN",
        9: "LINE_INVALID", 10: "LINE_INVALID", 11: "TIME_INVALID", 12: "TIME_INVALID", 13: "LINE_INVALID",
        14: "LINE_INVALID", 15: "AMBIGUOUS_ID",
    }  # fmt: skip
    query = '{ nodes(ids: ["T-1", "T-2"]) { ... on Point { value time quality } } }'
    assert server.data(query)["nodes"] == [
        {"value": 20.5, "time": "2026-01-01T07:00:00Z", "quality": "GOOD"},
        {"value": 21.0, "time": "2026-01-01T07:00:00Z", "quality": "UNCERTAIN"},
    ]


TYPED = """mutation { applyChange(input: {site: "plant", putTwins: [
  {id: "ON", kinds: ["tm:Point"], attributes: {valueType: "boolean"}}
  {id: "MODE", kinds: ["tm:Point"], attributes: {valueType: "code"}}
  {id: "NOTE", kinds: ["tm:Point"], attributes: {valueType: "text"}}
  {id: "COUNT", kinds: ["tm:Point"], attributes: {valueType: "counter"}}]}) { applied } }"""


def test_values_of_every_type(server: Any) -> None:
    assert server.data(TYPED)["applyChange"]["applied"]
    good = [reading("ON", True), reading("MODE", "auto"), reading("NOTE", "hello"), reading("COUNT", 2**40)]
    bad = [
        reading("ON", 1),
        reading("MODE", 1),
        reading("COUNT", -1),
        reading("COUNT", 1.5),
        reading("NOTE", None),
    ]
    assert ingested(server, *good, *bad)["accepted"] == 4
    found = server.data(
        """{ nodes(ids: ["ON", "MODE", "NOTE", "COUNT"]) { ... on Point {
            value state text history { value state text } } } }"""
    )
    expected = [(1.0, "true", None), (None, "auto", None), (None, None, "hello"), (float(2**40), None, None)]
    for node, (value, state, text) in zip(found["nodes"], expected, strict=True):
        told = {"value": value, "state": state, "text": text}
        assert node == {**told, "history": [told]}
    with server.client() as client:
        assert client.post("/ingest", content=b"x" * (9 << 20)).status_code == 413


def test_history(server: Any) -> None:
    start = 1_767_254_400  # 2026-01-01T08:00:00Z
    times = [start + 600 * n for n in (0, 1, 2, 6, 7)]
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    lines = [
        {"point": "T-1", "time": time.strftime(stamp, time.gmtime(at)), "value": float(n)}
        for n, at in enumerate(times)
    ]
    assert ingested(server, *lines)["accepted"] == 5
    query = """query q($from: DateTime, $to: DateTime) { node(id: "T-1") { ... on Point {
      all: history { value } part: history(from: $from, to: $to) { value time }
      last: history(last: 2) { value }
      bucket: history(bucket: "PT30M", aggregate: [MEAN, MAX, COUNT]) { time value aggregates }
      filled: history(bucket: "PT30M", fill: PREVIOUS) { value }
      gaps: history(bucket: "PT30M", fill: NULL) { value }
      line: history(bucket: "PT30M", fill: LINEAR) { value } } } }"""
    node = server.data(query, {"from": "2026-01-01T08:10:00Z", "to": "2026-01-01T09:00:00Z"})["node"]
    values = {name: [sample["value"] for sample in samples] for name, samples in node.items()}
    assert values == {
        "all": [0, 1, 2, 3, 4], "part": [1, 2], "last": [3, 4], "bucket": [1, 3.5], "filled": [1, 1, 3.5],
        "gaps": [1, None, 3.5], "line": [1, 2.25, 3.5],
    }  # fmt: skip
    assert node["bucket"][1] == {
        "time": "2026-01-01T09:00:00Z",
        "value": 3.5,
        "aggregates": {"MEAN": 3.5, "MAX": 4, "COUNT": 2},
    }
    assert (
        server.code('{ node(id: "T-1") { ... on Point { history(bucket: "PT0S") { value } } } }')
        == "HISTORY_INVALID"
    )
    assert (
        server.code('{ node(id: "T-1") { ... on Point { history(bucket: "soon") { value } } } }')
        == "DURATION_INVALID"
    )


# Files


def test_import_and_export(server: Any) -> None:
    twins = b"id,kind,name,ratedPower [kW]\nFAN-1,brick:Fan,Fan,2.5\n"
    links = b"source,relation,target\ncampus:AHU-1,feeds,FAN-1\n"
    files = [("file", ("fans.csv", twins)), ("file", ("links.csv", links))]
    with server.client() as client:
        dry = client.post(
            "/import", params={"site": "campus", "dryRun": "true", "source": "fans"}, files=files[:1]
        )
        assert (dry.status_code, dry.json()["files"][0]["created"], dry.json()["applied"]) == (200, 1, False)
        report = client.post("/import", params={"site": "campus"}, files=files).json()
        assert [item["path"] for item in report["files"]] == ["fans.csv", "links.csv"]
        assert [item["errors"] for item in report["files"]] == [[], []]
        bad = client.post(
            "/import", params={"site": "campus"}, files={"file": ("../../x.csv", b"id,kind\na,brick:Nope\n")}
        )
        assert (bad.status_code, bad.json()["files"][0]["errors"][0]["code"]) == (422, "KIND_UNKNOWN")
        assert client.post("/import", files=files).json()["code"] == "SITE_MISSING"
        assert (
            client.post("/import", params={"site": "campus"}, content=b"x").json()["code"]
            == "UNSUPPORTED_MEDIA_TYPE"
        )
        exported = client.get("/export", params={"format": "csv", "site": "campus"})
        assert exported.headers["content-type"].startswith("text/csv")
        assert "FAN-1,brick:Fan,Fan" in exported.text
        assert client.get("/export", params={"format": "docx"}).json()["code"] == "FORMAT_UNKNOWN"
    fan = server.data(
        """{ fan(id: "FAN-1") { attribute(name: "ratedPower") { value unit source }
          in { nodes { twin { localId } } } } }"""
    )
    assert fan["fan"]["attribute"] == {"value": 2.5, "unit": "kW", "source": "fans"}
    assert fan["fan"]["in"]["nodes"] == [{"twin": {"localId": "AHU-1"}}]


def test_check(reader: Any) -> None:
    with reader.client() as client:
        report = client.get("/check").json()
        assert {group["localId"] for group in report["groups"]} >= {"AHU-1", "LINE-1"}
        assert client.get("/check", params={"site": "nothing"}).json()["code"] == "SITE_UNKNOWN"


@pytest.mark.parametrize(
    "path", ["campus:AHU-1", "campus/AHU-1", "AHU-1", "https://twinmesh.invalid/campus/AHU-1"]
)
def test_a_twin_as_a_document(reader: Any, path: str) -> None:
    with reader.client() as client:
        turtle = client.get(f"/id/{path}", headers={"Accept": "text/turtle"})
        graph = pyoxigraph.parse(turtle.content, format=pyoxigraph.RdfFormat.TURTLE)
        facts = {
            (each.subject.value, each.predicate.value, getattr(each.object, "value", ""))
            for each in graph
            if isinstance(each.subject, pyoxigraph.NamedNode)
        }
        base = "https://twinmesh.invalid/campus/"
        brick = "https://brickschema.org/schema/Brick#"
        assert (base + "AHU-1", brick + "feeds", base + "VAV-1") in facts
        assert (base + "CH-1", brick + "feeds", base + "AHU-1") in facts
        document = client.get(f"/id/{path}", headers={"Accept": "application/ld+json"})
        assert base + "AHU-1" in json.dumps(document.json())
        assert client.get(f"/id/{path}", headers={"Accept": "text/html"}).status_code == 303
        assert client.get(f"/id/{path}", headers={"Accept": "image/png"}).status_code == 406


def test_no_document_of_nothing(reader: Any) -> None:
    with reader.client() as client:
        answer = client.get("/id/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "TWIN_UNKNOWN")


# Health and figures


def test_health_and_figures(reader: Any) -> None:
    with reader.client() as client:
        assert client.get("/livez").text == "ok\n"
        assert client.get("/readyz").json() == {"ready": True, "problem": None, "reason": None}
        client.post("/graphql", json={"query": QUERY})
        text = client.get("/metrics").text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(
        re.fullmatch(r'twinmesh_[a-z0-9_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+', line)
        for line in lines
    )
    assert 'twinmesh_store_twins{site="campus"} 23' in lines
    assert any(line.startswith('twinmesh_requests_total{door="graphql",status="200"}') for line in lines)
    types = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


def test_counts_of_live_sources_are_told_to_the_last_one(
    tmp_path: Path, ontology: Schema, units: Units
) -> None:
    health = {"mqtt 1 campus": {"received": 1_440_356, "lag_s": 0.25, "connected": True, "last_error": None}}
    with (
        Mesh.open(tmp_path, ontology, units=units) as mesh,
        served(mesh, sources=lambda: health) as running,
        running.client() as client,
    ):
        lines = client.get("/metrics").text.splitlines()
    for name, value in (("received", "1440356"), ("lag_s", "0.25"), ("connected", "1")):
        assert f'twinmesh_source_{name}{{source="mqtt 1 campus"}} {value}' in lines


def test_pages_are_closed_in(reader: Any) -> None:
    with reader.client(Accept="text/html") as client:
        for path in ("/", "/graphql"):
            page = client.get(path)
            assert "default-src 'self'" in page.headers["content-security-policy"]
            assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
        for name in re.findall(r"/web/[a-z.]+", client.get("/graphql").text):
            assert client.get(name).status_code == 200
        assert client.get("/web/../api/auth.py").status_code == 404


def test_an_unknown_path_is_404(reader: Any) -> None:
    with reader.client() as client:
        assert client.get("/nothing").status_code == 404


def test_an_empty_folder_answers(
    tmp_path: Path, ontology: Schema, serve: Callable[..., AbstractContextManager[Any]]
) -> None:
    with Mesh.open(tmp_path / "empty", ontology) as mesh, serve(mesh) as running:
        assert running.data("{ __schema { queryType { name } } sites { name } }")["sites"] == []
        assert running.code("{ twins { totalCount } }") == "SITE_UNKNOWN"
        with running.client() as client:
            assert client.get("/readyz").status_code == 200
            report = client.post(
                "/import", params={"site": "new"}, files={"file": ("a.csv", b"id,kind\nA,brick:AHU\n")}
            )
            assert report.status_code == 200, report.text
        assert running.data("{ ahuList { totalCount } }") == {"ahuList": {"totalCount": 1}}
