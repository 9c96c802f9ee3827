"""Attributes as typed fields: what they are called, of which type they are, and their values for a cohort.

The type belongs to the name, in the whole schema: a declared attribute has its datatype, another one what all
its values are (numbers, texts, booleans), JSON where they differ. An attribute whose name is no GraphQL name
(`Pset_WallCommon.IsExternal`) or is one of a twin's own fields stays with `attribute(name:)`; `x:country` is
`x_country`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from graphql import GraphQLArgument, GraphQLField, GraphQLString

from graph.attributes import Tag
from ontology.errors import InputError, TwinmeshError

if TYPE_CHECKING:
    import numpy.typing as npt
    from graphql import GraphQLNamedOutputType

    from api.schema.rows import TwinRow
    from graph.attributes import Column
    from graph.columns import Rows
    from graph.usage import AttributeUse
    from graph.view import View
    from ontology.terms import Attribute

EXTENSION: Final = "twinmesh"  # key in `extensions` of generated fields
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_FREE_PREFIX: Final = "x:"
_FREE_FIELD: Final = "x_"


class Form(StrEnum):
    """The GraphQL type of a typed attribute."""

    NUMBER = "Float"
    INTEGER = "Int"
    BOOLEAN = "Boolean"
    TEXT = "String"
    JSON = "JSON"


@dataclass(frozen=True, slots=True)
class AttributeField:
    """An attribute as a field. Numbers come in `unit` (UCUM), as stated where it is None."""

    name: str
    attribute: str
    form: Form
    unit: str | None = None
    is_declared: bool = False


_FORMS: Final = {
    "number": Form.NUMBER,
    "integer": Form.INTEGER,
    "boolean": Form.BOOLEAN,
    "text": Form.TEXT,
    "hours": Form.JSON,  # a number, or a distribution as text
    "json": Form.JSON,
}
_TAGS: Final[Mapping[Form, tuple[Tag, ...]]] = {
    Form.NUMBER: (Tag.NUMBER, Tag.INTEGER),
    Form.INTEGER: (Tag.NUMBER, Tag.INTEGER),
    Form.BOOLEAN: (Tag.BOOLEAN,),
    Form.TEXT: (Tag.TEXT,),
}


def attribute_field(
    use: AttributeUse, declared: Attribute | None, taken: frozenset[str]
) -> AttributeField | None:
    """The field of an attribute in use; None where its name cannot be one."""
    name = _field_name(use.name)
    if name is None or name in taken:
        return None
    if declared is not None and declared.on != "relationship":
        return AttributeField(name, use.name, _FORMS[declared.datatype], declared.unit, is_declared=True)
    return AttributeField(name, use.name, _form_of(use.tags))


def _field_name(attribute: str) -> str | None:
    """Two attributes never share a name: what begins with `x_` stands for `x:` alone."""
    if attribute.startswith(_FREE_PREFIX):
        name = _FREE_FIELD + attribute.removeprefix(_FREE_PREFIX)
    elif attribute.startswith(_FREE_FIELD):
        return None
    else:
        name = attribute
    return name if _NAME.fullmatch(name) else None


def _form_of(tags: frozenset[Tag]) -> Form:
    return next((form for form, own in _TAGS.items() if tags.issubset(own)), Form.JSON)


def graphql_field(field: AttributeField, form: GraphQLNamedOutputType) -> GraphQLField:
    """The field of a twin's types, to be shared by all of them. `form`: the type that `field.form` names."""
    with_unit = field.form is Form.NUMBER
    return GraphQLField(
        form,
        {"unit": GraphQLArgument(GraphQLString)} if with_unit else None,
        resolve=_resolver(field),
        description=_description(field),
        extensions={EXTENSION: field},
    )


def _description(field: AttributeField) -> str | None:
    said = "" if field.name == field.attribute else f"The attribute `{field.attribute}`. "
    if field.form is Form.NUMBER:
        unit = f"In {field.unit}" if field.unit else "As stated"
        return f"{said}{unit}, or converted to `unit` (UCUM)."
    return said.strip() or None


def _resolver(field: AttributeField) -> Callable[..., Any]:
    def resolve(root: TwinRow, _info: object, unit: str | None = None) -> object:
        cohort = root.cohort
        column = cohort.column(
            ("typed", field.name, unit), lambda: typed_values(cohort.view, cohort.rows, field, unit)
        )
        value = column[root.place]
        if isinstance(value, TwinmeshError):
            raise value
        return value

    return resolve


# Values


def typed_values(
    view: View, rows: Rows, field: AttributeField, unit: str | None = None
) -> Sequence[bool | int | float | str | object]:
    """What the field gives for each row: None where the attribute is absent.

    An error stands in for a value of another type (VALUE_TYPE: of the past, the type has changed since), for
    one that does not convert to `unit` (UNIT_MISMATCH) and for one that was stated without (UNIT_NEEDED).
    """
    column = view.snapshot.attribute(field.attribute)
    if column is None:
        return [None] * len(rows)
    if field.form is Form.JSON:
        return [value and value.value for value in column.values(rows)]
    tags = column.tag.take(rows)
    fits = np.isin(tags, _TAGS[field.form])
    found = np.full(len(rows), None, object)
    if field.form is Form.NUMBER:
        _add_numbers(found, view, rows, field, unit, column, fits)
    else:
        found[fits] = _plain(field.form, column, rows[fits])
    for place in np.flatnonzero((tags != Tag.ABSENT) & ~fits).tolist():
        found[place] = _other_type(field)
    return found.tolist()


def _plain(form: Form, column: Column, rows: Rows) -> Sequence[bool | float | str | None]:
    words = column.word.take(rows)
    if form is Form.BOOLEAN:
        return (words != 0).tolist()
    return (
        words.tolist() if form is Form.INTEGER else column.pools.texts.values(words.astype(np.int64).tolist())
    )


def _add_numbers(
    found: npt.NDArray[np.object_],
    view: View,
    rows: Rows,
    field: AttributeField,
    unit: str | None,
    column: Column,
    fits: npt.NDArray[np.bool_],
) -> None:
    """Fill in the numbers, those of one stated unit at a time."""
    words, target = column.word.take(rows), unit or field.unit
    if target is None:
        found[fits] = words[fits].tolist()
        return
    codes = column.unit.take(rows)
    for code in np.unique(codes[fits]).tolist():
        here = np.flatnonzero(fits & (codes == code))
        own = column.pools.units.value(code) or field.unit
        converted = _converted(view, field, words[here], own, target)
        if isinstance(converted, TwinmeshError):
            for place in here.tolist():
                found[place] = converted
        else:
            found[here] = converted.tolist()


def _converted(
    view: View, field: AttributeField, numbers: npt.NDArray[np.float64], own: str | None, target: str
) -> npt.NDArray[np.float64] | TwinmeshError:
    if own == target:
        return numbers
    if own is None:
        message = f"{field.attribute} is stated without a unit"
        return InputError(message, code="UNIT_NEEDED", hint="leave `unit` out for what was stated")
    try:
        return np.asarray(view.units.convert(numbers, own, target), np.float64)
    except InputError as error:
        return error


def _other_type(field: AttributeField) -> InputError:
    message = f"{field.attribute} is of another type here than {field.form}"
    hint = f'ask attribute(name: "{field.attribute}")'
    return InputError(message, code="VALUE_TYPE", hint=hint)
