"""The subgraph of Apollo Federation: what its SDL says, and entities by representation, compiled and not."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import Any

import httpx
import orjson
import pytest
from graphql import (
    DocumentNode,
    InterfaceTypeDefinitionNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    TypeNode,
    parse,
    print_ast,
)

from api.app import create_app
from api.config import Limits, Settings, Subgraph
from api.policy import Principal, Role
from api.schema.build import fixed_schema
from api.schema.source import SchemaSource
from api.schema.subgraph_sdl import subgraph_sdl
from graph.mesh import Mesh
from graph.snapshot import Snapshot
from graph.values import Change, Value
from ontology.errors import InputError
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import SCHEMA, Running, campus_change, fill, iri, plant_change, twin
from tests.api.test_compiled import Desk, desk_of
from tests.simulation.cascade_worlds import fresh_seed

PREFIXES = ("", "campus_")
ENTITIES = """query ($them: [_Any!]!) { _entities(representations: $them) { __typename
... on AHUTwin { id name kind ratedPower out(relation: "brick:feeds") { totalCount } }
... on RecRoomTwin { id area(unit: "m2") revision points { id unit } }
... on Twin { site attributes { name value } } } }"""


def told(typename: str, local_id: str, site: str = "campus") -> dict[str, str]:
    return {"__typename": typename, "id": iri(site, local_id)}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Desk]:
    folder = tmp_path_factory.mktemp("subgraph")
    with Mesh.open(folder / "data", ontology, units=units) as mesh:
        fill(mesh)
        rooms = [
            twin("campus", f"Many-{n}", "rec:Room", f"Room {n}", area=Value(float(n), "m2"))
            for n in range(1_000)
        ]
        mesh.twin("campus").apply(Change(put_twins=tuple(rooms)))
        yield desk_of(mesh, folder, units)


# What the SDL says


class Sdl:
    """The text as a composition reads it."""

    def __init__(self, desk: Desk, prefix: str) -> None:
        self.schema = SchemaSource(fixed_schema(), prefix=prefix).schema_for(desk.mesh.snapshot())
        self.text = subgraph_sdl(self.schema, prefix)
        self.document: DocumentNode = parse(self.text)
        self.types = {
            node.name.value: node
            for node in self.document.definitions
            if isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode)
        }

    def directives(self, name: str) -> set[str]:
        return {each.name.value for each in self.types[name].directives or ()}


@pytest.fixture(scope="module", params=PREFIXES)
def sdl(desk: Desk, request: pytest.FixtureRequest) -> Sdl:
    return Sdl(desk, request.param)


def nodes_of(kind: TypeNode) -> Generator[tuple[TypeNode, bool]]:
    """Each level of a type, and whether it may be null there."""
    while True:
        is_firm = isinstance(kind, NonNullTypeNode)
        kind = kind.type if isinstance(kind, NonNullTypeNode) else kind
        yield kind, not is_firm
        inner = getattr(kind, "type", None)
        if inner is None:
            return
        kind = inner


def test_every_field_across_sites_may_be_null(sdl: Sdl) -> None:
    """A site that is dark nulls what it would have given: a root, a twin's field, the place of a twin."""
    twins = {
        name
        for name, node in sdl.types.items()
        if isinstance(node, InterfaceTypeDefinitionNode) or "key" in sdl.directives(name)
    }
    assert {"Twin", "Point"} < twins
    checked = 0
    for name, node in sdl.types.items():
        for field in node.fields or ():
            levels = list(nodes_of(field.type))
            place = f"{name}.{field.name.value}: {print_ast(field.type)}"
            if name in ("Query", "Mutation") or (name in twins and field.name.value != "id"):
                assert levels[0][1], place
            innermost, may_be_null = levels[-1]
            if print_ast(innermost) in twins:
                assert may_be_null, place
                checked += 1
    assert checked > 20


