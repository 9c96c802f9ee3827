"""The four values that flow: Change (a wish), Readings (telemetry), Commit (a fact), Snapshot (snapshot.py).

All are frozen. Ids are full IRIs here; local ids are resolved at the doors. Kinds and relations are IRIs,
attributes bare names as the schema spells them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, TypeAlias

from ontology.terms import KindRecord as KindRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from graph.bulk import BlockResult, Columns

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"


class Quality(IntEnum):
    """OPC UA severity of a reading (OPC 10000-8 section 5.3): ordered from best to worst."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class ValueType(StrEnum):
    """How the 64-bit word of a point is read."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    CODE = "code"
    TEXT = "text"
    COUNTER = "counter"


class Way(StrEnum):
    """Which relationships of a twin to follow: those that start at it, those that end at it, or all."""

    OUT = "OUT"
    IN = "IN"
    BOTH = "BOTH"


@dataclass(frozen=True, slots=True)
class Value:
    """An attribute as stated: never converted, never guessed."""

    value: JSONValue
    unit: str | None = None  # UCUM code, e.g. "kW"
    origin: str | None = None  # the import source that stated it; None: set by a user


@dataclass(frozen=True, slots=True)
class ExternalId:
    system: str  # "ifc", "opcua", "gs1", "aas", ...
    id: str


@dataclass(frozen=True, slots=True)
class TwinRecord:
    id: str
    kinds: tuple[str, ...] = ()  # kind IRIs, first one leads; empty in a merge: unchanged
    name: str | None = None
    local_id: str | None = None  # None: derived from the IRI
    attributes: Mapping[str, Value] = field(default_factory=dict[str, Value])
    external_ids: tuple[ExternalId, ...] = ()
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class RelationshipRecord:
    source: str
    relation: str  # IRI of the canonical relation (inverses are turned round by the importer)
    target: str
    group: str = ""
    id: str | None = None  # None: derived from (source, relation, target, group)
    attributes: Mapping[str, Value] = field(default_factory=dict[str, Value])
    origin: str | None = None
    stated: str | None = None  # IRI of the predicate as it stood in the file, where that was an inverse


@dataclass(frozen=True, slots=True)
class RelationshipKey:
    source: str
    relation: str
    target: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A wish: all of it or nothing.

    Put replaces a record, merge adds to it; both keep the twin's relationships. A record with an origin
    replaces only what that origin stated: attributes of other origins stay, and stating one of them
    differently is an error. A user (no origin) may override any. In a merge, a value of None clears.
    """

    put_twins: tuple[TwinRecord, ...] = ()
    merge_twins: tuple[TwinRecord, ...] = ()
    put_relationships: tuple[RelationshipRecord, ...] = ()
    remove_twins: tuple[str, ...] = ()
    remove_relationships: tuple[str | RelationshipKey, ...] = ()
    put_kinds: tuple[KindRecord, ...] = ()
    withdraw_twins: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict[str, "tuple[str, ...]"]
    )  # by origin: twins it no longer states; removed where no other origin states them
    statements: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict[str, "tuple[str, ...]"]
    )  # RDF triples that map to nothing, as N-Triples lines, by origin; replaces that origin's lines
    columns: Columns | None = None  # many more twins and relationships to put, see `graph.bulk`
    author: str = "local"
    message: str = ""
    expected_revision: int | None = None
    idempotency_key: str | None = None
    dry_run: bool = False


class ItemStatus(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    REMOVED = "REMOVED"


@dataclass(frozen=True, slots=True)
class ItemResult:
    id: str
    status: ItemStatus
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a Change. `revision` is None after a dry run; unchanged work keeps the old revision.

    Of columns only counts are told, and those items of which there is more to say than their status.
    """

    revision: int | None
    items: tuple[ItemResult, ...]  # twins then relationships, in the order of the change
    replayed: bool = False  # the idempotency key had been seen: this is the first answer again
    twin_blocks: tuple[BlockResult, ...] = ()  # one for each block of `Change.columns`
    relationship_blocks: tuple[BlockResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """A fact in the journal. `digest` chains sha256(previous digest + header + payload)."""

    sequence: int
    time_ns: int
    author: str
    message: str
    change: Change
    digest: bytes
    touched: tuple[str, ...] = ()  # ids of twins put, merged, removed, or whose relationships changed
    touches_more: bool = False  # there are more than `touched` names: `graph.touching` finds them all


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """A columnar batch of telemetry; all arrays have length n.

    points:  int32[n], rows of points in the sub-twin's columns
    times_ns: int64[n], Unix time
    words:   uint64[n], read by each point's ValueType (float64 bits; 0/1; code of a text; uint64 count)
    quality: uint8[n], Quality
    """

    points: npt.NDArray[np.int32]
    times_ns: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint64]
    quality: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)
