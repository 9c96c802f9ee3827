"""Schema: names, inverses, how trouble travels, media, and kinds that users append."""

from __future__ import annotations

import pytest

from ontology.errors import NotFoundError
from ontology.schema import Dependence, Direction, KindRecord, Schema, load_schema

EX = "https://example.org/plant#"


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Site", "tm:Site"),  # tm before brick and rec
        ("Point", "tm:Point"),
        ("AHU", "brick:AHU"),
        ("Room", "brick:Room"),  # brick before rec
        ("Level", "rec:Level"),
        ("ProductionLine", "supply:ProductionLine"),
        ("rec:Room", "rec:Room"),
        ("https://w3id.org/rec#Room", "rec:Room"),
        ("tm:External", "tm:External"),
    ],
)
def test_kind_names_resolve_in_order(schema: Schema, name: str, meant: str) -> None:
    assert schema.kind(name).name == meant


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ahu", "brick:AHU"),
        ("brick:Building_Electric_Meter", "brick:Building_Electrical_Meter"),
        (
            "brick:Chilled_Water_Supply_Temperature_Setpoint",
            "brick:Leaving_Chilled_Water_Temperature_Setpoint",
        ),
        ("https://brickschema.org/schema/1.0.2/Brick#VAV", "brick:VAV"),
    ],
)
def test_unknown_kinds_come_with_a_suggestion(schema: Schema, name: str, hint: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        schema.kind(name)
    assert caught.value.code == "KIND_UNKNOWN"
    assert hint in (caught.value.hint or "")


def test_unknown_relations_come_with_a_suggestion(schema: Schema) -> None:
    with pytest.raises(NotFoundError) as caught:
        schema.relation("fedes")
    assert caught.value.code == "RELATION_UNKNOWN"
    assert "feeds" in (caught.value.hint or "")


def test_shadowed_names_tell_winner_and_hidden(schema: Schema) -> None:
    shadows = {shadow.bare: shadow for shadow in schema.shadowed()}
    assert shadows["Site"].winner == "tm:Site"
    assert shadows["Site"].hidden == ("brick:Site", "rec:Site")
    assert all(schema.kind(shadow.bare).name == shadow.winner for shadow in shadows.values())
    assert "AHU" not in shadows


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("brick:isFedBy", "brick:feeds"),
        ("brick:hasPart", "brick:isPartOf"),
        ("brick:hasPoint", "brick:isPointOf"),
        ("brick:isLocationOf", "brick:hasLocation"),
        ("brick:isMeteredBy", "brick:meters"),
        ("rec:hasPart", "rec:isPartOf"),
        ("rec:hasPoint", "rec:isPointOf"),
        ("rec:isFedBy", "rec:feeds"),
        ("rec:isLocationOf", "rec:locatedIn"),
        ("rec:hasMember", "rec:isMemberOf"),
        ("rec:includes", "tm:memberOf"),
        ("tm:suppliedBy", "tm:supplies"),
        ("hasPart", "tm:partOf"),
    ],
)
def test_inverse_names_lead_to_the_canonical_relation(schema: Schema, name: str, canonical: str) -> None:
    inverse = schema.relation(name).inverse_of
    assert inverse is not None
    assert schema.relations[inverse].name == canonical
    assert schema.relations[inverse].inverse_of is None


FOUNDED = Dependence(Direction.SOURCE_TO_TARGET, founded=True)
SUPPLY = Dependence(Direction.SOURCE_TO_TARGET, founded=False)
NEED = Dependence(Direction.TARGET_TO_SOURCE, founded=False)


def test_dependence_is_carried_by_feeds_supplies_dependson_and_below_and_by_nothing_else(
    schema: Schema,
) -> None:
    canonical = {r.name: r.dependence for r in schema.relations if r.inverse_of is None and r.dependence}
    assert canonical == {
        "tm:feeds": FOUNDED,
        "brick:feeds": FOUNDED,
        "rec:feeds": FOUNDED,
        "tm:supplies": SUPPLY,
        "supply:delivers": SUPPLY,
        "supply:produces": SUPPLY,
        "tm:dependsOn": NEED,
        "supply:consumes": NEED,
        "supply:carriedBy": NEED,
    }
    assert schema.relation("brick:isFedBy").dependence == Dependence(Direction.TARGET_TO_SOURCE, founded=True)


