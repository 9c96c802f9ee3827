"""Queries and mutations over HTTP, as a client sees them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

CAMPUS = "https://twinmesh.invalid/campus/"
FEEDS = "https://brickschema.org/schema/Brick#feeds"


COMMAND = (
    'mutation { sendCommand(input: {point: "%s", value: 1, expiresInS: 5, idempotencyKey: "k"}) { id } }'
)


def names(nodes: list[dict[str, Any]]) -> list[str]:
    return [node["localId"] for node in nodes]


def test_a_twin_by_every_id(reader: Any) -> None:
    for text in (CAMPUS + "AHU-1", "campus:AHU-1", "AHU-1"):
        found = reader.data(
            "query q($i: ID!) { node(id: $i) { __typename id localId kind site } }", {"i": text}
        )
        assert found["node"] == {
            "__typename": "AHUTwin",
            "id": CAMPUS + "AHU-1",
            "localId": "AHU-1",
            "kind": "brick:AHU",
            "site": "campus",
        }
    assert reader.code('{ node(id: "CH-1") { id } }') == "AMBIGUOUS_ID"
    assert reader.data('{ node(id: "nothing") { id } }') == {"node": None}


def test_nodes_keep_their_order_and_gaps(reader: Any) -> None:
    found = reader.data('{ nodes(ids: ["VAV-2", "nothing", "campus:CH-1", "VAV-2"]) { localId } }')["nodes"]
    assert [node and node["localId"] for node in found] == ["VAV-2", None, "CH-1", "VAV-2"]


def test_a_walk_from_room_to_supplier(reader: Any) -> None:
    """Over the boundary of two sites, in one query."""
    query = """{ node(id: "campus:R-1") { localId in(relation: "feeds") { nodes { twin { localId
      in(relation: "tm:feeds") { nodes { twin { localId
        out(relation: "supplies") { nodes { relation attributes { name value } twin { localId site
          in(relation: "supplies") { nodes { twin { localId } } } } } } } } } } } } } }"""
    answer = reader.ask(query)
    assert answer["extensions"]["cost"]["requested"] > 1
    box = answer["data"]["node"]["in"]["nodes"][0]["twin"]
    handler = box["in"]["nodes"][0]["twin"]
    supply = handler["out"]["nodes"][0]
    assert (box["localId"], handler["localId"]) == ("VAV-1", "AHU-1")
    assert supply["attributes"] == [{"name": "delayHours", "value": 2.0}]
    assert (supply["twin"]["localId"], supply["twin"]["site"]) == ("LINE-1", "plant")
    assert names([link["twin"] for link in supply["twin"]["in"]["nodes"]]) == ["AHU-1", "PRESS-1"]


def test_links_page_by_page(reader: Any) -> None:
    query = """query q($after: String) { node(id: "AHU-2") { out(relation: "feeds", first: 2, after: $after) {
      totalCount pageInfo { hasNextPage hasPreviousPage endCursor } edges { cursor node { id } }
      nodes { twin { localId } } } } }"""
    found, cursor = [], None
    while True:
        page = reader.data(query, {"after": cursor})["node"]["out"]
        assert page["totalCount"] == 3
        assert page["pageInfo"]["hasPreviousPage"] == bool(found)
        assert page["edges"][-1]["cursor"] == page["pageInfo"]["endCursor"]
        found += names([link["twin"] for link in page["nodes"]])
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == ["VAV-4", "VAV-5", "VAV-6"]


def test_links_are_computed_once_per_level(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many twins a level holds: one expansion, not one each."""
    calls = []
    view = type(reader.mesh.snapshot()).expand
    monkeypatch.setattr(
        type(reader.mesh.snapshot()),
        "expand",
        lambda self, *given: calls.append(len(given[0])) or view(self, *given),
    )
    query = """{ vavList { nodes { out(relation: "tm:feeds") { nodes { twin { points { localId }
      out(relation: "tm:partOf") { nodes { twin { localId } } } } } } } } }"""
    found = reader.data(query)["vavList"]["nodes"]
    assert len(found) == 6
    assert all(room["twin"]["points"] for box in found for room in box["out"]["nodes"])
    assert calls == [6, 6, 6]


def test_typed_lists_and_filters(reader: Any) -> None:
    query = """{
      ahuList(filter: {attribute: [{name: "ratedPower", gt: 10, unit: "kW"}]}) {
        totalCount nodes { ... on AHU { localId } } }
      equipmentList(filter: {kind: {eq: "brick:VAV"}, name: {startsWith: "Box"}}, first: 2) {
        totalCount nodes { localId } }
      brickPointList(filter: {some: {relation: "isPointOf", twin: {localId: {in: ["R-1", "R-2"]}}}}) {
        nodes { localId ... on Point { unit } } } }"""
    data = reader.data(query)
    assert data["ahuList"] == {"totalCount": 1, "nodes": [{"localId": "AHU-1"}]}
    assert data["equipmentList"] == {"totalCount": 6, "nodes": [{"localId": "VAV-1"}, {"localId": "VAV-2"}]}
    assert data["brickPointList"]["nodes"] == [
        {"localId": "T-1", "unit": "Cel"},
        {"localId": "T-2", "unit": "Cel"},
    ]


