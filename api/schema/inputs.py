"""Input types of the schema, and how filters and orders become plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, cast

import strawberry

from api.schema.enums import AggregateOp, Direction, EventType, Nulls, SortDirection
from api.schema.scalars import Json, Revision, TimeNs
from graph import plan
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.plan import Comparison, OrderKey, Predicate
    from graph.values import JSONValue

UNSET: Final = strawberry.UNSET
_FILTER_DEPTH_MAX: Final = 12
_FILTER_PARTS_MAX: Final = 500


@strawberry.input
class StringFilter:
    """All that are given must hold. An absent text fulfils only `exists: false`."""

    eq: str | None = UNSET
    ne: str | None = UNSET
    in_: list[str] | None = strawberry.field(name="in", default=UNSET)
    not_in: list[str] | None = UNSET
    contains: str | None = UNSET
    starts_with: str | None = UNSET
    exists: bool | None = UNSET


@strawberry.input
class AttributeFilter:
    """All that are given must hold. `name` "value" is a point's value; `unit` (UCUM) is the operands'."""

    name: str
    eq: Json | None = UNSET
    ne: Json | None = UNSET
    in_: list[Json] | None = strawberry.field(name="in", default=UNSET)
    not_in: list[Json] | None = UNSET
    lt: Json | None = UNSET
    lte: Json | None = UNSET
    gt: Json | None = UNSET
    gte: Json | None = UNSET
    contains: str | None = UNSET
    starts_with: str | None = UNSET
    exists: bool | None = UNSET
    unit: str | None = None


@strawberry.input
class NumberFilter:
    """All that are given must hold for a typed attribute; `unit` (UCUM) is the operands'."""

    eq: float | None = UNSET
    ne: float | None = UNSET
    in_: list[float] | None = strawberry.field(name="in", default=UNSET)
    not_in: list[float] | None = UNSET
    lt: float | None = UNSET
    lte: float | None = UNSET
    gt: float | None = UNSET
    gte: float | None = UNSET
    exists: bool | None = UNSET
    unit: str | None = UNSET


@strawberry.input
class BooleanFilter:
    """All that are given must hold for a typed attribute."""

    eq: bool | None = UNSET
    ne: bool | None = UNSET
    exists: bool | None = UNSET


@strawberry.input
class JSONFilter:
    """All that are given must hold for a typed attribute of any kind of value, or a point's value."""

    eq: Json | None = UNSET
    ne: Json | None = UNSET
    in_: list[Json] | None = strawberry.field(name="in", default=UNSET)
    not_in: list[Json] | None = UNSET
    lt: Json | None = UNSET
    lte: Json | None = UNSET
    gt: Json | None = UNSET
    gte: Json | None = UNSET
    contains: str | None = UNSET
    starts_with: str | None = UNSET
    exists: bool | None = UNSET
    unit: str | None = UNSET


@strawberry.input
class TwinFilter:
    """All that are given must hold. `kind` includes sub-kinds."""

    and_: list[TwinFilter] | None = strawberry.field(name="and", default=None)
    or_: list[TwinFilter] | None = strawberry.field(name="or", default=None)
    not_: TwinFilter | None = strawberry.field(name="not", default=None)
    id: StringFilter | None = None
    local_id: StringFilter | None = None
    external_id: StringFilter | None = strawberry.field(
        default=None, description="Any of its ids in outside systems."
    )
    name: StringFilter | None = None
    kind: StringFilter | None = None
    site: StringFilter | None = None
    attribute: list[AttributeFilter] | None = None
    some: LinkFilter | None = None
    none: LinkFilter | None = None
    every: LinkFilter | None = None


@strawberry.input
class LinkFilter:
    """Relationships of a name or below it that lead to a twin that fits, and fit `link` themselves."""

    relation: str
    direction: Direction | None = Direction.OUT
    twin: TwinFilter | None = None
    link: list[AttributeFilter] | None = None


