"""Items of columns that are there already, word for word: an import repeated must not cost a record each.

Only what is plainly the same counts. Whatever is harder to tell goes the way of records, which find out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.attributes import Tag
from graph.bulk import all_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.bulk import AttributeColumn, Ints, RelationshipColumns, Texts, TwinColumns
    from graph.columns import PagedColumn
    from graph.pools import Pools
    from graph.state import State
    from graph.tables import Attributes

    Mask = npt.NDArray[np.bool_]

_TAGS = {"f": Tag.NUMBER, "i": Tag.INTEGER, "b": Tag.BOOLEAN}
_UNKNOWN = -1  # a code that no row has


def unchanged_twins(state: State, block: TwinColumns, rows: Ints, stub: str) -> Mask:
    """bool[count]: twins that are just so in the site. rows: where they are, -1 for none; stub: its kind."""
    here = rows >= 0
    where = np.maximum(rows, 0)
    twins, pools = state.twins, state.pools
    sets = [
        _UNKNOWN if kinds == (stub,) else pools.kind_sets.find(kinds) or _UNKNOWN for kinds in block.kind_sets
    ]
    names = _text_codes(pools, block.names, block.count)
    stated_by = pools.origins.find(block.origin) if block.origin else 0
    same = here & twins.alive.take(where)
    same &= twins.kind_set.take(where) == np.array(sets, np.int32)[block.kinds]
    same &= (twins.name.take(where) == names) & (
        twins.name_origin.take(where) == np.where(names > 0, stated_by, 0)
    )
    same &= twins.local.take(where) == _text_codes(pools, block.local_ids, block.count)
    same &= twins.external.take(where) == _external_codes(pools, block)
    same &= _has_origin(twins.origins, where, block.origin, pools)
    return same & _same_values(twins.attributes, block.attributes, where, block.origin, pools)


def unchanged_relationships(state: State, block: RelationshipColumns, edges: Ints) -> Mask:
    """bool[m]: relationships that are just so in the site. edges: where they are, -1 for none."""
    here = edges >= 0
    where = np.maximum(edges, 0)
    table, pools = state.edges, state.pools
    same = here & table.alive.take(where) & (table.own_id.take(where) == 0)
    if block.own_ids is not None:
        same &= np.array([own_id is None for own_id in block.own_ids], np.bool_)
    stated = np.zeros(block.count, np.int32)
    if block.stated is not None:
        codes = [pools.texts.find(name) or _UNKNOWN for name in block.stated_names]
        stated = np.array([*codes, 0], np.int32)[block.stated]
    same &= table.stated.take(where) == stated
    same &= _has_origin(table.origins, where, block.origin, pools)
    return same & _same_values(table.attributes, block.attributes, where, block.origin, pools)


def _has_origin(column: PagedColumn[np.int32], rows: Ints, origin: str | None, pools: Pools) -> Mask:
    """bool[n]: rows that nobody but this origin states."""
    found = column.take(rows)
    if origin is not None:
        return found == (pools.origin_sets.find((origin,)) or _UNKNOWN)
    return (found == 0) | (found == (pools.origin_sets.find(()) or _UNKNOWN))


def _text_codes(pools: Pools, texts: Texts | None, count: int) -> Ints:
    """int32[n]: codes of texts; 0 for None, -1 for those that no row can have."""
    if texts is None:
        return np.zeros(count, np.int32)
    codes = _all_codes(pools, [text or "" for text in texts])
    # An empty text is kept as none, so no row tells whether it was stated.
    odd = np.fromiter((0 if text is None else _UNKNOWN if not text else 1 for text in texts), np.int32, count)
    return np.where(odd == 1, codes, odd)


def _external_codes(pools: Pools, block: TwinColumns) -> Ints:
    codes = np.zeros(block.count, np.int32)
    for item, known in block.external_ids.items():
        codes[item] = pools.external_ids.intern(known)
    return codes


def _same_values(
    attributes: Attributes, columns: Sequence[AttributeColumn], rows: Ints, origin: str | None, pools: Pools
) -> Mask:
    """bool[n]: rows that have all of the stated values, each from the same origin, and no others."""
    same = np.ones(len(rows), np.bool_)
    stated = np.zeros(len(rows), np.int32)
    for column in columns:
        items = np.arange(len(rows)) if column.rows is None else column.rows
        same[items] &= _equal(attributes, column, rows[items], column.origin or origin, pools)
        stated[items] += 1
    return same & (attributes.count_of(rows) == stated)


def _equal(
    attributes: Attributes, column: AttributeColumn, rows: Ints, origin: str | None, pools: Pools
) -> Mask:
    """bool[k]: whether each of some rows has the value that a column states for it."""
    known, values = attributes[column.name], column.values
    unit = (pools.units.find(column.unit) or _UNKNOWN) if column.unit else 0
    stated_by = (pools.origins.find(origin) or _UNKNOWN) if origin else 0
    if isinstance(values, np.ndarray):
        tag, words = _TAGS[values.dtype.kind], values.astype(np.float64)
    elif all_texts(values):
        tag, words = Tag.TEXT, _all_codes(pools, values).astype(np.float64)
    else:
        return np.zeros(len(rows), np.bool_)
    if known is None:
        return np.zeros(len(rows), np.bool_)
    return known.holds(rows, tag, words, unit, stated_by)


def _all_codes(pools: Pools, texts: Sequence[str]) -> Ints:
    """int32[n]: codes of texts, empty ones too; -1 for unknown ones."""
    distinct = list(dict.fromkeys(texts))
    found = pools.texts.find_all(distinct)
    found[found == 0] = _UNKNOWN
    codes = dict(zip(distinct, found.tolist(), strict=True))
    return np.fromiter(map(codes.__getitem__, texts), np.int32, len(texts))
