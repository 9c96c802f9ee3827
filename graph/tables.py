"""The two tables of a site, twins and relationships: the writer's side, and what snapshots read of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from graph.attributes import ColumnWriter
from graph.columns import ConstantColumn, PagedColumn
from graph.csr import SiteLinks, Tail, empty_base, tail_is_long
from graph.keys import SiteIds, SiteIdsView, SiteKeys, SiteKeysView
from graph.word_index import WordIndex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from graph.attributes import Column, Tag
    from graph.columns import Reader, Rows
    from graph.csr import Base, Links
    from graph.keys import Ids, Keys
    from graph.pools import Pools
    from graph.values import Value


@dataclass(frozen=True, slots=True, eq=False)
class TwinView:
    """All twins of a snapshot by row. Codes are those of `Pools`."""

    size: int
    site: Reader[np.int16]
    ids: Ids
    alive: Reader[np.bool_]
    kind_set: Reader[np.int32]
    name: Reader[np.int32]
    local: Reader[np.int32]  # 0: the local id follows from the IRI
    revision: Reader[np.int64]
    external: Reader[np.int32]
    origins: Reader[np.int32]
    point_time: Reader[np.int64]  # Unix time of the last reading in ns; 0: never
    point_word: Reader[np.uint64]
    point_quality: Reader[np.uint8]
    attributes: Mapping[str, Column]
    words: WordIndex | None = None  # of a snapshot of one site


@dataclass(frozen=True, slots=True, eq=False)
class EdgeView:
    """All relationships of a snapshot by row."""

    size: int
    site: Reader[np.int16]
    keys: Keys
    links: Links
    alive: Reader[np.bool_]
    source: Reader[np.int32]
    target: Reader[np.int32]
    relation: Reader[np.int32]  # index in the schema
    group: Reader[np.int32]
    own_id: Reader[np.int32]  # 0: the id follows from the ends
    stated: Reader[np.int32]
    origins: Reader[np.int32]
    attributes: Mapping[str, Column]


class Attributes:
    """The writer's side of all attributes of one table, by name."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._columns: dict[str, ColumnWriter] = {}

    def __getitem__(self, name: str) -> ColumnWriter | None:
        return self._columns.get(name)

    def value(self, name: str, row: int) -> Value | None:
        column = self._columns.get(name)
        return column.value(row) if column else None

    def of(self, row: int) -> dict[str, Value]:
        """All attributes of one row."""
        found = ((name, column.value(row)) for name, column in self._columns.items())
        return {name: value for name, value in found if value is not None}

    def write(self, name: str, rows: Sequence[int], values: Sequence[Value | None]) -> None:
        self._column(name).write(rows, values)

    def count_of(self, rows: Rows) -> npt.NDArray[np.int32]:
        """int32[n]: how many attributes each of some rows has."""
        count = np.zeros(len(rows), np.int32)
        for column in self._columns.values():
            count += column.present(rows)
        return count

    def write_packed(
        self, name: str, rows: range | Rows, tag: Tag, words: npt.NDArray[np.float64], unit: int, origin: int
    ) -> None:
        """See `ColumnWriter.write_packed`."""
        self._column(name).write_packed(rows, tag, words, unit, origin)

    def _column(self, name: str) -> ColumnWriter:
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = ColumnWriter(self._pools)
        return column

    def put(self, name: str, column: ColumnWriter) -> None:
        """Enter an attribute that was saved."""
        self._columns[name] = column

    def clear(self, rows: Sequence[int]) -> None:
        """Rows that die lose all attributes, so that a revived row starts empty."""
        for column in self._columns.values():
            filled = [row for row, here in zip(rows, column.present(np.asarray(rows)), strict=True) if here]
            if filled:
                column.write(filled, [None] * len(filled))

    def freeze(self, rows: int) -> dict[str, Column]:
        return {name: column.freeze(rows) for name, column in self._columns.items()}

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in self._columns.values())


