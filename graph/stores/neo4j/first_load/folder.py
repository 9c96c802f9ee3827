"""The folder that `neo4j-admin database import full` reads: tables, options, and a script that calls it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graph.stores.neo4j.first_load.journal import JournalTables
from graph.stores.neo4j.first_load.links import write_links
from graph.stores.neo4j.first_load.nodes import write_nodes
from graph.stores.neo4j.first_load.numbering import number_all
from graph.stores.neo4j.first_load.tables import Tables
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from graph.mesh import Mesh
    from graph.stores.neo4j.first_load.tables import Written

OPTIONS, SCRIPT = "import.args", "import.sh"
# The import reads a text only where it fits into its buffer.
BUFFER_BYTES_MIN: Final = 4 << 20
_SCRIPT: Final = """#!/bin/sh
# Offline import of twinmesh sites into Neo4j: sh import.sh [DATABASE [OPTION...]]
# Stop Neo4j before. The database must be new; --overwrite-destination replaces one that is there.
# Expected: {nodes} nodes, {links} relationships. Sites: {sites}
set -eu
cd "$(dirname "$0")"
database="${{1:-neo4j}}"
[ "$#" -eq 0 ] || shift
exec "${{NEO4J_ADMIN:-neo4j-admin}}" database import full "$database" "@import.args" "$@"
"""


@dataclass(frozen=True, slots=True)
class FirstLoad:
    """What was written. nodes, relationships: as many as the import must tell afterwards."""

    sites: dict[str, int]  # name and revision
    nodes: int
    relationships: int
    files: int
    size_bytes: int


def write_first_load(mesh: Mesh, sites: Sequence[str], folder: Path) -> FirstLoad:
    """Whole sites, each at one revision with its journal, as files for an empty Neo4j.

    folder: new or empty. The last thing written is the script: without it the folder is not complete.
    Memory: the columns of the sites, 20 bytes a twin or relationship, and pieces of 100,000 rows.

    Raises StoreError EXPORT_OUT where the folder holds something, EXPORT_UNFIT where something cannot be
    said in the files, JOURNAL_CORRUPT, FILE_WRITE, and NotFoundError SITE_UNKNOWN.
    """
    snapshots = [mesh.twin(site).snapshot() for site in sites]
    try:
        _begin(folder)
        tables = Tables(folder)
        journals = JournalTables(tables)
        for numbered in number_all(snapshots):
            write_nodes(tables, numbered)
            write_links(tables, numbered)
            with closing(mesh.open_journal(numbered.snapshot.sites[0])) as store:
                journals.write(store, numbered.snapshot)
        return _finish(tables, {snapshot.sites[0]: snapshot.revision for snapshot in snapshots})
    except OSError as error:
        place = Place(path=str(folder))
        raise StoreError(f"cannot be written: {error.strerror}", code="FILE_WRITE", place=place) from error


def _begin(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        place = Place(path=str(folder))
        hint = "name a new or empty folder with --out"
        raise StoreError("the folder is not empty", code="EXPORT_OUT", place=place, hint=hint)


def _finish(tables: Tables, sites: dict[str, int]) -> FirstLoad:
    written = [table for table in tables.written if table.rows]
    (tables.folder / OPTIONS).write_text("\n".join(_options(written)) + "\n", encoding="utf-8")
    nodes = sum(table.rows for table in written if table.relation is None)
    links = sum(table.rows for table in written if table.relation is not None)
    said = ", ".join(f"{site} at commit {revision}" for site, revision in sites.items())
    script = _SCRIPT.format(nodes=nodes, links=links, sites=said)
    (tables.folder / SCRIPT).write_text(script, encoding="utf-8")
    sizes = [path.stat().st_size for path in tables.folder.iterdir()]
    return FirstLoad(sites, nodes, links, len(sizes), sum(sizes))


def _options(written: Sequence[Written]) -> list[str]:
    """One a line; no name in them holds a space or a quote."""
    longest = max((table.text_bytes_max for table in written), default=0)
    options = [
        "--id-type=integer",
        "--array-delimiter=U+001F",
        "--bad-tolerance=0",
        f"--read-buffer-size={max(BUFFER_BYTES_MIN, 2 * longest)}",
    ]
    long = [table.data for table in written if table.has_lines]
    if long:
        options += ["--multiline-fields-format=v2", f"--multiline-fields={','.join(long)}"]
    for table in written:
        files = f"{table.header},{table.data}"
        if table.relation is None:
            options.append(f"--nodes={files}")
        else:
            options.append(f"--relationships={table.relation}={files}".replace("==", "="))
    return options
