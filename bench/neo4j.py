"""The graph in a real Neo4j beside the plain driver and Cypher by hand: see `bench.neo4j_measuring`.

uv run twinmesh bench neo4j [--json]      TWINMESH_BENCH_QUICK=1: small sizes
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    # A program's folder comes first on the path, and this file would be taken for the driver of that name.
    here = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != here]
    sys.exit(import_module("bench.neo4j_measuring").main(sys.argv[1:]))