def test_part_of_and_below_are_acyclic_and_only_they(schema: Schema) -> None:
    assert {r.name for r in schema.relations if r.acyclic} == {"tm:partOf", "brick:isPartOf", "rec:isPartOf"}


def test_symmetric_relations(schema: Schema) -> None:
    assert {r.name for r in schema.relations if r.symmetric} == {
        "tm:connectedTo",
        "brick:connectedTo",
        "tm:sameAs",
    }


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ("brick:AHU", "tm:Asset"),
        ("brick:Zone_Air_Temperature_Sensor", "tm:Point"),
        ("rec:Room", "tm:Space"),
        ("rec:Level", "tm:Space"),
        ("rec:Building", "tm:Space"),
        ("rec:Site", "tm:Site"),
        ("brick:Site", "tm:Site"),
        ("brick:Chilled_Water_System", "tm:System"),
        ("rec:Organization", "tm:Party"),
        ("supply:Supplier", "tm:Party"),
        ("supply:Press", "tm:Asset"),
        ("supply:Port", "tm:Site"),
        ("supply:AirCompressor", "brick:Equipment"),
    ],
)
def test_alignments(schema: Schema, below: str, above: str) -> None:
    assert schema.is_a(schema.kind(below).index, schema.kind(above).index)
    assert not schema.is_a(schema.kind(above).index, schema.kind(below).index)


def test_every_kind_is_a_twin(schema: Schema) -> None:
    assert schema.kinds_below(schema.twin_kind).all()


def test_points_are_no_assets(schema: Schema) -> None:
    points, assets = schema.kinds_below(schema.point_kind), schema.kinds_below(schema.kind("tm:Asset").index)
    assert not (points & assets).any()


def test_filters_by_relation_include_sub_relations(schema: Schema) -> None:
    below = schema.relations_below(schema.relation("tm:feeds").index)
    assert {schema.relations[i].name for i in below.nonzero()[0]} == {"tm:feeds", "brick:feeds", "rec:feeds"}
    above = schema.relations_below(schema.relation("brick:isPartOf").index)
    assert {schema.relations[i].name for i in above.nonzero()[0]} == {"brick:isPartOf", "rec:isPartOf"}


@pytest.mark.parametrize(
    ("kind", "medium"),
    [
        ("brick:Boiler", "hotWater"),
        ("brick:Condensing_Natural_Gas_Boiler", "hotWater"),
        ("brick:Centrifugal_Chiller", "chilledWater"),
        ("brick:Cooling_Tower", "condenserWater"),
        ("brick:Rooftop_Unit", "air"),
        ("brick:RTU", "air"),
        ("brick:RVAV", "air"),
        ("brick:Supply_Fan", "air"),
        ("brick:Transformer", "electricity"),
        ("brick:Automatic_Transfer_Switch", "electricity"),
        ("brick:Battery", "electricity"),
        ("supply:UninterruptiblePowerSupply", "electricity"),
        ("supply:Generator", "electricity"),
        ("supply:AirCompressor", "compressedAir"),
        ("brick:Chilled_Water_Booster_Pump", "chilledWater"),
        ("brick:Pump", "water"),
        ("brick:Zone_Air_Temperature_Sensor", None),
        ("brick:Heat_Exchanger", None),
        ("rec:Room", None),
        ("tm:Twin", None),
    ],
)
def test_medium_of_a_source_by_kind(schema: Schema, kind: str, medium: str | None) -> None:
    assert schema.kind(kind).medium == medium


def test_media_in_use_are_in_the_table(schema: Schema) -> None:
    assert {kind.medium for kind in schema.kinds if kind.medium} <= set(schema.media)
    systems = [item for medium in schema.media.values() for item in medium.ifc_systems]
    assert len(systems) == len(set(systems))


def test_cascade_attributes_are_those_of_the_interface(schema: Schema) -> None:
    twin = {a.name for a in schema.attributes.values() if a.cascade and a.on == "twin"}
    relationship = {a.name for a in schema.attributes.values() if a.cascade and a.on == "relationship"}
    assert twin == {
        "health", "failureProbability", "timeToFailure", "timeToRepair", "restartHours", "valuePerHour",
        "repairCost",
    }  # fmt: skip
    assert relationship == {
        "group", "weight", "delayHours", "need", "bufferHours", "refillRate", "threshold",
        "damageProbability", "toleranceHours",
    }  # fmt: skip
    health = schema.attribute("health")
    assert health is not None
    assert (health.minimum, health.maximum, health.datatype) == (0, 1, "number")
    assert schema.attribute("nonsense") is None
    hours = {a.name for a in schema.attributes.values() if a.datatype == "hours"}
    assert hours == {
        "timeToFailure", "timeToRepair", "restartHours", "delayHours", "bufferHours", "toleranceHours"
    }  # fmt: skip


