"""Types that follow the data: typed attributes, filters and orders of kinds, and how the schema grows."""

from __future__ import annotations

import gc
import weakref

import pytest
from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    print_schema,
    print_type,
    validate_schema,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from api.schema.build import fixed_schema
from api.schema.generated import join
from api.schema.kind_fields import ATTRIBUTES_PER_KIND_MAX
from api.schema.typed import EXTENSION, AttributeField, Form
from api.schema.typed_filters import KindRoot
from graph.attributes import Tag
from graph.usage import AttributeUse
from ontology.naming import FIXED_FIELDS, FIXED_TYPES
from ontology.schema import KindRecord, Schema

NUMBERS, TEXTS, BOOLEANS = frozenset({Tag.INTEGER}), frozenset({Tag.TEXT}), frozenset({Tag.BOOLEAN})


@pytest.fixture(scope="module")
def built() -> GraphQLSchema:
    return fixed_schema()


def use(ontology: Schema, name: str, *kinds: str | int, tags: frozenset[Tag] = NUMBERS) -> AttributeUse:
    rows = (kind if isinstance(kind, int) else ontology.kind(kind).index for kind in kinds)
    return AttributeUse(name, frozenset(rows), tags)


def rows(ontology: Schema, *kinds: str) -> list[int]:
    return [ontology.kind(kind).index for kind in kinds]


def errors_of(schema: GraphQLSchema) -> list[str]:
    """What graphql-core finds wrong, whatever the schema says of itself."""
    schema._validation_errors = None
    return [error.message for error in validate_schema(schema)]


def fields_of(schema: GraphQLSchema, name: str) -> dict[str, str]:
    """The fields of a type beyond those of every twin and point, with their types."""
    found = schema.type_map[name]
    assert isinstance(found, GraphQLObjectType | GraphQLInterfaceType)
    return {key: str(item.type) for key, item in found.fields.items() if EXTENSION in item.extensions}


def test_a_typed_field_has_the_declared_type_and_unit(built: GraphQLSchema, ontology: Schema) -> None:
    attributes = [
        use(ontology, "ratedPower", "brick:AHU"),
        use(ontology, "yearBuilt", "brick:AHU"),
        use(ontology, "timeToRepair", "brick:AHU", tags=TEXTS),
        use(ontology, "assetTag", "brick:AHU", tags=TEXTS),
        use(ontology, "writable", "brick:AHU", tags=BOOLEANS),
    ]
    joined = join(built, ontology, rows(ontology, "brick:AHU", "brick:VAV"), attributes)
    expected = {
        "assetTag": "String",
        "ratedPower": "Float",
        "timeToRepair": "JSON",
        "writable": "Boolean",
        "yearBuilt": "Int",
    }
    assert fields_of(joined, "AHUTwin") == fields_of(joined, "AHU") == expected
    assert fields_of(joined, "VAVTwin") == fields_of(joined, "Equipment") == {}
    power = joined.type_map["AHU"].fields["ratedPower"]
    assert power.args.keys() == {"unit"}
    assert "kW" in power.description
    assert power.extensions[EXTENSION] == AttributeField(
        "ratedPower", "ratedPower", Form.NUMBER, "kW", is_declared=True
    )
    assert errors_of(joined) == []


@pytest.mark.parametrize(
    ("tags", "form"),
    [
        ({Tag.NUMBER, Tag.INTEGER}, "Float"),
        ({Tag.INTEGER}, "Float"),
        ({Tag.TEXT}, "String"),
        ({Tag.BOOLEAN}, "Boolean"),
        ({Tag.JSON}, "JSON"),
        ({Tag.TEXT, Tag.NUMBER}, "JSON"),
    ],
)
def test_an_undeclared_attribute_has_the_type_of_its_values(
    built: GraphQLSchema, ontology: Schema, tags: set[Tag], form: str
) -> None:
    attribute = use(ontology, "finish", "brick:AHU", tags=frozenset(tags))
    joined = join(built, ontology, rows(ontology, "brick:AHU"), [attribute])
    assert fields_of(joined, "AHU") == {"finish": form}


