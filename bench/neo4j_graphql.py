"""The same questions in GraphQL to a push-down server, in Cypher by hand, and in GraphQL to @neo4j/graphql.

All three on one database that twinmesh wrote, with one index on `id`. Cypher by hand goes through the plain
driver in this process, and gives rows, not JSON: what stands between it and a push-down server over HTTP is
HTTP, the token, GraphQL and JSON, which is why push-down is measured without HTTP too (`push-down`).
"""

from __future__ import annotations

import http.client
import json
import random
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from api.auth import Tokens
from api.commanding import Commands
from api.commands.pushed import empty_mesh, open_place
from api.config import Settings, StoreSettings
from api.operation import Request, encode
from api.policy import LOCAL, Role
from api.pushdown.engine import PushedEngine
from api.schema.build import fixed_schema
from api.schema.context import Services
from api.simulating import Simulations
from bench.graphql_peers.installing import MissingError, find
from bench.graphql_peers.neo4j_server import JARS
from bench.graphql_peers.serving import Server, ServerError, free_port, started, twinmesh_command
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.campus_data import Graph
    from bench.neo4j_server import Server as Database

HAND_FACTOR, PEER_FACTOR = "times by hand", "faster than @neo4j/graphql"
ROUNDS, WARM_UP, SEED = 60, 200, 4
PEER = Path(__file__).resolve().parent / "neo4j_peer" / "entities.mjs"


@dataclass(frozen=True, slots=True)
class Question:
    """One question in three languages, and how each answer becomes what is compared."""

    name: str
    variables: Mapping[str, Any]
    ours: str
    by_hand: str
    theirs: str
    read_ours: Callable[[Any], Any]
    read_hand: Callable[[list[list[Any]]], Any]
    read_theirs: Callable[[Any], Any]


def questions(graph: Graph) -> list[Question]:
    """About the first plant, a machine, floors with 1,000 points, and rooms by name."""
    machine = graph.ids[graph.kind.tolist().index(5)]
    return [*_found(graph, machine), *_along(graph, machine), _downstream(graph)]


def _found(graph: Graph, machine: str) -> list[Question]:
    """Looked up by an id, by a neighbour, by a part of the name."""
    return [
        Question(
            "one twin by id",
            {"id": machine},
            'query ($id: ID!) { node(id: $id) { id name attribute(name: "ratedPower") { value } } }',
            "MATCH (n:Entity {id: $id}) RETURN n.id, n.name, n.ratedPower",
            "query ($id: ID!) { machines(where: { id: { eq: $id } }) { id name ratedPower } }",
            lambda data: [data["node"]["id"], data["node"]["name"], data["node"]["attribute"]["value"]],
            lambda rows: rows[0],
            lambda data: list(data["machines"][0].values()),
        ),
        Question(
            "fed by one chiller",
            {"id": graph.ids[graph.start]},
            """query ($id: String!) { vavList(filter: { some: { relation: "feeds", direction: IN,
              twin: { id: { eq: $id } } } }) { nodes { id name } } }""",
            """MATCH (c:Entity {id: $id})-[:`tm:feeds`]->(n:`brick:VAV`)
            RETURN DISTINCT n.id, n.name ORDER BY n.id LIMIT 51""",
            """query ($id: ID!) { machines(where: { plants: { some: { id: { eq: $id } } } },
              sort: [{ id: ASC }], limit: 50) { id name } }""",
            lambda data: [list(node.values()) for node in data["vavList"]["nodes"]],
            lambda rows: rows[:50],
            lambda data: [list(node.values()) for node in data["machines"]],
        ),
        Question(
            "rooms by a part of the name, in order",
            {"part": "12"},
            """query ($part: String!) { twins(kind: "rec:Room", filter: { name: { contains: $part } },
              orderBy: [{ by: "name" }]) { nodes { id name } } }""",
            """MATCH (n:`rec:Room`) WHERE n.name CONTAINS $part
            RETURN n.id, n.name ORDER BY n.name, n.id LIMIT 51""",
            """query ($part: String!) { rooms(where: { name: { contains: $part } },
              sort: [{ name: ASC }, { id: ASC }], limit: 50) { id name } }""",
            lambda data: [list(node.values()) for node in data["twins"]["nodes"]],
            lambda rows: rows[:50],
            lambda data: [list(node.values()) for node in data["rooms"]],
        ),
    ]


