"""Which rows stand in one table: a column of the import has one type, attributes may have several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.stores.neo4j.first_load.cells import TYPES, has_units, value_types
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from graph.attributes import Column

LAYOUTS_MAX: Final = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Rows of one sort (set of kinds, relation), and the attributes that they have, each of one type.

    with_units: those of the attributes that carry a unit somewhere.
    """

    sort: int
    types: dict[str, str]
    with_units: tuple[str, ...]
    rows: npt.NDArray[np.int64]


def layouts(
    rows: npt.NDArray[np.int64], sorts: npt.NDArray[np.int32], columns: Mapping[str, Column]
) -> Iterator[Layout]:
    """All of some rows, each in one layout. StoreError EXPORT_UNFIT where that would take too many."""
    order = np.argsort(sorts, kind="stable")
    distinct, begins = np.unique(sorts[order], return_index=True)
    ends, made = [*begins[1:].tolist(), len(rows)], 0
    for sort, begin, end in zip(distinct.tolist(), begins.tolist(), ends[: len(begins)], strict=True):
        mine = rows[order[begin:end]]
        for layout in _of_sort(sort, mine, columns):
            made += 1
            if made > LAYOUTS_MAX:
                message = f"values of so many types are mixed that they need more than {LAYOUTS_MAX} tables"
                hint = "give each attribute values of one type"
                raise StoreError(message, code="EXPORT_UNFIT", hint=hint)
            yield layout


def _of_sort(sort: int, rows: npt.NDArray[np.int64], columns: Mapping[str, Column]) -> Iterator[Layout]:
    plain: dict[str, str] = {}
    mixed: dict[str, npt.NDArray[np.uint8]] = {}
    for name in sorted(columns):
        types = value_types(columns[name], rows)
        found = np.unique(types[types > 0]).tolist()
        if len(found) == 1:
            plain[name] = TYPES[found[0]]
        elif found:
            mixed[name] = types
    for types, mine in _apart(rows, mixed):
        names = sorted({*plain, *types})
        stated = tuple(name for name in names if has_units(columns[name], mine))
        yield Layout(sort, {name: plain.get(name) or types[name] for name in names}, stated, mine)


def _apart(
    rows: npt.NDArray[np.int64], mixed: dict[str, npt.NDArray[np.uint8]]
) -> Iterator[tuple[dict[str, str], npt.NDArray[np.int64]]]:
    """Rows that agree in the types of attributes which have several; where one is absent, any will do."""
    if not mixed:
        yield {}, rows
        return
    combined, places = np.unique(np.stack(list(mixed.values()), axis=1), axis=0, return_inverse=True)
    tables: list[npt.NDArray[np.uint8]] = []
    table_of = np.zeros(len(combined), np.int64)
    for number, types in enumerate(combined):
        fitting = (place for place, known in enumerate(tables) if _agree(known, types))
        table = next(fitting, len(tables))
        if table == len(tables):
            tables.append(types.copy())
        tables[table] = np.maximum(tables[table], types)
        table_of[number] = table
    chosen = table_of[places.reshape(-1)]
    for number, table in enumerate(tables):
        codes: list[int] = table.tolist()
        types = {name: TYPES[code] for name, code in zip(mixed, codes, strict=True) if code}
        yield types, rows[chosen == number]


def _agree(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    return bool(((one == other) | (one == 0) | (other == 0)).all())
