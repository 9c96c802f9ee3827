"""The fixed schema: Strawberry's own, made once per process."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import strawberry
from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, Undefined
from strawberry.schema.config import StrawberryConfig

from api.schema.generated import resolve_twin_type
from api.schema.inputs import BooleanFilter, JSONFilter, NumberFilter
from api.schema.mutation import Mutation
from api.schema.query import Query
from api.schema.quick import with_quick_way
from api.schema.scalars import SCALARS
from api.schema.subscription import Subscription
from api.schema.twin import Point, Twin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graphql import GraphQLArgument, GraphQLInputField, GraphQLSchema


def fixed_schema() -> GraphQLSchema:
    """The types of INTERFACE section 6 without those of kinds; `api.schema.generated.join` adds them."""
    made = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Twin, Point, NumberFilter, BooleanFilter, JSONFilter],
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    schema = made._schema  # pyright: ignore[reportPrivateUsage]
    for name in ("Twin", "Point"):
        # Object types are made outside Strawberry, so it cannot tell which one a twin has.
        cast("GraphQLInterfaceType", schema.type_map[name]).resolve_type = resolve_twin_type
    _drop_null_defaults(schema)
    for item in cast("GraphQLObjectType", schema.query_type).fields.values():
        item.resolve = with_quick_way(item)
    return schema


def _drop_null_defaults(schema: GraphQLSchema) -> None:
    """Strawberry states `= null` for every optional argument; it says nothing and hides the real defaults."""
    for item in schema.type_map.values():
        if isinstance(item, GraphQLInputObjectType):
            _forget_null(item.fields.values())
        elif isinstance(item, GraphQLObjectType | GraphQLInterfaceType) and not item.name.startswith("__"):
            for each in item.fields.values():
                _forget_null(each.args.values())


def _forget_null(items: Iterable[GraphQLArgument | GraphQLInputField]) -> None:
    for item in items:
        if item.default_value is None:
            item.default_value = Undefined
