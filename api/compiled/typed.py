"""Typed attributes (`api.schema.typed`) as columns of JSON."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import orjson
from graphql import get_named_type

from api.compiled.arena import Deopt, by_code
from api.compiled.frames import check
from api.compiled.leaves import text_pieces
from api.compiled.template import Column
from api.schema.typed import Form, typed_values
from graph.attributes import Tag

if TYPE_CHECKING:
    from graphql import GraphQLLeafType

    from api.compiled.arena import Pieces
    from api.compiled.frames import Twins
    from api.compiled.selecting import Arguments
    from api.schema.typed import AttributeField
    from graph.attributes import Column as Attribute
    from graph.columns import Rows

_NULL: Final = b"null"
_LOGICAL: Final = (b"false", b"true", _NULL)
_TAGS: Final = {Form.NUMBER: (Tag.NUMBER, Tag.INTEGER), Form.TEXT: (Tag.TEXT,), Form.BOOLEAN: (Tag.BOOLEAN,)}


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
        column = twins.snapshot.attribute(self.field.attribute)
        if column is None:
            return twins.arena.repeat(_NULL, twins.count)
        pieces = self._columnar(twins, column, unit or self.field.unit)
        return pieces or self._one_by_one(twins, unit)

    def _columnar(self, twins: Twins, column: Attribute, target: str | None) -> Pieces | None:
        """Values that leave as they are stated; None where they are other ones."""
        arena, form = twins.arena, self.field.form
        tags, words = column.tag.take(twins.rows), column.word.take(twins.rows)
        present = tags != Tag.ABSENT
        if form not in _TAGS:
            return None
        check(not (present & ~np.isin(tags, _TAGS[form])).any())
        if form is Form.TEXT:
            return text_pieces(arena, column.pools, np.where(present, words, 0).astype(np.int64))
        if form is Form.BOOLEAN:
            return by_code(arena, np.where(present, words, 2).astype(np.int64), _LOGICAL.__getitem__)
        if target is not None and not self._is_all_in(column, twins.rows[present], target):
            return None
        check(np.isfinite(words[present]).all())
        return arena.numbers(np.where(present, words, np.nan))

    def _is_all_in(self, column: Attribute, rows: Rows, target: str) -> bool:
        codes = np.flatnonzero(np.bincount(column.unit.take(rows))).tolist()
        return all((column.pools.units.value(code) or self.field.unit) == target for code in codes)

    def _one_by_one(self, twins: Twins, unit: str | None) -> Pieces:
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
