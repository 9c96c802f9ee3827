"""`export --format neo4j-import`: whole sites as files for the offline import of Neo4j."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from api.commands.console import note, say_json
from api.commands.folders import open_to_read
from graph.stores.neo4j.first_load.folder import SCRIPT, write_first_load
from ontology.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from api.commands.place import Place

NEO4J_IMPORT: Final = "neo4j-import"


def run_first_load(place: Place, site: str | None, out: Path | None, *, as_json: bool) -> None:
    """Write the folder and tell what the import must count. UsageError EXPORT_OUT, StoreError."""
    if out is None:
        hint = "name a new or empty folder with --out DIR"
        raise UsageError("files for an import of Neo4j go into a folder", code="EXPORT_OUT", hint=hint)
    if place.server is not None:
        hint = "run it where the data folder is, with --data DIR; a server that writes there may go on"
        raise UsageError("a journal is exported from a folder", code="EXPORT_WHAT", hint=hint)
    with open_to_read(place.data_folder) as mesh:
        made = write_first_load(mesh, mesh.sites if site is None else (site,), out)
    if as_json:
        sites = {name: str(revision) for name, revision in made.sites.items()}
        say_json({"format": NEO4J_IMPORT, **asdict(made), "sites": sites, "script": str(out / SCRIPT)})
        return
    counted = f"{made.nodes:,} nodes, {made.relationships:,} relationships"
    note(f"wrote {made.files} files ({made.size_bytes:,} bytes): {counted}")
    note(f"next, where Neo4j is and while it is stopped: sh {out / SCRIPT}")