def test_twins_are_entities_and_all_else_is_shareable(sdl: Sdl) -> None:
    for name, node in sdl.types.items():
        is_object = isinstance(node, ObjectTypeDefinitionNode)
        above = {each.name.value for each in node.interfaces or ()}
        if not is_object or name in ("Query", "Mutation"):
            assert sdl.directives(name) == set(), name
        else:
            assert sdl.directives(name) == ({"key"} if "Twin" in above else {"shareable"}), name
    assert sdl.text.startswith('extend schema @link(url: "https://specs.apollo.dev/federation/v2.9"')
    assert "Subscription" not in sdl.types
    assert not any(name.startswith("_") for name in sdl.types)


def test_the_server_has_all_that_the_sdl_says(sdl: Sdl) -> None:
    for name, node in sdl.types.items():
        served_type: Any = sdl.schema.get_type(name)
        for field in node.fields or ():
            own = served_type.fields[field.name.value]
            assert str(own.type).replace("!", "") == print_ast(field.type).replace("!", "")
            stated = {each.name.value: print_ast(each.type) for each in field.arguments or ()}
            assert stated == {key: str(each.type) for key, each in own.args.items()}


def test_names_of_a_site_stand_where_sites_differ(desk: Desk) -> None:
    """Two sites may share a name only if it stands for the same in both."""
    sdl = Sdl(desk, "campus_")
    for root in ("Query", "Mutation"):
        assert all(each.name.value.startswith("campus_") for each in sdl.types[root].fields or ())
    own = {name for name in sdl.types if name.startswith("campus_")}
    assert own == {name for name in sdl.types if "key" in sdl.directives(name)}
    allowed = set(getattr(fixed_schema().type_map["Point"], "fields", {}))
    for name, node in sdl.types.items():
        if isinstance(node, InterfaceTypeDefinitionNode):  # typed attributes would differ by site
            assert {each.name.value for each in node.fields or ()} <= allowed, name
    inputs = [name for name in sdl.schema.type_map if name.endswith(("AHUFilter", "AHUOrder"))]
    assert sorted(inputs) == ["campus_AHUFilter", "campus_AHUOrder"]


# Entities


def test_compiled_entities_are_those_of_the_resolvers(desk: Desk) -> None:
    them = [
        told("AHUTwin", "AHU-1"),
        told("RecRoomTwin", "R-1"),
        told("AHUTwin", "AHU-1"),
        told("ProcessTwin", "LINE-1", "plant"),
        {**told("RecRoomTwin", "R-2"), "further": [{"nothing": 1}]},
    ]
    data = orjson.loads(desk.check(ENTITIES, them=them))["_entities"]
    assert [each["__typename"] for each in data] == [each["__typename"] for each in them]
    assert data[0] == data[2]
    assert (data[0]["name"], data[0]["ratedPower"], data[0]["out"]) == (
        "Air handler 1",
        12.0,
        {"totalCount": 3},
    )
    assert (data[1]["area"], data[3]["site"]) == (10.0, "plant")
    assert desk.check(ENTITIES, them=[]) == b'{"_entities":[]}'


