"""Lists of plain objects, all of whose fields are leaves: readings of a history, aggregates, sites.

Their resolvers give one Python object for each; it is written as the executor would complete it, without the
executor.
"""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from graphql import (
    GraphQLLeafType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    get_nullable_type,
    is_leaf_type,
)
from graphql.pyutils import Path
from strawberry.types.field import StrawberryField

from api.compiled.arena import Deopt
from api.compiled.selecting import Unplannable
from api.compiled.template import Column
from api.schema.rows import TwinRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphql import GraphQLField

    from api.compiled.arena import Pieces
    from api.compiled.frames import Run, Twins
    from api.compiled.selecting import Arguments, Asked, Selecting

_DEFINITION: Final = "strawberry-definition"


@dataclass(frozen=True, slots=True)
class PlainField:
    """One field of a plain object: its key, and the attribute that it is read from (None: a constant)."""

    key: str
    attribute: str | None
    leaf: GraphQLLeafType | None
    constant: str = ""
    may_be_null: bool = True

    def value(self, row: object) -> object:
        """Deopt where the executor would tell an error."""
        if self.attribute is None or self.leaf is None:
            return self.constant
        found = getattr(row, self.attribute)
        if found is None:
            if self.may_be_null:
                return None
            raise Deopt
        try:
            made = self.leaf.coerce_output_value(found)
        except (TypeError, ValueError, OverflowError) as error:
            raise Deopt from error
        if made is None:
            raise Deopt
        return made


@dataclass(frozen=True, slots=True)
class PlainObject:
    """A plain object type, as far as it is asked for."""

    fields: tuple[PlainField, ...]

    def text(self, rows: Sequence[object]) -> bytes:
        """A JSON list."""
        return orjson.dumps([{field.key: field.value(row) for field in self.fields} for row in rows])


def plain_object(selecting: Selecting, asked: Asked, kind: GraphQLObjectType) -> PlainObject:
    """Unplannable where a field is no leaf that is read from an attribute."""
    return PlainObject(tuple(_plain_field(each, kind) for each in selecting.below(asked, kind)))


def _plain_field(asked: Asked, kind: GraphQLObjectType) -> PlainField:
    if asked.name == "__typename":
        return PlainField(asked.key, None, None, kind.name)
    field = kind.fields[asked.name]
    definition, inner = field.extensions.get(_DEFINITION), get_nullable_type(field.type)
    if (
        not isinstance(definition, StrawberryField)
        or not definition.is_basic_field
        or not is_leaf_type(inner)
    ):
        raise Unplannable
    may_be_null = not isinstance(field.type, GraphQLNonNull)
    return PlainField(asked.key, definition.python_name, inner, may_be_null=may_be_null)


def plain_column(
    planned: PlainObject, asked: Asked, field: GraphQLField, arguments: Arguments
) -> Column[Twins]:
    """A list of plain objects for every twin, from a field's own resolver."""
    made = _PlainLists(planned, asked, field, arguments)
    return Column(made, made.pieces, made.texts)


@dataclass(frozen=True, slots=True, eq=False)
class _PlainLists:
    planned: PlainObject
    asked: Asked
    field: GraphQLField
    arguments: Arguments

    def texts(self, twins: Twins) -> list[bytes]:
        resolve = cast("Callable[..., Sequence[object]]", self.field.resolve)
        info = info_of(twins.run, self.field, self.asked)
        given = self.arguments.values(twins.run.variables)
        try:
            return [
                self.planned.text(resolve(TwinRow(twins.cohort, place), info, **given))
                for place in range(twins.count)
            ]
        except (ValueError, IndexError, OverflowError) as error:
            raise Deopt from error

    def pieces(self, twins: Twins) -> Pieces:
        return twins.arena.put_all(self.texts(twins))


def info_of(run: Run, field: GraphQLField, asked: Asked) -> GraphQLResolveInfo[Any]:
    """What a resolver is told; those that are called by plans look at the context alone."""
    query = cast("GraphQLObjectType", run.schema.query_type)
    return GraphQLResolveInfo(
        field_name=asked.name,
        field_nodes=[each.node for each in asked.nodes],
        return_type=field.type,
        parent_type=query,
        path=Path(None, asked.key, query.name),
        schema=run.schema,
        fragments={},
        root_value=None,
        operation=cast("Any", None),
        variable_values=run.variables,
        context=run.context,
        is_awaitable=_is_awaitable,
        abort_signal=None,
        async_helpers=cast("Any", None),
    )


def _is_awaitable(_value: object) -> Any:
    return False