@pytest.mark.parametrize(
    ("attribute", "field"),
    [
        ("finish", "finish"),
        ("x:country", "x_country"),
        ("x_country", None),  # so that two attributes never have one name
        ("x:a b", None),
        ("Pset_Wall.IsExternal", None),
        ("2nd", None),
        ("__type", None),
        ("_private", None),
        ("größe", None),
        ("name", None),
        ("value", None),
        ("attributes", None),
        ("and", None),
        ("nulls", None),
        ("unit", None),
    ],
)
def test_what_an_attribute_is_called(
    built: GraphQLSchema, ontology: Schema, attribute: str, field: str | None
) -> None:
    joined = join(built, ontology, rows(ontology, "brick:AHU"), [use(ontology, attribute, "brick:AHU")])
    assert fields_of(joined, "AHU") == ({field: "Float"} if field else {})
    assert errors_of(joined) == []


def test_attributes_go_down_to_sub_kinds_and_filters_up(built: GraphQLSchema, ontology: Schema) -> None:
    """GraphQL wants the fields of an interface in all below it; a list may be filtered by what is in it."""
    attributes = [
        use(ontology, "mass", "brick:Equipment"),
        use(ontology, "fans", "brick:AHU"),
    ]
    joined = join(built, ontology, rows(ontology, "brick:Equipment", "brick:AHU", "brick:VAV"), attributes)
    assert fields_of(joined, "Equipment") == {"mass": "Float"}
    assert fields_of(joined, "AHU") == {"fans": "Float", "mass": "Float"}
    assert fields_of(joined, "VAVTwin") == {"mass": "Float"}
    assert fields_of(joined, "Asset") == {}
    assert {"mass", "fans"} <= joined.type_map["EquipmentFilter"].fields.keys()
    assert {"mass", "fans"} <= joined.type_map["AssetOrder"].fields.keys()
    assert "fans" in joined.type_map["AHUFilter"].fields
    assert "mass" not in joined.type_map["AHUFilter"].fields  # no AHU has it
    assert "VAVFilter" not in joined.type_map
    assert errors_of(joined) == []


def test_filters_and_orders_come_beside_the_plain_ones(built: GraphQLSchema, ontology: Schema) -> None:
    attributes = [use(ontology, "ratedPower", "brick:AHU"), use(ontology, "x:tag", "brick:AHU", tags=TEXTS)]
    joined = join(built, ontology, rows(ontology, "brick:AHU", "brick:Temperature_Sensor"), attributes)
    arguments = joined.query_type.fields["ahuList"].args
    plain = joined.query_type.fields["twins"].args
    assert {name: str(item.type) for name, item in arguments.items()} == {
        **{name: str(item.type) for name, item in plain.items() if name != "kind"},
        "where": "AHUFilter",
        "order": "[AHUOrder!]",
    }
    assert joined.query_type.fields["ahuList"].extensions[EXTENSION] == KindRoot(
        ontology.kind("brick:AHU").iri,
        is_list=True,
        attributes={"ratedPower": "ratedPower", "x_tag": "x:tag"},
    )
    filters = {name: str(item.type) for name, item in joined.type_map["AHUFilter"].fields.items()}
    assert filters["ratedPower"] == "NumberFilter"
    assert filters["x_tag"] == filters["name"] == "StringFilter"
    assert filters["and"] == "[AHUFilter!]"
    assert filters["not"] == "AHUFilter"
    assert joined.type_map["TwinFilter"].fields.keys() <= filters.keys()
    sensor = joined.type_map["Temperature_SensorFilter"].fields
    assert str(sensor["value"].type) == "JSONFilter"
    order = {name: str(item.type) for name, item in joined.type_map["AHUOrder"].fields.items()}
    assert order["ratedPower"] == order["id"] == "SortDirection"
    assert "value" not in order


