"""Records to columns and back: what a block of columns means, item by item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from graph.attributes import EXACT_INTEGER_MAX
from graph.bulk import AttributeColumn, Columns, RelationshipColumns, TwinColumns
from graph.values import RelationshipRecord, TwinRecord, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from graph.bulk import Ints, Places, Texts

    # (name, type, unit, origin) -> items and values
    Cells: TypeAlias = dict[tuple[str, type, str | None, str | None], tuple[list[int], list[Any]]]

Item = TypeVar("Item")

_ARRAYS = {float: np.float64, int: np.int64, bool: np.bool_}


def columns_of(
    twins: Sequence[Sequence[TwinRecord]], relationships: Sequence[Sequence[RelationshipRecord]] = ()
) -> Columns:
    """Columns that mean the same as putting these records; a block for each sequence.

    The records of one sequence share one origin.
    """
    ids = [record.id for records in twins for record in records]
    places = dict(zip(ids, range(len(ids)), strict=True))
    blocks = tuple(_relationship_block(records, ids, places) for records in relationships)
    return Columns(ids, tuple(map(_twin_block, twins)), blocks)


def twin_records(columns: Columns, number: int, items: Places) -> list[TwinRecord]:
    """Some twins of a block as records. items: int[k], counted within the block."""
    block, start = columns.twins[number], columns.starts()[number]
    ids = columns.ids
    return [
        TwinRecord(
            id=iri,
            kinds=kinds,
            name=name,
            local_id=local_id,
            attributes=attributes,
            external_ids=block.external_ids.get(item, ()),
            origin=block.origin,
        )
        for item, iri, kinds, name, local_id, attributes in zip(
            items.tolist(),
            _at(ids, items + start),
            _at(block.kind_sets, block.kinds[items]),
            _texts_at(block.names, items),
            _texts_at(block.local_ids, items),
            _attributes_at(block.attributes, items),
            strict=True,
        )
    ]


def relationship_records(columns: Columns, number: int, items: Places) -> list[RelationshipRecord]:
    """Some relationships of a block as records. items: int[k], counted within the block."""
    block = columns.relationships[number]
    ids = columns.ids
    return [
        RelationshipRecord(
            source=source,
            relation=relation,
            target=target,
            group=group or "",
            id=own_id,
            attributes=attributes,
            origin=block.origin,
            stated=stated,
        )
        for source, relation, target, group, own_id, attributes, stated in zip(
            _at(ids, block.sources[items]),
            _at(block.relation_names, block.relations[items]),
            _at(ids, block.targets[items]),
            _names_at(block.group_names, block.groups, items),
            _texts_at(block.own_ids, items),
            _attributes_at(block.attributes, items),
            _names_at((*block.stated_names, None), block.stated, items)
            if block.stated is not None
            else [None] * len(items),
            strict=True,
        )
    ]


def _at(values: Sequence[Item], places: npt.NDArray[np.integer]) -> list[Item]:
    return [values[place] for place in places.tolist()]


def _names_at(names: Sequence[str | None], codes: Ints | None, items: Places) -> list[str | None]:
    """The names of some items; without codes the first name is everybody's, code -1 is the last one."""
    return [names[0]] * len(items) if codes is None else [names[code] for code in codes[items].tolist()]


def _texts_at(texts: Texts | None, items: Places) -> list[str | None]:
    return [None] * len(items) if texts is None else [texts[item] for item in items.tolist()]


def _attributes_at(columns: Iterable[AttributeColumn], items: Places) -> list[dict[str, Value]]:
    found: list[dict[str, Value]] = [{} for _ in range(len(items))]
    for column in columns:
        where, places = stated_at(column, items)
        for item, value in zip(where.tolist(), _values_at(column, places), strict=True):
            found[item][column.name] = Value(value, column.unit, column.origin)
    return found


def stated_at(column: AttributeColumn, items: Places) -> tuple[Places, Places]:
    """Which of some items a column states (positions in `items`), and where in its values."""
    if column.rows is None:
        return np.arange(len(items)), items
    places: Places = np.searchsorted(column.rows, items)
    places = np.minimum(places, max(len(column.rows) - 1, 0))
    here: Places = np.flatnonzero(column.rows[places] == items) if len(column.rows) else places[:0]
    return here, places[here]


