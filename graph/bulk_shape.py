"""Whether columns fit together at all: lengths, types, places. What they say is checked in check_columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np

from graph.bulk import all_texts
from ontology.errors import ChangeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from graph.bulk import AttributeColumn, Columns, RelationshipColumns, TwinColumns

_TYPES = (np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.bool_))
# SQLite keeps no value of more than 10^9 bytes, so one commit holds no more; ids alone would fill it.
ITEMS_MAX = 50_000_000


def check_shape(columns: Columns) -> None:
    """Raises ChangeError COLUMNS_INVALID."""
    if len(columns) > ITEMS_MAX:
        _refuse(f"more than {ITEMS_MAX:,} items in one change")
    if columns.twin_count > len(columns.ids) or not all_texts(columns.ids):
        _refuse("ids must be texts, at least one for each twin")
    for number, twins in enumerate(columns.twins):
        _check_twins(twins, f"twins {number}")
    for number, links in enumerate(columns.relationships):
        _check_relationships(links, len(columns.ids), f"relationships {number}")


def _check_twins(block: TwinColumns, what: str) -> None:
    _check_codes(block.kinds, block.count, range(len(block.kind_sets)), f"{what}: kinds")
    _check_texts(block.names, block.count, f"{what}: names")
    _check_texts(block.local_ids, block.count, f"{what}: local ids")
    if block.external_ids and not 0 <= min(block.external_ids) <= max(block.external_ids) < block.count:
        _refuse(f"{what}: an external id belongs to no item")
    _check_attributes(block.attributes, block.count, what)


def _check_relationships(block: RelationshipColumns, ids: int, what: str) -> None:
    count = block.count
    for name, ends in (("sources", block.sources), ("targets", block.targets)):
        _check_codes(ends, count, range(ids), f"{what}: {name}")
    _check_codes(block.relations, count, range(len(block.relation_names)), f"{what}: relations")
    if block.groups is not None:
        _check_codes(block.groups, count, range(len(block.group_names)), f"{what}: groups")
    elif len(block.group_names) != 1:
        _refuse(f"{what}: without group codes there is one group name")
    if block.stated is not None:
        _check_codes(block.stated, count, range(-1, len(block.stated_names)), f"{what}: stated")
    _check_texts(block.own_ids, count, f"{what}: own ids")
    _check_attributes(block.attributes, count, what)


def _check_attributes(columns: Sequence[AttributeColumn], count: int, what: str) -> None:
    by_name: dict[str, list[AttributeColumn]] = {}
    for column in columns:
        _check_column(column, count, f"{what}: {column.name}")
        by_name.setdefault(column.name, []).append(column)
    for name, parts in by_name.items():
        stated = [_rows(part, count) for part in parts] if len(parts) > 1 else []
        if stated and len(np.unique(np.concatenate(stated))) != sum(map(len, stated)):
            _refuse(f"{what}: {name} is stated twice for one item")


def _check_column(column: AttributeColumn, count: int, what: str) -> None:
    values, rows = column.values, column.rows
    if isinstance(values, np.ndarray) and (values.ndim != 1 or values.dtype not in _TYPES):
        _refuse(f"{what}: arrays of values are float64, int64 or bool")
    if rows is None:
        if len(values) != count:
            _refuse(f"{what}: {len(values)} values for {count} items")
        return
    _check_codes(rows, len(values), range(count), what)
    if len(rows) > 1 and not bool((np.diff(rows) > 0).all()):
        _refuse(f"{what}: rows must ascend")


def _rows(column: AttributeColumn, count: int) -> npt.NDArray[np.integer]:
    return np.arange(count) if column.rows is None else column.rows


def _check_codes(codes: npt.NDArray[np.int32], count: int, allowed: range, what: str) -> None:
    if codes.dtype != np.int32 or codes.shape != (count,):
        _refuse(f"{what}: int32[{count}] is needed, not {codes.dtype}{list(codes.shape)}")
    if count and not (allowed.start <= int(codes.min()) and int(codes.max()) < allowed.stop):
        _refuse(f"{what}: out of range")


def _check_texts(texts: Iterable[str | None] | None, count: int, what: str) -> None:
    if texts is None:
        return
    known = list(texts)
    if len(known) != count or not set(map(type, known)) <= {str, type(None)}:
        _refuse(f"{what}: {count} texts are needed, None where there is none")


def _refuse(message: str) -> NoReturn:
    raise ChangeError(message, code="COLUMNS_INVALID", hint="see graph.bulk for what the columns hold")
