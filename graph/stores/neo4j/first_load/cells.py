"""Columns of a snapshot as columns of Arrow, with the values that `graph.stores.neo4j.rows` would write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from graph.attributes import Tag
from graph.readings.arrow import pa
from graph.stores.neo4j.rows import TAGGED, UNITS_BYTES_MAX, stored, units_properties
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.attributes import Column
    from graph.columns import Rows
    from graph.interning import Interned
    from graph.strings import Strings

# Between the elements of a list. No IRI and no prefixed name can hold it.
DELIMITER: Final = "\x1f"
LONG, DOUBLE, BOOLEAN, STRING = "long", "double", "boolean", "string"
TYPES: Final = ("", LONG, DOUBLE, BOOLEAN, STRING)
_ARROW: Final = {LONG: pa.int64(), DOUBLE: pa.float64(), BOOLEAN: pa.bool_(), STRING: pa.large_string()}
_OF_TAG: Final = np.zeros(max(Tag) + 1, np.uint8)
_OF_TAG[[Tag.INTEGER, Tag.NUMBER, Tag.BOOLEAN, Tag.TEXT]] = [
    TYPES.index(one) for one in (LONG, DOUBLE, BOOLEAN, STRING)
]
_JSON: Final = msgspec.json.Encoder(order="deterministic")
_BYTES_AT_ONCE: Final = 1 << 20
# Every byte as Java reads it, -128 to 127, and the delimiter; zeros fill up.
_NUMBERS: Final = np.array(
    [f"{number}{DELIMITER}".encode() for number in [*range(128), *range(-128, 0)]], "S5"
)


def same(text: str, count: int) -> Any:
    """One text, so many times."""
    return pa.repeat(pa.scalar(text, pa.large_string()), count)


def texts(strings: Strings) -> Any:
    """Strings as they are, without an object for each."""
    first = int(strings.offsets[0])
    data = strings.data[first : int(strings.offsets[-1])]
    offsets = np.ascontiguousarray(strings.offsets - first)
    return pa.LargeStringArray.from_buffers(len(strings), pa.py_buffer(offsets), pa.py_buffer(data))


def coded_texts(table: Interned, codes: npt.NDArray[np.int64]) -> Any:
    """Texts of a pool by their codes; 0 is no text."""
    here = codes > 0
    found = table.take(codes[here] - 1)
    if here.all():
        return texts(found)
    ends = np.zeros(len(codes) + 1, np.int64)
    ends[1:] = np.cumsum(here)
    offsets = found.offsets[ends]
    valid = np.packbits(here, bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(found.data)]
    return pa.Array.from_buffers(pa.large_string(), len(codes), buffers)


def by_code(codes: npt.NDArray[Any], text_of: Callable[[int], str | None]) -> Any:
    """A text for each code, made once for each distinct one."""
    distinct, places = np.unique(codes, return_inverse=True)
    known = pa.array([text_of(code) for code in distinct.tolist()], pa.large_string())
    return known.take(pa.array(places))


def value_types(column: Column, rows: Rows) -> npt.NDArray[np.uint8]:
    """uint8[n]: places in TYPES, what each row's value is in Neo4j; 0 where there is none."""
    tags = column.tag.take(rows)
    types = _OF_TAG[tags]
    packed = np.flatnonzero(tags == Tag.JSON)
    if len(packed):
        codes, places = np.unique(column.word.take(rows[packed]), return_inverse=True)
        known = [_type_of_object(column, int(code)) for code in codes.tolist()]
        types[packed] = np.array(known, np.uint8)[places]
    return types


def values(column: Column, rows: Rows, kind: str) -> Any:
    """The values of one attribute, all of one type or absent."""
    tags, words = column.tag.take(rows), column.word.take(rows)
    absent = tags == Tag.ABSENT
    if (tags == Tag.JSON).any() or (kind == STRING and _may_be_tagged(column, words[~absent])):
        found = (None if value is None else stored(value.value) for value in column.values(rows))
        return pa.array(found, _ARROW[kind], size=len(rows))
    if kind == STRING:
        return coded_texts(column.pools.texts.table, np.where(absent, 0, words).astype(np.int64))
    plain = words != 0 if kind == BOOLEAN else words.astype(np.int64) if kind == LONG else words
    return pa.array(plain, _ARROW[kind], mask=absent)


def units(columns: dict[str, Column], rows: Rows) -> Any:
    """What `_units` says of each row: all units of its attributes as JSON. columns: those that have any."""
    stated = [np.where(one.present(rows), one.unit.take(rows), 0) for one in columns.values()]
    combined, places = np.unique(np.stack(stated, axis=1), axis=0, return_inverse=True)
    pool = next(iter(columns.values())).pools.units
    known = [
        {name: pool.value(code) for name, code in zip(columns, codes, strict=True) if code}
        for codes in combined.tolist()
    ]
    made = [_JSON.encode(one).decode() if one else None for one in known]
    if any(text is not None and "_units_long" in units_properties(text) for text in made):
        message = f"the units of the attributes of one twin are more than {UNITS_BYTES_MAX:,} bytes of JSON"
        raise StoreError(message, code="EXPORT_UNFIT", hint="let the server load the graph")
    return pa.array(made, pa.large_string()).take(pa.array(places.reshape(-1)))


def has_units(column: Column, rows: Rows) -> bool:
    return bool((column.present(rows) & (column.unit.take(rows) != 0)).any())


def listed(parts: Sequence[str]) -> str:
    """A list of texts as one. StoreError EXPORT_UNFIT where one holds the delimiter."""
    for part in parts:
        if DELIMITER in part:
            message = f"{part!r} holds U+001F, which separates the elements of lists in the import files"
            raise StoreError(message, code="EXPORT_UNFIT", hint="change that text; nothing was written")
    return DELIMITER.join(parts)


def listed_bytes(data: bytes) -> str:
    """A byte array as the import reads it: a number for each byte."""
    pieces: list[bytes] = []
    for first in range(0, len(data), _BYTES_AT_ONCE):
        codes = np.frombuffer(data, np.uint8, min(_BYTES_AT_ONCE, len(data) - first), first)
        letters = _NUMBERS[codes].view(np.uint8)
        pieces.append(letters[letters != 0].tobytes())
    return b"".join(pieces)[:-1].decode("ascii")


def _type_of_object(column: Column, code: int) -> int:
    return TYPES.index(LONG if isinstance(stored(column.pools.objects.value(code)), int) else STRING)


def _may_be_tagged(column: Column, words: npt.NDArray[np.float64]) -> bool:
    """Whether a text begins as a tagged value does."""
    codes = np.unique(words).astype(np.int64)
    return bool(
        column.pools.texts.table.take(codes - 1).begin_with(TAGGED[0].encode(), np.arange(len(codes))).any()
    )
