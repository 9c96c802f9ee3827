"""Columns of several sites read as one, without copying: rows of the sites follow each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from graph.attributes import Column

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.columns import Reader, Rows
    from graph.pools import Pools

D = TypeVar("D", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Starts:
    """Where the rows of each part begin: int64[parts + 1], ascending from 0."""

    rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Starts:
        return cls(np.concatenate(([0], np.cumsum(np.array(sizes, np.int64)))).astype(np.int64))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(first row, row after the last) of each part."""
        return zip(self.rows[:-1].tolist(), self.rows[1:].tolist(), strict=True)

    def split(self, row: int) -> tuple[int, int]:
        """(part, row in the part) of one row."""
        part = int(np.searchsorted(self.rows, row, side="right")) - 1
        return part, row - int(self.rows[part])

    def parts(self, rows: Rows) -> npt.NDArray[np.int16]:
        return (np.searchsorted(self.rows, rows, side="right") - 1).astype(np.int16)

    @property
    def size(self) -> int:
        return int(self.rows[-1])


@dataclass(slots=True, eq=False)
class JoinedColumn(Generic[D]):
    """One column over all sites; a part without it (None) reads as zero."""

    _parts: Sequence[Reader[D] | None]
    _starts: Starts
    _dtype: type[D]
    _flat: npt.NDArray[D] | None = field(default=None)

    @property
    def flat(self) -> npt.NDArray[D]:
        if self._flat is None:
            flat = np.zeros(self._starts.size, self._dtype)
            for part, (start, stop) in zip(self._parts, self._starts, strict=True):
                if part is not None:
                    piece = part.flat
                    flat[start : start + len(piece)] = piece[: stop - start]
            flat.flags.writeable = False
            self._flat = flat
        return self._flat

    def take(self, rows: Rows) -> npt.NDArray[D]:
        taken = np.zeros(len(rows), self._dtype)
        for part, (start, stop) in zip(self._parts, self._starts, strict=True):
            if part is not None:
                here = np.flatnonzero((rows >= start) & (rows < stop))
                taken[here] = part.take(rows[here] - start)
        return taken

    def at(self, row: int) -> Any:
        number, place = self._starts.split(row)
        part = self._parts[number]
        return self._dtype(0).item() if part is None else part.at(place)


@dataclass(frozen=True, slots=True, eq=False)
class PartColumn:
    """The number of the part that each row belongs to."""

    starts: Starts

    @property
    def flat(self) -> npt.NDArray[np.int16]:
        return np.repeat(np.arange(len(self.starts.rows) - 1, dtype=np.int16), np.diff(self.starts.rows))

    def take(self, rows: Rows) -> npt.NDArray[np.int16]:
        return self.starts.parts(rows)

    def at(self, row: int) -> int:
        return self.starts.split(row)[0]


@dataclass(slots=True, eq=False)
class MappedColumn(Generic[D]):
    """A column whose values go through a function of (rows, values), row by row."""

    _inner: Reader[D]
    _change: Callable[[Rows, npt.NDArray[D]], npt.NDArray[D]]
    _flat: npt.NDArray[D] | None = field(default=None)

    @property
    def flat(self) -> npt.NDArray[D]:
        if self._flat is None:
            inner = self._inner.flat
            flat = self._change(np.arange(len(inner)), inner)
            flat.flags.writeable = False
            self._flat = flat
        return self._flat

    def take(self, rows: Rows) -> npt.NDArray[D]:
        return self._change(rows, self._inner.take(rows))

    def at(self, row: int) -> Any:
        return self.take(np.array([row]))[0].item()


class JoinedAttributes(Mapping[str, Column]):
    """The attributes of all sites by name; joined when first asked for."""

    def __init__(self, parts: Sequence[Mapping[str, Column]], starts: Starts, pools: Pools) -> None:
        self._parts = parts
        self._starts = starts
        self._pools = pools
        self._names = dict.fromkeys(name for part in parts for name in part)
        self._columns: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        column = self._columns.get(name)
        if column is None:
            if name not in self._names:
                raise KeyError(name)
            column = self._columns[name] = self._join(name)
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _join(self, name: str) -> Column:
        parts = [part.get(name) for part in self._parts]
        starts = self._starts
        return Column(
            JoinedColumn([part and part.tag for part in parts], starts, np.uint8),
            JoinedColumn([part and part.word for part in parts], starts, np.float64),
            JoinedColumn([part and part.unit for part in parts], starts, np.int16),
            JoinedColumn([part and part.origin for part in parts], starts, np.int16),
            self._pools,
        )
