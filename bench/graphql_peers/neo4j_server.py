"""A real Neo4j Community with the campus, and @neo4j/graphql before it.

The jars come from Maven Central, the rest from npm. The filled database is kept beside them, because filling
takes minutes; every run works on a copy, so that nobody's run changes another's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import numpy as np
from neo4j import GraphDatabase, Query
from neo4j.exceptions import DriverError, Neo4jError

from bench.campus_data import Spec
from bench.graphql_peers.installing import DONE, Package, find, locked, run, tools_folder
from bench.graphql_peers.serving import HOST, Server, ServerError, free_port, started

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    import numpy.typing as npt
    from neo4j import Driver

    from bench.campus_data import Graph
    from bench.graphql_peers.peers import Place

NAME = "@neo4j/graphql"
START_S_MAX = 120.0
STOP_S_MAX = 60.0
POLL_S = 0.2
ROWS_PER_WRITE = 10_000
SAID_CHARACTERS_MAX = 300
MAIN = "org.neo4j.server.CommunityEntryPoint"
OPENED = ("java.nio", "java.io", "java.lang", "sun.nio.ch", "java.util.concurrent")
JARS = Package(
    "neo4j",
    (
        (
            "mvn",
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DoutputDirectory=jars",
            "-DincludeScope=runtime",
        ),
        ("npm", "install", "--no-package-lock", "--ignore-scripts", "--loglevel=error"),
    ),
)
# Labels by level of the campus, in the order of its rows.
LABELS = ("Site", "Plant", "Building", "Floor", "Room", "Machine", "Sensor")
_SETTINGS = """server.default_listen_address={host}
server.default_advertised_address={host}
server.bolt.enabled=true
server.bolt.listen_address={host}:{port}
server.bolt.advertised_address={host}:{port}
server.http.enabled=false
server.https.enabled=false
dbms.security.auth_enabled=true
dbms.usage_report.enabled=false
client.allow_telemetry=false
server.memory.pagecache.size=1g
internal.server.bolt.thread_pool_shutdown_wait_time=0s
internal.server.bolt.connection_shutdown_wait_time=0s
"""
_NODES = "UNWIND $rows AS row CREATE (n:{label}) SET n = row"
_EDGES = """UNWIND $rows AS row MATCH (a:{first} {{id: row[0]}}), (b:{second} {{id: row[1]}})
CREATE (a)-[:{type}]->(b)"""


@dataclass(frozen=True, slots=True)
class Database:
    """A running Neo4j."""

    home: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"bolt://{HOST}:{self.port}"

    def driver(self) -> Driver:
        # The driver leaves the type of its settings open.
        return GraphDatabase.driver(self.url, auth=("neo4j", self.password))  # pyright: ignore[reportUnknownMemberType]


@contextlib.contextmanager
def neo4j_graphql(place: Place, buildings: int) -> Generator[Server]:
    """The server before a database with the campus. MissingError, ServerError."""
    tools = JARS.install()
    home = place.path("neo4j")
    shutil.copytree(_filled(tools, buildings), home)
    with _running(tools, home, _password(home)) as database:
        port, token = free_port(), token_hex(16)
        program = [find("node"), str(tools / "server.mjs"), str(port), database.url, database.password, token]
        with started(NAME, program, port, token, place.path("neo4j-graphql.log")) as server:
            yield server


def _filled(tools: Path, buildings: int) -> Path:
    """A home folder with the campus, filled once."""
    home = tools_folder() / f"{tools.name}-campus-{buildings}"
    with locked(home):
        if not (home / DONE).exists():
            _make(tools, home, buildings)
    return home


def _make(tools: Path, home: Path, buildings: int) -> None:
    shutil.rmtree(home, ignore_errors=True)
    (home / "conf").mkdir(parents=True)
    _set_password(tools, home)
    with _running(tools, home, _password(home)) as database, database.driver() as driver:
        fill(driver, Spec("campus", buildings).make())
    (home / DONE).touch()


def _set_password(tools: Path, home: Path) -> None:
    password = token_hex(16)
    (home / "password").write_text(password)
    (home / "password").chmod(0o600)
    (home / "conf" / "neo4j.conf").write_text("")
    command = ("env", f"NEO4J_HOME={home}", f"NEO4J_CONF={home / 'conf'}", find("java"))
    admin = ("org.neo4j.cli.AdminTool", "dbms", "set-initial-password", password)
    run((*command, "-cp", f"{tools / 'jars'}/*", *admin), home)


def _password(home: Path) -> str:
    return (home / "password").read_text()


@contextlib.contextmanager
def _running(tools: Path, home: Path, password: str) -> Generator[Database]:
    database = Database(home, free_port(), password)
    (home / "conf" / "neo4j.conf").write_text(_SETTINGS.format(host=HOST, port=database.port))
    opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED]
    command = [find("java"), "-cp", f"{tools / 'jars'}/*", "-Xms1g", "-Xmx2g", *opened, MAIN]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--home-dir={home}", f"--config-dir={home / 'conf'}"],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")},
        )
        try:
            _wait(database, process)
            yield database
        finally:
            _end(process)


def _wait(database: Database, process: subprocess.Popen[bytes]) -> None:
    ends_s = time.monotonic() + START_S_MAX
    while time.monotonic() < ends_s and process.poll() is None:
        with contextlib.suppress(DriverError, Neo4jError), database.driver() as driver:
            driver.verify_connectivity()  # pyright: ignore[reportUnknownMemberType]
            return
        time.sleep(POLL_S)
    said = (database.home / "server.log").read_text("utf-8", "replace").strip()[-SAID_CHARACTERS_MAX:]
    raise ServerError(f"Neo4j did not start: {said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# Filling


def fill(driver: Driver, graph: Graph) -> None:
    """All twins and relationships, with a uniqueness constraint on the ids of every label."""
    label_of = _labels(graph)
    for label in LABELS:
        driver.execute_query(f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{label}) REQUIRE n.id IS UNIQUE")
        rows = [_node(graph, row) for row in np.flatnonzero(label_of == LABELS.index(label)).tolist()]
        _write(driver, _NODES.format(label=label), rows)
    for number, relation in enumerate(graph.relations):
        _fill_relation(driver, graph, label_of, number, _type_of(relation))
    found = driver.execute_query("MATCH ()-[r]->() RETURN count(r) AS count").records[0]["count"]
    assert found == graph.relationships, (found, graph.relationships)


def _fill_relation(
    driver: Driver, graph: Graph, label_of: npt.NDArray[np.int64], relation: int, name: str
) -> None:
    """One statement for each pair of labels, so that both ends are found by their index."""
    mine = np.flatnonzero(graph.relation == relation)
    ends = label_of[graph.source[mine]] * len(LABELS) + label_of[graph.target[mine]]
    pairs: list[int] = np.unique(ends).tolist()
    for pair in pairs:
        first, second = LABELS[pair // len(LABELS)], LABELS[pair % len(LABELS)]
        edges = mine[ends == pair].tolist()
        rows = [[graph.ids[graph.source[edge]], graph.ids[graph.target[edge]]] for edge in edges]
        _write(driver, _EDGES.format(first=first, second=second, type=name), rows)


def _labels(graph: Graph) -> npt.NDArray[np.int64]:
    """The level of each twin. All kinds behind the machines' are those of points."""
    level_of_kind = np.minimum(np.arange(len(graph.kinds)), len(LABELS) - 1)
    level_of_kind[6:] = len(LABELS) - 1
    return level_of_kind[graph.kind]


def _node(graph: Graph, row: int) -> dict[str, Any]:
    node: dict[str, Any] = {
        "id": graph.ids[row],
        "name": graph.names[row],
        "kind": graph.kinds[graph.kind[row]],
    }
    power = float(graph.power[row])
    return node if power != power else node | {"ratedPower": power}


def _type_of(relation: str) -> str:
    """`partOf` as PART_OF."""
    name = relation.rpartition("#")[2]
    return "".join(f"_{one}" if one.isupper() else one for one in name).upper()


def _write(driver: Driver, statement: str, rows: list[Any]) -> None:
    for first in range(0, len(rows), ROWS_PER_WRITE):
        # The statement is one of ours, with names of ours.
        driver.execute_query(Query(statement), rows=rows[first : first + ROWS_PER_WRITE])  # pyright: ignore[reportArgumentType]
