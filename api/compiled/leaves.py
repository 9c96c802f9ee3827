"""The plain fields of twins and points as columns of JSON: each gives one piece for every twin of a frame.

Every rule here is one of `api.schema.rows`, whose answer it must equal to the byte.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from api.compiled.arena import Deopt, Pieces, by_code
from api.compiled.frames import check
from api.compiled.kernels import local_parts
from api.schema.scalars import time_text
from graph.attributes import Tag, unpack
from graph.cells import point_cells
from graph.ids import local_id_of
from graph.jit import read_only
from graph.quality import reason_of, severities, severity_of
from graph.strings import decode_text
from graph.values import Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from api.compiled.arena import Arena
    from api.compiled.frames import Twins
    from api.schema.rows import PointReading
    from graph.cells import Cells
    from graph.keys import IdTable
    from graph.pools import Pools

_UNRESERVED: Final = (string.ascii_letters + string.digits + "_.-~").encode()
PLAIN: Final = np.isin(np.arange(256, dtype=np.uint8), np.frombuffer(_UNRESERVED, np.uint8))
_NULL: Final = b"null"
_NUMERIC: Final = np.isin(np.arange(len(Tag)), (Tag.NUMBER, Tag.INTEGER, Tag.BOOLEAN))


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column, and whether its pieces still need quotes around them."""

    column: Callable[[Twins], Pieces]
    quoted: bool = False
    few: Callable[[Twins], list[bytes]] | None = None


# Texts


def text_pieces(arena: Arena, pools: Pools, codes: npt.NDArray[np.integer[Any]]) -> Pieces:
    """Texts of the pool by code, null for code 0. Deopt for codes that nothing has."""
    return arena.numbered(pools.texts.table.between(0, len(pools.texts) - 1), codes, first=1)


def _ids(twins: Twins) -> Pieces:
    return _by_table(twins, _quoted_ids)


def _quoted_ids(twins: Twins, table: IdTable) -> Pieces:
    return twins.arena.numbered(table.strings, table.numbers)


def _by_table(twins: Twins, read: Callable[[Twins, IdTable], Pieces]) -> Pieces:
    tables = twins.snapshot.twins.ids.tables(twins.rows)
    if len(tables) == 1:
        return read(twins, tables[0])
    pieces = _nothing(twins.count)
    for table in tables:
        put(pieces, table.places, read(twins, table))
    return pieces


def _local_ids(twins: Twins) -> Pieces:
    codes = twins.snapshot.twins.local.take(twins.rows)
    if not codes.any():
        return _by_table(twins, _derived_local_ids)
    pieces = text_pieces(twins.arena, twins.snapshot.pools, codes)
    # An empty text counts as none: its piece is `""`.
    derived = np.flatnonzero((codes == 0) | (pieces.length == 2))
    if len(derived):
        others = type(twins)(twins.run, twins.view, twins.rows[derived])
        put(pieces, derived, _by_table(others, _derived_local_ids))
    return pieces


def _derived_local_ids(twins: Twins, table: IdTable) -> Pieces:
    strings = table.strings
    start = strings.offsets[table.numbers]
    length = strings.offsets[table.numbers + 1] - start
    base = twins.snapshot.heads[table.site].base
    left = local_parts(read_only(strings.data), start, length, np.frombuffer(base.encode(), np.uint8), PLAIN)
    pieces = twins.arena.quoted(strings.data, start, length)
    if left:
        odd = np.flatnonzero(length < 0)
        iris = [decode_text(strings.get(number)) for number in table.numbers[odd].tolist()]
        put(pieces, odd, twins.arena.put_all([orjson.dumps(local_id_of(iri, base)) for iri in iris]))
    return pieces


def _names(twins: Twins) -> Pieces:
    return text_pieces(twins.arena, twins.snapshot.pools, twins.snapshot.twins.name.take(twins.rows))


# Codes


def _kinds(twins: Twins) -> Pieces:
    schema = twins.snapshot.schema

    def encode(kind: int) -> bytes:
        return orjson.dumps(schema.kinds[kind if kind >= 0 else schema.twin_kind].name)

    return by_code(twins.arena, twins.kinds, encode)


