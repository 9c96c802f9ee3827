"""A private question on the wire, and whether a contract lets it be asked. Nothing here looks at data.

What is not shared, what is unknown here and what nobody has are one refusal, PRIVACY_NOT_SHARED: it tells
which of them it is to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from federation.contract import Purpose
from federation.privacy.question import GROUPS_MAX, Aggregate, Bounds, BoundsFrom, Question
from graph.grouping import parse_group_key
from ontology.errors import AccessError, InputError, NotFoundError

if TYPE_CHECKING:
    from federation.contract import Contract, Grant
    from federation.private_terms import PrivateBound
    from graph.plan import GroupKey, Step
    from ontology.schema import Schema
    from ontology.terms import Kind

ALL: Final = "all"  # the one group of a question that is not grouped
BY_KIND: Final = "kind"
BY_SITE: Final = "site"
TESTS_MAX: Final = 16
NAME_MAX: Final = 512  # characters
FIGURES: Final = {
    "COUNT": (Aggregate.COUNT, None),
    "SUM": (Aggregate.SUM, None),
    "MEAN": (Aggregate.MEAN, None),
    "P05": (Aggregate.QUANTILE, 0.05),
    "P50": (Aggregate.QUANTILE, 0.50),
    "P95": (Aggregate.QUANTILE, 0.95),
}
ORDERED: Final = ("lt", "lte", "gt", "gte")
OPERATORS: Final = ("eq", "ne", *ORDERED)


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A condition on a shared attribute. unit: of a number (UCUM); None: as the attribute is declared."""

    attribute: str
    operator: str
    operand: bool | int | float | str
    unit: str | None = None


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One figure of twins of a kind, of those for which all of `where` holds.

    op: of FIGURES. epsilon: of the whole answer. sites: none named means all that the contract names.
    groups: the values of `group_by` that are asked for, as they are public; not needed for kinds and sites.
    """

    kind: str
    op: str
    epsilon: float
    attribute: str | None = None
    sites: tuple[str, ...] = ()
    group_by: str | None = None
    groups: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()


_ASKED: Final = msgspec.msgpack.Decoder(Asked)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A question that the contract lets be asked, with names made out.

    group_kinds: of a question by kind, IRIs in the order of its groups. steps: of one by relations.
    """

    question: Question
    kind: Kind
    attribute: str | None
    unit: str | None
    sites: tuple[str, ...]
    group_by: str | None
    group_kinds: tuple[str, ...]
    steps: tuple[Step, ...]
    where: tuple[Condition, ...]


def read_asked(body: bytes) -> Asked:
    """A question out of a message. InputError BODY_INVALID."""
    try:
        asked = _ASKED.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError("the body is no private question", code="BODY_INVALID") from error
    texts = (asked.kind, asked.attribute or "", asked.group_by or "", *asked.sites, *asked.groups)
    tests = (text for each in asked.where for text in (each.attribute, each.unit or "", str(each.operand)))
    is_small = len(asked.groups) <= GROUPS_MAX and len(asked.where) <= TESTS_MAX
    if not is_small or len(asked.sites) > GROUPS_MAX or max(map(len, (*texts, *tests))) > NAME_MAX:
        raise InputError("the question is too long", code="BODY_INVALID")
    return asked


def admit(asked: Asked, grant: Grant, schema: Schema, now_ns: int) -> Admitted:
    """The question, where the contract lets it be asked.

    AccessError PRIVACY_NOT_SHARED, the codes of `Grant.require`; InputError PRIVACY_FIGURE, PRIVACY_FILTER,
    PRIVACY_GROUPS. All of them follow from the question and the contract alone.
    """
    contract = grant.require(Purpose.PRIVATE, now_ns)
    kind = _kind(asked.kind, contract, schema)
    aggregate, quantile = _figure(asked)
    bound = _bound(asked, contract, aggregate)
    for test in asked.where:
        _check_test(test, contract)
    sites = tuple(sorted(set(asked.sites))) or tuple(sorted(contract.sites))
    if not contract.sites.issuperset(sites):
        raise not_shared()
    groups, kinds, steps = _groups(asked, grant, schema, kind, sites, now_ns)
    question = Question(
        aggregate=aggregate,
        about=_about(asked, kind.iri, sites, bound),
        groups=groups,
        epsilon=asked.epsilon,
        bounds=Bounds(bound.lower, bound.upper, BoundsFrom.CONTRACT) if bound else None,
        quantile=quantile,
    )
    unit = bound.unit if bound else None
    return Admitted(question, kind, asked.attribute, unit, sites, asked.group_by, kinds, steps, asked.where)


def not_shared() -> AccessError:
    """The one refusal of all that the contract does not name, whether it exists or not."""
    hint = "ask its operator which kinds, attributes and groups the contract names for private figures"
    return AccessError(
        "the contract does not share this as private figures", code="PRIVACY_NOT_SHARED", hint=hint
    )


