"""What the Neo4j of a data folder tells of itself, for `doctor`."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from api.commands.finding import Finding
from api.commands.folders import open_to_read
from api.config import load_store
from ontology.errors import StoreError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def store_findings(data: Path) -> Iterator[Finding]:
    """None for a folder that keeps its journals itself; the driver is imported for others only."""
    path = data / "twinmesh.toml"
    try:
        store = load_store(path if path.exists() else None, os.environ)
        if not store.url:
            return
        connecting = import_module("graph.stores.neo4j.connection")
        place = connecting.Neo4jPlace(store.url, store.user, store.password or "", store.database or None)
        connection = connecting.Connection(place)
    except TwinmeshError as error:
        yield Finding("neo4j", "problem", f"{error.code}: {error.message}", error.hint)
        return
    sound = True
    try:
        for fact in import_module("graph.stores.neo4j.checkup").facts(connection):
            sound = sound and fact.state != "problem"
            yield Finding(fact.name, fact.state, fact.detail, fact.hint)
        if sound:
            yield from _compared(data, connection)
    finally:
        connection.close()


def _compared(data: Path, connection: object) -> Iterator[Finding]:
    """Whether somebody else changed the graph of a site. Reads the sites, as every verb does."""
    counts = import_module("graph.stores.neo4j.differences").counts
    try:
        with open_to_read(data) as mesh:
            for site in mesh.sites:
                told: list[str] = counts(connection, mesh.twin(site).snapshot())
                # A graph that is behind differs too: the finding before says how far.
                detail = told[0] if told else "no foreign change"
                hint = "STORE_FOREIGN_CHANGE, or the graph is behind; see docs/neo4j.md" if told else None
                yield Finding(f"neo4j graph {site}", "warning" if told else "ok", detail, hint)
    except StoreError as error:
        yield Finding("neo4j", "problem", f"{error.code}: {error.message}", error.hint)
