"""Fetches the Neo4j that the tests start into the user's cache, and prepares its quick start."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import apoc
from bench.jars import MissingError, ServerError
from bench.neo4j_server import cache_folder, make_archive


def main() -> int:
    try:
        make_archive()
        if apoc.APOC is not None:
            apoc.fetch()
    except (MissingError, ServerError) as error:
        print(f"neo4j: {error}; its tests will be skipped by name")
        return 0
    print(f"neo4j: in {cache_folder()}, with APOC {apoc.APOC}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
