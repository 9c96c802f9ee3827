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
    from graph.readings.policy import HistoryPolicy


def open_to_read(folder: Path, config: Path | None = None) -> Mesh:
    """The sites of a folder, followed: works beside a server that writes. StoreError STORE_MISSING.

    config: its settings; None: twinmesh.toml of the folder.
    """
    with ExitStack() as undo:
        journals = _held(journals_of(folder, config), undo)
        return _open(folder, journals, None, undo, read_only=True)


def open_to_write(
    folder: Path, config: Path | None = None, history: HistoryPolicy | None = None, *, take_over: bool = False
) -> Mesh:
    """The sites of a folder, as their one writer; a new folder is made. StoreError STORE_LOCKED.

    history: how readings are kept; None: nothing is thinned. take_over: in a database that several servers
    share, although another one writes, which is fenced off.
    """
    with ExitStack() as undo:
        journals = _held(journals_of(folder, config, take_over=take_over), undo)
        return _open(folder, journals, history, undo, read_only=False)


def journals_of(folder: Path, config: Path | None = None, *, take_over: bool = False) -> Journals | None:
    """Where the settings of a folder say that journals are; None: in the folder itself."""
    path = config or folder / "twinmesh.toml"
    store = load_store(path if path.exists() else None, os.environ)
    return open_journals(
        folder,
        store.url,
        user=store.user,
        password=store.password or "",
        database=store.database or None,
        take_over=take_over,
        by_trigger=store.apoc_trigger,
    )


def _held(journals: Journals | None, undo: ExitStack) -> Journals | None:
    if journals is not None:
        undo.callback(journals.close)
    return journals


def _open(
    folder: Path,
    journals: Journals | None,
    history: HistoryPolicy | None,
    undo: ExitStack,
    *,
    read_only: bool,
) -> Mesh:
    schema, units = load_schema(), load_units()
    mesh = Mesh.open(folder, schema, units=units, read_only=read_only, journals=journals, history=history)
    undo.pop_all()
    return mesh
