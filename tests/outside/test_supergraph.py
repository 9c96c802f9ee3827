"""Apollo's composition and gateway: two twinmesh servers and a foreign subgraph in one supergraph."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from graphql import GraphQLSchema

from api.config import Settings, Subgraph
from api.schema.build import fixed_schema
from api.schema.generated import join
from api.schema.subgraph_sdl import subgraph_sdl
from graph.attributes import Tag
from graph.mesh import Mesh
from graph.usage import AttributeUse
from graph.values import Change, TwinRecord
from ontology.schema import Schema, load_schema
from ontology.units import load_units
from tests.api.conftest import Running, campus_change, iri, plant_change, served, twin
from tests.outside.npm import ROOT, locked, node

FOLDER = Path(__file__).parent / "supergraph"
RUN_S_MAX = 120
SEEDS = (1, 2)
CAMPUS, PLANT, FIRM = "campus", "plant", "firm"
AHU, LINE, PRESS = iri(CAMPUS, "AHU-1"), iri(PLANT, "LINE-1"), iri(PLANT, "PRESS-1")
NOWHERE = iri(PLANT, "GONE-1")


def _twin(typename: str, id: str) -> dict[str, str]:
    return {"__typename": typename, "id": id}


ORDERS: list[dict[str, Any]] = [
    {
        "id": "o1",
        "title": "Filters",
        "twins": [_twin("campus_AHUTwin", AHU), _twin("plant_ProcessTwin", LINE)],
    },
    {
        "id": "o2",
        "title": "Bearings",
        "twins": [_twin("plant_ProcessTwin", LINE), _twin("plant_AssetTwin", PRESS)],
    },
    {
        "id": "o3",
        "title": "Lost",
        "twins": [_twin("plant_AssetTwin", NOWHERE), _twin("plant_AssetTwin", PRESS)],
    },
]
ACROSS = """
query Across($unit: String, $ahu: ID!) {
  orders { title twins { __typename id ... on Twin { name site kind }
    ... on campus_AHUTwin { ratedPower(unit: $unit) out(relation: "brick:feeds") { totalCount } }
    ... on plant_ProcessTwin { valuePerHour orders { id } } } }
  campus_ahuList(orderBy: [{by: "id"}]) { totalCount nodes { localId
    ... on campus_AHUTwin { orders { title twins { id ... on Twin { name } } } } } }
  plant_twins(kind: "tm:Asset", filter: {name: {contains: "Press"}}) { nodes { id name } }
  plant_aggregate(kind: "tm:Asset", measures: [{op: COUNT}]) { values }
  campus_node(id: $ahu) { id name }
}
"""
LOST = """
query Lost($ahu: ID!) {
  order(id: "o3") { title twins { id ... on Twin { name } } } campus_node(id: $ahu) { name } }
"""
FAILS = """
query Fails($ahu: ID!, $line: ID!) {
  orders { id fails } campus_node(id: $ahu) { name } plant_node(id: $line) { name } }
"""
ONE_SITE = "query One($ahu: ID!) { ahu(id: $ahu) { ratedPower name } }"
IDS = {"ahu": AHU, "line": LINE, "unit": "W"}
QUERIES = [{"query": query, "variables": IDS} for query in (ACROSS, LOST, FAILS)]
PLAIN = [{"query": ONE_SITE, "variables": IDS}]
CHANGES = {CAMPUS: campus_change(), PLANT: plant_change()}


@dataclass(frozen=True)
class Supergraph:
    """What the gateway said to each query, by name, with all servers up and with the plant dark."""

    up: dict[str, Any]
    dark: dict[str, Any]


def _sdl(server: Running, path: str) -> str:
    with server.client() as client:
        answer = client.post(path, json={"query": "{ _service { sdl } }"}).json()
    assert "errors" not in answer, answer
    return answer["data"]["_service"]["sdl"]


def _run(scenarios: list[dict[str, Any]]) -> list[dict[str, Any]]:
    modules = locked(FOLDER)
    given = json.dumps({"orders": ORDERS, "scenarios": scenarios})
    command = [node(), str(FOLDER / "run.mjs"), str(modules)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=RUN_S_MAX)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextlib.contextmanager
def _site(folder: Path, name: str) -> Generator[Running]:
    with Mesh.open(folder / name, load_schema(), units=load_units()) as mesh:
        mesh.create_site(name).apply(CHANGES[name])
        with served(mesh, Settings(subgraph=Subgraph(name))) as running:
            yield running


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Running]]:
    folder = tmp_path_factory.mktemp("sites")
    with (
        _site(folder, CAMPUS) as campus,
        _site(folder, PLANT) as plant,
    ):
        yield {CAMPUS: campus, PLANT: plant}


@pytest.fixture(scope="module")
def supergraph(sites: dict[str, Running]) -> Supergraph:
    subgraphs = [
        {"name": name, "url": f"{server.url}/subgraph", "sdl": _sdl(server, "/subgraph")}
        for name, server in sites.items()
    ]
    with socket.socket() as nobody:  # bound, never listening: a call is refused at once
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/subgraph"
        dark = [each if each["name"] != PLANT else {**each, "url": url} for each in subgraphs]
        firm = {"name": FIRM}
        found = _run(
            [
                {"subgraphs": [*subgraphs, firm], "queries": QUERIES},
                {"subgraphs": [*dark, firm], "queries": QUERIES},
            ]
        )
    for each in found:
        assert each["errors"] == []
    return Supergraph(*found)


def _told(name: str) -> list[dict[str, Any]]:
    """The names of an order's twins, from what was put into the graphs."""
    names = {each.id: each.name for change in CHANGES.values() for each in change.put_twins}
    order = next(each for each in ORDERS if each["id"] == name)
    return [{"id": each["id"], "name": names.get(each["id"])} for each in order["twins"]]


