"""Columns <-> bytes, as a part of the payload of a commit: msgpack with arrays as little-endian bytes.

Ids lose the beginning that they share. Texts that repeat a lot are kept once, with a code for each item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from graph.bulk import AttributeColumn, Columns, RelationshipColumns, TwinColumns, all_texts
from graph.values import ExternalId

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.bulk import Texts

_JOINT = "\n"
# Texts are kept as codes where there are at most so many times fewer different ones than items.
_REPEATED_MIN = 4
_CODE_TYPES = (np.uint8, np.uint16, np.int32)


def columns_row(columns: Columns) -> Any:
    """What msgpack can write."""
    twins = [_twins_row(block) for block in columns.twins]
    return (_texts_row(columns.ids), twins, [_relationships_row(block) for block in columns.relationships])


def read_columns(row: Any) -> Columns:
    """Raises ValueError, TypeError or IndexError for what `columns_row` did not make."""
    ids, twins, relationships = row
    blocks = tuple(map(_read_relationships, relationships))
    return Columns(_read_texts(ids), tuple(map(_read_twins, twins)), blocks)


def _twins_row(block: TwinColumns) -> Any:
    external = [(i, [(known.system, known.id) for known in ids]) for i, ids in block.external_ids.items()]
    return (
        block.count,
        block.kind_sets,
        _codes_row(block.kinds),
        _texts_row(block.names),
        _texts_row(block.local_ids),
        [_attribute_row(column) for column in block.attributes],
        external,
        block.origin,
    )


def _read_twins(row: Any) -> TwinColumns:
    count, kind_sets, kinds, names, local_ids, attributes, external, origin = row
    return TwinColumns(
        count=count,
        kind_sets=tuple(map(tuple, kind_sets)),
        kinds=_read_codes(kinds),
        names=_read_texts(names),
        local_ids=_read_texts(local_ids),
        attributes=tuple(map(_read_attribute, attributes)),
        external_ids={i: tuple(ExternalId(*known) for known in ids) for i, ids in external},
        origin=origin,
    )


def _relationships_row(block: RelationshipColumns) -> Any:
    return (
        _codes_row(block.sources),
        _codes_row(block.targets),
        block.relation_names,
        _codes_row(block.relations),
        block.group_names,
        None if block.groups is None else _codes_row(block.groups),
        _texts_row(block.own_ids),
        [_attribute_row(column) for column in block.attributes],
        block.stated_names,
        None if block.stated is None else _codes_row(block.stated + np.int32(1)),
        block.origin,
    )


def _read_relationships(row: Any) -> RelationshipColumns:
    sources, targets, names, relations, groups_of, groups, own_ids, attributes, said, stated, origin = row
    return RelationshipColumns(
        sources=_read_codes(sources),
        targets=_read_codes(targets),
        relation_names=tuple(names),
        relations=_read_codes(relations),
        group_names=tuple(groups_of),
        groups=None if groups is None else _read_codes(groups),
        own_ids=_read_texts(own_ids),
        attributes=tuple(map(_read_attribute, attributes)),
        stated_names=tuple(said),
        stated=None if stated is None else _read_codes(stated) - np.int32(1),
        origin=origin,
    )


def _attribute_row(column: AttributeColumn) -> Any:
    rows = None if column.rows is None else _codes_row(column.rows)
    return (column.name, _values_row(column.values), rows, column.unit, column.origin)


def _read_attribute(row: Any) -> AttributeColumn:
    name, values, rows, unit, origin = row
    return AttributeColumn(
        name, _read_values(values), None if rows is None else _read_codes(rows), unit, origin
    )


def _values_row(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        array = cast("npt.NDArray[Any]", values)
        return ("array", array.dtype.kind, _bytes(array))
    return ("texts", _texts_row(values)) if all_texts(values) else ("json", list(values))


def _read_values(row: Any) -> Any:
    kind, *rest = row
    if kind == "array":
        return np.frombuffer(rest[1], {"f": "<f8", "i": "<i8", "b": "?"}[rest[0]])
    return _read_texts(rest[0]) if kind == "texts" else rest[0]


def _codes_row(codes: npt.NDArray[np.int32]) -> Any:
    """Codes that are not negative, in as few bytes as the largest needs."""
    most = int(codes.max(initial=0))
    kind = next(kind for kind in _CODE_TYPES if most <= np.iinfo(kind).max)
    return (np.dtype(kind).itemsize, _bytes(codes.astype(kind)))


def _read_codes(row: Any) -> npt.NDArray[np.int32]:
    size, data = row
    return np.frombuffer(data, {1: "<u1", 2: "<u2", 4: "<i4"}[size]).astype(np.int32)


def _bytes(array: npt.NDArray[Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _texts_row(texts: Texts | None) -> Any:
    if texts is None:
        return None
    distinct = dict.fromkeys(texts)
    if len(distinct) * _REPEATED_MIN <= len(texts):
        places = dict(zip(distinct, range(len(distinct)), strict=True))
        codes = np.fromiter(map(places.__getitem__, texts), np.int32, len(texts))
        return ("codes", list(distinct), _codes_row(codes))
    if None in distinct:
        return ("plain", list(texts))
    return _joined_row([text for text in texts if text is not None])


def _joined_row(texts: Sequence[str]) -> Any:
    shared = _beginning(min(texts), max(texts)) if texts else ""
    joined = _JOINT.join([text[len(shared) :] for text in texts])
    if joined.count(_JOINT) != len(texts) - 1:
        return ("plain", list(texts))
    return ("joined", shared, joined)


def _beginning(first: str, last: str) -> str:
    """What two texts begin with; of the least and the greatest of many: what all begin with."""
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((place for place, (one, other) in pairs if one != other), min(len(first), len(last)))]


def _read_texts(row: Any) -> Any:
    if row is None:
        return None
    kind, *rest = row
    if kind == "joined":
        shared, joined = rest
        return [shared + text for text in joined.split(_JOINT)]
    if kind == "codes":
        texts: list[str | None] = rest[0]
        codes = rest[1]
        return list(map(texts.__getitem__, _read_codes(codes).tolist()))
    return rest[0]
