"""The graph in a real Neo4j: our bulk load beside the plain driver's UNWIND, push-down beside Cypher by
hand and beside @neo4j/graphql (`bench.neo4j_graphql`).

A campus of 100 buildings (552,111 twins, 1,001,186 relationships; quick: 1 building) is loaded by both into a
Neo4j 5.26 Community of this run's own, from Maven Central. The plain load is what its documentation shows:
MERGE by id in batches of 10,000 rows, then relationships by two look-ups; of the graph that we write, and for
comparison of a third of its properties. Journals are not measured here:
`bench store` does. TWINMESH_BENCH_BUILDINGS: another number of buildings.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.campus_data import Spec
from bench.neo4j_graphql import HAND_FACTOR, PEER_FACTOR, measure
from bench.neo4j_server import VERSION, running
from bench.stores.machine import Meter
from bench.stores.twinmesh_engine import bulk_change
from graph.mesh import Mesh
from graph.stores.neo4j.connection import Connection, Neo4jPlace
from graph.stores.neo4j.naming import label_text
from graph.stores.neo4j.projection import Projection
from graph.stores.neo4j.rows import edge_properties, twin_rows
from graph.stores.neo4j.store import Neo4jStore
from graph.stores.protocol import Header
from ontology.schema import load_schema

if TYPE_CHECKING:
    from bench.neo4j_server import Server
    from graph.snapshot import Snapshot

ROWS_PER_WRITE = 10_000
BUILDINGS, BUILDINGS_QUICK = 100, 1
ROUNDS, ROUNDS_QUICK = 1, 5
_TWINS = "UNWIND $rows AS row MERGE (n:Entity {id: row.id}) SET n += row"
_LINKS = """UNWIND $rows AS row MATCH (a:Entity {id: row[0]}) MATCH (b:Entity {id: row[1]})
MERGE (a)-[r:`%s`]->(b)"""
_WHOLE_LINKS = f"{_LINKS} SET r += row[2]"


def plain_load(server: Server, snapshot: Snapshot, *, is_whole: bool) -> float:
    """Seconds that the plain driver takes.

    is_whole: for the graph that we write, with all labels and properties; else for the same twins and
    relationships with id, name and kind alone, a third of that.
    """
    nodes, links = (_whole if is_whole else _lean)(snapshot)
    with server.driver() as driver:
        driver.execute_query("CREATE CONSTRAINT FOR (n:Entity) REQUIRE n.id IS UNIQUE")
        began_s = time.perf_counter()
        for labels, mine in nodes.items():
            write(driver, f"{_TWINS}, n{labels}", mine)
        for relation, mine in links.items():
            write(driver, (_WHOLE_LINKS if is_whole else _LINKS) % relation, mine)
        return time.perf_counter() - began_s


def _lean(snapshot: Snapshot) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    rows = snapshot.living_rows
    ids, names = snapshot.ids(rows), snapshot.names(rows)
    kinds = [snapshot.schema.kinds[kind] for kind in snapshot.kind[rows].tolist()]
    nodes: dict[str, list[Any]] = {}
    for iri, name, kind in zip(ids, names, kinds, strict=True):
        nodes.setdefault(f":`{kind.name}`", []).append({"id": iri, "name": name, "kind": kind.name})
    return nodes, _links(snapshot, [[]] * snapshot.edge_count)


def _whole(snapshot: Snapshot) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    nodes = {
        label_text(group.labels): list[Any](group.properties)
        for group in twin_rows(snapshot, snapshot.living_rows.astype(np.int64))
    }
    properties = edge_properties(snapshot, np.arange(snapshot.edge_count))
    return nodes, _links(snapshot, [[each] for each in properties])


def _links(snapshot: Snapshot, further: list[list[Any]]) -> dict[str, list[Any]]:
    """By relation: source, target, and what else there is of it."""
    sources, targets = snapshot.ids(snapshot.edge_source), snapshot.ids(snapshot.edge_target)
    relations = [snapshot.schema.relations[one].name for one in snapshot.edge_relation.tolist()]
    links: dict[str, list[Any]] = {}
    for source, target, relation, more in zip(sources, targets, relations, further, strict=True):
        links.setdefault(relation, []).append([source, target, *more])
    return links


def write(driver: Any, statement: str, rows: list[Any]) -> None:
    for first in range(0, len(rows), ROWS_PER_WRITE):
        driver.execute_query(statement, rows=rows[first : first + ROWS_PER_WRITE])


def our_load(connection: Connection, header: Header, snapshot: Snapshot) -> float:
    """Seconds that the projection takes, with all labels above, properties and revisions."""
    store = Neo4jStore.create(connection, header)
    store.take_over()
    projection = Projection(connection, snapshot.heads[0].name, lambda: store.epoch)
    projection.prepare()
    began_s = time.perf_counter()
    assert projection.load(snapshot)
    return time.perf_counter() - began_s


def run(buildings: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="twinmesh-bench-") as name:
        meter, place = Meter(), Path(name)
        with Mesh.open(place / "data", load_schema()) as mesh:
            graph = Spec("campus", buildings).make()
            twin = mesh.create_site(graph.site)
            twin.apply(bulk_change(graph))
            snapshot = twin.snapshot()
        with running(place / "home", heap_mb=1536, pages_mb=512) as server:
            load = loads(server, snapshot, ROUNDS_QUICK if buildings == BUILDINGS_QUICK else ROUNDS)
            asked, missing = measure(server, graph)
        machine = meter.machine(place)
    agree = sum(row["agree"] for row in asked)
    worst = max(row[HAND_FACTOR] for row in asked)
    least = min((row[PEER_FACTOR] for row in asked if PEER_FACTOR in row), default=None)
    aims = [
        aim("bulk load beside the plain driver's UNWIND of the same graph", load["ratio"], 1.5),
        aim("push-down beside Cypher by hand, the worst", worst, 1.3, at_most=True),
        aim(f"equal answers, of {len(asked)}", agree, len(asked)),
        aim("push-down beside @neo4j/graphql, both over HTTP, the worst", least, 1.5),
    ]
    versions = {"neo4j": VERSION}
    rows = [load, *asked]
    return {"machine": machine, "versions": versions, "missing": missing, "rows": rows, "aims": aims}


def loads(server: Server, snapshot: Snapshot, rounds: int) -> dict[str, Any]:
    """Loaded in turns, ours last, into an emptied database each time; medians without the first round.

    In the first the Java machine still compiles what runs, which whoever comes first would pay for.
    """
    spent: dict[str, list[float]] = {"ours": [], "plain": [], "lean": []}
    for turn in range(rounds + 1):
        for name in ("plain", "lean", "ours"):
            server.clear()
            took_s = _load(server, snapshot, name)
            if turn:
                spent[name].append(took_s)
    s = {name: statistics.median(each) for name, each in spent.items()}
    things = len(snapshot.living_rows) + int(np.count_nonzero(snapshot.edge_alive))
    return {
        "question": f"bulk load of {things:,} twins and relationships",
        "s": round(s["ours"], 2),
        "plain_s": round(s["plain"], 2),
        "plain, a third of the properties, s": round(s["lean"], 2),
        "rows_s": round(things / s["ours"]),
        "ratio": round(s["plain"] / s["ours"], 2),
        "ratio to a third of the properties": round(s["lean"] / s["ours"], 2),
    }


def _load(server: Server, snapshot: Snapshot, name: str) -> float:
    if name != "ours":
        return plain_load(server, snapshot, is_whole=name == "plain")
    connection = Connection(Neo4jPlace(server.url, password=server.password))
    try:
        header = snapshot.heads[0]
        return our_load(connection, Header(header.name, header.base), snapshot)
    finally:
        connection.close()


def aim(name: str, value: float | None, wanted: float, *, at_most: bool = False) -> dict[str, Any]:
    """A value of None was not measured, which is never met."""
    met = value is not None and (value <= wanted if at_most else value >= wanted)
    return {"name": name, "aim": wanted, "value": value, "met": met}


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
    buildings = os.environ.get("TWINMESH_BENCH_BUILDINGS")
    result = run(int(buildings) if buildings else BUILDINGS_QUICK if quick else BUILDINGS)
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    for row in result["rows"]:
        print(" | ".join(f"{key} {value}" for key, value in row.items()))
    for one in result["aims"]:
        print(f"{'met ' if one['met'] else 'open'} {one['name']}: {one['value']} (aim {one['aim']})")
    return 0