def test_a_thousand_entities_are_one_look_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    rows = Snapshot.rows

    def counted(self: Snapshot, iris: Any) -> Any:
        asked.append(len(iris))
        return rows(self, iris)

    plan = desk.plan(ENTITIES, them=[])
    assert plan is not None
    them = [told("RecRoomTwin", f"Many-{n}") for n in reversed(range(1_000))]
    monkeypatch.setattr(Snapshot, "rows", counted)
    monkeypatch.setattr(Snapshot, "candidates", None)
    encoded = plan.run(desk.context(), {"them": them})
    assert encoded is not None
    assert asked == [1_000]
    found = orjson.loads(encoded.data)["_entities"]
    assert [each["area"] for each in found] == [float(n) for n in reversed(range(1_000))]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (told("AHUTwin", "GONE"), "ENTITY_UNKNOWN"),
        (told("RecRoomTwin", "AHU-1"), "ENTITY_UNKNOWN"),  # of another type
        (told("AHU", "AHU-1"), "ENTITY_UNKNOWN"),  # an interface is no entity
        ({"__typename": "AHUTwin", "id": "AHU-1"}, "ENTITY_UNKNOWN"),  # other subgraphs know IRIs alone
        ({"__typename": "AHUTwin", "id": ""}, "REPRESENTATION_INVALID"),
        ({"__typename": "AHUTwin", "id": 7}, "REPRESENTATION_INVALID"),
        ({"id": iri("campus", "AHU-1")}, "REPRESENTATION_INVALID"),
        ([], "REPRESENTATION_INVALID"),
        ("AHU-1", "REPRESENTATION_INVALID"),
    ],
)
def test_what_is_not_there_is_null_at_its_place(reader: Running, asked: Any, code: str) -> None:
    them = [told("AHUTwin", "AHU-1"), asked, told("AHUTwin", "AHU-2")]
    answer = reader.ask(ENTITIES, {"them": them})
    assert [each and each["id"] for each in answer["data"]["_entities"]] == [
        them[0]["id"],
        None,
        them[2]["id"],
    ]
    errors = [(each["path"], each["extensions"]["code"]) for each in answer["errors"]]
    assert errors == [(["_entities", 1], code)]


def test_what_is_out_of_scope_is_as_if_it_were_not_there(desk: Desk) -> None:
    rooms = Principal("rooms", Role.PARTNER, kinds=("rec:Room",))
    plan = desk.plan(ENTITIES, them=[])
    assert plan is not None
    hidden, absent = told("AHUTwin", "AHU-1"), told("AHUTwin", "AHU-9")
    them = [told("RecRoomTwin", "R-1"), hidden, absent]
    assert plan.run(desk.context(rooms), {"them": them}) is None  # the resolvers locate errors
    result = desk.resolved(ENTITIES, rooms, them=them)
    assert result.data is not None
    room, *others = result.data["_entities"]
    assert (room["__typename"], others) == ("RecRoomTwin", [None, None])
    messages = [each.message for each in result.errors or ()]
    assert messages[0].replace("AHU-1", "AHU-9") == messages[1]


def test_representations_count_in_what_a_request_costs(mesh: Mesh, serve: Callable[..., Any]) -> None:
    query = "query ($them: [_Any!]!) { _entities(representations: $them) { ... on Twin { id name site } } }"
    with serve(mesh, Settings(limits=Limits(cost_max=3_000))) as server:
        many = [told("AHUTwin", "AHU-1")] * 1_000
        assert server.code(query, {"them": many}) == "QUERY_TOO_COSTLY"
        assert len(server.data(query, {"them": many[:900]})["_entities"]) == 900
    with serve(mesh, Settings(limits=Limits(body_bytes_max=8 << 20, nodes_max=9_000))) as server:
        assert server.code(query, {"them": many * 10 + many[:1]}) == "PAGE_TOO_LARGE"
        assert server.code(query, {"them": many * 10}) == "NODE_BUDGET"


def test_representations_may_stand_in_the_text(reader: Running) -> None:
    query = """query ($id: ID!) { _entities(representations: [
    {__typename: "AHUTwin", id: "%s"}, {__typename: "AHUTwin", id: $id}]) { ... on Twin { name } } }"""
    data = reader.data(query.replace("%s", iri("campus", "AHU-1")), {"id": iri("campus", "AHU-2")})
    assert data == {"_entities": [{"name": "Air handler 1"}, {"name": "Air handler 2"}]}


