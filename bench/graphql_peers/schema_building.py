"""Builds the schema of a site with so many kinds in use: prints seconds of each round as JSON.

python -m bench.graphql_peers.schema_building KINDS ROUNDS
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from pathlib import Path

from api.commands.service import engine_of
from bench.graphql_peers.kinds import fill_kinds, kinds_of
from graph.mesh import Mesh
from ontology.schema import load_schema


def main(count: int, rounds: int) -> None:
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Mesh.open(Path(folder), load_schema()) as mesh:
        fill_kinds(mesh, count)
        last = kinds_of(count)[-1].field
        for _ in range(rounds):
            # A new engine each time: nothing is left of the schema before.
            with engine_of(mesh) as engine:
                gc.collect()
                started = time.perf_counter()
                schema = engine.current_schema()
                found.append(time.perf_counter() - started)
            assert schema.query_type is not None and f"{last}List" in schema.query_type.fields
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
