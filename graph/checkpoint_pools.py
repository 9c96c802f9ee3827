"""The pools of a site in a checkpoint: whole where it has them for itself, else only what it uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from graph.checkpoint_parts import interned_sections, load_interned
from graph.interning import Interned
from graph.recoding import PACKED_POOLS, SMALL_POOLS, is_identity, mapping_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from graph.checkpoint_file import CheckpointFile, Section
    from graph.interning import InternedParts
    from graph.pools import Pool, Pools
    from graph.recoding import Recoding, UsedCodes


class PoolsSaved(msgspec.Struct, frozen=True):
    """What stands in the table of a checkpoint: the small pools, and the seeds of the large ones."""

    units: tuple[str, ...]
    origins: tuple[str, ...]
    kind_sets: tuple[tuple[str, ...], ...]
    origin_sets: tuple[tuple[str, ...], ...]
    seeds: dict[str, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class PoolParts:
    """The pools at one moment. `alone`: no other site ever used them."""

    packed: Mapping[str, InternedParts]
    small: Mapping[str, list[Any]]  # values of codes 1, 2, 3, ...
    alone: bool

    @property
    def sizes(self) -> dict[str, int]:
        """Number of codes by pool, the absent one included."""
        packed = {name: len(parts.strings) + 1 for name, parts in self.packed.items()}
        return packed | {name: len(values) + 1 for name, values in self.small.items()}


def capture_pools(pools: Pools, site: str) -> PoolParts:
    packed = {name: _table(pools, name).freeze() for name in PACKED_POOLS}
    small = {name: _small(pools, name).values(range(1, len(_small(pools, name)))) for name in SMALL_POOLS}
    return PoolParts(packed, small, pools.users <= {site})


def pool_sections(parts: PoolParts, used: UsedCodes | None) -> tuple[PoolsSaved, Recoding, list[Section]]:
    """What is saved of the pools, and how codes are called in it. used: None for all of it."""
    packed, small = parts.packed, parts.small
    if used is not None:
        packed = {name: _only(known, used.codes(name)) for name, known in packed.items()}
        small = {
            name: [known[code - 1] for code in used.codes(name).tolist()] for name, known in small.items()
        }
    seeds = {name: known.seed for name, known in packed.items()}
    saved = PoolsSaved(**{name: tuple(values) for name, values in small.items()}, seeds=seeds)
    sections = [section for name, known in packed.items() for section in interned_sections(name, known)]
    return saved, {} if used is None else used.recoding(), sections


def load_pools(
    file: CheckpointFile, saved: PoolsSaved, pools: Pools, site: str
) -> dict[str, npt.NDArray[np.int32]]:
    """Bring what a file holds into the pools; how its codes are called there, where that differs."""
    pools.users.add(site)
    mappings = {name: _load_small(_small(pools, name), getattr(saved, name)) for name in SMALL_POOLS}
    for name in PACKED_POOLS:
        mappings[name] = _load_packed(_table(pools, name), load_interned(file, name, saved.seeds[name]))
    return {name: mapping for name, mapping in mappings.items() if not is_identity(mapping)}


def _load_small(pool: Pool[Any], values: tuple[Any, ...]) -> npt.NDArray[np.int32]:
    return mapping_of(np.array(pool.intern_all(values), np.int32))


def _load_packed(table: Interned, parts: InternedParts) -> npt.NDArray[np.int32]:
    """An empty table takes the saved one as it lies in the file; one that begins with it needs nothing."""
    count = len(parts.strings)
    if table.adopt(parts) or table.begins_with(parts.strings):
        return np.arange(count + 1, dtype=np.int32)
    return mapping_of(table.add_all(parts.strings) + np.int32(1))


def _only(parts: InternedParts, codes: npt.NDArray[np.int64]) -> InternedParts:
    some = Interned()
    some.add_all(parts.strings.take(codes - 1))
    return some.freeze()


def _table(pools: Pools, name: str) -> Interned:
    return {
        "texts": pools.texts.table,
        "objects": pools.objects.table,
        "external_ids": pools.external_ids.table,
    }[name]


def _small(pools: Pools, name: str) -> Pool[Any]:
    known: dict[str, Pool[Any]] = {
        "units": pools.units,
        "origins": pools.origins,
        "kind_sets": pools.kind_sets,
        "origin_sets": pools.origin_sets,
    }
    return known[name]
