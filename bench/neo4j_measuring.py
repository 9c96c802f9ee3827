"""The graph in a real Neo4j: our bulk load beside the plain driver's UNWIND, push-down beside Cypher by hand.

A campus of 100 buildings (552,111 twins, 1,001,186 relationships; quick: 1 building) is loaded by both into a
Neo4j 5.26 Community of this run's own, from Maven Central. The plain load is what its documentation shows:
MERGE by id in batches of 10,000 rows, then relationships by two look-ups. Each question is asked in turns;
figures are medians. Answers are compared. Journals are not measured here: `bench store` does.
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
from bench.neo4j_server import VERSION, running
from bench.stores.machine import Meter
from bench.stores.twinmesh_engine import bulk_change
from graph import plan
from graph.mesh import Mesh
from graph.plan import Comparison, Operator
from graph.stores.neo4j.connection import Connection, Neo4jPlace
from graph.stores.neo4j.projection import Projection
from graph.stores.neo4j.pushdown import PushDown
from graph.stores.neo4j.store import Neo4jStore
from graph.stores.protocol import Header
from ontology.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.neo4j_server import Server
    from graph.snapshot import Snapshot

ROWS_PER_WRITE = 10_000
ROUNDS = 15
BUILDINGS, BUILDINGS_QUICK = 100, 1
_TWINS = "UNWIND $rows AS row MERGE (n:Entity {id: row.id}) SET n += row"
_LINKS = """UNWIND $rows AS row MATCH (a:Entity {id: row[0]}) MATCH (b:Entity {id: row[1]})
MERGE (a)-[r:`%s`]->(b)"""


def plain_load(server: Server, snapshot: Snapshot) -> float:
    """Seconds that the plain driver takes for the same twins and relationships."""
    rows = snapshot.living_rows
    ids, names = snapshot.ids(rows), snapshot.names(rows)
    kinds = [snapshot.schema.kinds[kind] for kind in snapshot.kind[rows].tolist()]
    sources, targets = snapshot.ids(snapshot.edge_source), snapshot.ids(snapshot.edge_target)
    relations = [snapshot.schema.relations[one].name for one in snapshot.edge_relation.tolist()]
    nodes: dict[str, list[Any]] = {}
    for iri, name, kind in zip(ids, names, kinds, strict=True):
        nodes.setdefault(kind.name, []).append({"id": iri, "name": name, "kind": kind.name})
    links: dict[str, list[Any]] = {}
    for source, target, relation in zip(sources, targets, relations, strict=True):
        links.setdefault(relation, []).append([source, target])
    with server.driver() as driver:
        driver.execute_query("CREATE CONSTRAINT FOR (n:Entity) REQUIRE n.id IS UNIQUE")
        began_s = time.perf_counter()
        for kind, mine in nodes.items():
            write(driver, f"{_TWINS}, n:`{kind}`", mine)
        for relation, mine in links.items():
            write(driver, _LINKS % relation, mine)
        return time.perf_counter() - began_s


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


def questions(snapshot: Snapshot) -> list[tuple[str, plan.Match, str, dict[str, Any]]]:
    """Name, plan, the same in Cypher by hand, and its parameters."""
    chiller = snapshot.ids(snapshot.rows_of_kind(snapshot.schema.kind("brick:Chiller").index)[:1])[0]
    is_chiller = plan.TextTest(plan.TextField.ID, (Comparison(Operator.EQ, chiller),))
    fed = plan.LinkTest(plan.Quantifier.SOME, "tm:feeds", plan.Way.IN, is_chiller)
    named = plan.TextTest(plan.TextField.NAME, (Comparison(Operator.CONTAINS, "12"),))
    page = plan.PageRequest(first=50)
    return [
        (
            "one twin by id",
            plan.Match(None, is_chiller, page=page),
            "MATCH (n:Entity {id: $id}) RETURN n.id",
            {"id": chiller},
        ),
        (
            "fed by one chiller",
            plan.Match("brick:VAV", fed, page=page),
            """MATCH (c:Entity {id: $id})-[:`tm:feeds`|`brick:feeds`]->(n:`brick:VAV`)
            RETURN DISTINCT n.id ORDER BY n.id LIMIT 51""",
            {"id": chiller},
        ),
        (
            "rooms by a part of the name, in order",
            plan.Match("rec:Room", named, (plan.OrderKey("name"),), page),
            """MATCH (n:`rec:Room`) WHERE n.name CONTAINS '12'
            RETURN n.id ORDER BY n.name, n.id LIMIT 51""",
            {},
        ),
    ]


def timed(work: Callable[[], list[str]]) -> tuple[float, list[str]]:
    began_s = time.perf_counter()
    found = work()
    return (time.perf_counter() - began_s) * 1e3, found


def ask(connection: Connection, snapshot: Snapshot) -> list[dict[str, Any]]:
    pushed, rows = PushDown(connection, snapshot.schema, snapshot.heads[0].name), []
    for name, match, cypher, values in questions(snapshot):
        ours, theirs, agree = [], [], True
        for _ in range(ROUNDS):
            our_ms, our_ids = timed(lambda match=match: pushed.match(match).ids)
            hand_ms, hand_ids = timed(
                lambda cypher=cypher, values=values: [row[0] for row in connection.run(cypher, **values)]
            )
            agree &= our_ids == hand_ids[:50]
            ours.append(our_ms)
            theirs.append(hand_ms)
        mine, other = statistics.median(ours), statistics.median(theirs)
        rows.append(
            {"question": name, "ms": round(mine, 2), "by_hand_ms": round(other, 2), "agree": agree}
            | {"ratio": round(mine / other, 2)}
        )
    return rows


def run(buildings: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="twinmesh-bench-") as name:
        meter, place = Meter(), Path(name)
        with Mesh.open(place / "data", load_schema()) as mesh:
            graph = Spec("campus", buildings).make()
            twin = mesh.create_site(graph.site)
            twin.apply(bulk_change(graph))
            snapshot = twin.snapshot()
        with running(place / "home", heap_mb=1536, pages_mb=512) as server:
            plain_s = plain_load(server, snapshot)
            server.clear()
            connection = Connection(Neo4jPlace(server.url, password=server.password))
            try:
                header = snapshot.heads[0]
                ours_s = our_load(connection, Header(header.name, header.base), snapshot)
                asked = ask(connection, snapshot)
            finally:
                connection.close()
        machine = meter.machine(place)
    things = len(snapshot.living_rows) + int(np.count_nonzero(snapshot.edge_alive))
    load = {
        "question": f"bulk load of {things:,} twins and relationships",
        "s": round(ours_s, 1),
        "plain_s": round(plain_s, 1),
        "rows_s": round(things / ours_s),
        "ratio": round(plain_s / ours_s, 2),
    }
    worst = max(row["ratio"] for row in asked)
    agree = sum(row["agree"] for row in asked)
    aims = [
        aim("bulk load beside the plain driver's UNWIND", load["ratio"], 1.5),
        aim("push-down beside Cypher by hand, the worst", worst, 1.3, at_most=True),
        aim(f"equal answers, of {len(asked)}", agree, len(asked)),
        {"name": "push-down beside @neo4j/graphql over HTTP", "aim": 1.5, "value": None, "met": False},
    ]
    return {"machine": machine, "versions": {"neo4j": VERSION}, "rows": [load, *asked], "aims": aims}


def aim(name: str, value: float, wanted: float, *, at_most: bool = False) -> dict[str, Any]:
    met = value <= wanted if at_most else value >= wanted
    return {"name": name, "aim": wanted, "value": value, "met": met}


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
    result = run(BUILDINGS_QUICK if quick else BUILDINGS)
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    for row in result["rows"]:
        print(" | ".join(f"{key} {value}" for key, value in row.items()))
    for one in result["aims"]:
        print(f"{'met ' if one['met'] else 'open'} {one['name']}: {one['value']} (aim {one['aim']})")
    return 0
