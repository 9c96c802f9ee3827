"""Writes columns of a change into the columns of a site: contiguous new rows, array by array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from graph.attributes import EXACT_INTEGER_MAX, Tag
from graph.bulk import all_texts
from graph.values import Value

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.bulk import AttributeColumn, RelationshipColumns, Texts, TwinColumns
    from graph.bulk_drafting import BulkDraft
    from graph.columns import PagedColumn
    from graph.pools import Pools
    from graph.state import State
    from graph.tables import Attributes

_TAGS = {"f": Tag.NUMBER, "i": Tag.INTEGER, "b": Tag.BOOLEAN}


def write_bulk(state: State, bulk: BulkDraft, revision: int) -> None:
    """Write all of it. The rows that the draft was given must still be the next ones."""
    _write_twins(state, bulk, revision)
    for block, rows in zip(bulk.columns.relationships, bulk.edges(), strict=True):
        if len(rows):
            _write_relationships(state, bulk, block, rows)


def _write_twins(state: State, bulk: BulkDraft, revision: int) -> None:
    twins, rows = state.twins, bulk.rows
    if not len(rows):
        return
    twins.ids.add_all(bulk.columns.ids[: len(rows)])
    assert twins.size == rows.stop  # checked to be new, each once: else every row after would be another's
    twins.alive.write(rows, np.ones(len(rows), np.bool_))
    twins.revision.write(rows, np.full(len(rows), revision))
    start = rows.start
    for block in bulk.columns.twins:
        if block.count:
            _write_twin_block(state, block, range(start, start + block.count))
        start += block.count


def _write_twin_block(state: State, block: TwinColumns, rows: range) -> None:
    twins, pools = state.twins, state.pools
    sets = np.array(pools.kind_sets.intern_all(block.kind_sets), np.int32)
    twins.kind_set.write(rows, sets[block.kinds])
    if block.names is not None:
        twins.name.write(rows, _text_codes(pools, block.names))
        if block.origin is not None:
            code = pools.origins.intern(block.origin)
            twins.name_origin.write(rows, [0 if name is None else code for name in block.names])
    if block.local_ids is not None:
        codes = _text_codes(pools, block.local_ids)
        twins.local.write(rows, codes)
        stated = np.flatnonzero(codes)
        texts = [text for text in block.local_ids if text]
        twins.ids.local.add_all(texts, (rows.start + stated).astype(np.int32))
    _write_origin(twins.origins, rows, block.origin, pools)
    for item, known in block.external_ids.items():
        twins.external.set(rows.start + item, pools.external_ids.intern(known))
        for one in known:
            twins.ids.external.add(one.id, rows.start + item)
    _write_attributes(twins.attributes, block.attributes, rows, block.origin, pools)


def _write_relationships(state: State, bulk: BulkDraft, block: RelationshipColumns, rows: range) -> None:
    edges, pools = state.edges, state.pools
    found = [state.schema.relation_by_iri(name) for name in block.relation_names]
    indices = np.array([relation.index if relation else -1 for relation in found], np.int32)
    sources, targets = bulk.end_rows[block.sources], bulk.end_rows[block.targets]
    relations = indices[block.relations]
    names = _text_codes(pools, block.group_names)
    groups = np.full(len(rows), names[0]) if block.groups is None else names[block.groups]
    edges.source.write(rows, sources)
    edges.target.write(rows, targets)
    edges.relation.write(rows, relations)
    if groups.any() or edges.group.filled:
        edges.group.write(rows, groups)
    edges.keys.add_all(sources, relations, targets, groups, np.arange(rows.start, rows.stop, dtype=np.int32))
    edges.alive.write(rows, np.ones(len(rows), np.bool_))
    if block.own_ids is not None:
        _write_own_ids(state, block.own_ids, rows)
    if block.stated is not None:
        stated = np.append(_text_codes(pools, block.stated_names), np.int32(0))
        edges.stated.write(rows, stated[block.stated])
    _write_origin(edges.origins, rows, block.origin, pools)
    _write_attributes(edges.attributes, block.attributes, rows, block.origin, pools)
    edges.size = rows.stop


def _write_own_ids(state: State, own_ids: Texts, rows: range) -> None:
    edges = state.edges
    codes = _text_codes(state.pools, own_ids)
    edges.own_id.write(rows, codes)
    places = np.flatnonzero(codes)
    edges.keys.own.add_all([text for text in own_ids if text], (rows.start + places).astype(np.int32))


def _write_origin(column: PagedColumn[np.int32], rows: range, origin: str | None, pools: Pools) -> None:
    if origin is not None:
        column.write(rows, np.full(len(rows), pools.origin_sets.intern((origin,)), np.int32))


def _write_attributes(
    attributes: Attributes,
    columns: tuple[AttributeColumn, ...],
    rows: range,
    origin: str | None,
    pools: Pools,
) -> None:
    for column in columns:
        where: range | npt.NDArray[np.int32] = rows if column.rows is None else column.rows + rows.start
        stated_by = column.origin or origin
        if not _is_packed(column):
            # None clears, and a new item has nothing to clear.
            pairs = zip(where, _plain(column), strict=True)
            found = [
                (int(row), Value(plain, column.unit, stated_by)) for row, plain in pairs if plain is not None
            ]
            if found:
                attributes.write(column.name, [row for row, _ in found], [value for _, value in found])
            continue
        tag, words = _packed(column, pools)
        unit = pools.units.intern(column.unit) if column.unit else 0
        code = pools.origins.intern(stated_by) if stated_by else 0
        attributes.write_packed(column.name, where, tag, words, unit, code)


def _is_packed(column: AttributeColumn) -> bool:
    """False for values that have to be looked at one by one."""
    values = column.values
    if not isinstance(values, np.ndarray):
        return all_texts(values)
    return values.dtype.kind != "i" or not len(values) or int(np.abs(values).max()) <= EXACT_INTEGER_MAX


def _plain(column: AttributeColumn) -> list[Any]:
    return column.values.tolist() if isinstance(column.values, np.ndarray) else list(column.values)


def _packed(column: AttributeColumn, pools: Pools) -> tuple[Tag, npt.NDArray[np.float64]]:
    values = column.values
    if isinstance(values, np.ndarray):
        return _TAGS[values.dtype.kind], values.astype(np.float64)
    texts = [str(value) for value in values]
    return Tag.TEXT, _text_codes(pools, texts, empty=True).astype(np.float64)


def _text_codes(pools: Pools, texts: Texts, *, empty: bool = False) -> npt.NDArray[np.int32]:
    """int32[n]: codes of texts; 0 for None and, unless `empty` texts count, for empty ones."""
    distinct = dict.fromkeys(texts)
    wanted = [text for text in distinct if text is not None and (text or empty)]
    found = np.array(pools.texts.intern_all(wanted), np.int32)
    if len(wanted) == len(texts):
        return found
    codes = dict.fromkeys(distinct, 0) | dict(zip(wanted, found.tolist(), strict=True))
    return np.fromiter(map(codes.__getitem__, texts), np.int32, len(texts))