def _all_kinds(twins: Twins) -> Pieces:
    schema, pool = twins.snapshot.schema, twins.snapshot.pools.kind_sets

    def encode(code: int) -> bytes:
        found = (schema.kind_by_iri(iri) for iri in pool.value(code) or ())
        return orjson.dumps([schema.kinds[kind.index].name for kind in found if kind is not None])

    return by_code(twins.arena, twins.kind_sets, encode)


def _sites(twins: Twins) -> Pieces:
    sites = twins.snapshot.sites
    codes = twins.snapshot.twins.site.take(twins.rows)
    return by_code(twins.arena, codes, lambda code: orjson.dumps(sites[code]))


def _revisions(twins: Twins) -> Pieces:
    return twins.arena.numbers(twins.snapshot.twins.revision.take(twins.rows))


def _units(twins: Twins) -> Pieces:
    column, pools = twins.snapshot.attribute("unit"), twins.snapshot.pools
    if column is None:
        return twins.arena.repeat(_NULL, twins.count)
    tag, word = column.tag.take(twins.rows), column.word.take(twins.rows)
    is_text = tag == Tag.TEXT
    pieces = by_code(
        twins.arena,
        np.where(is_text, word, 0).astype(np.int64),
        lambda code: orjson.dumps(pools.texts.value(code)),
    )
    odd = np.flatnonzero(~is_text & (tag != Tag.ABSENT))
    if len(odd):
        pairs = zip(tag[odd].tolist(), word[odd].tolist(), strict=True)
        values = (unpack(*pair, pools) for pair in pairs)
        texts = [_NULL if value is None else orjson.dumps(str(value)) for value in values]
        put(pieces, odd, twins.arena.put_all(texts))
    return pieces


