"""GraphQL names: the rule of INTERFACE section 6."""

from __future__ import annotations

import re

import pytest

from ontology.naming import field_name, split_iri
from ontology.schema import KindRecord, Schema, load_schema


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema()


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [
        ("tm:Twin", "Twin", "twin"),
        ("tm:Point", "Point", "point"),
        ("brick:AHU", "AHU", "ahu"),
        ("brick:VAV", "VAV", "vav"),
        ("brick:Pump", "Pump", "pump"),
        ("brick:Air_Handling_Unit", "Air_Handling_Unit", "airHandlingUnit"),
        ("brick:Command", "BrickCommand", "brickCommand"),  # a fixed type has the name
        ("tm:Site", "Site", "site"),
        ("brick:Site", "BrickSite", "brickSite"),  # an earlier vocabulary has it
        ("rec:Site", "RecSite", "recSite"),
        ("rec:ParkingSpace", "ParkingSpace", "recParkingSpace"),  # brick:Parking_Space has the field
        ("supply:ProductionLine", "ProductionLine", "productionLine"),
    ],
)
def test_names(schema: Schema, kind: str, name: str, field: str) -> None:
    assert schema.graphql_name(schema.kind(kind)) == name
    assert schema.graphql_field(schema.kind(kind).index) == field


STRANGE = [
    KindRecord("https://example.org/a#Pump", "a:Pump"),
    KindRecord("https://example.org/b#PumpTwin", "b:PumpTwin"),
    KindRecord("https://example.org/a#Press 2!", "a:Press 2!"),
    KindRecord("https://example.org/a#3D-Printer", "a:3D-Printer"),
    KindRecord("https://example.org/a#Query", "a:Query"),
    KindRecord("https://example.org/a#ポンプ", "a:ポンプ"),
    KindRecord("https://example.org/c#ポンプ", "c:ポンプ"),
    KindRecord("https://example.org/a#__x", "a:__x"),
]


@pytest.mark.parametrize("records", [[], STRANGE], ids=["shipped", "strange"])
def test_names_are_legal_and_never_collide(schema: Schema, records: list[KindRecord]) -> None:
    schema = schema.with_kinds(records)
    types = [
        name
        for kind in schema.kinds
        for name in (schema.graphql_name(kind), schema.graphql_name(kind) + "Twin")
    ]
    fields = [
        name
        for kind in schema.kinds
        for name in (schema.graphql_field(kind), schema.graphql_field(kind) + "List")
    ]
    for names in (types, fields):
        assert len(names) == len(set(names))
        assert all(
            re.fullmatch(r"[_A-Za-z][_0-9A-Za-z]*", name) and not name.startswith("__") for name in names
        )


def test_appended_kinds_take_no_name_away(schema: Schema) -> None:
    more = schema.with_kinds(STRANGE)
    assert [more.graphql_name(k.index) for k in schema.kinds] == [
        schema.graphql_name(k) for k in schema.kinds
    ]
    names = [more.graphql_name(kind) for kind in more.user_kinds()]
    assert names == ["APump", "BPumpTwin", "Press_2_", "_3D_Printer", "AQuery", "Kind", "CKind", "x"]


@pytest.mark.parametrize(
    ("bare", "field"),
    [
        ("AHU", "ahu"),
        ("FCU", "fcu"),
        ("HVAC_Zone", "hvacZone"),
        ("PV_Array", "pvArray"),
        ("CO2_Sensor", "co2Sensor"),
    ],
)
def test_field_names(bare: str, field: str) -> None:
    assert field_name(bare) == field


def test_iris_split_at_the_last_mark() -> None:
    assert split_iri("https://w3id.org/rec#Room") == ("https://w3id.org/rec#", "Room")
    assert split_iri("http://qudt.org/vocab/unit/KiloW") == ("http://qudt.org/vocab/unit/", "KiloW")
    assert split_iri("urn:x:Foo") == ("urn:x:", "Foo")
