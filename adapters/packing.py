"""A `Parsed` on its way through the pipe: its records as columns, which are smaller and faster to send."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from graph.bulk_records import columns_of, relationship_records, twin_records
from graph.bulk_shape import check_shape
from ontology.errors import ChangeError, InputError, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from adapters.model import Importer, ImportRequest, Parsed
    from graph.bulk import Columns
    from graph.values import RelationshipRecord, TwinRecord
    from ontology.schema import Schema
    from ontology.units import Units

Record = TypeVar("Record", "TwinRecord", "RelationshipRecord")


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """`parsed` without its twins and relationships, and these as columns."""

    parsed: Parsed
    columns: Columns


def read_packed(
    importer: Importer, path: Path, request: ImportRequest, schema: Schema, units: Units
) -> Packed:
    """What an importer reads, packed. Raises what the importer raises."""
    parsed = importer(path, request, schema, units)
    columns = columns_of(list(_runs(parsed.twins)), list(_runs(parsed.relationships)))
    return Packed(replace(parsed, twins=(), relationships=()), columns)


def unpack(packed: Packed, path: Path) -> Parsed:
    """The `Parsed` as it was. InputError IMPORT_CRASHED for columns that no importer made."""
    columns = packed.columns
    try:
        check_shape(columns)
    except ChangeError as error:
        message = f"the importer answered nonsense: {error.message}"
        raise InputError(message, code="IMPORT_CRASHED", place=Place(str(path))) from error
    twins = (twin_records(columns, n, np.arange(block.count)) for n, block in enumerate(columns.twins))
    links = (
        relationship_records(columns, n, np.arange(block.count))
        for n, block in enumerate(columns.relationships)
    )
    return replace(packed.parsed, twins=_joined(twins), relationships=_joined(links))


def _runs(records: Iterable[Record]) -> Iterator[list[Record]]:
    for _, run in groupby(records, key=lambda record: record.origin):
        yield list(run)


def _joined(parts: Iterable[list[Record]]) -> tuple[Record, ...]:
    return tuple(record for part in parts for record in part)
