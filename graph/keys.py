"""What finds the rows of a site: ids of twins, keys and ids of relationships."""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np

from graph.ids import end_key, ends_of_derived
from graph.interning import InternedTexts
from graph.multimap import Multimap
from graph.strings import SEED_BYTES, Hasher, encode_text, pack_texts
from graph.values import Way

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    import numpy.typing as npt

    from graph.columns import Reader, Rows, Taken
    from graph.csr import Links, SiteLinks
    from graph.interning import InternedParts
    from graph.strings import Strings
    from graph.text_order import Ranking

    Codes: TypeAlias = npt.NDArray[np.int32]

_END_KEYS_AT_ONCE = 1 << 17


class Hints:
    """Text -> rows that may once have carried it, append-only: readers check every row themselves."""

    def __init__(self, hasher: Hasher, entries: Multimap | None = None) -> None:
        self._hasher = hasher
        self.entries = entries or Multimap()

    def add(self, text: str, row: int) -> None:
        key = self._hasher.of(encode_text(text))
        if row not in self.entries.rows(key):
            self.entries.add(key, row)

    def add_all(self, texts: Sequence[str], rows: npt.NDArray[np.int32]) -> None:
        """Enter many rows that were never entered before."""
        self.entries.add_all(self._hasher.of_all(pack_texts(texts)), rows)

    def rows(self, text: str) -> list[int]:
        return self.entries.rows(self._hasher.of(encode_text(text)))


@dataclass(frozen=True, slots=True, eq=False)
class IdTable:
    """Where the IRIs of some rows stand as UTF-8: those of one site.

    places: int64[k], which of the rows are meant (None: all); numbers: int64[k], their places in `strings`
    """

    site: int
    strings: Strings
    numbers: Rows
    places: npt.NDArray[np.int64] | None