def press(**other: object) -> KindRecord:
    return KindRecord(EX + "Press", "ex:Press", (schema_iri("supply:Machine"),), "Press", **other)  # type: ignore[arg-type]


def schema_iri(name: str) -> str:
    return load_schema().expand(name)


def test_appended_kinds_come_last_and_nothing_is_renumbered(schema: Schema) -> None:
    more = schema.with_kinds([press()])
    assert more.kinds[: len(schema.kinds)] == schema.kinds
    assert more.kind("ex:Press").index == len(schema.kinds)
    assert more.is_a(more.kind("ex:Press").index, more.kind("tm:Asset").index)
    assert more.kind("Press").name == "supply:Press"  # shipped vocabularies come before the user's
    assert [kind.name for kind in more.user_kinds()] == ["ex:Press"]
    assert schema.user_kinds() == ()
    assert more.version != schema.version


def test_appending_twice_changes_nothing(schema: Schema) -> None:
    more = schema.with_kinds([press()])
    assert more.with_kinds([press()]) is more
    assert schema.with_kinds([KindRecord(schema_iri("brick:AHU"), "brick:AHU")]) is schema
    assert schema.with_kinds([]) is schema


def test_a_batch_may_refer_to_itself_in_any_order(schema: Schema) -> None:
    more = schema.with_kinds([KindRecord(EX + "Big", "ex:Big", (EX + "Press",)), press()])
    assert more.is_a(more.kind("ex:Big").index, more.kind("supply:Machine").index)


def test_an_unknown_parent_is_an_error(schema: Schema) -> None:
    with pytest.raises(NotFoundError) as caught:
        schema.with_kinds([KindRecord(EX + "Big", "ex:Big", (EX + "Nowhere",))])
    assert caught.value.code == "KIND_UNKNOWN"


def test_kinds_in_a_circle_are_still_twins(schema: Schema) -> None:
    circle = [KindRecord(EX + "A", "ex:A", (EX + "B",)), KindRecord(EX + "B", "ex:B", (EX + "A",))]
    more = schema.with_kinds(circle)
    assert more.kinds_below(more.twin_kind).all()
    assert more.is_a(more.kind("ex:A").index, more.kind("ex:B").index)


def test_a_placeholder_grows_up_in_place(schema: Schema) -> None:
    young = schema.with_kinds([KindRecord(EX + "Press", "ns:Press", placeholder=True)])
    assert young.kind("ns:Press").placeholder
    assert not young.is_a(young.kind("ns:Press").index, young.kind("tm:Asset").index)
    grown = young.with_kinds([press()])
    kind = grown.kind_by_iri(EX + "Press")
    assert kind is not None
    assert kind.index == young.kind("ns:Press").index
    assert kind.name == "ns:Press"  # names never change
    assert grown.is_a(kind.index, grown.kind("tm:Asset").index)
    assert grown.with_kinds([KindRecord(EX + "Press", "ns:Press", placeholder=True)]) is grown


def test_two_vocabularies_with_one_prefix_stay_apart(schema: Schema) -> None:
    other = KindRecord("https://example.com/other#Press", "ex:Press")
    more = schema.with_kinds([press(), other])
    assert more.kind("ex:Press").iri == EX + "Press"
    assert more.kind("ex2:Press").iri == other.iri


def test_names_shorten_and_lengthen(schema: Schema) -> None:
    assert schema.compact("https://brickschema.org/schema/Brick#AHU") == "brick:AHU"
    assert schema.compact("http://qudt.org/vocab/unit/KiloW") == "unit:KiloW"
    assert schema.compact("https://example.org/x") == "https://example.org/x"
    assert schema.expand("brick:feeds") == "https://brickschema.org/schema/Brick#feeds"
    assert schema.expand("https://example.org/x") == "https://example.org/x"
    assert schema.expand("urn:uuid:1") == "urn:uuid:1"
    assert all(schema.expand(schema.compact(kind.iri)) == kind.iri for kind in schema.kinds)