def _stated(site: str, id: str) -> TwinRecord:
    return next(each for each in CHANGES[site].put_twins if each.id == id)


def test_a_query_across_all_three_is_what_the_graphs_hold(supergraph: Supergraph) -> None:
    data = supergraph.up["answers"][0]["data"]
    for order, given in zip(data["orders"], ORDERS, strict=True):
        assert [{"id": each["id"], "name": each["name"]} for each in order["twins"]] == _told(given["id"])
    ahu, line = data["orders"][0]["twins"]
    fed = [each for each in CHANGES[CAMPUS].put_relationships if each.source == AHU]
    power = _stated(CAMPUS, AHU).attributes["ratedPower"]
    assert (ahu["site"], ahu["kind"], ahu["out"]["totalCount"]) == (CAMPUS, "brick:AHU", len(fed))
    assert (ahu["ratedPower"], power.unit) == (float(cast("float", power.value)) * 1000, "kW")
    assert (line["site"], line["kind"]) == (PLANT, "tm:Process")
    assert line["valuePerHour"] == _stated(PLANT, LINE).attributes["valuePerHour"].value
    assert line["orders"] == [{"id": "o1"}, {"id": "o2"}]
    orders = [{"title": "Filters", "twins": _told("o1")}]
    assert data["campus_ahuList"] == {
        "totalCount": 2,
        "nodes": [{"localId": "AHU-1", "orders": orders}, {"localId": "AHU-2", "orders": []}],
    }
    assert data["plant_twins"]["nodes"] == [{"id": PRESS, "name": _stated(PLANT, PRESS).name}]
    assert data["plant_aggregate"] == [{"values": {"count": 2}}]  # the press and the other chiller
    assert data["campus_node"] == {"id": AHU, "name": _stated(CAMPUS, AHU).name}


def test_what_a_site_does_not_know_is_null_with_an_error_at_its_place(supergraph: Supergraph) -> None:
    answer = supergraph.up["answers"][1]
    assert answer["data"]["order"] == {"title": "Lost", "twins": _told("o3")}
    assert answer["data"]["campus_node"] == {"name": _stated(CAMPUS, AHU).name}
    errors = [(each["path"], each["extensions"]["code"]) for each in answer["errors"]]
    assert errors == [(["order", "twins", 0], "ENTITY_UNKNOWN")]


def test_an_error_of_one_subgraph_nulls_its_field_alone(supergraph: Supergraph) -> None:
    answer = supergraph.up["answers"][2]
    assert answer["data"] == {
        "orders": [{"id": each["id"], "fails": None} for each in ORDERS],
        "campus_node": {"name": _stated(CAMPUS, AHU).name},
        "plant_node": {"name": _stated(PLANT, LINE).name},
    }
    assert [each["path"] for each in answer["errors"]] == [["orders", n, "fails"] for n in range(3)]


def test_a_dark_site_nulls_what_it_would_have_given_and_nothing_else(supergraph: Supergraph) -> None:
    across, _, fails = supergraph.dark["answers"]
    up = supergraph.up["answers"][0]["data"]
    data = across["data"]
    assert data["plant_twins"] is data["plant_aggregate"] is fails["data"]["plant_node"] is None
    assert data["campus_node"] == up["campus_node"]
    assert data["orders"][0]["twins"][0] == up["orders"][0]["twins"][0]
    dark = data["orders"][0]["twins"][1]
    assert (dark["id"], dark["name"], dark["valuePerHour"]) == (LINE, None, None)
    assert dark["orders"] == [{"id": "o1"}, {"id": "o2"}]  # which the firm knows
    assert [each["localId"] for each in data["campus_ahuList"]["nodes"]] == ["AHU-1", "AHU-2"]
    assert across["errors"], across
    assert all("ECONNREFUSED" in each["message"] for each in across["errors"])


