"""The logical query plan: what is asked, apart from how it is answered. All frozen; run by `graph.execute`.

Match      kind -> predicate -> order -> page
Predicate  And | Or | Not | TextTest | AttributeTest | LinkTest
Walk       reachable twins, breadth first
Routes     k shortest paths
Grouping   aggregates, grouped along paths

A test on an absent value is false, whatever the operator; only `exists: false` and `Not` find absent values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from graph.values import Way

if TYPE_CHECKING:
    from graph.history import Aggregate
    from graph.values import JSONValue

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 1_000
POINT_VALUE: Final = "value"  # the attribute name that stands for a point's last value
POINT_QUALITY: Final = "quality"  # and those that stand for its quality, where no attribute has the name
POINT_REASON: Final = "qualityReason"


class Operator(StrEnum):
    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "notIn"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    CONTAINS = "contains"
    STARTS_WITH = "startsWith"
    EXISTS = "exists"


class TextField(StrEnum):
    """The texts that every twin has."""

    ID = "id"
    LOCAL_ID = "localId"
    NAME = "name"
    KIND = "kind"
    SITE = "site"
    EXTERNAL_ID = "externalId"  # any id in an outside system


class Quantifier(StrEnum):
    SOME = "some"
    NONE = "none"
    EVERY = "every"  # true where there is no such relationship


class Nulls(StrEnum):
    FIRST = "FIRST"
    LAST = "LAST"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One operator with its operand; a tuple for `in` and `notIn`, a bool for `exists`."""

    operator: Operator
    operand: JSONValue | tuple[JSONValue, ...]


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Predicate


@dataclass(frozen=True, slots=True)
class TextTest:
    """All comparisons hold. `kind` includes sub-kinds: `eq: "brick:AHU"` holds for every kind below it."""

    field: TextField
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class AttributeTest:
    """All comparisons hold for the attribute. `unit` (UCUM) is the operands'; values are converted to it."""

    name: str
    comparisons: tuple[Comparison, ...]
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class LinkTest:
    """Some, none or every relationship of this name leads to a twin that fits and itself fits `link`."""

    quantifier: Quantifier
    relation: str
    way: Way = Way.OUT
    twin: Predicate | None = None
    link: tuple[AttributeTest, ...] = ()


Predicate: TypeAlias = And | Or | Not | TextTest | AttributeTest | LinkTest


@dataclass(frozen=True, slots=True)
class OrderKey:
    """`by`: a TextField, "value" or an attribute. Ties are broken by id, always."""

    by: str
    descending: bool = False
    nulls: Nulls = Nulls.LAST


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Relay paging: `first`/`after` forward, `last`/`before` backward. Cursors come from earlier pages."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Twins of a kind (None: any) for which the predicate holds, in order, one page of them."""

    kind: str | None = None
    where: Predicate | None = None
    order: tuple[OrderKey, ...] = ()
    page: PageRequest = field(default_factory=PageRequest)


@dataclass(frozen=True, slots=True)
class Walk:
    """All that can be reached from the starts (themselves left out); `depth_max` None: to the end."""

    starts: tuple[str, ...]
    relations: tuple[str, ...] | None = None
    way: Way = Way.OUT
    depth_max: int | None = None
    kind: str | None = None
    first: int | None = None


@dataclass(frozen=True, slots=True)
class Routes:
    """The `k` shortest paths without repeated twins, fewest relationships first."""

    start: str
    end: str
    relations: tuple[str, ...] | None = None
    way: Way = Way.OUT
    k: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a grouping path. With a kind it is repeated until twins of that kind are met."""

    relation: str
    way: Way = Way.OUT
    until_kind: str | None = None


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What the rows are grouped by: a text field, an attribute, or the twins at the end of a path."""

    name: str
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure per group; `COUNT` of "value" counts twins, of an attribute those that have it."""

    aggregate: Aggregate
    of: str
    name: str


@dataclass(frozen=True, slots=True)
class Grouping:
    kind: str | None
    where: Predicate | None
    keys: tuple[GroupKey, ...]
    measures: tuple[Measured, ...]
