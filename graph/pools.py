"""Append-only pools of interned values, shared by all sites of a mesh and by every snapshot.

A code, once given, never changes its meaning, so readers need no lock and columns of several sites can be
joined without translation. Code 0 always means "absent".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec
import numpy as np

from graph.interning import Interned, InternedTexts
from graph.kind_sets import KindSets, resolve_kind_sets
from graph.text_order import MergedRankings
from graph.values import ExternalId
from ontology.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    import numpy.typing as npt

    from graph.interning import InternedParts
    from graph.values import JSONValue
    from ontology.schema import Schema

_INT16_MAX = 2**15 - 1
_SCHEMAS_MAX = 16  # versions of the schema for which kind sets are kept resolved
_INT32_MAX = 2**31 - 1
T = TypeVar("T", bound="Hashable")
V = TypeVar("V")
_OBJECTS = msgspec.msgpack.Encoder(order="deterministic")


class Pool(Generic[T]):
    """Values <-> codes 1, 2, 3, ... in order of first sight. At most `codes_max` values."""

    def __init__(self, codes_max: int = _INT32_MAX) -> None:
        self._values: list[T | None] = [None]
        self._codes: dict[T, int] = {}
        self._lock = Lock()
        self._codes_max = codes_max

    def __len__(self) -> int:
        """Number of codes, the absent one included; codes are below it."""
        return len(self._values)

    def intern(self, value: T) -> int:
        """The code of a value, new if it was never seen. Safe from any thread."""
        code = self._codes.get(value)
        return self._add(value) if code is None else code

    def intern_all(self, values: Iterable[T]) -> list[int]:
        return [self.intern(value) for value in values]

    def extended(self) -> Pool[T]:
        """Another pool that begins with these values."""
        other = Pool[T](self._codes_max)
        with self._lock:
            other._values = list(self._values)
            other._codes = dict(self._codes)
        return other

    def find(self, value: T) -> int:
        """The code of a value, 0 if it was never seen."""
        return self._codes.get(value, 0)

    def value(self, code: int) -> T | None:
        return self._values[code]

    def values(self, codes: Iterable[int]) -> list[T | None]:
        known = self._values
        return [known[code] for code in codes]

    def _add(self, value: T) -> int:
        with self._lock:
            code = self._codes.get(value)
            if code is not None:
                return code
            if len(self._values) > self._codes_max:
                raise LimitError(f"more than {self._codes_max} distinct values in one pool")
            self._values.append(value)
            # The value stands in its place before anyone can learn the code.
            self._codes[value] = len(self._values) - 1
            return len(self._values) - 1


_FEW_CODES = 12  # one by one is faster then


class TextPool:
    """Texts <-> codes 1, 2, 3, ...: as `Pool`, without an object for each."""

    def __init__(self, parts: InternedParts | None = None) -> None:
        self._texts = InternedTexts(parts)

    def __len__(self) -> int:
        """Number of codes, the absent one included; codes are below it."""
        return len(self._texts) + 1

    @property
    def table(self) -> Interned:
        """The texts as UTF-8, numbered from 0."""
        return self._texts.table

    def intern(self, value: str) -> int:
        """The code of a text, new if it was never seen. Safe from any thread."""
        return self._texts.add(value) + 1

    def intern_all(self, values: Iterable[str]) -> list[int]:
        return self.codes_of(list(values)).tolist()

    def codes_of(self, values: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32[n]: as `intern`, for all."""
        return self._texts.add_all(values) + np.int32(1)

    def find_all(self, values: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32[n]: as `find`, for all."""
        return self._texts.find_all(values) + np.int32(1)

    def find(self, value: str) -> int:
        """The code of a text, 0 if it was never seen."""
        return self._texts.find(value) + 1

    def value(self, code: int) -> str | None:
        return self._texts.text(code - 1) if code else None

    def values(self, codes: Iterable[int]) -> list[str | None]:
        if isinstance(codes, list) and len(codes) <= _FEW_CODES:
            return [self.value(code) for code in codes]
        numbers = np.fromiter(codes, np.int64) - 1
        known = self._texts.texts(np.maximum(numbers, 0)) if len(self._texts) else [""] * len(numbers)
        return [text if number >= 0 else None for text, number in zip(known, numbers.tolist(), strict=True)]


class PackedPool(Generic[V]):
    """Values <-> codes 1, 2, 3, ... by content, kept as bytes: no reader can change what another one sees."""

    def __init__(
        self,
        pack: Callable[[V], bytes],
        unpack: Callable[[bytes], V],
        parts: InternedParts | None = None,
    ) -> None:
        self.table = Interned(parts)
        self._pack = pack
        self._unpack = unpack

    def __len__(self) -> int:
        return len(self.table) + 1

    def intern(self, value: V) -> int:
        return self.table.add(self._pack(value)) + 1

    def value(self, code: int) -> V | None:
        return self._unpack(self.table.get(code - 1)) if code else None

    def values(self, codes: Iterable[int]) -> list[V | None]:
        return [self.value(code) for code in codes]


def _object_pool() -> PackedPool[JSONValue]:
    return PackedPool(_OBJECTS.encode, msgspec.msgpack.decode)


def _external_id_pool() -> PackedPool[tuple[ExternalId, ...]]:
    return PackedPool(_pack_external_ids, _unpack_external_ids)


def _pack_external_ids(known: tuple[ExternalId, ...]) -> bytes:
    return msgspec.msgpack.encode([(one.system, one.id) for one in known])


def _unpack_external_ids(data: bytes) -> tuple[ExternalId, ...]:
    return tuple(ExternalId(system, own) for system, own in msgspec.msgpack.decode(data))


def _int16_pool() -> Pool[str]:
    return Pool(_INT16_MAX)


@dataclass(frozen=True, slots=True)
class Pools:
    """All pools of a mesh."""

    texts: TextPool = field(default_factory=TextPool)  # names, local ids, groups, text values
    objects: PackedPool[JSONValue] = field(default_factory=_object_pool)
    units: Pool[str] = field(default_factory=_int16_pool)
    origins: Pool[str] = field(default_factory=_int16_pool)
    kind_sets: Pool[tuple[str, ...]] = field(
        default_factory=Pool["tuple[str, ...]"]
    )  # kind IRIs, leading one first
    origin_sets: Pool[tuple[str, ...]] = field(default_factory=Pool["tuple[str, ...]"])
    external_ids: PackedPool[tuple[ExternalId, ...]] = field(default_factory=_external_id_pool)
    users: set[str] = field(default_factory=set[str])  # sites that ever used these pools
    merged: MergedRankings = field(default_factory=MergedRankings)  # ids of several sites in order
    _resolved: dict[str, KindSets] = field(default_factory=dict[str, "KindSets"])  # by version of the schema

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each pool has."""
        return (
            len(self.texts),
            len(self.objects),
            len(self.units),
            len(self.origins),
            len(self.kind_sets),
            len(self.origin_sets),
            len(self.external_ids),
        )

    def extended(self) -> Pools:
        """Other pools that begin with these values: what is added to them is not added here.

        Codes of these mean the same there. So strangers' texts can be joined with ours for a while, and go
        with the pools that hold them.
        """
        return Pools(
            texts=TextPool(self.texts.table.extended()),
            objects=PackedPool(_OBJECTS.encode, msgspec.msgpack.decode, self.objects.table.extended()),
            units=self.units.extended(),
            origins=self.origins.extended(),
            kind_sets=self.kind_sets.extended(),
            origin_sets=self.origin_sets.extended(),
            external_ids=PackedPool(
                _pack_external_ids, _unpack_external_ids, self.external_ids.table.extended()
            ),
        )

    def resolve_kind_sets(self, schema: Schema) -> KindSets:
        """The kind sets against a schema; made anew only where sets or kinds were added since."""
        known = self._resolved.get(schema.version)
        if known is None or len(known.leading) != len(self.kind_sets):
            while len(self._resolved) >= _SCHEMAS_MAX:
                self._resolved.pop(next(iter(self._resolved)), None)
            known = self._resolved[schema.version] = resolve_kind_sets(self.kind_sets, schema)
        return known