def test_a_twin_of_two_kinds_is_found_as_either(built: GraphQLSchema, ontology: Schema) -> None:
    ahu, room, sensor = rows(ontology, "brick:AHU", "rec:Apartment", "brick:Temperature_Sensor")
    attributes = [use(ontology, "area", room), use(ontology, "fans", ahu)]
    joined = join(built, ontology, [(ahu, room), (room,), (room, sensor)], attributes)
    names = {each.name for each in joined.type_map["AHUTwin"].interfaces}
    assert {"AHU", "Apartment", "Twin"} <= names
    assert "Point" not in names
    assert "AHU" not in {each.name for each in joined.type_map["ApartmentTwin"].interfaces}
    assert fields_of(joined, "AHUTwin") == {"area": "Float", "fans": "Float"}
    assert fields_of(joined, "AHU") == {"fans": "Float"}
    # A room that is a point as well has what points have.
    assert "Point" in {each.name for each in joined.type_map["ApartmentTwin"].interfaces}
    assert "history" in joined.type_map["ApartmentTwin"].fields
    assert errors_of(joined) == []


def test_kinds_in_a_circle(built: GraphQLSchema, ontology: Schema) -> None:
    """owl:equivalentClass both ways: neither interface can be above the other, twins are found as both."""
    more = ontology.with_kinds(
        [
            KindRecord("urn:x:A", "x:A", ("urn:x:B", ontology.kind("brick:AHU").iri)),
            KindRecord("urn:x:B", "x:B", ("urn:x:A",)),
        ]
    )
    joined = join(built, more, [more.kind("x:A").index], [use(more, "mass", "x:B")])
    assert {"A", "B", "AHU"} <= {each.name for each in joined.type_map["ATwin"].interfaces}
    assert errors_of(joined) == []


def test_twins_of_no_narrower_kind(built: GraphQLSchema, ontology: Schema) -> None:
    """The interfaces Twin and Point are fixed; what their own twins have stands in the object types."""
    attributes = [use(ontology, "mass", "tm:Twin", "tm:Point")]
    joined = join(built, ontology, rows(ontology, "tm:Twin", "tm:Point", "brick:AHU"), attributes)
    assert fields_of(joined, "TwinTwin") == fields_of(joined, "PointTwin") == {"mass": "Float"}
    assert fields_of(joined, "Twin") == fields_of(joined, "AHUTwin") == {}
    assert fields_of(built, "Twin") == {}
    assert errors_of(joined) == []


def test_no_kind_can_take_a_fixed_name(built: GraphQLSchema) -> None:
    families = {
        f"{kind}{end}" for kind in ("Twin", "Point") for end in ("", "Edge", "Connection", "Filter", "Order")
    }
    fixed = {name for name in built.type_map if not name.startswith("__")}
    assert fixed - FIXED_TYPES - families == set()
    assert built.query_type.fields.keys() - FIXED_FIELDS == set()


def test_names_of_the_vocabulary_do_not_change(ontology: Schema) -> None:
    """Each kind's bare name, or with its prefix where an earlier one has it."""
    for kind in ontology.kinds:
        bare = kind.bare.replace(".", "_").replace("-", "_")
        prefixed = kind.vocabulary[:1].upper() + kind.vocabulary[1:] + bare
        assert ontology.graphql_name(kind) in (bare, prefixed)
    assert ontology.graphql_name(ontology.kind("brick:Filter")) == "Filter"


def test_too_many_attributes_leave_room_for_the_declared(built: GraphQLSchema, ontology: Schema) -> None:
    many = [use(ontology, f"a{number}", "brick:AHU") for number in range(2 * ATTRIBUTES_PER_KIND_MAX)]
    attributes = [*many, use(ontology, "ratedPower", "brick:AHU")]
    joined = join(built, ontology, rows(ontology, "brick:AHU", "brick:VAV"), attributes)
    assert len(fields_of(joined, "AHU")) == ATTRIBUTES_PER_KIND_MAX
    assert "ratedPower" in fields_of(joined, "AHU")
    assert len(joined.type_map["AssetFilter"].fields) < ATTRIBUTES_PER_KIND_MAX + 20