class Ids(Protocol):
    """IRIs <-> rows of a snapshot, dead rows included."""

    def row(self, iri: str) -> int:
        """The row of an IRI, -1 if the snapshot never had it."""
        ...

    def rows_of(self, iris: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32[n]: as `row`, for all."""
        ...

    def iri(self, row: int) -> str: ...

    def iris(self, rows: Rows) -> list[str]: ...

    def tables(self, rows: Rows) -> Sequence[IdTable]:
        """The bytes of the IRIs of some rows, not copied; one table where all are of one site."""
        ...

    def rows_with(self, iri: str) -> list[int]:
        """Every row of an IRI: of several sites, a stub and its twin may both have it."""
        ...

    def ranking(self) -> Ranking:
        """All rows in order of IRI, and perhaps later ones than the snapshot's."""
        ...

    def ready_ranking(self) -> Ranking | None:
        """As `ranking`, where it is there already."""
        ...

    def by_local(self, text: str) -> Sequence[int]:
        """Rows that may have been given this local id."""
        ...

    def by_external(self, text: str) -> Sequence[int]:
        """Rows that may have this id in an outside system."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SavedIds:
    """What the ids of a site are saved as."""

    iris: InternedParts
    local: Multimap
    external: Multimap
    ends: Multimap  # one entry for each of the first rows; the others are entered when asked for


class SiteIds:
    """Ids of one site: append-only, shared by the writer and all snapshots."""

    def __init__(self, saved: SavedIds | None = None) -> None:
        self._texts = InternedTexts(saved.iris if saved else None)
        hasher = self._texts.table.hasher
        self.local = Hints(hasher, saved.local if saved else None)
        self.external = Hints(hasher, saved.external if saved else None)
        # `end_key` -> rows, of the first `_ends_count` rows
        self._ends = saved.ends if saved else Multimap()
        self._ends_count = len(self._ends)
        self._ends_lock = Lock()

    def freeze(self) -> SavedIds:
        """All of it, immutable; for a checkpoint. Only for the writer."""
        with self._ends_lock:
            ends = Multimap(self._ends.settle())
        local, external = (Multimap(known.entries.settle()) for known in (self.local, self.external))
        return SavedIds(self._texts.table.freeze(), local, external, ends)

    def __len__(self) -> int:
        return len(self._texts)

    def make_room(self) -> None:
        """See `Interned.make_room`."""
        self._texts.table.make_room()

    def add(self, iri: str) -> int:
        """The row of an IRI, new if it was never seen."""
        return self._texts.add(iri)

    def add_all(self, iris: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32[n]: as `add`, for all; new ones get rows in their order."""
        return self._texts.add_all(iris)

    def row(self, iri: str) -> int:
        """The row of an IRI, -1 if it was never seen."""
        return self._texts.find(iri)

    def rows_of(self, iris: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32[n]: as `row`, for all."""
        return self._texts.find_all(iris)

    def iri(self, row: int) -> str:
        return self._texts.text(row)

    def iris(self, rows: Rows) -> list[str]:
        return self._texts.texts(rows)

    def strings(self, rows: int) -> Strings:
        """The IRIs of the first rows."""
        return self._texts.table.between(0, rows)

    def ranking(self) -> Ranking:
        """All rows in order of IRI."""
        return self._texts.table.ranking()

    def ready_ranking(self) -> Ranking | None:
        return self._texts.table.ready_ranking()

    def by_end_key(self, key: int) -> list[int]:
        """Rows whose IRI has this `end_key`. The index is made when first asked for: few ever ask."""
        with self._ends_lock:
            while self._ends_count < len(self):
                last = min(self._ends_count + _END_KEYS_AT_ONCE, len(self))
                iris = self._texts.table.between(self._ends_count, last).all()
                keys = np.array([end_key(iri) for iri in iris], np.uint32)
                self._ends.add_all(keys, np.arange(self._ends_count, last, dtype=np.int32))
                self._ends_count = last
        return self._ends.rows(key)

    @property
    def nbytes(self) -> int:
        hints = self.local.entries.nbytes + self.external.entries.nbytes
        return self._texts.table.nbytes + hints + self._ends.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class SiteIdsView:
    """`Ids` of one site as far as one snapshot goes."""

    ids: SiteIds
    size: int

    def row(self, iri: str) -> int:
        row = self.ids.row(iri)
        return row if row < self.size else -1

    def rows_of(self, iris: Sequence[str]) -> npt.NDArray[np.int32]:
        rows = self.ids.rows_of(iris)
        return np.where(rows < self.size, rows, np.int32(-1))

    def iri(self, row: int) -> str:
        return self.ids.iri(row)

    def iris(self, rows: Rows) -> list[str]:
        return self.ids.iris(rows)

    def tables(self, rows: Rows) -> Sequence[IdTable]:
        return (IdTable(0, self.ids.strings(self.size), rows, None),)

    def rows_with(self, iri: str) -> list[int]:
        row = self.row(iri)
        return [row] if row >= 0 else []

    def ranking(self) -> Ranking:
        return self.ids.ranking()

    def ready_ranking(self) -> Ranking | None:
        return self.ids.ready_ranking()

    def by_local(self, text: str) -> Sequence[int]:
        return [row for row in self.ids.local.rows(text) if row < self.size]

    def by_external(self, text: str) -> Sequence[int]:
        return [row for row in self.ids.external.rows(text) if row < self.size]


class Ends(Protocol):
    """What a relationship is known by, by row."""

    @property
    def source(self) -> Taken[np.int32]: ...
    @property
    def relation(self) -> Taken[np.int32]: ...
    @property
    def target(self) -> Taken[np.int32]: ...
    @property
    def group(self) -> Taken[np.int32]: ...


class Keys(Protocol):
    """Relationships of a snapshot by explicit id or by ends, dead ones included."""

    def by_ends(self, source: int, relation: int, target: int, group: int) -> Sequence[int]: ...

    def by_own_id(self, own_id: str) -> Sequence[int]:
        """Relationships that may have this explicit id."""
        ...

    def by_derived_id(self, edge_id: str) -> Sequence[int]:
        """Relationships that may have this derived id."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SavedKeys:
    """What the keys of a site are saved as."""

    seed: bytes
    entries: Multimap
    own: Multimap


class SiteKeys:
    """Keys of one site: append-only, shared by the writer and all snapshots. `ends`: the writer's columns.

    An entry is a hash of the ends and eight bytes long; what is found is compared with the columns.
    """

    def __init__(self, ends: Ends, saved: SavedKeys | None = None) -> None:
        self._ends = ends
        self.hasher = Hasher(saved.seed if saved else os.urandom(SEED_BYTES))
        self.own = Hints(self.hasher, saved.own if saved else None)
        self.entries = saved.entries if saved else Multimap()

    def freeze(self) -> SavedKeys:
        """All of it, immutable; for a checkpoint. Only for the writer."""
        entries, own = self.entries.settle(), self.own.entries.settle()
        return SavedKeys(self.hasher.seed, Multimap(entries), Multimap(own))

    def add(self, source: int, relation: int, target: int, group: int, edge: int) -> None:
        """Enter a relationship whose ends are written."""
        self.entries.add(self.hasher.of_tuple(source, relation, target, group), edge)

    def add_all(
        self, source: Codes, relation: Codes, target: Codes, group: Codes, edges: npt.NDArray[np.int32]
    ) -> None:
        """Enter many; all arrays int32[n]."""
        self.entries.add_all(self.hasher.of_numbers(source, relation, target, group), edges)

    def by_ends(self, source: int, relation: int, target: int, group: int) -> tuple[int, ...]:
        """The relationships with these ends; more than one only where explicit ids tell them apart."""
        wanted = (source, relation, target, group)
        return tuple(edge for edge in self.hits(*wanted) if ends_at(self._ends, edge) == wanted)

    def find_all(self, source: Codes, relation: Codes, target: Codes, group: Codes) -> npt.NDArray[np.int32]:
        """int32[n]: the first relationship with each of these ends, dead ones included; -1 for none."""
        places, edges = self.entries.matches(self.hasher.of_numbers(source, relation, target, group))
        same = np.ones(len(edges), np.bool_)
        ends = self._ends
        for column, wanted in (
            (ends.source, source),
            (ends.relation, relation),
            (ends.target, target),
            (ends.group, group),
        ):
            same &= column.take(edges) == wanted[places]
        found = np.full(len(source), np.iinfo(np.int32).max, np.int32)
        np.minimum.at(found, places[same], edges[same])
        found[found == np.iinfo(np.int32).max] = -1
        return found

    def hits(self, source: int, relation: int, target: int, group: int) -> list[int]:
        """The relationships that may have these ends."""
        return self.entries.rows(self.hasher.of_tuple(source, relation, target, group))

    @property
    def nbytes(self) -> int:
        return self.entries.nbytes + self.own.entries.nbytes


def ends_at(ends: Ends, edge: int) -> tuple[int, int, int, int]:
    """(source, relation, target, group) of a relationship."""
    return ends.source.at(edge), ends.relation.at(edge), ends.target.at(edge), ends.group.at(edge)


def between(links: Links, ids: SiteIds, targets: Taken[np.int32], edge_id: str, size: int) -> list[int]:
    """Living relationships whose ends a derived id may mean. size: rows that the caller knows."""
    keys = ends_of_derived(edge_id)
    if keys is None:
        return []
    sources, wanted = ([row for row in ids.by_end_key(key) if row < size] for key in keys)
    if not sources or not wanted:
        return []
    edges, _ = links.expand(np.array(sources, np.int32), Way.OUT, None)
    return edges[np.isin(targets.take(edges), wanted)].tolist()


@dataclass(frozen=True, slots=True, eq=False)
class SiteKeysView:
    """`Keys` of one site as far as one snapshot goes: `size` relationships between `twins` rows."""

    keys: SiteKeys
    size: int
    links: SiteLinks
    group: Reader[np.int32]
    ids: SiteIds
    twins: int

    @property
    def source(self) -> Reader[np.int32]:
        return self.links.source

    @property
    def relation(self) -> Reader[np.int32]:
        return self.links.relation

    @property
    def target(self) -> Reader[np.int32]:
        return self.links.target

    def by_ends(self, source: int, relation: int, target: int, group: int) -> Sequence[int]:
        wanted = (source, relation, target, group)
        found = [edge for edge in self.keys.hits(*wanted) if edge < self.size]
        return [edge for edge in found if ends_at(self, edge) == wanted]

    def by_own_id(self, own_id: str) -> Sequence[int]:
        return [edge for edge in self.keys.own.rows(own_id) if edge < self.size]

    def by_derived_id(self, edge_id: str) -> Sequence[int]:
        return between(self.links, self.ids, self.target, edge_id, self.twins)
