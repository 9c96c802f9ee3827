"""Typed filters and orders of a kind: `ahuList(where: AHUFilter, order: [AHUOrder!])`.

They say nothing that `filter: TwinFilter` and `orderBy: [TwinOrder!]` could not, only with the names of the
attributes in the schema: so a client's types know them, and a misspelling is found before anything runs. They
are turned into the plain arguments; nothing behind them knows that they exist.
"""

# graphql-core leaves the values of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
)

from api.schema.typed import Form
from graph.plan import POINT_VALUE, TextField
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graphql import GraphQLEnumType

    from api.schema.typed import AttributeField

WHERE: Final = "where"
ORDER: Final = "order"
_COMBINED: Final = ("and", "or", "not")
_NULLS: Final = "nulls"
# Names of a filter's or an order's own fields, which no attribute can have.
FILTER_WORDS: Final = frozenset((*_COMBINED, "some", "none", "every", "attribute", _NULLS))
_FILTERS: Final[Mapping[Form, str]] = {
    Form.NUMBER: "NumberFilter",
    Form.INTEGER: "NumberFilter",
    Form.BOOLEAN: "BooleanFilter",
    Form.TEXT: "StringFilter",
    Form.JSON: "JSONFilter",
}


@dataclass(frozen=True, slots=True)
class KindRoot:
    """What a root field of a kind means. attributes: name of a filter's or order's field -> attribute."""

    kind: str  # IRI
    is_list: bool
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


class TypedInputs:
    """Makes the filter and order types of kinds; the fields of an attribute are shared by all of them."""

    def __init__(self, fixed: GraphQLSchema) -> None:
        self._types = fixed.type_map
        self.made: list[GraphQLInputObjectType] = []  # the filters
        self._filters = {name: GraphQLInputField(self._input(name)) for name in set(_FILTERS.values())}
        self._way = GraphQLInputField(cast("GraphQLEnumType", self._types["SortDirection"]))
        self._common = {
            name: item for name, item in self._input("TwinFilter").fields.items() if name not in _COMBINED
        }
        self._nulls = self._input("TwinOrder").fields[_NULLS]

    def filter_type(
        self, name: str, kind: str, attributes: Iterable[AttributeField], *, of_points: bool
    ) -> GraphQLInputObjectType:
        """All that are given must hold, as in `TwinFilter`."""
        fields = dict(self._common)
        if of_points:
            fields[POINT_VALUE] = self._filters[_FILTERS[Form.JSON]]
        fields |= {item.name: self._filters[_FILTERS[item.form]] for item in attributes}

        def with_itself() -> dict[str, GraphQLInputField]:
            many = GraphQLInputField(GraphQLList(GraphQLNonNull(made)))
            return {"and": many, "or": many, "not": GraphQLInputField(made), **fields}

        made = GraphQLInputObjectType(
            name, with_itself, description=f"Of {kind}; holds together with `filter`."
        )
        self.made.append(made)
        return made

    def order_type(
        self, name: str, kind: str, attributes: Iterable[AttributeField], *, of_points: bool
    ) -> GraphQLInputObjectType:
        """One key each, and where twins without it stand."""
        names = [*(each.value for each in TextField), *([POINT_VALUE] if of_points else [])]
        fields = dict.fromkeys((*names, *(item.name for item in attributes)), self._way)
        text = f"Of {kind}: exactly one key, and where twins without it stand."
        return GraphQLInputObjectType(name, {**fields, _NULLS: self._nulls}, description=text)

    def _input(self, name: str) -> GraphQLInputObjectType:
        return cast("GraphQLInputObjectType", self._types[name])


def typed_arguments(
    where: GraphQLInputObjectType, order: GraphQLInputObjectType
) -> dict[str, GraphQLArgument]:
    """`where` holds together with `filter`; of `order` and `orderBy` one is given."""
    return {
        WHERE: GraphQLArgument(where),
        ORDER: GraphQLArgument(GraphQLList(GraphQLNonNull(order))),
    }


def let_go(filters: Iterable[GraphQLInputObjectType]) -> None:
    """Untie filters whose schema is gone, so that they go without the cycle collector."""
    for item in filters:
        vars(item).clear()


# As plain arguments


def lowered(arguments: Mapping[str, Any], root: KindRoot) -> dict[str, Any]:
    """Coerced arguments of a list root with `where` and `order` put into `filter` and `orderBy`.

    InputError ORDER_INVALID.
    """
    plain = {name: value for name, value in arguments.items() if name not in (WHERE, ORDER)}
    where, order = arguments.get(WHERE), arguments.get(ORDER)
    if where is not None:
        typed, given = _lowered_filter(where, root.attributes), plain.get("filter")
        plain["filter"] = typed if given is None else {"and": [given, typed]}
    if order is not None:
        if plain.get("orderBy") is not None:
            raise InputError("give `order` or `orderBy`, not both", code="ORDER_INVALID")
        plain["orderBy"] = [_lowered_key(key, root.attributes) for key in order]
    return plain


def _lowered_filter(where: Mapping[str, Any], attributes: Mapping[str, str]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    tests: list[dict[str, Any]] = list(where.get("attribute") or ())
    for name, value in where.items():
        if value is None or name == "attribute":
            continue
        if name in attributes:
            tests.append({"name": attributes[name], **value})
        elif name == "not":
            plain[name] = _lowered_filter(value, attributes)
        elif name in _COMBINED:
            plain[name] = [_lowered_filter(part, attributes) for part in value]
        else:
            plain[name] = value
    return {**plain, "attribute": tests} if tests else plain


def _lowered_key(key: Mapping[str, Any], attributes: Mapping[str, str]) -> dict[str, Any]:
    given = [(name, way) for name, way in key.items() if name != _NULLS and way is not None]
    if len(given) != 1:
        raise InputError(
            f"a key of `order` has {len(given)} names",
            code="ORDER_INVALID",
            hint="write [{a: ASC}, {b: DESC}]: each in braces of its own",
        )
    name, way = given[0]
    nulls = {_NULLS: key[_NULLS]} if key.get(_NULLS) is not None else {}
    return {"by": attributes.get(name, name), "direction": way, **nulls}