def test_a_schema_goes_without_the_cycle_collector(built: GraphQLSchema, ontology: Schema) -> None:
    """A server freezes what it makes: a schema that holds itself would stay for ever after a swap."""
    attributes = [use(ontology, "ratedPower", "brick:AHU")]
    kinds = rows(ontology, "brick:AHU", "brick:Temperature_Sensor", "rec:Apartment")
    gc.collect()
    gc.disable()
    try:
        joined = join(built, ontology, kinds, attributes)
        assert joined.get_possible_types(joined.type_map["AHU"])
        assert "AHUFilter" in print_schema(joined)
        made = [weakref.ref(item) for name, item in joined.type_map.items() if name not in built.type_map]
        made.append(weakref.ref(joined.query_type))
        del joined
        assert len(made) > 50
        assert [ref() for ref in made if ref() is not None] == []
    finally:
        gc.enable()


def test_the_order_of_what_is_in_use_does_not_matter(built: GraphQLSchema, ontology: Schema) -> None:
    kinds = rows(ontology, "brick:AHU", "rec:Apartment", "brick:VAV")
    attributes = [use(ontology, "b", "brick:AHU"), use(ontology, "a", "rec:Apartment", "brick:AHU")]
    one, other = (
        join(built, ontology, kinds, attributes),
        join(built, ontology, kinds[::-1], attributes[::-1]),
    )
    assert print_schema(one) == print_schema(other)


def test_the_schema_grows_by_what_a_kind_brings(built: GraphQLSchema, ontology: Schema) -> None:
    """A kind adds its own six types, two roots and an entity, and nothing to kinds beside it."""
    leaves = [k.index for k in ontology.kinds if ontology.kinds_below(k.index).sum() == 1][:200]
    attributes = [use(ontology, "mass", *leaves)]
    before = join(built, ontology, leaves[:-1], attributes)
    after = join(built, ontology, leaves, attributes)
    added = after.type_map.keys() - before.type_map.keys()
    name = ontology.graphql_name(leaves[-1])
    assert {f"{name}{end}" for end in ("", "Twin", "Edge", "Connection", "Filter", "Order")} <= added
    others = {each for each in added if not each.startswith(name)}
    # Interfaces above it that no kind before had; each with its edge, connection, filter and order.
    assert len(others) <= 5 * int(ontology.ancestors[leaves[-1]].sum())
    for kept in before.type_map.keys() - {"Query", "_Entity"}:
        if not kept.startswith("__"):
            assert print_type(before.type_map[kept]) == print_type(after.type_map[kept])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_is_in_use_makes_a_valid_schema(data: st.DataObject) -> None:
    kinds = st.integers(0, len(ONTOLOGY.kinds) - 1)
    sets = data.draw(st.lists(st.lists(kinds, min_size=1, max_size=3, unique=True).map(tuple), max_size=8))
    members = sorted({kind for each in sets for kind in each}) or [ONTOLOGY.twin_kind]
    names = st.sampled_from(
        ["ratedPower", "mass", "x:tag", "name", "a.b", "timeToRepair", "medium", "weight"]
    )
    tags = st.frozensets(st.sampled_from([tag for tag in Tag if tag]), min_size=1)
    found = data.draw(
        st.lists(
            st.builds(AttributeUse, names, st.frozensets(st.sampled_from(members), min_size=1), tags),
            unique_by=lambda each: each.name,
        )
    )
    joined = join(FIXED, ONTOLOGY, sets, found)
    assert errors_of(joined) == []
    build_schema(print_schema(joined))


@pytest.fixture(scope="module", autouse=True)
def _shared(built: GraphQLSchema, ontology: Schema) -> None:
    global FIXED, ONTOLOGY
    FIXED, ONTOLOGY = built, ontology


FIXED: GraphQLSchema
ONTOLOGY: Schema
