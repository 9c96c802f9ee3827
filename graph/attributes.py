"""Attribute columns: each row holds nothing, or a JSON value with its unit and the origin that stated it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from graph.columns import PagedColumn
from graph.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.columns import Reader, Rows
    from graph.pools import Pools
    from graph.values import JSONValue

# Every integer up to here is a float64 without loss; larger ones are kept as JSON, exactly.
EXACT_INTEGER_MAX = 2**53


class Tag(IntEnum):
    """How the float64 word of a row is read."""

    ABSENT = 0
    NUMBER = 1  # the number
    BOOLEAN = 2  # 0 or 1
    TEXT = 3  # code in `Pools.texts`
    JSON = 4  # code in `Pools.objects`
    INTEGER = 5  # the number, stated without a fraction


class Column:
    """One attribute over all rows, immutable. Rows are any integer arrays."""

    def __init__(
        self,
        tag: Reader[np.uint8],
        word: Reader[np.float64],
        unit: Reader[np.int16],
        origin: Reader[np.int16],
        pools: Pools,
    ) -> None:
        self.tag = tag
        self.word = word
        self.unit = unit
        self.origin = origin
        self.pools = pools

    def numbers(self, rows: Rows) -> npt.NDArray[np.float64]:
        """float64[n] as stated, in the row's own unit; NaN where there is no number."""
        tags = self.tag.take(rows)
        return np.where((tags == Tag.NUMBER) | (tags == Tag.INTEGER), self.word.take(rows), np.nan)

    def present(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """bool[n]: True where the attribute has a value."""
        return self.tag.take(rows) != Tag.ABSENT

    def units(self, rows: Rows) -> list[str | None]:
        return self.pools.units.values(self.unit.take(rows).tolist())

    def value(self, row: int) -> Value | None:
        """The value of one row as stated, or None."""
        tag = self.tag.at(row)
        if tag == Tag.ABSENT:
            return None
        return self._value(tag, self.word.at(row), self.unit.at(row), self.origin.at(row))

    def values(self, rows: Rows) -> list[Value | None]:
        """The values of some rows as stated, None where absent."""
        tags = self.tag.take(rows).tolist()
        words, units = self.word.take(rows).tolist(), self.unit.take(rows).tolist()
        origins = self.origin.take(rows).tolist()
        return [
            self._value(tag, word, unit, origin) if tag else None
            for tag, word, unit, origin in zip(tags, words, units, origins, strict=True)
        ]

    def _value(self, tag: int, word: float, unit: int, origin: int) -> Value:
        pools = self.pools
        return Value(unpack(tag, word, pools), pools.units.value(unit), pools.origins.value(origin))


class ColumnWriter:
    """The writer's side of one attribute."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._tag = PagedColumn(np.uint8)
        self._word = PagedColumn(np.float64)
        self._unit = PagedColumn(np.int16)
        self._origin = PagedColumn(np.int16)
        self._frozen: Column | None = None
        self._frozen_rows = -1

    @classmethod
    def of(
        cls,
        pools: Pools,
        tag: PagedColumn[np.uint8],
        word: PagedColumn[np.float64],
        unit: PagedColumn[np.int16],
        origin: PagedColumn[np.int16],
    ) -> ColumnWriter:
        """An attribute that was saved."""
        writer = cls(pools)
        writer._tag, writer._word, writer._unit, writer._origin = tag, word, unit, origin
        return writer

    def present(self, rows: Rows) -> npt.NDArray[np.bool_]:
        return self._tag.take(rows) != Tag.ABSENT

    def value(self, row: int) -> Value | None:
        tag = self._tag.at(row)
        if tag == Tag.ABSENT:
            return None
        pools = self._pools
        unit, origin = pools.units.value(self._unit.at(row)), pools.origins.value(self._origin.at(row))
        return Value(unpack(tag, self._word.at(row), pools), unit, origin)

    def is_text(self, rows: Rows, codes: Sequence[int]) -> npt.NDArray[np.bool_]:
        """bool[n]: rows that hold one of some interned texts."""
        return (self._tag.take(rows) == Tag.TEXT) & np.isin(
            self._word.take(rows), np.array(codes, np.float64)
        )

    def write(self, rows: Sequence[int], values: Sequence[Value | None]) -> None:
        """State or clear (None) the values of some rows."""
        tags, words, units, origins = self._pack(values)
        self._tag.write(rows, tags)
        self._word.write(rows, words)
        # Most attributes never carry a unit or an origin: then these columns stay empty.
        for column, codes in ((self._unit, units), (self._origin, origins)):
            if column.filled or any(codes):
                column.write(rows, codes)
        self._frozen = None

    def holds(
        self, rows: Rows, tag: Tag, words: npt.NDArray[np.float64], unit: int, origin: int
    ) -> npt.NDArray[np.bool_]:
        """bool[n]: rows that hold exactly these values, as `write_packed` would write them."""
        same = (self._tag.take(rows) == tag) & (self._word.take(rows) == words)
        return same & (self._unit.take(rows) == unit) & (self._origin.take(rows) == origin)

    def write_packed(
        self, rows: range | Rows, tag: Tag, words: npt.NDArray[np.float64], unit: int, origin: int
    ) -> None:
        """State the values of many rows, all of one type: words as `Column` reads them, codes of the rest."""
        self._tag.write(rows, np.full(len(rows), tag, np.uint8))
        self._word.write(rows, words)
        for column, code in ((self._unit, unit), (self._origin, origin)):
            if column.filled or code:
                column.write(rows, np.full(len(rows), code, np.int16))
        self._frozen = None

    def freeze(self, rows: int) -> Column:
        """An immutable view; the same object as before if nothing was written since."""
        if self._frozen is None or self._frozen_rows != rows:
            parts = (self._tag.freeze(rows), self._word.freeze(rows))
            self._frozen = Column(*parts, self._unit.freeze(rows), self._origin.freeze(rows), self._pools)
            self._frozen_rows = rows
        return self._frozen

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in (self._tag, self._word, self._unit, self._origin))

    def _pack(self, values: Sequence[Value | None]) -> tuple[list[int], list[float], list[int], list[int]]:
        tags: list[int] = []
        words: list[float] = []
        units: list[int] = []
        origins: list[int] = []
        pools = self._pools
        for value in values:
            tag, word = pack(value, pools)
            tags.append(tag)
            words.append(word)
            units.append(pools.units.intern(value.unit) if value is not None and value.unit else 0)
            origins.append(pools.origins.intern(value.origin) if value is not None and value.origin else 0)
        return tags, words, units, origins


def pack(value: Value | None, pools: Pools) -> tuple[int, float]:
    """(tag, word) of a value; interns texts and objects."""
    plain = None if value is None else value.value
    if plain is None:
        return Tag.ABSENT, 0.0
    if isinstance(plain, bool):
        return Tag.BOOLEAN, float(plain)
    if isinstance(plain, float):
        return Tag.NUMBER, plain
    if isinstance(plain, int) and abs(plain) <= EXACT_INTEGER_MAX:
        return Tag.INTEGER, float(plain)
    if isinstance(plain, str):
        return Tag.TEXT, float(pools.texts.intern(plain))
    return Tag.JSON, float(pools.objects.intern(plain))


def unpack(tag: int, word: float, pools: Pools) -> JSONValue:
    """The JSON value of (tag, word)."""
    if tag == Tag.NUMBER:
        return word
    if tag == Tag.INTEGER:
        return int(word)
    if tag == Tag.BOOLEAN:
        return word != 0
    if tag == Tag.TEXT:
        return pools.texts.value(int(word))
    return pools.objects.value(int(word)) if tag == Tag.JSON else None
