"""The schema holds what INTERFACE section 6 promises: every type, field, argument and default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    print_schema,
    print_type,
)

from api.schema.build import fixed_schema
from api.schema.generated import join
from ontology.errors import StoreError
from ontology.schema import KindRecord, Schema

# What the document leaves open; the types it names without fields.
UNSAID = """
scalar Revision scalar DateTime scalar Duration scalar JSON
enum Quality { GOOD } enum AggregateOp { COUNT } enum Fill { NONE } enum Direction { OUT }
enum SortDirection { ASC } enum Nulls { LAST } enum ItemStatus { CREATED } enum JobStatus { RUNNING }
enum Completeness { FULL }
type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
type Sample { time: DateTime! } type TwinEdge { cursor: String! node: Twin! } type SiteInfo { name: String! }
type ScenarioInfo { id: ID! } type CommandResult { id: ID! } type ImpactSummary { twinsHit: Int! }
type ImpactConnection { totalCount: Int } type SourceStatus { site: String! }
type ChangeEvent { revision: Revision! } type ReadingEvent { time: DateTime! }
type ImpactEvent { simulation: Simulation! } input ExternalIdInput { system: String! id: String! }
input EventInput { twin: ID atHours: Float }
"""
POINT_HAS_TWIN = "interface Point implements Twin {"


@pytest.fixture(scope="module")
def promised(shared_data: Path) -> GraphQLSchema:
    text = (shared_data.parent / "INTERFACE.md").read_text(encoding="utf-8")
    sdl = re.search(r"```graphql\n(.*?)```", text, re.DOTALL)
    assert sdl is not None
    lines = [re.sub(r"\s+#.*$", "", line) for line in sdl[1].splitlines()]
    twin_fields = "\n".join(lines).split("interface Twin {")[1].split("}")[0]
    body = "\n".join(lines).replace(POINT_HAS_TWIN, POINT_HAS_TWIN + twin_fields)
    # The document writes every enum default as it stands.
    return build_schema(body + UNSAID)


@pytest.fixture(scope="module")
def built() -> GraphQLSchema:
    return fixed_schema()


def test_every_type_is_there(promised: GraphQLSchema, built: GraphQLSchema) -> None:
    missing = {name for name in promised.type_map if not name.startswith("__")} - built.type_map.keys()
    assert missing == set()
    assert len(promised.type_map) > 60


def test_every_field_and_argument_is_there(promised: GraphQLSchema, built: GraphQLSchema) -> None:
    differences: list[str] = []
    for name, wanted in promised.type_map.items():
        found = built.type_map[name]
        if isinstance(wanted, GraphQLObjectType | GraphQLInterfaceType) and not name.startswith("__"):
            assert isinstance(found, GraphQLObjectType | GraphQLInterfaceType), name
            for field, stated in wanted.fields.items():
                differences += field_differences(f"{name}.{field}", stated, found.fields.get(field))
        elif isinstance(wanted, GraphQLInputObjectType):
            assert isinstance(found, GraphQLInputObjectType), name
            for field, stated in wanted.fields.items():
                has = found.fields.get(field)
                if has is None or str(has.type) != str(stated.type):
                    differences.append(f"{name}.{field}: {has and has.type}")
        elif isinstance(wanted, GraphQLEnumType) and not name.startswith("__"):
            assert isinstance(found, GraphQLEnumType), name
            differences += [f"{name}.{value}" for value in wanted.values if value not in found.values]
    assert differences == []


def field_differences(place: str, wanted: object, found: object) -> list[str]:
    if found is None:
        return [f"{place} is missing"]
    differences = [] if str(found.type) == str(wanted.type) else [f"{place}: {found.type}, not {wanted.type}"]
    for name, stated in wanted.args.items():
        has = found.args.get(name)
        if has is None or str(has.type) != str(stated.type):
            differences.append(f"{place}({name}): {has and has.type}")
    optional = [
        name for name in found.args.keys() - wanted.args.keys() if str(found.args[name].type).endswith("!")
    ]
    return differences + [f"{place}({name}) is new and required" for name in optional]


def test_defaults_are_as_promised(built: GraphQLSchema) -> None:
    text = print_schema(built)
    assert "direction: Direction = OUT" in text
    assert "k: Int = 1" in text
    assert "horizonHours: Float = 72" in text
    assert "runs: Int = 1000" in text
    assert "seed: Int = 0" in text
    assert "nulls: Nulls = LAST" in text
    assert 'of: String = "value"' in text
    assert "= null" not in text


# Types of kinds


def test_a_kind_brings_its_types_and_roots(built: GraphQLSchema, ontology: Schema) -> None:
    joined = join(built, ontology, [ontology.kind("brick:AHU").index])
    ahu, equipment = joined.type_map["AHU"], joined.type_map["Equipment"]
    assert isinstance(ahu, GraphQLInterfaceType)
    assert isinstance(equipment, GraphQLInterfaceType)
    assert {each.name for each in ahu.interfaces} >= {"Twin", "Asset", "Equipment"}
    assert {each.name for each in joined.type_map["AHUTwin"].interfaces} >= {"Twin", "AHU", "Equipment"}
    assert "EquipmentTwin" not in joined.type_map  # only kinds in use have object types
    roots = joined.query_type.fields
    assert str(roots["ahu"].type) == "AHU"
    assert str(roots["ahuList"].type) == "AHUConnection!"
    assert "kind" not in roots["ahuList"].args
    assert roots["ahuList"].args.keys() == joined.query_type.fields["twins"].args.keys() - {"kind"}
    assert "vav" not in roots


def test_names_of_the_interface_document(built: GraphQLSchema, ontology: Schema) -> None:
    kinds = [ontology.kind(name).index for name in ("brick:Command", "rec:Site", "tm:Site", "brick:AHU")]
    joined = join(built, ontology, kinds)
    assert {"BrickCommand", "BrickCommandTwin", "RecSite", "Site", "AHU"} <= joined.type_map.keys()
    assert {each.name for each in joined.type_map["BrickCommandTwin"].interfaces} >= {"Twin", "Point"}
    assert {"value", "history", "out"} <= joined.type_map["BrickCommandTwin"].fields.keys()


def test_names_do_not_flip_when_kinds_are_added(built: GraphQLSchema, ontology: Schema) -> None:
    one = [ontology.kind("brick:AHU").index]
    before = join(built, ontology, one)
    more = ontology.with_kinds([KindRecord("urn:x:AHU", "x:AHU", (ontology.kind("brick:AHU").iri,))])
    after = join(built, more, [*one, more.kind("urn:x:AHU").index])
    assert before.type_map.keys() <= after.type_map.keys()
    assert "XAHUTwin" in after.type_map
    assert print_type(before.type_map["AHU"]) == print_type(after.type_map["AHU"])


def test_the_whole_vocabulary_makes_a_valid_schema(built: GraphQLSchema, ontology: Schema) -> None:
    joined = join(built, ontology, range(len(ontology.kinds)))
    names = {f"{ontology.graphql_name(kind)}Twin" for kind in range(len(ontology.kinds))}
    assert len(names) == len(ontology.kinds)
    assert names <= joined.type_map.keys()


def test_a_collision_is_loud(built: GraphQLSchema, ontology: Schema) -> None:
    class Clashing:
        """An ontology that wants a fixed name for a kind."""

        def __getattr__(self, name: str) -> object:
            return getattr(ontology, name)

        def graphql_name(self, kind: int) -> str:
            return "Link" if kind == ahu else ontology.graphql_name(kind)

    ahu = ontology.kind("brick:AHU").index
    with pytest.raises(StoreError) as caught:
        join(built, Clashing(), [ahu])
    assert caught.value.code == "SCHEMA_COLLISION"