def test_entities_of_one_answer_are_one_call(supergraph: Supergraph) -> None:
    calls = [each for each in supergraph.up["calls"][CAMPUS] if "_entities" in each["query"]]
    asked = [each["variables"]["representations"] for each in calls if "__campus__" in each["query"]]
    # One for the twins of the orders, one for those of the orders of the list of air handlers.
    assert len(asked) == 2
    assert all(each == [_twin("campus_AHUTwin", AHU)] for each in asked)


def test_what_follows_no_data_needs_no_new_composition(tmp_path: Path) -> None:
    """A kind that comes into use after the composition is asked for all the same."""
    settings = Settings(subgraph=Subgraph("west", typed=False))
    query = '{ west_twins(kind: "brick:Pump") { totalCount nodes { __typename name kind } } }'
    with Mesh.open(tmp_path / "data", load_schema(), units=load_units()) as mesh:
        mesh.create_site(PLANT).apply(CHANGES[PLANT])
        with served(mesh, settings) as server:
            before = _sdl(server, "/subgraph")
            pump = Change(put_twins=(twin(PLANT, "P-1", "brick:Pump", "Pump"),))
            mesh.twin(PLANT).apply(pump)
            assert _sdl(server, "/subgraph") == before
            subgraph = {"name": "west", "url": f"{server.url}/subgraph", "sdl": before}
            found = _run([{"subgraphs": [subgraph], "queries": [{"query": query}]}])[0]
    node = {"__typename": "west_TwinTwin", "name": "Pump", "kind": "brick:Pump"}
    assert found["answers"] == [{"data": {"west_twins": {"totalCount": 1, "nodes": [node]}}, "errors": []}]


def test_whatever_sites_hold_they_compose() -> None:
    """Kinds and attributes at random, of types that differ from site to site."""
    ontology, fixed = load_schema(), fixed_schema()
    scenarios: list[dict[str, Any]] = []
    for seed in SEEDS:
        rng = random.Random(seed)
        sdls = {name: _random_sdl(rng, name, ontology, fixed) for name in ("one", "two")}
        subgraphs = [{"name": name, "url": f"http://{name}", "sdl": sdl} for name, sdl in sdls.items()]
        scenarios.append({"subgraphs": subgraphs, "queries": []})
    found = _run(scenarios)
    assert {seed: each["errors"] for seed, each in zip(SEEDS, found, strict=True)} == {
        seed: [] for seed in SEEDS
    }


def test_the_example_of_the_documents_composes() -> None:
    text = (ROOT / "docs" / "standards.md").read_text("utf-8")
    example = text.partition("```graphql\n")[2].partition("```")[0]
    ontology, fixed = load_schema(), fixed_schema()
    kinds = {PLANT: "supply:Machine", CAMPUS: "brick:AHU"}
    subgraphs = [{"name": FIRM, "url": "http://firm", "sdl": example}]
    for name, kind in kinds.items():
        schema = join(fixed, ontology, [ontology.kind(kind).index], (), f"{name}_")
        subgraphs.append({"name": name, "url": f"http://{name}", "sdl": subgraph_sdl(schema, f"{name}_")})
    assert _run([{"subgraphs": subgraphs, "queries": []}])[0]["errors"] == []


def _random_sdl(rng: random.Random, name: str, ontology: Schema, fixed: GraphQLSchema) -> str:
    """Of sets of kinds that twins have together, with attributes of values of any kind."""
    kinds = [rng.randrange(len(ontology.kinds)) for _ in range(8)]
    sets = [tuple(rng.sample(kinds, rng.randint(1, 3))) for _ in range(6)]
    used = sorted({kind for each in sets for kind in each})
    tags = [tag for tag in Tag if tag]
    uses = [
        AttributeUse(
            attribute,
            frozenset(rng.sample(used, rng.randint(1, len(used)))),
            frozenset(rng.sample(tags, rng.randint(1, 2))),
        )
        for attribute in ("ratedPower", "mass", "x:tag", "size", "valuePerHour")
    ]
    return subgraph_sdl(join(fixed, ontology, sets, uses, f"{name}_"), f"{name}_")


def test_servers_without_a_name_do_not_compose(sites: dict[str, Running]) -> None:
    """A gateway would take `twins` of either for the other's: it must be told, not found out."""
    both = [
        {"name": name, "url": f"{each.url}/graphql", "sdl": _sdl(each, "/graphql")}
        for name, each in sites.items()
    ]
    together, alone = _run([{"subgraphs": both, "queries": []}, {"subgraphs": both[:1], "queries": PLAIN}])
    assert any('"Query.twins" is resolved from multiple subgraphs' in each for each in together["errors"])
    assert alone["errors"] == []
    assert alone["answers"][0]["data"] == {"ahu": {"ratedPower": 12.0, "name": "Air handler 1"}}
