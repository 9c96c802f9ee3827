"""Relationships of a site as tables, one or more for each relation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.readings.arrow import pa
from graph.stores.neo4j.first_load.cells import coded_texts, same
from graph.stores.neo4j.first_load.layouts import layouts
from graph.stores.neo4j.first_load.nodes import attribute_arrays, attribute_headers, pieces

if TYPE_CHECKING:
    from graph.stores.neo4j.first_load.layouts import Layout
    from graph.stores.neo4j.first_load.numbering import Numbered
    from graph.stores.neo4j.first_load.tables import Tables

_COLUMNS: Final = (":START_ID", ":END_ID", "_site:string", "_group:string", "_id:string")
# Other names are told row by row: on the command line they could mean something else.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_:.-]+")


def write_links(tables: Tables, site: Numbered) -> None:
    """All relationships of a site. OSError, StoreError EXPORT_UNFIT."""
    snapshot = site.snapshot
    edges = np.flatnonzero(snapshot.edge_alive)
    relations = snapshot.edges.relation.take(edges)
    for layout in layouts(edges, relations, snapshot.edges.attributes):
        _write(tables, site, layout)


def _write(tables: Tables, site: Numbered, layout: Layout) -> None:
    snapshot, view = site.snapshot, site.snapshot.edges
    relation = snapshot.schema.relations[layout.sort].name
    is_plain = _PLAIN.fullmatch(relation) is not None
    columns = [*_COLUMNS, *attribute_headers(layout), *([] if is_plain else [":TYPE"])]
    table = tables.begin(columns, relation if is_plain else "")
    known = snapshot.pools.texts.table
    for edges in pieces(layout.rows):
        arrays = [
            pa.array(site.numbers[snapshot.sources(edges)]),
            pa.array(site.numbers[snapshot.targets(edges)]),
            same(snapshot.sites[0], len(edges)),
            coded_texts(known, view.group.take(edges).astype(np.int64)),
            coded_texts(known, view.own_id.take(edges).astype(np.int64)),
        ]
        arrays += attribute_arrays(layout, view.attributes, edges)
        tables.append(table, arrays if is_plain else [*arrays, same(relation, len(edges))])
