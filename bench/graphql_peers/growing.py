"""What a table's size does to ours: reading all of it page by page, scanning it, finding one twin, memory."""

from __future__ import annotations

import random
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import orjson

from bench.graphql_peers.fleet import BASE, OBJECTS, SENSORS, pump_id, sensor_id, table_of
from bench.graphql_peers.questions import PUMP_LEAVES, SENSOR_LEAVES
from bench.graphql_peers.serving import Server, ServerError
from bench.stores.table import OURS

if TYPE_CHECKING:
    from bench.graphql_peers.fleet import Fleet
    from bench.graphql_peers.measuring import Measuring

SEED = 7
SCANS = 15
LOOK_UPS = 300
WALK, SCAN, LOOK_UP = "reading all, page by page", "counting by a filter", "point look-up"
CACHES, BUDGET = "caches of compiled queries", "their budget"
METRIC, METRIC_MAX = "twinmesh_compiled_cache_bytes", "twinmesh_compiled_cache_bytes_max"
_PAGE = f"""query ($after: String) {{ pumpList(first: 1000, after: $after) {{
  nodes {{ {" ".join(PUMP_LEAVES)} points {{ {" ".join(SENSOR_LEAVES)} }} }}
  pageInfo {{ endCursor hasNextPage }} }} }}"""
_COUNT = """query ($above: JSON) { aggregate(kind: "brick:Temperature_Sensor", measures: [{ op: COUNT }],
  filter: { attribute: [{ name: "value", gt: $above }] }) { values } }"""
_NODE = "query ($id: ID!) { node(id: $id) { id name } }"


def grow(measuring: Measuring, server: Server, fleet: Fleet) -> None:
    """Figures of ours alone on one table."""
    graph = table_of(fleet.pumps)
    for question, unit, work in (
        (WALK, "us/object", walk),
        (SCAN, "ms", scan),
        (LOOK_UP, "ms", look_up),
    ):
        figures = measuring.figures_of(question, graph, unit)
        try:
            value, agree = work(server, fleet)
            figures.add(OURS, value, agree)
        except ServerError as error:
            figures.fail(OURS, str(error))
    measuring.figures_of("memory of the server", graph, "MB").add(OURS, server.resident_mb())
    told = metrics(server)
    for question, name in ((CACHES, METRIC), (BUDGET, METRIC_MAX)):
        if name in told:
            measuring.figures_of(question, graph, "MB").add(OURS, told[name] / 1e6)


def walk(server: Server, fleet: Fleet) -> tuple[float, bool]:
    """Microseconds for each object, and whether every sensor's value came once."""
    cursor, spent_s, pumps, total = None, 0.0, 0, 0.0
    while True:
        body = orjson.dumps({"query": _PAGE, "variables": {"after": cursor}})
        started = time.perf_counter()
        status, text = server.send(body)
        spent_s += time.perf_counter() - started
        page = _page(server, status, text)
        pumps += len(page["nodes"])
        total += sum(point["value"] for node in page["nodes"] for point in node["points"])
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = page["pageInfo"]["endCursor"]
    agree = pumps == fleet.pumps and abs(total - float(fleet.values.sum())) < 1e-3
    return 1e6 * spent_s / (fleet.pumps * OBJECTS), agree


def _page(server: Server, status: int, text: bytes) -> Any:
    answer = orjson.loads(text)
    if status != 200 or answer.get("errors"):
        raise ServerError(f"{server.name}: {text[:300]!r}")
    return answer["data"]["pumpList"]


def scan(server: Server, fleet: Fleet) -> tuple[float, bool]:
    """Milliseconds of one count; each asks for another bound."""
    drawn = random.Random(SEED)
    seconds: list[float] = []
    agree = True
    for _ in range(SCANS):
        above = round(drawn.uniform(0, 90), 4)
        started = time.perf_counter()
        found = server.data(_COUNT, {"above": above})
        seconds.append(time.perf_counter() - started)
        agree &= list(found["aggregate"][0]["values"].values()) == [int((fleet.values > above).sum())]
    return 1e3 * median(seconds), agree


def look_up(server: Server, fleet: Fleet) -> tuple[float, bool]:
    """Milliseconds of one look-up, connecting and all: what grows is what matters here."""
    drawn = random.Random(SEED)
    seconds: list[float] = []
    agree = True
    for _ in range(LOOK_UPS):
        pump = drawn.randrange(fleet.pumps)
        iri = BASE + (pump_id(pump) if drawn.random() < 0.5 else sensor_id(pump, drawn.randrange(SENSORS)))
        started = time.perf_counter()
        found = server.data(_NODE, {"id": iri})
        seconds.append(time.perf_counter() - started)
        agree &= found["node"]["id"] == iri
    return 1e3 * median(seconds), agree


def metrics(server: Server) -> dict[str, float]:
    """Figures that a server tells of itself, those without labels."""
    _, text = server.send(None, path="/metrics", accept="text/plain")
    lines = [line.split() for line in text.decode().splitlines() if line and not line.startswith("#")]
    return {line[0]: float(line[1]) for line in lines if len(line) == 2 and "{" not in line[0]}