def test_a_root_of_a_kind_gives_only_that_kind(reader: Any) -> None:
    data = reader.data(
        '{ ahu(id: "AHU-1") { localId } other: ahu(id: "VAV-1") { localId } asset(id: "VAV-1") { localId } }'
    )
    assert data == {"ahu": {"localId": "AHU-1"}, "other": None, "asset": {"localId": "VAV-1"}}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ('{ twins(filter: {name: {eq: null}}) { totalCount } }', "FILTER_NULL"),
        ('{ twins(filter: {attribute: [{name: "ratedPowr", gt: 1}]}) { totalCount } }', "ATTRIBUTE_UNKNOWN"),
        ('{ twins(kind: "brick:AHUU") { totalCount } }', "KIND_UNKNOWN"),
        ('{ twins(orderBy: [{by: "nme"}]) { totalCount } }', "ATTRIBUTE_UNKNOWN"),
        ("{ twins(first: 1001) { totalCount } }", "PAGE_TOO_LARGE"),
        ('{ twins(after: "x") { totalCount } }', "CURSOR_INVALID"),
        ('{ twins(scenario: "x") { totalCount } }', "NOT_AVAILABLE"),
        ('{ twins(atRevision: "1") { totalCount } }', "REVISION_AMBIGUOUS"),
        ('{ node(id: "AHU-1", atRevision: "99") { id } }', "REVISION_UNKNOWN"),
        ('{ node(id: "AHU-1") { out(relation: "fed") { totalCount } } }', "RELATION_UNKNOWN"),
        ('{ node(id: "AHU-1") { attribute(name: "nme") { value } } }', "ATTRIBUTE_UNKNOWN"),
        ("{ nope }", "GRAPHQL_INVALID"),
        ("{ twins(", "GRAPHQL_SYNTAX"),
        (COMMAND % "T-1", "COMMANDS_NOT_BOUND"),
        (COMMAND % "AHU-1", "COMMAND_INVALID"),
        ('mutation { dropScenario(id: "x") }', "NOT_AVAILABLE"),
        ('mutation { applyChange(input: {site: "campu"}) { applied } }', "SITE_UNKNOWN"),
        ("subscription { changes { revision } }", "STREAM_NEEDED"),
    ],
)  # fmt: skip
def test_errors_have_stable_codes(reader: Any, query: str, code: str) -> None:
    assert reader.code(query) == code


def test_a_misspelt_name_comes_with_a_suggestion(reader: Any) -> None:
    errors = reader.ask('{ node(id: "AHU-1") { attribute(name: "ratedPowr") { value } } }')["errors"]
    assert "ratedPower" in errors[0]["extensions"]["hint"]
    assert "Did you mean" in reader.ask("{ sits { name } }")["errors"][0]["message"]


def test_variables_that_do_not_fit(reader: Any) -> None:
    answer = reader.ask("query q($n: Int) { twins(first: $n) { totalCount } }", {"n": "many"})
    assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_INVALID"
    assert "data" not in answer


