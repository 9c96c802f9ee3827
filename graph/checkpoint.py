"""What a checkpoint holds of a site: capturing it, saving it, loading it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec
import numpy as np

from graph.attributes import ColumnWriter
from graph.checkpoint_file import Section, open_checkpoint, write_checkpoint
from graph.checkpoint_parts import index_section, interned_sections, load_index, load_interned
from graph.checkpoint_pools import PoolsSaved, capture_pools, load_pools, pool_sections
from graph.columns import PAGE_ROWS, PagedColumn
from graph.csr import Base, Csr
from graph.keys import SavedIds, SavedKeys, SiteIds, SiteKeys
from graph.multimap import Multimap
from graph.recoding import (
    ATTRIBUTE_COLUMNS,
    EDGE_COLUMNS,
    TWIN_COLUMNS,
    UsedCodes,
    is_identity,
    recode,
    recode_words,
)
from graph.state import State
from graph.stores.protocol import Head
from graph.tables import EdgeTable, TwinTable
from ontology.errors import Place, StoreError
from ontology.terms import KindRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from graph.checkpoint_file import CheckpointFile
    from graph.checkpoint_pools import PoolParts
    from graph.columns import FrozenColumn
    from graph.pools import Pools
    from graph.recoding import Recoding
    from ontology.schema import Schema

_CHUNK_PAGES = 256
_CHUNK_ROWS = 1 << 20


class About(msgspec.Struct, frozen=True):
    """What stands in the table of a checkpoint file."""

    site: str
    base: str
    sequence: int
    time_ns: int
    digest: bytes  # of the journal at that sequence
    twins: int
    relationships: int
    kinds: tuple[KindRecord, ...]  # of users and imports
    relations: tuple[str, ...]  # IRIs by code
    attributes: dict[str, tuple[str, ...]]  # names by number, of "twins" and "edges"
    sorted_edges: int  # how many relationships the sorted ends cover
    seeds: dict[str, bytes]  # of the indexes
    pools: PoolsSaved

    @property
    def head(self) -> Head:
        return Head(self.sequence, self.time_ns, self.digest)


_ABOUT: Final = msgspec.msgpack.Decoder(About)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """A site at one commit, immutable: taken under the writer's lock, saved without it."""

    head: Head
    site: str
    base: str
    schema: Schema
    columns: Mapping[str, Mapping[str, FrozenColumn[Any]]]  # of "twins" and "edges", by name
    attributes: Mapping[str, Mapping[str, Mapping[str, FrozenColumn[Any]]]]  # by table, name, part
    ids: SavedIds
    keys: SavedKeys
    sorted_ends: Base
    residue: Mapping[str, tuple[str, ...]]
    pools: PoolParts
    relationships: int

    @property
    def tables(self) -> Iterator[tuple[str, FrozenColumn[Any], str | None]]:
        """(section, column, pool of its codes) of all columns but the words of attributes."""
        for table, pools in (("twins", TWIN_COLUMNS), ("edges", EDGE_COLUMNS)):
            for name, column in self.columns[table].items():
                yield f"{table}.{name}", column, pools[name]
            for number, parts in enumerate(self.attributes[table].values()):
                for name, pool in ATTRIBUTE_COLUMNS.items():
                    if name != "word":
                        yield f"{table}.attribute.{number}.{name}", parts[name], pool

    @property
    def words(self) -> Iterator[tuple[str, FrozenColumn[Any], FrozenColumn[Any]]]:
        """(section, words, tags) of all attributes."""
        for table in ("twins", "edges"):
            for number, parts in enumerate(self.attributes[table].values()):
                yield f"{table}.attribute.{number}.word", parts["word"], parts["tag"]


def capture(state: State, head: Head) -> Capture:
    """A site as it is now; under the writer's lock. Copies no rows, so it takes moments.

    head: the commit that the state shows.
    """
    twins, edges = state.twins, state.edges
    return Capture(
        head=head,
        site=state.site,
        base=state.base,
        schema=state.schema,
        columns={
            "twins": {name: getattr(twins, name).freeze(twins.size) for name in TWIN_COLUMNS},
            "edges": {name: getattr(edges, name).freeze(edges.size) for name in EDGE_COLUMNS},
        },
        attributes={
            "twins": _attribute_parts(twins),
            "edges": _attribute_parts(edges),
        },
        ids=twins.ids.freeze(),
        keys=edges.keys.freeze(),
        sorted_ends=edges.base,
        residue=dict(state.residue),
        pools=capture_pools(state.pools, state.site),
        relationships=edges.size,
    )


def _attribute_parts(table: TwinTable | EdgeTable) -> dict[str, dict[str, FrozenColumn[Any]]]:
    found = table.attributes.freeze(table.size)
    return {
        name: {part: cast("FrozenColumn[Any]", getattr(column, part)) for part in ATTRIBUTE_COLUMNS}
        for name, column in found.items()
    }


# Saving


