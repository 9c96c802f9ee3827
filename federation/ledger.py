"""The ledger: every fact that left, to whom, under which version of which contract, when and what for.

An entry is written, and on disk, before the bytes it tells of are sent: what left stands here, whatever
happens after. Twins and attributes are columns: ids, names, and a bit for each pair of them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
import numpy as np

from federation.chain import Chain
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from federation.chain import Link
    from federation.keys import OwnKey
    from federation.store import FederationStore
    from ontology.errors import Problem

TWINS_MAX: Final = 10_000
"""Twins in one entry; a disclosure of more becomes several entries."""
NAMES_MAX: Final = 1_000
_ENTRY_BYTES_MAX: Final = 64 << 20  # unpacked; anything larger was not written here
Bits: TypeAlias = "npt.NDArray[np.bool_]"


@dataclass(frozen=True, slots=True, eq=False)
class Disclosure:
    """What is about to leave.

    partner: fingerprint. version: of the contract, 0 where none is needed. told: bool[twins, attributes],
    None: all of them. figures: aggregates that leave, by name: over how many twins. size_bytes: of the
    message. told_as: the ids by which the twins were named, where they are opaque.
    """

    partner: str
    version: int
    purpose: str
    kind: str
    size_bytes: int
    twins: Sequence[str] = ()
    attributes: Sequence[str] = ()
    relations: Sequence[str] = ()
    told: Bits | None = None
    figures: Mapping[str, int] | None = None
    told_as: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry as it stands in the ledger. Of a disclosure in several entries the first has the bytes."""

    number: int
    time_ns: int
    partner: str
    version: int
    purpose: str
    kind: str
    size_bytes: int
    twins: tuple[str, ...]
    attributes: tuple[str, ...]
    relations: tuple[str, ...]
    figures: Mapping[str, int]
    bits: bytes
    told_as: tuple[str, ...] = ()  # opaque ids of the twins, where the partner was told these

    @property
    def told(self) -> Bits:
        """bool[twins, attributes]: which value of which twin left."""
        count = len(self.twins) * len(self.attributes)
        flat = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=count)
        return flat.astype(np.bool_).reshape(len(self.twins), len(self.attributes))

    def facts(self) -> Iterator[tuple[str, str]]:
        """Every (twin, attribute) whose value left."""
        for row, column in zip(*(axis.tolist() for axis in np.nonzero(self.told)), strict=True):
            yield self.twins[row], self.attributes[column]


class _Body(msgspec.Struct, frozen=True, array_like=True):
    purpose: str
    kind: str
    size_bytes: int
    twins: tuple[str, ...]
    attributes: tuple[str, ...]
    relations: tuple[str, ...]
    figures: dict[str, int]
    bits: bytes
    told_as: tuple[str, ...] = ()  # not in entries of earlier versions


_BODIES: Final = msgspec.msgpack.Decoder(_Body)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


class Ledger:
    """The ledger of a data folder. Safe from any thread; several processes may write. StoreError."""

    def __init__(self, store: FederationStore, key: OwnKey) -> None:
        self._store = store
        self._chain = Chain(store, "ledger", key)

    def record(self, disclosure: Disclosure, time_ns: int) -> range:
        """Note what leaves, before it does; the numbers of its entries. Durable on return.

        ValueError where the columns do not fit together: nothing must leave then.
        """
        bodies = [_packed(body) for body in _bodies(disclosure)]
        links = self._chain.append(time_ns, disclosure.partner, bodies, lambda _: disclosure.version)
        return range(links[0].number, links[-1].number + 1)

    def entries(self, *, partner: str | None = None, after: int = 0) -> Iterator[LedgerEntry]:
        """Entries in order. StoreError FEDERATION_CORRUPT at one that cannot be read."""
        return (_entry(link) for link in self._chain.links(after=after, partner=partner))

    def verify(self) -> list[Problem]:
        """Every entry that was changed, moved, added or removed; empty: none was."""
        return self._chain.verify()


def _bodies(disclosure: Disclosure) -> Iterator[_Body]:
    """Entries of at most TWINS_MAX twins."""
    twins, attributes = tuple(disclosure.twins), tuple(disclosure.attributes)
    if len(attributes) > NAMES_MAX or len(disclosure.relations) > NAMES_MAX:
        raise ValueError(f"a message tells at most {NAMES_MAX} attributes and relations")
    shape = (len(twins), len(attributes))
    told = np.ones(shape, np.bool_) if disclosure.told is None else disclosure.told
    if disclosure.told_as and len(disclosure.told_as) != len(twins):
        raise ValueError(f"{len(disclosure.told_as)} names do not fit {len(twins)} twins")
    if told.shape != shape:
        raise ValueError(f"{told.shape} bits do not fit {shape} twins and attributes")
    for first in range(0, max(len(twins), 1), TWINS_MAX):
        rows = slice(first, first + TWINS_MAX)
        yield _Body(
            disclosure.purpose,
            disclosure.kind,
            disclosure.size_bytes if first == 0 else 0,
            twins[rows],
            attributes,
            tuple(disclosure.relations),
            dict(disclosure.figures or {}) if first == 0 else {},
            np.packbits(told[rows]).tobytes(),
            tuple(disclosure.told_as[rows]),
        )


def _packed(body: _Body) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(body), 6)


def _entry(link: Link) -> LedgerEntry:
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(link.content, _ENTRY_BYTES_MAX)
        body = _BODIES.decode(content)
    except (zlib.error, msgspec.MsgspecError) as error:
        place = Place(item=f"ledger row {link.number}")
        raise StoreError("an entry cannot be read", code="FEDERATION_CORRUPT", place=place) from error
    head = (link.number, link.time_ns, link.partner, link.version, body.purpose, body.kind, body.size_bytes)
    facts = (body.twins, body.attributes, body.relations, body.figures, body.bits)
    return LedgerEntry(*head, *facts, body.told_as)
