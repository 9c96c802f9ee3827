"""What is asked of the campus: each question in our schema and in the one that @neo4j/graphql generates.

Both get the same variables and must give the same answer, which is also made straight from the ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.campus_data import FLOORS, FLOORS_ASKED, MACHINES, POINTS, ROOMS

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from bench.campus_data import Graph

BASE = "https://twinmesh.invalid/campus/"


@dataclass(frozen=True, slots=True)
class CampusQuestion:
    """aim: how many times faster ours should be. draw: variables. right: the answer to them.

    read_ours, read_theirs: the answer in the shape of `right`, from the data of a response; with `streamed`
    ours comes as lines, and `read_ours` gets the objects of them.
    """

    name: str
    aim: float
    ours: str
    theirs: str
    draw: Callable[[Random, Graph, int], dict[str, Any]]
    right: Callable[[Graph, dict[str, Any]], Any]
    read_ours: Callable[[Any], Any]
    read_theirs: Callable[[Any], Any]
    streamed: bool = False


# Three hops inward


def _draw_floors(random: Random, _graph: Graph, buildings: int) -> dict[str, Any]:
    floors = random.sample(range(buildings * FLOORS), FLOORS_ASKED)
    return {"ids": [f"{BASE}b{floor // FLOORS}-f{floor % FLOORS}" for floor in floors]}


def _right_points(_graph: Graph, asked: dict[str, Any]) -> list[list[str]]:
    machines = [
        (floor, f"{floor}-r{room}", f"{floor}-r{room}-m{machine}")
        for floor in asked["ids"]
        for room in range(ROOMS)
        for machine in range(MACHINES)
    ]
    return sorted([*above, *_point(above[-1], number)] for above in machines for number in range(POINTS))


def _point(machine: str, number: int) -> tuple[str, str]:
    iri = f"{machine}-p{number}"
    return iri, f"Name of {iri.removeprefix(BASE)}"


def _our_points(data: Any) -> list[list[str]]:
    return sorted(
        [floor["id"], room["id"], machine["id"], point["id"], point["name"]]
        for floor in data["nodes"]
        for room in _far_ends(floor)
        for machine in _far_ends(room)
        for point in machine["points"]
    )


def _far_ends(twin: Any) -> list[Any]:
    return [link["twin"] for link in twin["in"]["nodes"]]


def _their_points(data: Any) -> list[list[str]]:
    return sorted(
        [floor["id"], room["id"], machine["id"], point["id"], point["name"]]
        for floor in data["floors"]
        for room in floor["rooms"]
        for machine in room["machines"]
        for point in machine["points"]
    )


# One machine


def _draw_machine(random: Random, _graph: Graph, buildings: int) -> dict[str, Any]:
    room = f"b{random.randrange(buildings)}-f{random.randrange(FLOORS)}-r{random.randrange(ROOMS)}"
    return {"id": f"{BASE}{room}-m{random.randrange(MACHINES)}"}


def _right_machine(graph: Graph, asked: dict[str, Any]) -> list[Any]:
    row = graph.ids.index(asked["id"])
    return [asked["id"], graph.names[row], float(graph.power[row])]


def _our_machine(data: Any) -> list[Any]:
    return [data["node"]["id"], data["node"]["name"], data["node"]["attribute"]["value"]]


def _their_machine(data: Any) -> list[Any]:
    [found] = data["machines"]
    return [found["id"], found["name"], found["ratedPower"]]


# The building of a machine


def _right_building(_graph: Graph, asked: dict[str, Any]) -> list[str]:
    return [asked["id"].partition("-f")[0]]


def _our_building(data: Any) -> list[str]:
    return [node["id"] for node in data["twins"]["nodes"]]


def _their_building(data: Any) -> list[str]:
    return [node["id"] for node in data["buildings"]]


# All downstream


def _draw_start(_random: Random, graph: Graph, _buildings: int) -> dict[str, Any]:
    return {"id": graph.ids[graph.start]}


def _right_downstream(graph: Graph, _asked: dict[str, Any]) -> list[str]:
    """All machines, as the campus is made."""
    return sorted(iri for iri, kind in zip(graph.ids, graph.kind.tolist(), strict=True) if kind == 5)


def _our_downstream(nodes: Any) -> list[str]:
    return sorted(node["twin"]["id"] for node in nodes)


def _their_downstream(data: Any) -> list[str]:
    return sorted(data["plants"][0]["downstream"])


NESTED = CampusQuestion(
    name="nested 1,000 rows",
    aim=5.0,
    ours="""query ($ids: [ID!]!) { nodes(ids: $ids) { id in(relation: "partOf") { nodes { twin { id
  in(relation: "locatedIn") { nodes { twin { id points { id name } } } } } } } } }""",
    theirs="""query ($ids: [ID!]!) { floors(where: { id: { in: $ids } }) { id
  rooms { id machines { id points { id name } } } } }""",
    draw=_draw_floors,
    right=_right_points,
    read_ours=_our_points,
    read_theirs=_their_points,
)
LOOK_UP = CampusQuestion(
    name="point look-up",
    aim=4.0,
    ours="""query ($id: ID!) { node(id: $id) { id name attribute(name: "ratedPower") { value } } }""",
    theirs="query ($id: ID!) { machines(where: { id: { eq: $id } }) { id name ratedPower } }",
    draw=_draw_machine,
    right=_right_machine,
    read_ours=_our_machine,
    read_theirs=_their_machine,
)
REVERSE = CampusQuestion(
    name="deep reverse filter",
    aim=20.0,
    ours="""query ($id: String!) { twins(kind: "brick:Building", filter: {
  some: { relation: "partOf", direction: IN, twin: {
  some: { relation: "partOf", direction: IN, twin: {
  some: { relation: "locatedIn", direction: IN, twin: { id: { eq: $id } } } } } } } }) { nodes { id } } }""",
    theirs="""query ($id: ID!) { buildings(where: {
  floors: { some: { rooms: { some: { machines: { some: { id: { eq: $id } } } } } } } }) { id } }""",
    draw=_draw_machine,
    right=_right_building,
    read_ours=_our_building,
    read_theirs=_their_building,
)
DOWNSTREAM = CampusQuestion(
    name="all downstream",
    aim=8.0,
    ours="""query ($id: ID!) { reachable(from: [$id], relations: ["feeds"]) { nodes { twin { id } } } }""",
    theirs="query ($id: ID!) { plants(where: { id: { eq: $id } }) { downstream } }",
    draw=_draw_start,
    right=_right_downstream,
    read_ours=_our_downstream,
    read_theirs=_their_downstream,
    streamed=True,
)
CAMPUS = (NESTED, LOOK_UP, REVERSE, DOWNSTREAM)