def _values_at(column: AttributeColumn, places: Places) -> list[Any]:
    values = column.values
    if isinstance(values, np.ndarray):
        return values[places].tolist()
    return [values[place] for place in places.tolist()]


# To columns


def _twin_block(records: Sequence[TwinRecord]) -> TwinColumns:
    kind_sets: dict[tuple[str, ...], int] = {}
    kinds = [kind_sets.setdefault(record.kinds, len(kind_sets)) for record in records]
    return TwinColumns(
        count=len(records),
        kind_sets=tuple(kind_sets),
        kinds=np.array(kinds, np.int32),
        names=_texts([record.name for record in records]),
        local_ids=_texts([record.local_id for record in records]),
        attributes=_attribute_columns(records),
        external_ids={
            item: record.external_ids for item, record in enumerate(records) if record.external_ids
        },
        origin=_origin(records),
    )


def _relationship_block(
    records: Sequence[RelationshipRecord], ids: list[str], places: dict[str, int]
) -> RelationshipColumns:
    relations: dict[str, int] = {}
    groups: dict[str, int] = {}
    sources = _places([record.source for record in records], ids, places)
    targets = _places([record.target for record in records], ids, places)
    codes = [relations.setdefault(record.relation, len(relations)) for record in records]
    group_codes = [groups.setdefault(record.group, len(groups)) for record in records]
    stated = [record.stated for record in records]
    stated_names = tuple({name: None for name in stated if name is not None})
    numbers = {None: -1, **{name: number for number, name in enumerate(stated_names)}}
    return RelationshipColumns(
        sources=sources,
        targets=targets,
        relation_names=tuple(relations),
        relations=np.array(codes, np.int32),
        group_names=tuple(groups) or ("",),
        groups=np.array(group_codes, np.int32) if len(groups) > 1 else None,
        own_ids=_texts([record.id for record in records]),
        attributes=_attribute_columns(records),
        stated_names=stated_names,
        stated=np.array([numbers[name] for name in stated], np.int32) if stated_names else None,
        origin=_origin(records),
    )


def _places(texts: list[str], ids: list[str], places: dict[str, int]) -> Ints:
    """Places of ends in the table of ids; those that it lacks are added."""
    for text in texts:
        if text not in places:
            places[text] = len(ids)
            ids.append(text)
    return np.fromiter(map(places.__getitem__, texts), np.int32, len(texts))


def _origin(records: Sequence[TwinRecord] | Sequence[RelationshipRecord]) -> str | None:
    return records[0].origin if records else None


def _texts(texts: list[str | None]) -> list[str | None] | None:
    return None if all(text is None for text in texts) else texts


def _attribute_columns(
    records: Sequence[TwinRecord] | Sequence[RelationshipRecord],
) -> tuple[AttributeColumn, ...]:
    cells: Cells = {}
    for item, record in enumerate(records):
        if record.attributes:
            _add_cells(cells, item, record.attributes)
    return tuple(
        _attribute_column(key, items, values, len(records)) for key, (items, values) in cells.items()
    )


def _add_cells(cells: Cells, item: int, attributes: Mapping[str, Value]) -> None:
    for name, value in attributes.items():
        plain = value.value
        kind = type(plain)
        if isinstance(plain, int) and abs(plain) > EXACT_INTEGER_MAX:
            kind = object  # kept exactly, as JSON
        key = (name, kind, value.unit, value.origin)
        items, values = cells.get(key) or cells.setdefault(key, ([], []))
        items.append(item)
        values.append(plain)


def _attribute_column(
    key: tuple[str, type, str | None, str | None], items: list[int], values: list[Any], count: int
) -> AttributeColumn:
    name, kind, unit, origin = key
    rows = None if len(items) == count else np.array(items, np.int32)
    array: Any = np.array(values, _ARRAYS[kind]) if kind in _ARRAYS else values
    return AttributeColumn(name, array, rows, unit, origin)