@strawberry.input
class TwinOrder:
    """`by`: id, localId, name, kind, site, an attribute, or "value" of points. Ties are broken by id."""

    by: str
    direction: SortDirection | None = SortDirection.ASC
    nulls: Nulls | None = Nulls.LAST


@strawberry.input
class Measure:
    """One figure per group. COUNT of "value" counts twins, of an attribute those that have it."""

    op: AggregateOp
    of: str | None = "value"
    as_: str | None = strawberry.field(name="as", default=None)


@strawberry.input
class ExternalIdInput:
    system: str
    id: str


@strawberry.input
class TwinInput:
    """Attributes: `{"ratedPower": 5}` or with a unit `{"ratedPower": {"value": 5, "unit": "kW"}}`."""

    id: strawberry.ID
    kinds: list[str] | None = None
    name: str | None = None
    attributes: Json | None = None
    external_ids: list[ExternalIdInput] | None = None


@strawberry.input
class RelationshipInput:
    source: strawberry.ID
    relation: str
    target: strawberry.ID
    id: strawberry.ID | None = None
    group: str | None = None
    attributes: Json | None = None


@strawberry.input
class ChangeInput:
    """All of it or nothing. Put replaces a record, merge adds to it; a null attribute is removed."""

    site: str
    put_twins: list[TwinInput] | None = None
    merge_twins: list[TwinInput] | None = None
    put_relationships: list[RelationshipInput] | None = None
    remove_twins: list[strawberry.ID] | None = None
    remove_relationships: list[strawberry.ID] | None = None
    expected_revision: Revision | None = None
    idempotency_key: str | None = None
    dry_run: bool | None = False


@strawberry.input
class EventInput:
    """The fields of INTERFACE section 4; which ones an event takes depends on its type."""

    type: EventType
    twin: strawberry.ID | None = None
    relation: Annotated[
        list[strawberry.ID] | None, strawberry.argument(description="source, relation, target, group")
    ] = None
    at_hours: float | None = None
    repair_hours: Json | None = strawberry.field(default=None, description="Hours, or a distribution.")
    for_hours: float | None = None
    level: float | None = None
    hours: float | None = None
    factor: float | None = None
    attribute: str | None = None
    value: Json | None = None
    add_twin: TwinInput | None = None
    add_relationship: RelationshipInput | None = None


@strawberry.input
class CascadeInput:
    events: list[EventInput]
    name: str | None = None
    horizon_hours: float | None = 72
    runs: int | None = 1000
    seed: int | None = 0
    start: TimeNs | None = None
    sites: list[str] | None = None
    against_baseline: bool | None = False
    grid_hours: float | None = None
    grid_levels: int | None = None


@strawberry.input
class CommandInput:
    point: strawberry.ID
    value: Json
    expires_in_s: float
    idempotency_key: str
    if_value: Json | None = None
    dry_run: bool | None = False


# Filters as predicates

_TEXT_OPERATORS: Final = {
    "eq": plan.Operator.EQ,
    "ne": plan.Operator.NE,
    "in_": plan.Operator.IN,
    "not_in": plan.Operator.NOT_IN,
    "contains": plan.Operator.CONTAINS,
    "starts_with": plan.Operator.STARTS_WITH,
    "exists": plan.Operator.EXISTS,
}
_ATTRIBUTE_OPERATORS: Final = {
    **_TEXT_OPERATORS,
    "lt": plan.Operator.LT,
    "lte": plan.Operator.LTE,
    "gt": plan.Operator.GT,
    "gte": plan.Operator.GTE,
}
_TEXT_FIELDS: Final = {
    "id": plan.TextField.ID,
    "local_id": plan.TextField.LOCAL_ID,
    "external_id": plan.TextField.EXTERNAL_ID,
    "name": plan.TextField.NAME,
    "kind": plan.TextField.KIND,
    "site": plan.TextField.SITE,
}


