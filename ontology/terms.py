"""What a schema is made of: kinds, relations, attributes, and the records that bring them. All frozen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

Datatype: TypeAlias = Literal["number", "integer", "boolean", "text", "hours", "json"]
Carrier: TypeAlias = Literal["twin", "relationship", "both"]


@dataclass(frozen=True, slots=True)
class KindRecord:
    """A kind as a vocabulary, an import or a user states it; appended to the schema, never renumbered."""

    iri: str
    name: str  # prefixed, e.g. "ex:Press"
    parents: tuple[str, ...] = ()  # IRIs
    label: str | None = None
    placeholder: bool = False  # unknown class of an imported file
    deprecated: bool = False
    replaced_by: str | None = None  # IRI of what to use instead
    alias_of: str | None = None  # IRI of the kind that means the same


@dataclass(frozen=True, slots=True)
class RelationRecord:
    """A relation as a vocabulary states it; every name is an IRI."""

    iri: str
    name: str
    parents: tuple[str, ...] = ()
    inverse_of: str | None = None
    domain: tuple[str, ...] = ()
    range: tuple[str, ...] = ()
    symmetric: bool = False
    acyclic: bool = False
    dependence: Dependence | None = None


class Direction(StrEnum):
    """Which way service flows along a relation."""

    SOURCE_TO_TARGET = "SOURCE_TO_TARGET"
    TARGET_TO_SOURCE = "TARGET_TO_SOURCE"

    @property
    def flipped(self) -> Direction:
        forward = self is Direction.SOURCE_TO_TARGET
        return Direction.TARGET_TO_SOURCE if forward else Direction.SOURCE_TO_TARGET


@dataclass(frozen=True, slots=True)
class Dependence:
    """How trouble travels along a relation. Founded: service traces back to a source (power, water, air)."""

    direction: Direction
    founded: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """A compiled kind; `index` is its row in the schema's tables."""

    index: int
    iri: str
    name: str  # "brick:AHU"
    bare: str  # "AHU"
    vocabulary: str  # "brick"
    parents: tuple[int, ...]
    label: str | None
    medium: str | None  # what a source of this kind gives; inherited, resolved
    placeholder: bool
    deprecated: bool
    replaced_by: str | None  # prefixed name or IRI
    alias_of: str | None  # prefixed name or IRI


@dataclass(frozen=True, slots=True)
class Relation:
    """A compiled relation. One with `inverse_of` is only a name: callers swap the ends and store that one."""

    index: int
    iri: str
    name: str  # "brick:feeds"
    bare: str
    vocabulary: str
    parents: tuple[int, ...]
    inverse_of: int | None  # the canonical relation, e.g. brick:isFedBy -> brick:feeds
    domain: tuple[int, ...]  # kinds; empty: any
    range: tuple[int, ...]
    dependence: Dependence | None  # inherited, resolved; of an inverse: seen from its own source
    symmetric: bool
    acyclic: bool


@dataclass(frozen=True, slots=True)
class Attribute:
    """A declared attribute. Undeclared ones are allowed; these are checked."""

    name: str
    iri: str
    datatype: Datatype  # hours: a number, or a distribution as text
    unit: str | None  # UCUM code of a value that states none
    on: Carrier
    minimum: float | None
    maximum: float | None
    cascade: bool  # one of INTERFACE section 4
    choices: tuple[str, ...]  # allowed texts; empty: any
