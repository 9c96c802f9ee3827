"""Typed fields, filters and orders of kinds over HTTP, misspellings, schemas that change under clients."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from typing import Any

import pytest
from websockets.sync.client import connect

from api.app import create_app
from api.engine import Request
from api.policy import LOCAL
from graph.values import Change, TwinRecord

APPLY = "mutation m($i: ChangeInput!) { applyChange(input: $i) { revision applied items { code message } } }"


@pytest.fixture(scope="module")
def typed(reader: Any) -> Any:
    """The campus with attributes of every type; the tests here only read."""
    twins = [
        {
            "id": "campus:AHU-1",
            "attributes": {
                "writable": True,
                "yearBuilt": 1998,
                "timeToRepair": "lognormal(8,3)",
                "finish": "grey",
                "mass": {"value": 1.5, "unit": "t"},
                "x:country": "SE",
                "Pset.Property": 1,
                "extra": [1, {"a": None}],
            },
        },
        {"id": "campus:AHU-2", "attributes": {"timeToRepair": 12, "mass": {"value": 900, "unit": "kg"}}},
        {"id": "campus:VAV-1", "attributes": {"mass": 7, "mixed": "much"}},
        {"id": "campus:VAV-2", "attributes": {"mixed": 3}},
    ]
    both = {"id": "BOTH", "kinds": ["brick:AHU", "rec:Room"], "name": "Walk-in unit"}
    reader.data(APPLY, {"i": {"site": "campus", "mergeTwins": twins, "putTwins": [both]}})
    return reader


def nodes(typed: Any, query: str, **variables: Any) -> list[dict[str, Any]]:
    (found,) = typed.data(query, variables).values()
    return found["nodes"]


def test_attributes_are_fields_with_their_types(typed: Any) -> None:
    query = """{ ahuList(first: 2) { nodes { localId ratedPower watts: ratedPower(unit: "W") assetTag writable
      yearBuilt timeToRepair finish mass kilos: mass(unit: "kg") x_country extra } } }"""
    first, second = nodes(typed, query)
    assert first == {
        "localId": "AHU-1",
        "ratedPower": 12.0,
        "watts": 12000.0,
        "assetTag": "A1",
        "writable": True,
        "yearBuilt": 1998,
        "timeToRepair": "lognormal(8,3)",
        "finish": "grey",
        "mass": 1.5,  # no unit is declared: as it was stated
        "kilos": 1500.0,
        "x_country": "SE",
        "extra": [1, {"a": None}],
    }
    assert second["ratedPower"] == 8.0  # stated as 8000 W, declared in kW
    assert second["timeToRepair"] == 12
    assert (second["mass"], second["kilos"]) == (900.0, 900.0)
    assert (second["assetTag"], second["writable"], second["yearBuilt"]) == (None, None, None)


def test_a_value_that_does_not_convert_is_an_error_in_its_place(typed: Any) -> None:
    answer = typed.ask('{ vavList(first: 2) { nodes { localId mass(unit: "kg") } } }')
    assert answer["data"]["vavList"]["nodes"] == [
        {"localId": "VAV-1", "mass": None},
        {"localId": "VAV-2", "mass": None},
    ]
    (error,) = answer["errors"]
    assert error["path"] == ["vavList", "nodes", 0, "mass"]
    assert error["extensions"]["code"] == "UNIT_NEEDED"
    assert typed.code('{ ahuList { nodes { ratedPower(unit: "m2") } } }') == "UNIT_MISMATCH"
    assert typed.code('{ ahuList { nodes { ratedPower(unit: "kiloWatt") } } }') == "UNIT_UNKNOWN"


def test_mixed_values_come_as_they_are(typed: Any) -> None:
    found = nodes(typed, "{ vavList(first: 3) { nodes { mixed } } }")
    assert [node["mixed"] for node in found] == ["much", 3, None]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ('{ratedPower: {gt: 10}}', ["AHU-1"]),
        ('{ratedPower: {lt: 9000, unit: "W"}}', ["AHU-2"]),
        ('{ratedPower: {exists: false}}', ["BOTH"]),
        ('{assetTag: {startsWith: "A"}}', ["AHU-1"]),
        ('{writable: {eq: true}}', ["AHU-1"]),
        ('{yearBuilt: {in: [1997, 1998]}}', ["AHU-1"]),
        ('{timeToRepair: {eq: 12}}', ["AHU-2"]),
        ('{x_country: {eq: "SE"}, finish: {ne: "blue"}}', ["AHU-1"]),
        ('{not: {ratedPower: {gt: 10}}}', ["AHU-2", "BOTH"]),
        ('{or: [{ratedPower: {gt: 10}}, {name: {contains: "unit"}}]}', ["AHU-1", "BOTH"]),
        ('{and: [{mass: {gt: 1, unit: "t"}}, {attribute: [{name: "finish", exists: true}]}]}', ["AHU-1"]),
        ('{some: {relation: "feeds", twin: {localId: {eq: "VAV-6"}}}, ratedPower: {gte: 8}}', ["AHU-2"]),
        ('{ratedPower: null}', ["AHU-1", "AHU-2", "BOTH"]),
        ('{}', ["AHU-1", "AHU-2", "BOTH"]),
    ],
)  # fmt: skip
def test_typed_filters(typed: Any, where: str, found: list[str]) -> None:
    query = "{ ahuList(where: %s) { totalCount nodes { localId } } }"
    assert [node["localId"] for node in nodes(typed, query % where)] == found


def test_typed_filters_as_variables(typed: Any) -> None:
    query = """query q($w: AHUFilter, $o: [AHUOrder!], $f: TwinFilter) {
      ahuList(where: $w, order: $o, filter: $f) { nodes { localId } } }"""
    where = {"or": [{"ratedPower": {"gt": 1, "unit": "kW"}}, {"writable": {"eq": True}}]}
    order = [{"ratedPower": "ASC"}, {"id": "DESC"}]
    found = nodes(typed, query, w=where, o=order)
    assert [node["localId"] for node in found] == ["AHU-2", "AHU-1"]
    both = nodes(typed, query, w=where, f={"name": {"contains": "1"}})
    assert [node["localId"] for node in both] == ["AHU-1"]


def test_lists_of_super_kinds_filter_by_what_is_in_them(typed: Any) -> None:
    query = """{ equipmentList(where: {mass: {exists: true}}, order: [{localId: DESC}]) {
      nodes { localId ... on AHU { mass } ... on VAV { vav: mass } } } }"""
    assert nodes(typed, query) == [
        {"localId": "VAV-1", "vav": 7.0},
        {"localId": "AHU-2", "mass": 900.0},
        {"localId": "AHU-1", "mass": 1.5},
    ]


def test_points_filter_by_value(typed: Any) -> None:
    query = "{ zoneAirTemperatureSensorList(where: {value: {exists: false}}) { totalCount } }"
    assert typed.data(query)["zoneAirTemperatureSensorList"]["totalCount"] == 6


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("where: {ratedPower: {gt: null}}", "FILTER_NULL"),
        ("order: [{}]", "ORDER_INVALID"),
        ("order: [{id: ASC, name: ASC}]", "ORDER_INVALID"),
        ('order: [{id: ASC}], orderBy: [{by: "id"}]', "ORDER_INVALID"),
        ('where: {ratedPower: {gt: "much"}}', "GRAPHQL_INVALID"),
        ("order: [{mass: ASC}]", "UNIT_NEEDED"),
    ],
)
def test_what_typed_arguments_refuse(typed: Any, arguments: str, code: str) -> None:
    assert typed.code(f"{{ ahuList({arguments}) {{ totalCount }} }}") == code


def test_a_twin_of_two_kinds_is_in_both_lists(typed: Any) -> None:
    """It was an error before: the object type must have the interfaces of all its kinds."""
    query = """{ ahuList(where: {name: {startsWith: "Walk"}}) { nodes { __typename localId } }
      recRoomList(where: {name: {startsWith: "Walk"}}) {
        nodes { __typename localId ... on AHU { kinds } } } }"""
    data = typed.data(query)
    assert data["ahuList"]["nodes"] == [{"__typename": "AHUTwin", "localId": "BOTH"}]
    assert data["recRoomList"]["nodes"] == [
        {"__typename": "AHUTwin", "localId": "BOTH", "kinds": ["brick:AHU", "rec:Room"]}
    ]


# Misspellings


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("{ ahuList { nodes { ratedPowr } } }", "ratedPower"),
        ("{ ahuLst { totalCount } }", "ahuList"),
        ("{ ahuList(wher: {}) { totalCount } }", "where"),
        ("{ ahuList(where: {ratedPowr: {gt: 1}}) { totalCount } }", "ratedPower"),
        ("{ ahuList(where: {ratedPower: {gtt: 1}}) { totalCount } }", "gt"),
        ("{ ahuList(order: [{ratedPower: DSC}]) { totalCount } }", "DESC"),
        ("{ ahuList(order: [{ratedPowr: DESC}]) { totalCount } }", "ratedPower"),
        ("{ equipmentList { nodes { ratedPower } } }", "AHU"),
        ("{ ahuList { nodes { ... on AHUU { id } } } }", "AHU"),
        ('{ ahuList(filter: {attribut: [{name: "x"}]}) { totalCount } }', "attribute"),
        ("query q($w: AHUFiltr) { ahuList(where: $w) { totalCount } }", "AHUFilter"),
    ],
)
def test_a_misspelt_name_is_an_error_with_a_suggestion(typed: Any, query: str, meant: str) -> None:
    answer = typed.ask(query)
    assert "data" not in answer
    message = answer["errors"][0]["message"]
    assert "Did you mean" in message
    assert meant in message
    assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_INVALID"


def test_a_misspelt_name_in_variables(typed: Any) -> None:
    query = "query q($w: AHUFilter) { ahuList(where: $w) { totalCount } }"
    answer = typed.ask(query, {"w": {"ratedPowr": {"gt": 1}}})
    assert "data" not in answer
    assert "ratedPower" in answer["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ('{ ahuList(filter: {attribute: [{name: "ratedPowr", gt: 1}]}) { totalCount } }', "ratedPower"),
        ('{ ahuList(orderBy: [{by: "ratedPowr"}]) { totalCount } }', "ratedPower"),
        ('{ twins(kind: "brick:Chillr") { totalCount } }', "brick:Chiller"),
        ('{ node(id: "AHU-1") { out(relation: "feds") { totalCount } } }', "feeds"),
        ('{ aggregate(measures: [{op: MEAN, of: "ratedPowr"}]) { values } }', "ratedPower"),
    ],
)
def test_a_misspelt_name_in_a_text(typed: Any, query: str, meant: str) -> None:
    answer = typed.ask(query)
    assert meant in answer["errors"][0]["extensions"]["hint"]


# A schema that changes


def put(server: Any, local_id: str, kind: str, **attributes: Any) -> None:
    record = {"id": local_id, "kinds": [kind], "attributes": attributes}
    assert server.data(APPLY, {"i": {"site": "campus", "putTwins": [record]}})["applyChange"]["applied"]


def test_a_new_kind_and_a_new_attribute_are_there_at_once(server: Any) -> None:
    message = server.ask("{ boilerList { totalCount } }")["errors"][0]["message"]
    assert message == "Cannot query field 'boilerList' on type 'Query'. No twin is of kind brick:Boiler."
    put(server, "B-1", "brick:Boiler", ratedPower=5, finish="red")
    query = '{ boilerList(where: {finish: {eq: "red"}}) { nodes { localId ratedPower finish } } }'
    expected = [{"localId": "B-1", "ratedPower": 5.0, "finish": "red"}]
    assert server.data(query)["boilerList"]["nodes"] == expected
    put(server, "B-2", "brick:Boiler", x=1)
    assert server.data(query)["boilerList"]["nodes"] == expected
    assert server.data("{ boilerList { nodes { x } } }")["boilerList"]["nodes"] == [{"x": None}, {"x": 1.0}]


def test_a_type_that_changes_is_an_error_for_values_of_the_past(server: Any) -> None:
    put(server, "B-1", "brick:Boiler", finish="red")
    query = 'query q($t: DateTime) { boiler(id: "B-1", asOf: $t) { finish } }'
    assert server.data(query) == {"boiler": {"finish": "red"}}
    put(server, "B-1", "brick:Boiler", finish=3)
    # Texts were seen: what clients ask for does not turn into a number while the server runs.
    assert server.data(query) == {"boiler": {"finish": 3}}


def test_a_swap_of_the_schema_keeps_sockets_and_streams(server: Any) -> None:
    """Kinds are added while a subscription runs: it goes on, and tells of twins of the new kind."""
    with connect(server.ws_url, subprotocols=["graphql-transport-ws"]) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv())["type"] == "connection_ack"
        query = "subscription { changes { twins { __typename localId } } }"
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        socket.send(json.dumps({"id": "2", "type": "subscribe", "payload": {"query": "{ sites { name } }"}}))
        assert {json.loads(socket.recv())["id"] for _ in range(2)} == {"2"}  # next and complete: both are on
        kinds = ("brick:Boiler", "brick:Pump", "brick:Chilled_Beam", "brick:Cooling_Tower")
        for number, kind in enumerate(kinds):
            put(server, f"NEW-{number}", kind, **{f"attribute{number}": number})
            event = json.loads(socket.recv(timeout=120))
            twin = event["payload"]["data"]["changes"]["twins"][0]
            assert (event["id"], twin["localId"]) == ("1", f"NEW-{number}")
        query = "{ coolingTowerList { nodes { __typename attribute3 } } }"
        socket.send(json.dumps({"id": "3", "type": "subscribe", "payload": {"query": query}}))
        answer = json.loads(socket.recv(timeout=120))
        assert answer["payload"]["data"]["coolingTowerList"]["nodes"] == [
            {"__typename": "Cooling_TowerTwin", "attribute3": 3.0}
        ]


def test_what_was_kept_for_an_old_schema_is_let_go(mesh: Any) -> None:
    engine = create_app(mesh, dev=True).state.engine
    try:
        query = Request("{ ahuList { nodes { id ratedPower } } }")
        old = []
        for number, kind in enumerate(("brick:Boiler", "brick:Pump", "brick:Fan")):
            assert asyncio.run(engine.run(query, LOCAL)).result.errors is None
            old.append(weakref.ref(engine.current_schema()))
            kinds = (mesh.schema.kind(kind).iri,)
            mesh.twin("plant").apply(Change(put_twins=(TwinRecord(f"urn:new:{number}", kinds),)))
        assert asyncio.run(engine.run(query, LOCAL)).result.errors is None
        gc.collect()
        assert [ref() for ref in old if ref() is not None] == []
    finally:
        engine.close()


def test_requests_go_on_while_schemas_are_swapped(server: Any) -> None:
    """Every request is answered by one schema from beginning to end, whatever is written beside it."""
    stop, failures, answered = threading.Event(), [], [0]

    def ask() -> None:
        query = (
            "{ ahuList { nodes { __typename localId ratedPower out { nodes { twin { __typename } } } } } }"
        )
        with server.client() as client:
            while not stop.is_set():
                answer = client.post("/graphql", json={"query": query}).json()
                if "errors" in answer or len(answer["data"]["ahuList"]["nodes"]) != 2:
                    failures.append(answer)
                answered[0] += 1

    readers = [threading.Thread(target=ask) for _ in range(3)]
    for each in readers:
        each.start()
    for number, kind in enumerate(("Boiler", "Pump", "Fan", "Valve", "Cooling_Tower", "Meter")):
        put(server, f"NEW-{number}", f"brick:{kind}", **{f"attribute{number}": number})
    stop.set()
    for each in readers:
        each.join(20)
    assert failures == []
    assert answered[0] > 0
