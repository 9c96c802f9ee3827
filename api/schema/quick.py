"""Resolvers of the query that are called as they are where their arguments need no conversion.

Strawberry makes input objects of what graphql-core has coerced; texts, numbers and lists of texts stay what
they are, and looking for something to convert in them takes longer than a small query.
"""

# Strawberry leaves the type of its resolvers open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from strawberry.types.field import StrawberryField

if TYPE_CHECKING:
    from graphql import GraphQLField, GraphQLResolveInfo

    from api.schema.context import RequestContext

_DEFINITION: Final = "strawberry-definition"
_PLAIN: Final = (str, int, bool, type(None))


def with_quick_way(field: GraphQLField) -> Callable[..., Any]:
    """What resolves a field of the query; its function must use nothing of `info` but the context."""
    resolve = cast("Callable[..., Any]", field.resolve)
    definition = field.extensions.get(_DEFINITION)
    if not isinstance(definition, StrawberryField) or definition.base_resolver is None:
        return resolve
    function = cast("Callable[..., Any]", definition.base_resolver.wrapped_func)
    names = {
        graphql_name: argument.python_name
        for graphql_name, argument in zip(field.args, definition.arguments, strict=True)
    }

    def resolve_quickly(source: object, info: GraphQLResolveInfo[RequestContext], /, **arguments: Any) -> Any:
        if not all(_is_plain(value) for value in arguments.values()):
            return resolve(source, info, **arguments)
        return function(info, **{names[name]: value for name, value in arguments.items()})

    return resolve_quickly


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in cast("list[object]", value))
    return isinstance(value, _PLAIN)