# Readings


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Last readings of points; `known` where there was one, all bool[n] but for cells and times."""

    cells: Cells
    times_ns: npt.NDArray[np.int64]
    quality: npt.NDArray[np.uint8]
    known: npt.NDArray[np.bool_]
    is_code: npt.NDArray[np.bool_]


def _readings(twins: Twins) -> Readings:
    def make() -> Readings:
        view = twins.snapshot.twins
        times, quality = view.point_time.take(twins.rows), view.point_quality.take(twins.rows)
        known = times != 0
        check(not (known & (severities(quality) > max(Quality))).any())
        cells = point_cells(twins.snapshot, twins.rows)
        return Readings(cells, times, quality, known, _are_codes(twins))

    return twins.kept("readings", make)


def _are_codes(twins: Twins) -> npt.NDArray[np.bool_]:
    """bool[n]: points whose value type is "code"; the texts of others are texts."""
    column = twins.snapshot.attribute("valueType")
    code = twins.snapshot.pools.texts.find("code")
    if column is None or not code:
        return np.zeros(twins.count, np.bool_)
    stated = column.tag.take(twins.rows) == Tag.TEXT
    return stated & (column.word.take(twins.rows) == code) if stated.any() else stated


def _values(twins: Twins) -> Pieces:
    cells = _readings(twins).cells
    return twins.arena.numbers(np.where(_NUMERIC[cells.tag], cells.word, np.nan))


def _texts(twins: Twins) -> Pieces:
    reading = _readings(twins)
    return _text_values(twins, reading.cells, reading.cells.is_text & ~reading.is_code)


def _states(twins: Twins) -> Pieces:
    reading = _readings(twins)
    pieces = _text_values(twins, reading.cells, reading.cells.is_text & reading.is_code)
    booleans = np.flatnonzero(reading.cells.is_boolean)
    if len(booleans):
        names = twins.arena.put_all([b'"false"', b'"true"'])
        put(pieces, booleans, names.take((reading.cells.word[booleans] != 0).astype(np.int64)))
    return pieces


def _text_values(twins: Twins, cells: Cells, mask: npt.NDArray[np.bool_]) -> Pieces:
    check(not cells.is_text.any() or cells.word[cells.is_text].max() < len(cells.pools.texts))
    if not mask.any():
        return twins.arena.repeat(_NULL, twins.count)
    return text_pieces(twins.arena, cells.pools, np.where(mask, cells.word, 0).astype(np.int64))


def _times(twins: Twins) -> Pieces:
    reading = _readings(twins)
    if reading.known.all():
        return twins.arena.times(reading.times_ns)
    pieces = twins.arena.repeat(_NULL, twins.count)
    known = np.flatnonzero(reading.known)
    put(pieces, known, twins.arena.times(reading.times_ns[known]))
    return pieces


def _qualities(twins: Twins) -> Pieces:
    reading = _readings(twins)
    codes = np.where(reading.known, reading.quality.astype(np.int16), np.int16(-1))
    return by_code(
        twins.arena, codes, lambda code: _NULL if code < 0 else orjson.dumps(severity_of(code).name)
    )


def _quality_reasons(twins: Twins) -> Pieces:
    reading = _readings(twins)
    codes = np.where(reading.known, reading.quality.astype(np.int16), np.int16(0))
    return by_code(twins.arena, codes, lambda code: orjson.dumps(reason_of(code)))


# Of a few twins, as the resolvers find them


def _few(column: str, read: Callable[[Twins], Sequence[object]]) -> Callable[[Twins], list[bytes]]:
    """What `read` gives as JSON. Errors that the resolvers would locate: Deopt."""

    def texts(twins: Twins) -> list[bytes]:
        try:
            return [orjson.dumps(value) for value in twins.kept(("few", column), lambda: read(twins))]
        except (ValueError, IndexError) as error:
            raise Deopt from error

    return texts


def _few_readings(read: Callable[[PointReading], object]) -> Callable[[Twins], list[bytes]]:
    def texts(twins: Twins) -> list[bytes]:
        try:
            found = twins.kept("few readings", twins.cohort.readings)
        except (ValueError, IndexError) as error:
            raise Deopt from error
        return [orjson.dumps(read(reading)) for reading in found]

    return texts


def _kind_names(twins: Twins) -> list[str]:
    schema = twins.snapshot.schema
    return [schema.kinds[kind if kind >= 0 else schema.twin_kind].name for kind in twins.kinds.tolist()]


def _time_text(reading: PointReading) -> str | None:
    return None if reading.time is None else time_text(reading.time)


def _quality_name(reading: PointReading) -> str | None:
    return None if reading.quality is None else reading.quality.name


TWIN_LEAVES: Final[Mapping[str, Leaf]] = {
    "id": Leaf(_ids, few=_few("id", lambda twins: twins.snapshot.ids(twins.rows))),
    "localId": Leaf(_local_ids, few=_few("localId", lambda twins: twins.snapshot.local_ids(twins.rows))),
    "name": Leaf(_names, few=_few("name", lambda twins: twins.snapshot.names(twins.rows))),
    "kind": Leaf(_kinds, few=_few("kind", _kind_names)),
    "kinds": Leaf(_all_kinds),
    "site": Leaf(_sites, few=_few("site", lambda twins: twins.cohort.sites())),
    "revision": Leaf(_revisions, quoted=True),
}
POINT_LEAVES: Final[Mapping[str, Leaf]] = {
    "value": Leaf(_values, few=_few_readings(lambda reading: reading.value)),
    "text": Leaf(_texts, few=_few_readings(lambda reading: reading.text)),
    "state": Leaf(_states, few=_few_readings(lambda reading: reading.state)),
    "unit": Leaf(_units, few=_few("unit", lambda twins: twins.cohort.units())),
    "time": Leaf(_times, few=_few_readings(_time_text)),
    "quality": Leaf(_qualities, few=_few_readings(_quality_name)),
    "qualityReason": Leaf(_quality_reasons, few=_few_readings(lambda reading: reading.quality_reason)),
}


# Pieces


def put(pieces: Pieces, places: npt.NDArray[np.integer[Any]] | None, others: Pieces) -> None:
    """Replace some pieces by others (None: all)."""
    where = slice(None) if places is None else places
    pieces.start[where], pieces.length[where] = others.start, others.length


def _nothing(count: int) -> Pieces:
    return Pieces(np.zeros(count, np.int64), np.zeros(count, np.int64))
