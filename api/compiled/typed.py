"""Typed attributes (`api.schema.typed`) as columns of JSON."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import orjson
from graphql import get_named_type

from api.compiled.arena import Deopt
from api.compiled.template import Column
from api.schema.typed import typed_values

if TYPE_CHECKING:
    from graphql import GraphQLLeafType

    from api.compiled.arena import Pieces
    from api.compiled.frames import Twins
    from api.compiled.selecting import Arguments
    from api.schema.typed import AttributeField


def typed_column(field: AttributeField, arguments: Arguments) -> Column[Twins]:
    """The column of a typed attribute. Any error in it: Deopt."""
    made = _Typed(field, arguments)
    return Column(made, made)


@dataclass(frozen=True, slots=True, eq=False)
class _Typed:
    field: AttributeField
    arguments: Arguments

    def __call__(self, twins: Twins) -> Pieces:
        unit = self.arguments.values(twins.run.variables).get("unit")
        values = typed_values(twins.view, twins.rows, self.field, unit)
        leaf = cast("GraphQLLeafType", get_named_type(self.arguments.field.type))
        return twins.arena.put_all([_encoded(leaf, value) for value in values])


def _encoded(leaf: GraphQLLeafType, value: object) -> bytes:
    """As the executor completes a nullable leaf; GraphQLError where it does not fit."""
    if value is None:
        return b"null"
    if isinstance(value, Exception):
        raise Deopt
    given = leaf.coerce_output_value(value)
    if given is None:
        raise Deopt
    return orjson.dumps(given)
