"""How soon a follower on the same Neo4j tells its subscribers what another server wrote.

uv run twinmesh bench neo4j_followers [--json]      TWINMESH_BENCH_QUICK=1: 60 writes instead of 300

Two `twinmesh serve` and a Neo4j 5.26 Community of this run's own. A client of the writer sends one mutation
after the other, with random pauses, and a client of the follower listens by WebSocket, in one process with
one clock. `from answer`: from the writer's answer until the event; `from request`: from sending the mutation.
The first fifth is left out: Neo4j compiles while it warms up.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SEED = 8
WRITES, WRITES_QUICK = 300, 60
PAUSE_S_MAX = 0.2
AIM_MS = 500.0


def measure(folder: Path, writes: int) -> dict[str, Any]:
    """Quantiles in milliseconds."""
    from bench.neo4j_server import VERSION, running
    from bench.stores.machine import Meter
    from bench.two_servers import PUT, Serving, subscribed
    from graph.mesh import Mesh
    from graph.stores.choosing import open_journals
    from ontology.schema import load_schema

    rng, meter = random.Random(SEED), Meter()
    from_answer: list[float] = []
    from_request: list[float] = []
    with running(folder / "home") as neo4j:
        (folder / "writer").mkdir()
        journals = open_journals(folder / "writer", neo4j.url, password=neo4j.password)
        with Mesh.open(folder / "writer", load_schema(), journals=journals) as mesh:
            mesh.create_site("campus")
        writer = Serving(folder / "writer", neo4j)
        follower = Serving(folder / "follower", neo4j, "--follow")
        try:
            with subscribed(follower, 0) as seen:
                for number in range(writes):
                    time.sleep(rng.uniform(0, PAUSE_S_MAX))
                    sent_s = time.monotonic()
                    answer = writer.ask(PUT, id=f"t{number}", note={"x:note": "a"}, key=None)
                    answered_s = time.monotonic()
                    told_s = seen.wait_for(int(answer["data"]["applyChange"]["revision"]))
                    from_answer.append(max(0.0, told_s - answered_s) * 1e3)
                    from_request.append((told_s - sent_s) * 1e3)
                each_once = seen.revisions == list(range(1, writes + 1))
        finally:
            follower.stop()
            writer.stop()
    warm = slice(writes // 5, None)
    rows = [_row("from answer", from_answer[warm]), _row("from request", from_request[warm])]
    aims = [
        {"name": "from answer, p99 in ms", "aim": AIM_MS, "value": rows[0]["p99_ms"]},
        {"name": "each change told once", "aim": 1, "value": int(each_once)},
    ]
    aims[0]["met"], aims[1]["met"] = rows[0]["p99_ms"] <= AIM_MS, each_once
    return {"machine": meter.machine(folder), "versions": {"neo4j": VERSION}, "rows": rows, "aims": aims}


def _row(name: str, delays_ms: list[float]) -> dict[str, Any]:
    p50, p90, p99 = (round(float(one), 1) for one in np.percentile(delays_ms, (50, 90, 99)))
    most = round(max(delays_ms), 1)
    return {
        "latency": name,
        "writes": len(delays_ms),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "max_ms": most,
    }


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
    with tempfile.TemporaryDirectory(prefix="twinmesh-bench-") as name:
        result = measure(Path(name), WRITES_QUICK if quick else WRITES)
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    for row in result["rows"]:
        print(" | ".join(f"{key} {value}" for key, value in row.items()))
    for one in result["aims"]:
        print(f"{'met ' if one['met'] else 'open'} {one['name']}: {one['value']} (aim {one['aim']})")
    return 0


if __name__ == "__main__":
    # A program's folder comes first on the path, and bench/neo4j.py would be taken for the driver.
    here = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != here]
    sys.exit(main(sys.argv[1:]))