def _along(graph: Graph, machine: str) -> list[Question]:
    """Over several relations: outwards, nested, and back."""
    return [
        Question(
            "nested, 1,000 points",
            {"ids": [graph.ids[row] for row in graph.floors]},
            """query ($ids: [ID!]!) { nodes(ids: $ids) { id in(relation: "partOf") { nodes { twin { id
              in(relation: "locatedIn") { nodes { twin { id points { id name } } } } } } } } }""",
            """MATCH (f:Entity) WHERE f.id IN $ids RETURN f.id, COLLECT {
            MATCH (f)<-[:`tm:partOf`]-(r:Entity) WITH r ORDER BY r.id LIMIT 51 RETURN [r.id, COLLECT {
            MATCH (r)<-[:`tm:locatedIn`]-(m:Entity) WITH m ORDER BY m.id LIMIT 51 RETURN [m.id, COLLECT {
            MATCH (m)<-[:`tm:pointOf`]-(p:Entity) WITH p ORDER BY p.id RETURN [p.id, p.name] }] }] }""",
            """query ($ids: [ID!]!) { floors(where: { id: { in: $ids } }) { id
              rooms { id machines { id points { id name } } } } }""",
            _our_points,
            lambda rows: sorted(
                [floor, room, machine, *point]
                for floor, rooms in rows
                for room, machines in rooms
                for machine, points in machines
                for point in points
            ),
            _their_points,
        ),
        Question(
            "the building of a machine",
            {"id": machine},
            """query ($id: String!) { twins(kind: "brick:Building", filter: {
              some: { relation: "partOf", direction: IN, twin: {
              some: { relation: "partOf", direction: IN, twin: {
              some: { relation: "locatedIn", direction: IN, twin: { id: { eq: $id } } } } } } } }
            ) { nodes { id } } }""",
            """MATCH (m:Entity {id: $id})-[:`tm:locatedIn`]->()-[:`tm:partOf`]->()-[:`tm:partOf`]->
            (b:`brick:Building`) RETURN DISTINCT b.id ORDER BY b.id LIMIT 51""",
            """query ($id: ID!) { buildings(where: {
              floors: { some: { rooms: { some: { machines: { some: { id: { eq: $id } } } } } } } }
            ) { id } }""",
            lambda data: [[node["id"]] for node in data["twins"]["nodes"]],
            lambda rows: rows,
            lambda data: [[node["id"]] for node in data["buildings"]],
        ),
    ]


def _downstream(graph: Graph) -> Question:
    """All that a plant feeds, through whatever, the nearest 1,000 of it; theirs by a field of Cypher."""
    return Question(
        "all downstream of a plant",
        {"id": graph.ids[graph.start]},
        """query ($id: ID!) { reachable(from: [$id], relations: ["tm:feeds"], first: 1000) {
          count nodes { depth twin { id } } } }""",
        """MATCH p = (:Entity {id: $id})-[:`tm:feeds`*1..]->(n) WITH n, min(length(p)) AS depth
        ORDER BY depth, n.id WITH collect([n.id, depth]) AS met RETURN size(met), met[..1000]""",
        "query ($id: ID!) { plants(where: { id: { eq: $id } }) { downstream { id depth } } }",
        lambda data: [[node["twin"]["id"], node["depth"]] for node in data["reachable"]["nodes"]],
        lambda rows: rows[0][1],
        lambda data: [list(node.values()) for node in data["plants"][0]["downstream"]],
    )


def _our_points(data: Any) -> list[Any]:
    return sorted(
        [floor["id"], room["twin"]["id"], machine["twin"]["id"], point["id"], point["name"]]
        for floor in data["nodes"]
        for room in floor["in"]["nodes"]
        for machine in room["twin"]["in"]["nodes"]
        for point in machine["twin"]["points"]
    )


def _their_points(data: Any) -> list[Any]:
    return sorted(
        [floor["id"], room["id"], machine["id"], point["id"], point["name"]]
        for floor in data["floors"]
        for room in floor["rooms"]
        for machine in room["machines"]
        for point in machine["points"]
    )


