"""The fields of attributes as columns of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import orjson

from api.compiled.arena import Deopt, Pieces, by_code
from api.compiled.frames import Entries, check
from api.compiled.leaves import put, text_pieces
from api.compiled.template import Column, Template, slot
from graph.attributes import Tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from graph.pools import Pool


def _names(entries: Entries) -> Pieces:
    return by_code(entries.arena, entries.cells.name, lambda number: orjson.dumps(entries.names[number]))


def _values(entries: Entries) -> Pieces:
    pieces = Pieces(np.zeros(entries.count, np.int64), np.zeros(entries.count, np.int64))
    for tag in np.flatnonzero(np.bincount(entries.cells.tag)).tolist():
        places = np.flatnonzero(entries.cells.tag == tag)
        put(pieces, places, _values_of(entries, Tag(tag), entries.cells.word[places]))
    return pieces


def _values_of(entries: Entries, tag: Tag, words: npt.NDArray[np.float64]) -> Pieces:
    arena, pools = entries.arena, entries.pools
    if tag is Tag.NUMBER:
        check(np.isfinite(words).all())  # JSON has no such number: an error to tell
        return arena.numbers(words)
    if tag is Tag.INTEGER:
        return arena.numbers(words.astype(np.int64))
    codes = words.astype(np.int64)
    if tag is Tag.TEXT:
        check(codes.min() > 0)
        return text_pieces(arena, pools, codes)
    if tag is Tag.BOOLEAN:
        return by_code(arena, codes, lambda code: b"true" if code else b"false")
    return by_distinct_code(entries, codes)


def by_distinct_code(entries: Entries, codes: npt.NDArray[np.int64]) -> Pieces:
    """Lists and objects."""
    distinct, place = np.unique(codes, return_inverse=True)
    values = entries.pools.objects.values(distinct.tolist())
    if any(value is None for value in values):
        raise Deopt
    return entries.arena.put_all([orjson.dumps(value) for value in values]).take(place)


def _units(entries: Entries) -> Pieces:
    return _coded(entries, entries.pools.units, entries.cells.unit)


def _origins(entries: Entries) -> Pieces:
    return _coded(entries, entries.pools.origins, entries.cells.origin)


def _coded(entries: Entries, pool: Pool[str], codes: npt.NDArray[np.int16]) -> Pieces:
    return by_code(entries.arena, codes, lambda code: orjson.dumps(pool.value(code)))


ATTRIBUTE_FIELDS: Final[Mapping[str, Template[Entries]]] = {
    "name": slot(Column("name", _names)),
    "value": slot(Column("value", _values)),
    "unit": slot(Column("unit", _units)),
    "source": slot(Column("source", _origins)),
}
