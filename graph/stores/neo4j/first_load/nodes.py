"""Twins, stubs, tombstones and far ends of a site as tables of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.readings.arrow import pa
from graph.stores.neo4j.first_load.cells import (
    STRING,
    by_code,
    coded_texts,
    listed,
    same,
    texts,
    units,
    values,
)
from graph.stores.neo4j.first_load.layouts import layouts
from graph.stores.neo4j.first_load.numbering import END, STONE, STUB, TWIN
from graph.stores.neo4j.naming import ENTITY, GONE, labels_of, property_of
from graph.stores.neo4j.rows import external_text, leading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from graph.attributes import Column
    from graph.snapshot import Snapshot
    from graph.stores.neo4j.first_load.layouts import Layout
    from graph.stores.neo4j.first_load.numbering import Numbered
    from graph.stores.neo4j.first_load.tables import Tables

ROWS_AT_ONCE: Final = 100_000
_TWIN: Final = (
    ":ID", ":LABEL", "id:string", "_local:string", "_site:string", "_revision:long", "_kind:string",
    "_kinds:string[]", "name:string", "_external:string[]",
)  # fmt: skip
_STONE: Final = (":ID", ":LABEL", "id:string", "_site:string", "_revision:long")
_END: Final = (":ID", ":LABEL", "id:string")


def write_nodes(tables: Tables, site: Numbered) -> None:
    """All nodes of a site but its journal's. OSError, StoreError EXPORT_UNFIT."""
    snapshot = site.snapshot
    rows = np.sort(np.concatenate((site.rows(TWIN), site.rows(STUB))))
    kind_sets = snapshot.twins.kind_set.take(rows)
    for layout in layouts(rows, kind_sets, snapshot.twins.attributes):
        _write_twins(tables, site, layout)
    _write_stones(tables, site, site.rows(STONE))
    ends = site.rows(END)
    if len(ends):
        table = tables.begin(_END)
        for some in pieces(ends):
            tables.append(table, [site.numbers[some], same(ENTITY, len(some)), ids_of(snapshot, some)])


def pieces(rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Some rows, few enough to be in memory as texts."""
    return (rows[first : first + ROWS_AT_ONCE] for first in range(0, len(rows), ROWS_AT_ONCE))


def attribute_headers(layout: Layout) -> list[str]:
    found = [f"{property_of(name)}:{kind}" for name, kind in layout.types.items()]
    return [*found, f"_units:{STRING}"] if layout.with_units else found


def attribute_arrays(layout: Layout, columns: Mapping[str, Column], rows: npt.NDArray[np.int64]) -> list[Any]:
    found = [values(columns[name], rows, kind) for name, kind in layout.types.items()]
    if layout.with_units:
        found.append(units({name: columns[name] for name in layout.with_units}, rows))
    return found


def ids_of(snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> Any:
    """The ids of rows of the snapshot of one site."""
    (table,) = snapshot.twins.ids.tables(rows)
    return texts(table.strings.take(rows))


def _write_twins(tables: Tables, site: Numbered, layout: Layout) -> None:
    snapshot = site.snapshot
    table = tables.begin([*_TWIN, *attribute_headers(layout)])
    kinds = snapshot.pools.kind_sets.value(layout.sort) or ()
    labels = listed((ENTITY, *labels_of(snapshot.schema, kinds)))
    leading_kind, all_kinds = leading(snapshot, kinds), listed(kinds)
    for rows in pieces(layout.rows):
        count, twins = len(rows), snapshot.twins
        arrays = [
            pa.array(site.numbers[rows]),
            same(labels, count),
            ids_of(snapshot, rows),
            pa.array(snapshot.local_ids(rows), pa.large_string()),
            same(snapshot.sites[0], count),
            pa.array(twins.revision.take(rows)),
            same(leading_kind, count),
            same(all_kinds, count),
            coded_texts(snapshot.pools.texts.table, twins.name.take(rows).astype(np.int64)),
            _external(snapshot, rows),
        ]
        tables.append(table, [*arrays, *attribute_arrays(layout, twins.attributes, rows)])


def _external(snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> Any:
    pool = snapshot.pools.external_ids

    def text_of(code: int) -> str | None:
        known = pool.value(code)
        return listed([external_text(one.system, one.id) for one in known]) if known else None

    return by_code(snapshot.twins.external.take(rows), text_of)


def _write_stones(tables: Tables, site: Numbered, rows: npt.NDArray[np.int64]) -> None:
    """As `graph.stores.neo4j.projection` leaves them behind removed twins."""
    if not len(rows):
        return
    snapshot, table = site.snapshot, tables.begin(_STONE)
    labels = listed((ENTITY, GONE))
    for some in pieces(rows):
        count, revisions = len(some), pa.array(snapshot.twins.revision.take(some))
        ids, name = ids_of(snapshot, some), same(snapshot.sites[0], count)
        tables.append(table, [pa.array(site.numbers[some]), same(labels, count), ids, name, revisions])