def measure(database: Database, graph: Graph) -> tuple[list[dict[str, Any]], str | None]:
    """Rows of figures (ms, medians), and why @neo4j/graphql is not among them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinmesh-bench-")))
        ours = stack.enter_context(_served(database, folder / "data"))
        inside = _inside(stack, database, folder / "inside")
        driver = stack.enter_context(database.driver())
        session = stack.enter_context(driver.session())
        theirs, missing = _peer(stack, database, folder)
        rows: list[dict[str, Any]] = []
        for question in questions(graph):
            words = dict(question.variables)
            ways: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
                "push-down over HTTP": (_asking(ours, question.ours, words), question.read_ours),
                "push-down": (lambda q=question, w=words: inside(q.ours, w), question.read_ours),
                "by hand": (
                    lambda q=question, w=words: session.run(q.by_hand, w).values(),  # pyright: ignore[reportArgumentType]
                    question.read_hand,
                ),
            }
            if theirs is not None:
                ways["@neo4j/graphql"] = (_asking(theirs, question.theirs, words), question.read_theirs)
            rows.append({"question": question.name, **_figures(ways)})
        return rows, missing


def _figures(ways: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]]) -> dict[str, Any]:
    """Asked in turns, after enough turns for the Java machine to have compiled what runs.

    The order is drawn anew each turn: whoever comes right after another process pays for what that one left
    in the processor's caches, and whoever comes right after us does not (0.1 to 0.2 ms of 1).
    """
    draw, names = random.Random(SEED), list(ways)
    answers = [read(ask()) for ask, read in ways.values()]
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(WARM_UP + ROUNDS):
        for name in draw.sample(names, len(names)):
            ask = ways[name][0]
            began_s = time.perf_counter()
            ask()
            if turn >= WARM_UP:
                spent[name].append((time.perf_counter() - began_s) * 1e3)
    ms = {name: statistics.median(each) for name, each in spent.items()}
    agree = all(answer == answers[0] for answer in answers[1:])
    found: dict[str, Any] = {f"{name}, ms": round(value, 2) for name, value in ms.items()}
    found[HAND_FACTOR] = round(ms["push-down"] / ms["by hand"], 2)
    if "@neo4j/graphql" in ms:
        found[PEER_FACTOR] = round(ms["@neo4j/graphql"] / ms["push-down over HTTP"], 2)
    return found | {"agree": bool(agree and answers[0])}


def _asking(server: Server, text: str, variables: Mapping[str, Any]) -> Callable[[], Any]:
    """One request on a connection that stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = json.dumps({"query": text, "variables": variables}).encode()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}

    def ask() -> Any:
        connection.request("POST", "/graphql", body, headers)
        answer = json.loads(connection.getresponse().read())
        if answer.get("errors"):
            raise ServerError(f"{server.name}: {answer['errors']}")
        return answer["data"]

    return ask


def _served(database: Database, folder: Path) -> Any:
    """`twinmesh serve` in push-down mode."""
    folder.mkdir()
    (folder / "twinmesh.toml").write_text(
        f'format = 1\n[store]\nmode = "push-down"\nurl = "{database.url}"\npassword = "{database.password}"\n'
    )
    token = Tokens(folder / "tokens.json", kept_max=10).create("bench", Role.ANALYST)
    port = free_port()
    return started("twinmesh", twinmesh_command(folder, port), port, token, folder.with_suffix(".log"))


def _inside(stack: ExitStack, database: Database, folder: Path) -> Callable[[str, dict[str, Any]], Any]:
    """The engine of a push-down server, without HTTP: from the text to the bytes of the answer."""
    mesh = stack.enter_context(empty_mesh(folder))
    place = stack.enter_context(closing(open_place(StoreSettings(database.url, "neo4j", database.password))))
    simulations = stack.enter_context(closing(Simulations(mesh, Settings().jobs, lambda *_: {})))
    tokens = Tokens(folder / "tokens.json", kept_max=10)
    services = Services(mesh, load_units(), Settings(), tokens, simulations, Commands())
    engine = stack.enter_context(closing(PushedEngine(services, fixed_schema(), place)))

    def ask(text: str, variables: dict[str, Any]) -> Any:
        answer = engine.ask(Request(text, variables), LOCAL)
        encode(answer.formatted)  # as it would go out
        return answer.data

    return ask


def _peer(stack: ExitStack, database: Database, folder: Path) -> tuple[Server | None, str | None]:
    try:
        tools = JARS.install()
        program = tools / PEER.name  # beside the packages that it imports
        shutil.copy(PEER, program)
        port, token = free_port(), token_hex(16)
        command = [find("node"), str(program), str(port), database.url, database.password, token]
        server = stack.enter_context(started("@neo4j/graphql", command, port, token, folder / "peer.log"))
    except (MissingError, ServerError) as error:
        return None, str(error)
    return server, None
