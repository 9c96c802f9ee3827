"""The two tables of a site, twins and relationships: the writer's side, and what snapshots read of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from graph.attributes import ColumnWriter
from graph.columns import ConstantColumn, PagedColumn
from graph.csr import SiteLinks, build_base, empty_base, tail_is_long

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graph.attributes import Column
    from graph.columns import Reader
    from graph.csr import Links
    from graph.pools import Pools
    from graph.values import Value


class Hints:
    """Text -> rows that once carried it, append-only: readers check every row against their own snapshot."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[int, ...]] = {}

    def add(self, text: str, row: int) -> None:
        known = self._rows.get(text, ())
        if row not in known:
            self._rows[text] = (*known, row)

    def rows(self, text: str) -> tuple[int, ...]:
        return self._rows.get(text, ())


class Ids(Protocol):
    """IRIs <-> rows of a snapshot, dead rows included."""

    def row(self, iri: str) -> int:
        """The row of an IRI, -1 if the snapshot never had it."""
        ...

    def iri(self, row: int) -> str: ...

    def by_local(self, text: str) -> Sequence[int]:
        """Rows that may have been given this local id."""
        ...

    def by_external(self, text: str) -> Sequence[int]:
        """Rows that may have this id in an outside system."""
        ...


class SiteIds:
    """Ids of one site: append-only, shared by the writer and all snapshots."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.rows: dict[str, int] = {}
        self.local = Hints()
        self.external = Hints()

    def add(self, iri: str) -> int:
        """The row of an IRI, new if it was never seen."""
        row = self.rows.get(iri)
        if row is None:
            row = len(self.texts)
            self.texts.append(iri)
            self.rows[iri] = row
        return row


@dataclass(frozen=True, slots=True, eq=False)
class SiteIdsView:
    """`Ids` of one site as far as one snapshot goes."""

    ids: SiteIds
    size: int

    def row(self, iri: str) -> int:
        row = self.ids.rows.get(iri, -1)
        return row if row < self.size else -1

    def iri(self, row: int) -> str:
        return self.ids.texts[row]

    def by_local(self, text: str) -> Sequence[int]:
        return [row for row in self.ids.local.rows(text) if row < self.size]

    def by_external(self, text: str) -> Sequence[int]:
        return [row for row in self.ids.external.rows(text) if row < self.size]


class Keys(Protocol):
    """Relationships of a snapshot by explicit id or by ends, dead ones included."""

    def by_ends(self, source: int, relation: int, target: int, group: int) -> Sequence[int]: ...

    def by_own_id(self, own_id: str) -> Sequence[int]: ...


class SiteKeys:
    """Keys of one site: append-only, shared by the writer and all snapshots."""

    def __init__(self) -> None:
        self.own = Hints()
        self._first: dict[int, int] = {}
        self._more: dict[int, tuple[int, ...]] = {}  # relationships that differ only in their explicit ids

    def add(self, source: int, relation: int, target: int, group: int, edge: int) -> None:
        key = _pack(source, relation, target, group)
        if self._first.setdefault(key, edge) != edge:
            self._more[key] = (*self._more.get(key, ()), edge)

    def by_ends(self, source: int, relation: int, target: int, group: int) -> tuple[int, ...]:
        key = _pack(source, relation, target, group)
        first = self._first.get(key)
        return () if first is None else (first, *self._more.get(key, ()))


def _pack(source: int, relation: int, target: int, group: int) -> int:
    # One integer instead of a tuple: half the memory, and exact.
    return (((source << 32 | target) << 32) | group) << 16 | relation


@dataclass(frozen=True, slots=True, eq=False)
class SiteKeysView:
    keys: SiteKeys
    size: int

    def by_ends(self, source: int, relation: int, target: int, group: int) -> Sequence[int]:
        found = self.keys.by_ends(source, relation, target, group)
        return [edge for edge in found if edge < self.size]

    def by_own_id(self, own_id: str) -> Sequence[int]:
        return [edge for edge in self.keys.own.rows(own_id) if edge < self.size]


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
    mark: Reader[np.uint64]  # see `ids.relationship_mark`; 0 for own ids
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
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = ColumnWriter(self._pools)
        column.write(rows, values)

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

    @property
    def size(self) -> int:
        return len(self.ids.texts)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns; the ids and their index are not in it."""
        return self.attributes.nbytes + _column_bytes(self)

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
        )


class EdgeTable:
    """The writer's side of the relationships of one site."""

    def __init__(self, pools: Pools) -> None:
        self.size = 0
        self.keys = SiteKeys()
        self.alive = PagedColumn(np.bool_)
        self.source = PagedColumn(np.int32)
        self.target = PagedColumn(np.int32)
        self.relation = PagedColumn(np.int32)
        self.group = PagedColumn(np.int32)
        self.own_id = PagedColumn(np.int32)
        self.mark = PagedColumn(np.uint64)
        self.stated = PagedColumn(np.int32)
        self.origins = PagedColumn(np.int32)
        self.attributes = Attributes(pools)
        self._base = empty_base()
        self._links: SiteLinks | None = None

    def links(self, twins: int) -> SiteLinks:
        """The relationships as they are now, walked from twins; merges a long tail into the base."""
        alive, source = self.alive.freeze(self.size), self.source.freeze(self.size)
        target, relation = self.target.freeze(self.size), self.relation.freeze(self.size)
        if tail_is_long(self._base, self.size):
            self._base = build_base(source, target, self.size, twins)
        known = self._links
        if known is None or known.alive is not alive or known.source is not source:
            known = self._links = SiteLinks(self._base, self.size, source, target, relation, alive)
        return known

    @property
    def nbytes(self) -> int:
        """Bytes of all columns and of the sorted ends; the index of keys is not in it."""
        return self.attributes.nbytes + self._base.nbytes + _column_bytes(self)

    def freeze(self, twins: int) -> EdgeView:
        m = self.size
        links = self.links(twins)
        return EdgeView(
            size=m,
            site=ConstantColumn(np.int16(0), m),
            keys=SiteKeysView(self.keys, m),
            links=links,
            alive=links.alive,
            source=links.source,
            target=links.target,
            relation=links.relation,
            group=self.group.freeze(m),
            own_id=self.own_id.freeze(m),
            mark=self.mark.freeze(m),
            stated=self.stated.freeze(m),
            origins=self.origins.freeze(m),
            attributes=self.attributes.freeze(m),
        )


def _column_bytes(table: TwinTable | EdgeTable) -> int:
    columns = cast("list[object]", [*vars(table).values()])
    return sum(column.nbytes for column in columns if isinstance(column, PagedColumn))