class FilterReader:
    """Turns one filter into a predicate, and counts: a filter of thousands of parts is refused."""

    def __init__(self) -> None:
        self._parts = 0

    def predicate(self, given: TwinFilter | None, depth: int = 0) -> Predicate | None:
        """None where nothing is asked. FILTER_NULL, FILTER_TOO_LARGE."""
        if given is None:
            return None
        self._count(depth)
        # Cheap tests stand first: those behind look only at what is left.
        parts: list[Predicate] = []
        for name, text_field in _TEXT_FIELDS.items():
            text_filter = cast("StringFilter | None", getattr(given, name))
            if text_filter is not None:
                comparisons = _comparisons(text_filter, _TEXT_OPERATORS, text_field)
                parts.append(plan.TextTest(text_field, comparisons))
        parts.extend(self._attribute(item, depth) for item in given.attribute or ())
        parts.extend(self._combined(given, depth))
        parts.extend(self._links(given, depth))
        return parts[0] if len(parts) == 1 else plan.And(tuple(parts))

    def _combined(self, given: TwinFilter, depth: int) -> list[Predicate]:
        parts: list[Predicate] = []
        if given.and_ is not None:
            parts.append(plan.And(self._all(given.and_, depth)))
        if given.or_ is not None:
            parts.append(plan.Or(self._all(given.or_, depth)))
        if given.not_ is not None:
            parts.extend(plan.Not(part) for part in self._all([given.not_], depth))
        return parts

    def _all(self, given: Sequence[TwinFilter], depth: int) -> tuple[Predicate, ...]:
        found = (self.predicate(item, depth + 1) for item in given)
        return tuple(part for part in found if part is not None)

    def _links(self, given: TwinFilter, depth: int) -> list[Predicate]:
        quantified = (
            (plan.Quantifier.SOME, given.some),
            (plan.Quantifier.NONE, given.none),
            (plan.Quantifier.EVERY, given.every),
        )
        return [
            plan.LinkTest(
                quantifier,
                link.relation,
                (link.direction or Direction.OUT).value,
                self.predicate(link.twin, depth + 1),
                tuple(self._attribute(item, depth) for item in link.link or ()),
            )
            for quantifier, link in quantified
            if link is not None
        ]

    def _attribute(self, given: AttributeFilter, depth: int) -> plan.AttributeTest:
        self._count(depth)
        return plan.AttributeTest(
            given.name, _comparisons(given, _ATTRIBUTE_OPERATORS, given.name), given.unit
        )

    def _count(self, depth: int) -> None:
        self._parts += 1
        if depth > _FILTER_DEPTH_MAX or self._parts > _FILTER_PARTS_MAX:
            message = f"a filter has at most {_FILTER_PARTS_MAX} parts and {_FILTER_DEPTH_MAX} levels"
            raise InputError(message, code="FILTER_TOO_LARGE")


def _comparisons(given: object, operators: dict[str, plan.Operator], place: str) -> tuple[Comparison, ...]:
    found: list[Comparison] = []
    for name, operator in operators.items():
        operand = cast("object", getattr(given, name))
        if operand is UNSET:
            continue
        if operand is None:
            # Reading null as "no filter" would answer more than was asked.
            hint = "for absent values ask exists: false; leave the operator out for no filter"
            raise InputError(f"{operator} of {place!r} is null", code="FILTER_NULL", hint=hint)
        if isinstance(operand, list):
            found.append(plan.Comparison(operator, tuple(cast("list[JSONValue]", operand))))
        else:
            found.append(plan.Comparison(operator, cast("JSONValue", operand)))
    return tuple(found)


def order_keys(given: Sequence[TwinOrder] | None) -> tuple[OrderKey, ...]:
    """ORDER_TOO_LONG for more keys than anybody needs."""
    if given and len(given) > 8:
        raise InputError("at most 8 keys of order", code="ORDER_TOO_LONG")
    return tuple(
        plan.OrderKey(item.by, item.direction is SortDirection.DESC, (item.nulls or Nulls.LAST).value)
        for item in given or ()
    )
