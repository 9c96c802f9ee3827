"""Data folders of this machine, opened to read or to write."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from api.config import load_store
from graph.mesh import Mesh
from graph.stores.choosing import open_journals
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from pathlib import Path

    from graph.journals import Journals


def open_to_read(folder: Path, config: Path | None = None) -> Mesh:
    """The sites of a folder, followed: works beside a server that writes. StoreError STORE_MISSING.

    config: its settings; None: twinmesh.toml of the folder.
    """
    return _open(folder, config, read_only=True)


def open_to_write(folder: Path, config: Path | None = None) -> Mesh:
    """The sites of a folder, as their one writer; a new folder is made. StoreError STORE_LOCKED."""
    return _open(folder, config, read_only=False)


def journals_of(folder: Path, config: Path | None = None) -> Journals | None:
    """Where the settings of a folder say that journals are; None: in the folder itself."""
    path = config or folder / "twinmesh.toml"
    store = load_store(path if path.exists() else None, os.environ)
    return open_journals(
        folder, store.url, user=store.user, password=store.password or "", database=store.database or None
    )


def _open(folder: Path, config: Path | None, *, read_only: bool) -> Mesh:
    with ExitStack() as undo:
        journals = journals_of(folder, config)
        if journals is not None:
            undo.callback(journals.close)
        mesh = Mesh.open(folder, load_schema(), units=load_units(), read_only=read_only, journals=journals)
        undo.pop_all()
    return mesh