def test_internal_errors_are_masked(reader: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("api.schema.query.run_match", fail)
    answer = reader.ask("{ twins { totalCount } sites { name } }")
    assert answer["errors"][0]["message"] == "internal error"
    assert answer["errors"][0]["extensions"] == {"code": "INTERNAL"}
    assert "secret" not in str(answer)
    assert "secret detail" in caplog.text


def test_paging_under_writes_gives_every_lasting_twin_once(server: Any) -> None:
    query = """query q($after: String) {
      twins(kind: "tm:Asset", first: 3, after: $after, orderBy: [{by: "name", direction: DESC}]) {
        pageInfo { hasNextPage endCursor } nodes { id } } }"""
    whole = server.data('{ twins(kind: "tm:Asset", first: 100) { nodes { id } } }')["twins"]["nodes"]
    lasting = {node["id"] for node in whole} - {CAMPUS + "VAV-6", CAMPUS + "AHU-2"}
    found: list[str] = []
    cursor, step = None, 0
    while True:
        page = server.data(query, {"after": cursor})["twins"]
        found += [node["id"] for node in page["nodes"]]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        step += 1
        name = chr(ord("A") + 5 * step)
        change = {
            "site": "campus",
            "putTwins": [{"id": f"NEW-{step}", "kinds": ["tm:Asset"], "name": name}],
            "removeTwins": {1: ["campus:VAV-6"], 2: ["campus:AHU-2"]}.get(step, []),
        }
        server.data(APPLY, {"i": change})
    assert len(found) == len(set(found))
    assert lasting <= set(found)


# Past


def test_the_past_by_time_and_revision(server: Any) -> None:
    before = datetime.now(UTC).isoformat()
    time.sleep(0.05)
    change = {
        "site": "campus",
        "mergeTwins": [{"id": "campus:AHU-1", "name": "Renamed", "attributes": {"assetTag": None}}],
    }
    result = server.data(
        "mutation m($i: ChangeInput!) { applyChange(input: $i) { revision } }", {"i": change}
    )
    assert result["applyChange"]["revision"] == "2"
    query = """query q($t: DateTime, $r: Revision, $m: Revision) {
      now: node(id: "AHU-1", minRevision: $m) { ...f }
      then: node(id: "AHU-1", asOf: $t) { ...f } first: node(id: "AHU-1", atRevision: $r) { ...f } }
      fragment f on Twin { name revision attribute(name: "assetTag") { value } out { totalCount } }"""
    data = server.data(query, {"t": before, "r": "1", "m": "2"})
    old = {"name": "Air handler 1", "revision": "1", "attribute": {"value": "A1"}, "out": {"totalCount": 4}}
    assert data["now"] == {"name": "Renamed", "revision": "2", "attribute": None, "out": {"totalCount": 4}}
    assert data["then"] == old
    assert data["first"] == {
        **old,
        "out": {"totalCount": 3},
    }  # one site alone: the link to the plant is not in it


def test_a_revision_that_does_not_come(reader: Any) -> None:
    assert reader.code('{ node(id: "AHU-1", minRevision: "50") { id } }') == "REVISION_NOT_REACHED"


# Changes

APPLY = """mutation m($i: ChangeInput!) { applyChange(input: $i) {
  revision applied items { id status code message } } }"""


def test_a_change_is_read_back(server: Any) -> None:
    change = {
        "site": "plant",
        "putTwins": [
            {"id": "ROBOT 7", "kinds": ["tm:Asset"], "attributes": {"ratedPower": {"value": 4, "unit": "kW"}}}
        ],
        "putRelationships": [
            {"source": "LINE-1", "relation": "suppliedBy", "target": "ROBOT 7", "group": "robots"}
        ],
    }
    result = server.data(APPLY, {"i": change})["applyChange"]
    assert (result["applied"], [item["status"] for item in result["items"]]) == (True, ["CREATED", "CREATED"])
    query = """{ node(id: "ROBOT 7") { id attributes { name value unit }
      out { nodes { id relation group twin { localId } } } } }"""
    node = server.data(query)["node"]
    assert node["id"] == "https://twinmesh.invalid/plant/ROBOT%207"
    assert node["attributes"] == [{"name": "ratedPower", "value": 4, "unit": "kW"}]
    link = node["out"]["nodes"][0]
    assert (link["relation"], link["group"], link["twin"]["localId"]) == ("tm:supplies", "robots", "LINE-1")
    gone = server.data(APPLY, {"i": {"site": "plant", "removeRelationships": [link["id"]]}})["applyChange"]
    assert [item["status"] for item in gone["items"]] == ["REMOVED"]


def test_a_new_kind_swaps_the_schema(server: Any) -> None:
    assert server.code("{ pumpList { totalCount } }") == "GRAPHQL_INVALID"
    change = {"site": "campus", "putTwins": [{"id": "P-1", "kinds": ["brick:Pump"]}]}
    assert server.data(APPLY, {"i": change})["applyChange"]["applied"]
    assert server.data("{ pumpList { nodes { __typename } } }") == {
        "pumpList": {"nodes": [{"__typename": "PumpTwin"}]}
    }


def test_a_refused_change_names_the_items_and_writes_nothing(server: Any) -> None:
    change = {
        "site": "campus",
        "putTwins": [{"id": "GOOD", "kinds": ["tm:Asset"]}, {"id": "BAD", "kinds": ["brick:AHUU"]}],
        "putRelationships": [{"source": "GOOD", "relation": "feeds", "target": "NOBODY"}],
    }
    result = server.data(APPLY, {"i": change})["applyChange"]
    assert (result["applied"], result["revision"]) == (False, None)
    codes = {item["id"]: item["code"] for item in result["items"]}
    assert codes[CAMPUS + "BAD"] == "KIND_UNKNOWN"
    assert all(item["status"] == "REFUSED" for item in result["items"])
    assert len(codes) == 2
    assert server.data('{ node(id: "GOOD") { id } }') == {"node": None}


def test_dry_runs_expected_revisions_and_keys(server: Any) -> None:
    change = {"site": "campus", "putTwins": [{"id": "DRY", "kinds": ["tm:Asset"]}]}
    dry = server.data(APPLY, {"i": {**change, "dryRun": True}})["applyChange"]
    assert (dry["applied"], dry["revision"], dry["items"][0]["status"]) == (False, None, "CREATED")
    assert server.code(APPLY, {"i": {**change, "expectedRevision": "7"}}) == "REVISION_CONFLICT"
    keyed = {**change, "idempotencyKey": "once", "expectedRevision": "1"}
    first = server.data(APPLY, {"i": keyed})
    assert server.data(APPLY, {"i": keyed}) == first
    assert server.code(APPLY, {"i": {**keyed, "putTwins": []}}) == "IDEMPOTENCY_REUSED"
    assert server.data("{ sites { name revision } }")["sites"][0] == {"name": "campus", "revision": "2"}


# Cascades

RESULT = """fragment r on Simulation { id status progress error errorCode completeness
  sources { site status revision } summary { twinsHit expectedCost engine runsComputed revisions ontology }
  impacts(first: 2) { totalCount pageInfo { hasNextPage endCursor }
    nodes { id localId kind site probability why
    twin { name } firstHitHours { mean } minLevel expectedCost } } }"""
SIMULATE = "mutation m($i: CascadeInput!) { simulateCascade(input: $i) { ...r } } " + RESULT
SIMULATION = "query q($id: ID!) { simulation(id: $id) { ...r } } " + RESULT


def simulated(server: Any, cascade: dict[str, Any]) -> dict[str, Any]:
    """A cascade that has ended; the first one of a process may have to compile kernels."""
    job = server.data(SIMULATE, {"i": cascade})["simulateCascade"]
    until = time.monotonic() + 300
    while job["status"] in ("QUEUED", "RUNNING") and time.monotonic() < until:
        time.sleep(0.2)
        job = server.data(SIMULATION, {"id": job["id"]})["simulation"]
    return job


def test_a_cascade_is_answered_at_once(reader: Any) -> None:
    cascade = {"events": [{"type": "FAIL", "twin": "campus:CH-1", "repairHours": 4}], "horizonHours": 24}
    job = simulated(reader, cascade)
    assert (job["status"], job["error"], job["completeness"]) == ("DONE", None, "FULL")
    assert job["summary"]["revisions"] == {"campus": "1", "plant": "1"}
    assert [source["site"] for source in job["sources"]] == ["campus", "plant"]
    line = job["impacts"]["nodes"][0]
    assert (line["localId"], line["why"], line["probability"]) == ("LINE-1", ["CH-1", "AHU-1", "LINE-1"], 1.0)
    assert (line["firstHitHours"]["mean"], line["expectedCost"], line["twin"]["name"]) == (
        2.0,
        4000.0,
        "Packing line",
    )
    later = reader.data(
        """query q($id: ID!, $after: String) { simulation(id: $id) { status
          impacts(first: 100, after: $after) { nodes { localId } }
          of: impacts(kind: "brick:VAV") { totalCount } } }""",
        {"id": job["id"], "after": job["impacts"]["pageInfo"]["endCursor"]},
    )["simulation"]
    assert len(later["impacts"]["nodes"]) == job["impacts"]["totalCount"] - 2
    assert later["of"]["totalCount"] == 6
    assert reader.data('{ simulation(id: "nothing") { id } }') == {"simulation": None}


def test_a_wrong_scenario_is_an_error_with_its_place(reader: Any) -> None:
    errors = reader.ask(SIMULATE, {"i": {"events": [{"type": "DEGRADE", "twin": "campus:CH-1"}]}})["errors"]
    assert errors[0]["extensions"]["code"].startswith("SCENARIO")
    assert "events[0]" in errors[0]["extensions"]["place"]
    unknown = reader.data(SIMULATE, {"i": {"events": [{"type": "FAIL", "twin": "nothing"}]}})[
        "simulateCascade"
    ]
    assert (unknown["status"], unknown["errorCode"], unknown["summary"]) == ("FAILED", "TWIN_UNKNOWN", None)


def test_a_job_that_has_ended_stays_as_it_is(reader: Any) -> None:
    job = simulated(reader, {"events": [{"type": "FAIL", "twin": "campus:CH-1"}]})
    cancel = "mutation m($id: ID!) { cancelSimulation(id: $id) { status } }"
    assert reader.data(cancel, {"id": job["id"]}) == {"cancelSimulation": {"status": "DONE"}}
    assert reader.code(cancel, {"id": "nothing"}) == "JOB_UNKNOWN"


def test_an_argument_may_be_called_as_what_resolves_it(reader: Any) -> None:
    """`source` is also what graphql-core calls the parent object."""
    answer = reader.ask('{ bindings(source: "nothing") { __typename } }')
    assert all(error["extensions"]["code"] != "INTERNAL" for error in answer.get("errors", ())), answer
