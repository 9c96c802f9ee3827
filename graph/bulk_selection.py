"""Some items of columns as columns of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from graph.bulk import Columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.bulk import AttributeColumn, Ints, Places, RelationshipColumns, Texts, TwinColumns

    Mask = npt.NDArray[np.bool_]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """places: int32[len(columns.ids)], where each id stood before."""

    columns: Columns
    places: Ints


def select(columns: Columns, twins: Sequence[Mask], relationships: Sequence[Mask]) -> Selected:
    """The items that the masks keep, one mask for each block. Blocks stay, also where nothing is left."""
    if all(mask.all() for mask in (*twins, *relationships)):
        return Selected(columns, np.arange(len(columns.ids), dtype=np.int32))
    blocks = tuple(_some_twins(*pair) for pair in zip(columns.twins, twins, strict=True))
    links = tuple(
        _some_relationships(*pair) for pair in zip(columns.relationships, relationships, strict=True)
    )
    places = _kept_places(columns, twins, links)
    moved = np.full(len(columns.ids), -1, np.int32)
    moved[places] = np.arange(len(places), dtype=np.int32)
    ids = taken(columns.ids, places)
    links = tuple(replace(one, sources=moved[one.sources], targets=moved[one.targets]) for one in links)
    return Selected(Columns(ids, blocks, links), places)


def _kept_places(columns: Columns, twins: Sequence[Mask], links: Sequence[RelationshipColumns]) -> Ints:
    """Places of the ids that are still used: those of twins first, in their order."""
    put = np.zeros(len(columns.ids), np.bool_)
    if twins:
        put[: columns.twin_count] = np.concatenate(twins)
    used = np.zeros(len(columns.ids), np.bool_)
    for block in links:
        used[block.sources] = True
        used[block.targets] = True
    return np.concatenate((np.flatnonzero(put), np.flatnonzero(used & ~put))).astype(np.int32)


def _some_twins(block: TwinColumns, mask: Mask) -> TwinColumns:
    if mask.all():
        return block
    items = np.flatnonzero(mask)
    moved = _moved(mask)
    return replace(
        block,
        count=len(items),
        kinds=block.kinds[items],
        names=_texts(block.names, items),
        local_ids=_texts(block.local_ids, items),
        attributes=_attributes(block.attributes, mask),
        external_ids={int(moved[item]): known for item, known in block.external_ids.items() if mask[item]},
    )


def _some_relationships(block: RelationshipColumns, mask: Mask) -> RelationshipColumns:
    if mask.all():
        return block
    items = np.flatnonzero(mask)
    return replace(
        block,
        sources=block.sources[items],
        targets=block.targets[items],
        relations=block.relations[items],
        groups=None if block.groups is None else block.groups[items],
        own_ids=_texts(block.own_ids, items),
        attributes=_attributes(block.attributes, mask),
        stated=None if block.stated is None else block.stated[items],
    )


def _attributes(columns: Sequence[AttributeColumn], mask: Mask) -> tuple[AttributeColumn, ...]:
    moved = _moved(mask)
    found: list[AttributeColumn] = []
    for column in columns:
        kept = mask if column.rows is None else mask[column.rows]
        places = np.flatnonzero(kept)
        rows = None if column.rows is None else moved[column.rows[places]]
        values = (
            column.values[places] if isinstance(column.values, np.ndarray) else taken(column.values, places)
        )
        if len(places):
            found.append(replace(column, rows=rows, values=values))
    return tuple(found)


def _moved(mask: Mask) -> Ints:
    """int32[n]: what number each kept item gets."""
    return (np.cumsum(mask) - 1).astype(np.int32)


def _texts(texts: Texts | None, items: Places) -> Texts | None:
    return None if texts is None else taken(texts, items)


def taken(values: Sequence[Item], places: Places) -> list[Item]:
    """Some of the values, in the order of `places`."""
    return [values[place] for place in places.tolist()]
