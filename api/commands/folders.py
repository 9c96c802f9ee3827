"""Data folders of this machine, opened to read or to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.mesh import Mesh
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from pathlib import Path

    from graph.readings.policy import HistoryPolicy


def open_to_read(folder: Path) -> Mesh:
    """The sites of a folder, followed: works beside a server that writes. StoreError STORE_MISSING."""
    return Mesh.open(folder, load_schema(), units=load_units(), read_only=True)


def open_to_write(folder: Path, history: HistoryPolicy | None = None) -> Mesh:
    """The sites of a folder, as their one writer; a new folder is made. StoreError STORE_LOCKED.

    history: how readings are kept; None: nothing is thinned.
    """
    return Mesh.open(folder, load_schema(), units=load_units(), history=history)