def save(captured: Capture, path: Path) -> int:
    """Write a capture to a file; its size in bytes. Takes about a second a GB. StoreError STORE_FAILED."""
    saved, recoding, sections = _save_pools(captured)
    attributes = {table: tuple(names) for table, names in captured.attributes.items()}
    about = About(
        site=captured.site,
        base=captured.base,
        sequence=captured.head.sequence,
        time_ns=captured.head.time_ns,
        digest=captured.head.digest,
        twins=len(captured.ids.iris.strings),
        relationships=captured.relationships,
        kinds=captured.schema.user_kind_records(),
        relations=tuple(relation.iri for relation in captured.schema.relations),
        attributes=attributes,
        sorted_edges=captured.sorted_ends.count,
        seeds={"ids": captured.ids.iris.seed, "keys": captured.keys.seed},
        pools=saved,
    )
    return write_checkpoint(path, about, chain(_sections(captured, recoding), sections))


def _save_pools(captured: Capture) -> tuple[PoolsSaved, Recoding, list[Section]]:
    """What of the pools is saved; where several sites share them, only what this one uses."""
    if captured.pools.alone:
        return pool_sections(captured.pools, None)
    used = UsedCodes(captured.pools.sizes)
    for _, column, pool in captured.tables:
        for pages in _chunks(column.filled_pages):
            used.add(column.pages_at(pages), pool)
    for _, words, tags in captured.words:
        for pages in _chunks(words.filled_pages):
            used.add_words(words.pages_at(pages), tags.pages_at(pages))
    return pool_sections(captured.pools, used)


def _sections(captured: Capture, recoding: Recoding) -> Iterator[Section]:
    ids, keys = captured.ids, captured.keys
    # Keys are hashes over codes of groups: where those get other codes, loading makes them anew.
    if "texts" in recoding and len(captured.columns["edges"]["group"].filled_pages):
        keys = SavedKeys(keys.seed, Multimap(), keys.own)
    yield from interned_sections("ids", ids.iris)
    indexes = {
        "local": ids.local,
        "external": ids.external,
        "ends": ids.ends,
        "keys": keys.entries,
        "own": keys.own,
    }
    for name, index in indexes.items():
        yield index_section(name, index.settle())
    for name, column, pool in captured.tables:
        yield from _column_sections(name, column, _Coded(pool, recoding))
    for name, words, tags in captured.words:
        yield from _column_sections(name, words, _Words(tags, recoding))
    for way in ("out", "into"):
        part: Csr = getattr(captured.sorted_ends, way)
        yield Section.of(f"sorted.{way}.edges", part.edges)
        yield Section.of(f"sorted.{way}.start", part.start)
    yield Section.of("residue", np.frombuffer(msgspec.msgpack.encode(captured.residue), np.uint8))


