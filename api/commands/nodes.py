"""The federation node of a data folder, opened by a command; works beside a server on the same folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from api.commands.sources import SECTIONS
from api.config import load_settings
from api.federation_http import node_settings
from federation.node import Node
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path


def open_node(folder: Path) -> Node:
    """StoreError STORE_MISSING where this is no data folder, else what `Node.open` raises."""
    settings = folder / "twinmesh.toml"
    if not settings.is_file():
        raise StoreError("this is no data folder of twinmesh", code="STORE_MISSING", place=Place(str(folder)))
    chosen = load_settings(settings, os.environ, foreign=SECTIONS).federation
    return Node.open(folder, node_settings(chosen, folder))