def test_random_representations_are_answered_alike_both_ways(desk: Desk) -> None:
    """The plan gives the bytes of the resolvers, or leaves it to them; errors are at what is not there."""
    seed = fresh_seed("entities")
    rng = random.Random(seed)
    there = {
        each.id: f"{SCHEMA.graphql_name(SCHEMA.kind(each.kinds[0]))}Twin"
        for change in (campus_change(), plant_change())
        for each in change.put_twins
    }
    known = [{"__typename": typename, "id": id} for id, typename in there.items()]
    names = sorted({*there.values(), "AHU", "Twin"})
    plan = desk.plan(ENTITIES, them=[])
    assert plan is not None
    for _ in range(60):
        ids = rng.choices(sorted(there), k=rng.randint(0, 30))
        them: list[Any] = [{"__typename": there[each], "id": each} for each in ids]
        for place in rng.sample(range(len(them)), k=min(len(them), rng.choice((0, 0, 1, 3)))):
            them[place] = rng.choice(
                [
                    {"__typename": rng.choice(names), "id": ids[place]},
                    {"__typename": there[ids[place]], "id": ids[place] + "x"},
                    {},
                    7,
                ]
            )
        right = [each in known for each in them]
        encoded, result = plan.run(desk.context(), {"them": them}), desk.resolved(ENTITIES, them=them)
        assert result.data is not None
        assert [each is not None for each in result.data["_entities"]] == right, seed
        assert [each.path[1] for each in result.errors or () if each.path] == [
            place for place, is_right in enumerate(right) if not is_right
        ]
        assert (encoded is None) == (not all(right)), seed
        assert encoded is None or encoded.data == orjson.dumps(result.data), seed


# The doors


def test_the_schema_is_told_to_those_who_may_ask_for_it(mesh: Mesh, serve: Callable[..., Any]) -> None:
    query = "{ _service { sdl } }"
    with serve(mesh, Settings(limits=Limits(introspection=False)), dev=False) as server:
        analyst, admin = (server.tokens.create(role.value, role) for role in (Role.ANALYST, Role.ADMIN))
        assert server.code(query, token=analyst) == "INTROSPECTION_DENIED"
        sdl = server.data(query, token=admin)["_service"]["sdl"]
    assert "type AHUTwin implements" in sdl


def test_a_named_subgraph_has_a_door_of_its_own(mesh: Mesh, serve: Callable[..., Any]) -> None:
    def post(client: httpx.Client, path: str, query: str) -> Any:
        return client.post(path, json={"query": query}).json()

    with serve(mesh, Settings(subgraph=Subgraph("north")), dev=False) as server:
        with server.client() as stranger:
            assert stranger.post("/subgraph", json={"query": "{ __typename }"}).status_code == 401
        with server.client(server.tokens.create("gateway", Role.ANALYST)) as client:
            one = post(client, "/subgraph", '{ north_ahu(id: "AHU-1") { __typename name } }')
            assert one["data"] == {"north_ahu": {"__typename": "north_AHUTwin", "name": "Air handler 1"}}
            for path, query in (
                ("/subgraph", "{ sites { name } }"),
                ("/graphql", "{ north_sites { name } }"),
            ):
                assert "errors" in post(client, path, query)
            plain = post(client, "/graphql", '{ ahu(id: "AHU-1") { __typename } }')
            assert plain["data"] == {"ahu": {"__typename": "AHUTwin"}}
            refused = post(client, "/subgraph", 'mutation { north_dropScenario(id: "none") }')
            assert refused["errors"][0]["extensions"]["code"] != "GRAPHQL_VALIDATION_FAILED"
    with serve(mesh) as server, server.client() as client:
        assert client.post("/subgraph", json={"query": "{ __typename }"}).status_code == 404


@pytest.mark.parametrize("name", ["North", "a_b", "9", "a-b", "ä", "a" * 33, " "])
def test_names_that_cannot_stand_before_others(mesh: Mesh, name: str) -> None:
    with pytest.raises(InputError) as caught:
        create_app(mesh, Settings(subgraph=Subgraph(name)))
    assert caught.value.code == "SUBGRAPH_NAME"
