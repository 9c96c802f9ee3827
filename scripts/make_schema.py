"""Write schema.graphql: the GraphQL schema of the demo, as clients generate their code from it.

`--check` writes nothing and exits 1 if the file is not what the program serves. Either way a change that
breaks clients is refused unless `schema.allowed.txt` records it: somebody may rely on what would be gone.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from api.commands.folders import open_to_write  # noqa: E402
from api.commands.service import engine_of  # noqa: E402
from api.demo.build import build  # noqa: E402
from api.schema.changes import breaking_changes, read_allowed, schema_text  # noqa: E402

SCHEMA, ALLOWED = ROOT / "schema.graphql", ROOT / "schema.allowed.txt"


def demo_schema() -> str:
    """The schema of the three sites of the demo."""
    with tempfile.TemporaryDirectory() as name, open_to_write(Path(name) / "data") as mesh:
        build(mesh, Path(name))
        with engine_of(mesh) as engine:
            return schema_text(engine.current_schema())


def main() -> int:
    served = demo_schema()
    written = SCHEMA.read_text("utf-8") if SCHEMA.exists() else served
    broken = breaking_changes(written, served, read_allowed(ALLOWED.read_text("utf-8").splitlines()))
    for change in broken:
        print(f"breaks clients: {change}", file=sys.stderr)
    if broken:
        print(f"put what is meant into {ALLOWED.name}, with the reason", file=sys.stderr)
        return 1
    if "--check" in sys.argv:
        return int(not SCHEMA.exists() or written != served)
    SCHEMA.write_text(served, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