class TwinTable:
    """The writer's side of the twins of one site."""

    def __init__(self, pools: Pools) -> None:
        self.ids = SiteIds()
        self.alive = PagedColumn(np.bool_)
        self.kind_set = PagedColumn(np.int32)
        self.name = PagedColumn(np.int32)
        self.name_origin = PagedColumn(np.int16)
        self.local = PagedColumn(np.int32)
        self.revision = PagedColumn(np.int64)
        self.external = PagedColumn(np.int32)
        self.origins = PagedColumn(np.int32)
        self.point_time = PagedColumn(np.int64)
        self.point_word = PagedColumn(np.uint64)
        self.point_quality = PagedColumn(np.uint8)
        self.attributes = Attributes(pools)
        self.words = WordIndex()

    @property
    def size(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, ids and indexes; texts in pools are not in it."""
        return self.ids.nbytes + self.attributes.nbytes + _column_bytes(self)

    def freeze(self) -> TwinView:
        n = self.size
        return TwinView(
            size=n,
            site=ConstantColumn(np.int16(0), n),
            ids=SiteIdsView(self.ids, n),
            alive=self.alive.freeze(n),
            kind_set=self.kind_set.freeze(n),
            name=self.name.freeze(n),
            local=self.local.freeze(n),
            revision=self.revision.freeze(n),
            external=self.external.freeze(n),
            origins=self.origins.freeze(n),
            point_time=self.point_time.freeze(n),
            point_word=self.point_word.freeze(n),
            point_quality=self.point_quality.freeze(n),
            attributes=self.attributes.freeze(n),
            words=self.words,
        )


class EdgeTable:
    """The writer's side of the relationships of one site."""

    def __init__(self, pools: Pools) -> None:
        self.size = 0
        self.alive = PagedColumn(np.bool_)
        self.source = PagedColumn(np.int32)
        self.target = PagedColumn(np.int32)
        self.relation = PagedColumn(np.int32)
        self.group = PagedColumn(np.int32)
        self.keys = SiteKeys(self)
        self.own_id = PagedColumn(np.int32)
        self.stated = PagedColumn(np.int32)
        self.origins = PagedColumn(np.int32)
        self.attributes = Attributes(pools)
        self.base = empty_base()
        self._tail = Tail(0)
        self._links: SiteLinks | None = None

    def links(self) -> SiteLinks:
        """The relationships as they are now, walked from twins."""
        alive, source = self.alive.freeze(self.size), self.source.freeze(self.size)
        known = self._links
        if known is None or known.alive is not alive or known.source is not source:
            target, relation = self.target.freeze(self.size), self.relation.freeze(self.size)
            known = SiteLinks(self.base, self._tail, self.size, source, target, relation, alive)
            self._links = known
        return known

    def take_base(self, base: Base) -> None:
        """Walk from another base, made of the first relationships of this table."""
        self.base, self._tail, self._links = base, Tail(base.count), None

    @property
    def base_is_old(self) -> bool:
        """Whether so many relationships came since the base was made that another is worth its while."""
        return tail_is_long(self.base, self.size)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, of the sorted ends and of the index of keys; texts in pools are not in it."""
        return (
            self.keys.nbytes
            + self.attributes.nbytes
            + self.base.nbytes
            + self._tail.nbytes
            + _column_bytes(self)
        )

    def freeze(self, ids: SiteIds) -> EdgeView:
        m, twins = self.size, len(ids)
        links, group = self.links(), self.group.freeze(m)
        return EdgeView(
            size=m,
            site=ConstantColumn(np.int16(0), m),
            keys=SiteKeysView(self.keys, m, links, group, ids, twins),
            links=links,
            alive=links.alive,
            source=links.source,
            target=links.target,
            relation=links.relation,
            group=group,
            own_id=self.own_id.freeze(m),
            stated=self.stated.freeze(m),
            origins=self.origins.freeze(m),
            attributes=self.attributes.freeze(m),
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of columns, see `TwinTable.nbytes` and `EdgeTable.nbytes`."""

    twin_bytes: int
    relationship_bytes: int


def _column_bytes(table: TwinTable | EdgeTable) -> int:
    columns = cast("list[object]", [*vars(table).values()])
    return sum(column.nbytes for column in columns if isinstance(column, PagedColumn))