class _Recoder(Protocol):
    """Says what pages of a column are saved as."""

    def __call__(self, pages: npt.NDArray[Any], numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class _Coded:
    pool: str | None
    recoding: Recoding

    def __call__(self, pages: npt.NDArray[Any], numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return recode(pages, self.pool, self.recoding)


@dataclass(frozen=True, slots=True)
class _Words:
    tags: FrozenColumn[Any]
    recoding: Recoding

    def __call__(self, pages: npt.NDArray[Any], numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return recode_words(pages, self.tags.pages_at(numbers), self.recoding)


def _column_sections(name: str, column: FrozenColumn[Any], recoder: _Recoder) -> Iterator[Section]:
    """The pages ever written, the page of zeros first, and where each lies; nothing for an empty column."""
    filled = column.filled_pages
    if not len(filled):
        return
    table = np.zeros(column.page_count + 1, np.int32)
    table[filled] = np.arange(1, len(filled) + 1)

    def pieces() -> Iterator[npt.NDArray[Any]]:
        yield np.zeros((1, PAGE_ROWS), column.dtype)
        for pages in _chunks(filled):
            yield recoder(column.pages_at(pages), pages)

    yield Section.of(f"{name}.table", table)
    yield Section(f"{name}.pages", column.dtype, (1 + len(filled), PAGE_ROWS), pieces)


def _chunks(pages: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for first in range(0, len(pages), _CHUNK_PAGES):
        yield pages[first : first + _CHUNK_PAGES]


# Loading


def load_checkpoint(path: Path, schema: Schema, pools: Pools, *, check: bool = True) -> tuple[State, Head]:
    """The state that a file holds, and the commit it shows. Arrays are used where they lie in the file.

    schema: without kinds of users. Raises StoreError CHECKPOINT_CORRUPT, CHECKPOINT_VERSION,
    CHECKPOINT_FOREIGN or STORE_FAILED; every byte is compared with its checksum before anything is used,
    unless `check` says that this was done.
    """
    file = open_checkpoint(path)
    problems = file.check() if check else []
    if problems:
        first = problems[0]
        raise StoreError(first.message, code=first.code, place=first.place, hint=first.hint)
    return _Loader(file, schema, pools).load()


def read_about(path: Path) -> About:
    """What a file says about itself; only its header and table are checked."""
    return open_checkpoint(path).about(_ABOUT)


class _Loader:
    """Makes the state of one file."""

    def __init__(self, file: CheckpointFile, schema: Schema, pools: Pools) -> None:
        self.file = file
        self.about = file.about(_ABOUT)
        self.schema = schema.with_kinds(self.about.kinds) if self.about.kinds else schema
        self.pools = pools

    def load(self) -> tuple[State, Head]:
        about = self.about
        relations = self._relations()
        self.recoding = load_pools(self.file, about.pools, self.pools, about.site)
        if not is_identity(relations):
            self.recoding["relations"] = relations
        state = State(about.site, about.base, self.schema, self.pools)
        state.revision, state.time_ns = about.sequence, about.time_ns
        residue = msgspec.msgpack.decode(self.file.array("residue").data, type=dict[str, tuple[str, ...]])
        state.residue = residue
        self._load_twins(state.twins)
        self._load_edges(state.edges)
        return state, about.head

    def _relations(self) -> npt.NDArray[np.int32]:
        """The codes of relations, in this program's schema."""
        known = [self.schema.relation_by_iri(iri) for iri in self.about.relations]
        missing = [iri for iri, found in zip(self.about.relations, known, strict=True) if found is None]
        if missing:
            message = f"the checkpoint knows relations that this program does not: {', '.join(missing[:3])}"
            raise StoreError(message, code="CHECKPOINT_FOREIGN", place=Place(path=str(self.file.path)))
        return np.array([found.index for found in known if found is not None], np.int32)

    def _load_twins(self, twins: TwinTable) -> None:
        parts = load_interned(self.file, "ids", self.about.seeds["ids"])
        indexes = [Multimap(load_index(self.file, name)) for name in ("local", "external", "ends")]
        twins.ids = SiteIds(SavedIds(parts, *indexes))
        for name, pool in TWIN_COLUMNS.items():
            setattr(twins, name, self._column(f"twins.{name}", getattr(twins, name), pool))
        self._load_attributes(twins, "twins")

    def _load_edges(self, edges: EdgeTable) -> None:
        edges.size = self.about.relationships
        for name, pool in EDGE_COLUMNS.items():
            setattr(edges, name, self._column(f"edges.{name}", getattr(edges, name), pool))
        self._load_attributes(edges, "edges")
        ways = [
            Csr(self._array(f"sorted.{w}.edges"), self._array(f"sorted.{w}.start")) for w in ("out", "into")
        ]
        edges.take_base(Base(self.about.sorted_edges, *ways))
        own = Multimap(load_index(self.file, "own"))
        stale = "relations" in self.recoding or ("texts" in self.recoding and edges.group.filled)
        keys = Multimap(() if stale else load_index(self.file, "keys"))
        edges.keys = SiteKeys(edges, SavedKeys(self.about.seeds["keys"], keys, own))
        if len(keys) < edges.size:
            _enter_keys(edges)

    def _load_attributes(self, table: TwinTable | EdgeTable, section: str) -> None:
        for number, name in enumerate(self.about.attributes[section]):
            where = f"{section}.attribute.{number}"
            tag = self._column(f"{where}.tag", PagedColumn(np.uint8), None)
            unit = self._column(f"{where}.unit", PagedColumn(np.int16), "units")
            origin = self._column(f"{where}.origin", PagedColumn(np.int16), "origins")
            writer = ColumnWriter.of(self.pools, tag, self._words(f"{where}.word", tag), unit, origin)
            table.attributes.put(name, writer)

    def _column(self, name: str, empty: PagedColumn[Any], pool: str | None) -> PagedColumn[Any]:
        if f"{name}.pages" not in self.file:
            return empty
        pages = recode(self._array(f"{name}.pages"), pool, self.recoding)
        return PagedColumn[Any].of(pages, self._array(f"{name}.table"))

    def _words(self, name: str, tag: PagedColumn[np.uint8]) -> PagedColumn[np.float64]:
        if f"{name}.pages" not in self.file:
            return PagedColumn(np.float64)
        pages, table = self._array(f"{name}.pages"), self._array(f"{name}.table")
        numbers = np.zeros(len(pages), np.int64)
        filled = np.flatnonzero(table)
        numbers[table[filled]] = filled
        tags = tag.freeze(0).pages_at(numbers)
        tags[0] = 0
        return PagedColumn[np.float64].of(recode_words(pages, tags, self.recoding), table)

    def _array(self, name: str) -> npt.NDArray[Any]:
        return self.file.array(name)


def _enter_keys(edges: EdgeTable) -> None:
    """Make the index of keys anew: its entries are hashes over codes that are others here."""
    for first in range(0, edges.size, _CHUNK_ROWS):
        rows = np.arange(first, min(first + _CHUNK_ROWS, edges.size), dtype=np.int32)
        ends = (edges.source.take(rows), edges.relation.take(rows), edges.target.take(rows))
        edges.keys.add_all(*ends, edges.group.take(rows), rows)
