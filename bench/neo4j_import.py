"""The first load of a large site by files: export, the offline import of Neo4j, and what a server needs then.

uv run twinmesh bench neo4j_import [--json]      TWINMESH_BENCH_QUICK=1 (or --quick): 2 and 10 buildings

Campuses of 50 and 250 buildings (half a million relationships, two and a half) in commits of 5,000 rows. Each
step is a process of its own, so that its memory is its own. TWINMESH_BENCH_BUILDINGS="50,100": other sizes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

SIZES, SIZES_QUICK = (50, 250), (2, 10)
# What grows with the rows must grow as they do, between the two sizes.
GROWTH = ("files_bytes", "store_bytes", "index_bytes", "journal_bytes", "dump_bytes")
GROWTH_AIM = 1.1


def main(arguments: list[str]) -> int:
    from bench.neo4j_import_steps import measure
    from bench.neo4j_server import VERSION
    from bench.stores.machine import Meter

    quick = "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
    named = os.environ.get("TWINMESH_BENCH_BUILDINGS")
    sizes = tuple(map(int, named.split(","))) if named else SIZES_QUICK if quick else SIZES
    meter, rows = Meter(), list[dict[str, Any]]()
    for buildings in sizes:
        with tempfile.TemporaryDirectory(prefix="twinmesh-bench-") as name:
            rows.append(measure(Path(name), buildings))
    machine = meter.machine(Path(tempfile.gettempdir()))
    result: dict[str, Any] = {
        "machine": machine,
        "versions": {"neo4j": VERSION},
        "rows": rows,
        "aims": _aims(rows),
    }
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    for key in rows[0]:
        print(f"{key:28}", *(f"{_shown(row[key]):>16}" for row in rows))
    for one in result["aims"]:
        print(f"{'met ' if one['met'] else 'open'} {one['name']}: {one['value']} (aim at most {one['aim']})")
    print(f"other work kept {machine['processors_busy_with_other_work']} processors busy")
    return 0


def _aims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """That nothing grows faster than the rows."""
    first, last = rows[0], rows[-1]
    aims: list[dict[str, Any]] = []
    for key in GROWTH:
        value = round(last[key] / last["rows"] / (first[key] / first["rows"]), 3)
        name = f"{key} a row, beside the smaller one"
        aims.append({"name": name, "aim": GROWTH_AIM, "value": value, "met": value <= GROWTH_AIM})
    return aims


def _shown(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