def _kind(name: str, contract: Contract, schema: Schema) -> Kind:
    """A kind that is named, or one of the shipped vocabulary below it.

    Kinds that imports brought are not found by guessing: that they exist says what stands here.
    """
    try:
        kind = schema.kind(name)
    except NotFoundError as error:
        raise not_shared() from error
    if kind.iri in contract.kinds:
        return kind
    own = {each.iri for each in schema.user_kinds()}
    named = (schema.kind_by_iri(iri) for iri in contract.kinds)
    if kind.iri in own or not any(each and schema.is_a(kind.index, each.index) for each in named):
        raise not_shared()
    return kind


def _figure(asked: Asked) -> tuple[Aggregate, float | None]:
    figure = FIGURES.get(asked.op)
    if figure is None or (asked.attribute is None and figure[0] is not Aggregate.COUNT):
        hint = f"one of {', '.join(FIGURES)}; all but COUNT are of an attribute"
        raise InputError("that is no private figure", code="PRIVACY_FIGURE", hint=hint)
    return figure


def _bound(asked: Asked, contract: Contract, aggregate: Aggregate) -> PrivateBound | None:
    """The public bounds of what is measured; None where twins are counted."""
    if asked.attribute is None:
        return None
    bound = contract.private.bound(asked.attribute) if contract.private else None
    if aggregate is Aggregate.COUNT and (bound or asked.attribute in contract.attributes):
        return None
    if bound is None:
        raise not_shared()
    return bound


def _check_test(test: Condition, contract: Contract) -> None:
    if test.attribute not in contract.attributes:
        raise not_shared()
    is_ordered = test.operator in ORDERED
    is_number = isinstance(test.operand, int | float) and not isinstance(test.operand, bool)
    if test.operator not in OPERATORS or (is_ordered and not is_number):
        hint = f"{', '.join(OPERATORS)}; those of order compare numbers"
        raise InputError("that is no condition of a private question", code="PRIVACY_FILTER", hint=hint)


_Groups = tuple[tuple[str, ...], tuple[str, ...], tuple["Step", ...]]


def _groups(
    asked: Asked, grant: Grant, schema: Schema, kind: Kind, sites: tuple[str, ...], now_ns: int
) -> _Groups:
    """(names, kinds, steps). Groups come from the contract or from who asks, never from what stands here."""
    contract = grant.require(Purpose.PRIVATE, now_ns)
    if asked.group_by is None:
        return (ALL,), (), ()
    if asked.group_by == BY_SITE:
        return _among(asked.groups, sites), (), ()
    if asked.group_by == BY_KIND:
        named = asked.groups or _named_below(contract, schema, kind)
        return named, tuple(_kind(name, contract, schema).iri for name in named), ()
    key = _group_key(schema, asked.group_by)
    if key.steps:
        _check_steps(key.steps, grant, schema, now_ns)
    elif asked.group_by not in contract.attributes:
        raise not_shared()
    if not asked.groups:
        message = f"which values of {asked.group_by} are asked for has to be said"
        raise InputError(message, code="PRIVACY_GROUPS", hint="groups are public: they are never looked up")
    return asked.groups, (), key.steps


def _among(asked: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    if not set(known).issuperset(asked):
        raise not_shared()
    return asked or known


def _named_below(contract: Contract, schema: Schema, kind: Kind) -> tuple[str, ...]:
    """The kinds of the contract that lie within the one that is asked about, or that one alone."""
    found = (schema.kind_by_iri(iri) for iri in sorted(contract.kinds))
    names = sorted(each.name for each in found if each and schema.is_a(each.index, kind.index))
    return tuple(names) or (kind.name,)


def _group_key(schema: Schema, text: str) -> GroupKey:
    try:
        return parse_group_key(schema, text)
    except NotFoundError as error:
        raise not_shared() from error


def _check_steps(steps: tuple[Step, ...], grant: Grant, schema: Schema, now_ns: int) -> None:
    """Whom a twin belongs to may group it only where the contract shows just that anyway.

    Otherwise one twin on the way would decide the group of many, and the unit of privacy would not be a twin.
    """
    contract = grant.require(Purpose.PRIVATE, now_ns)
    shared = [schema.relation_by_iri(iri) for iri in contract.relations]
    is_shown = grant.rows_max(Purpose.QUERY, now_ns) > 0
    for step in steps:
        relation = schema.relation(step.relation)
        stored = relation.index if relation.inverse_of is None else relation.inverse_of
        if not is_shown or not any(each and schema.relations_below(each.index)[stored] for each in shared):
            raise not_shared()


def _about(asked: Asked, kind: str, sites: tuple[str, ...], bound: PrivateBound | None) -> str:
    """A canonical text: equal ones mean the same rows in the same groups."""
    tests = sorted(msgspec.json.encode(each, order="deterministic").decode() for each in asked.where)
    unit = bound.unit if bound else None
    return msgspec.json.encode([kind, asked.attribute, unit, sites, asked.group_by, tests]).decode()
