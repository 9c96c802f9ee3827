"""Attributes of twins and relationships: as they were stated, and as typed fields."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from graphql import get_named_type

from api.schema.typed import AttributeField, Form
from graph.stores.neo4j.naming import attribute_of, property_of, quoted
from graph.stores.neo4j.rows import units_of, units_text, value_of
from graph.stores.neo4j.script import refuse
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from graphql import GraphQLLeafType

    from api.compiled.selecting import Arguments
    from api.pushdown.reading import Column, Place, Reading, Source, Table
    from api.pushdown.writing import Writer

_FITTING: Final = {Form.NUMBER: (int, float), Form.INTEGER: (int, float), Form.BOOLEAN: bool, Form.TEXT: str}


def attribute_rows(
    properties: Mapping[str, Any], names: Iterable[str] | None, entry: tuple[tuple[str, str], ...], type_: str
) -> list[dict[str, Any]]:
    """Attributes of these names, or all, as objects. entry: (key, field)."""
    known = {name: key for key in properties if (name := attribute_of(key)) is not None}
    units = units_of(properties.get("_units_long") or properties.get("_units"))
    wanted = sorted(known) if names is None else [name for name in names if name in known]
    return [
        {key: _entry(field, name, properties[known[name]], units, type_) for key, field in entry}
        for name in wanted
    ]


def _entry(field: str, name: str, stored: Any, units: Mapping[str, str], type_: str) -> Any:
    if field == "value":
        return value_of(stored)
    if field == "unit":
        return units.get(name)
    return name if field == "name" else type_


def checked_entry(entry: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """LimitError PUSHDOWN_UNSUPPORTED for what the graph in Neo4j does not hold."""
    if any(field == "source" for _, field in entry):
        refuse("where an attribute came from (`source`)")
    return entry


@dataclass(frozen=True, slots=True)
class Attributes:
    """`attributes` or `attribute` of a twin."""

    arguments: Arguments
    entry: tuple[tuple[str, str], ...]
    typename: str
    is_one: bool

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        given = self.arguments.values(writer.variables)
        names: list[str] | None = [given["name"]] if self.is_one else given.get("names")
        if names is None:
            whole = place.index(f"properties({variable})")
            return lambda table, _reading: [
                attribute_rows(each, None, self.entry, self.typename) for each in table.columns[whole]
            ]
        for name in names:
            if writer.schema.attribute(name) is None and name not in writer.used:
                refuse(f"an attribute {name!r}, which neither the vocabulary nor any twin seen has,")
        found = [(name, place.index(_property(variable, name))) for name in names]
        units = place.index(units_text(variable)) if any(f == "unit" for _, f in self.entry) else None

        def read(table: Table, _reading: Reading) -> Column:
            columns = [table.columns[index] for _, index in found]
            texts = [None] * table.size if units is None else table.columns[units]
            rows = zip(*columns, strict=True) if columns else [()] * table.size
            stated = [name for name, _ in found]
            return [self._stated(stated, row, units_of(text)) for row, text in zip(rows, texts, strict=True)]

        return read

    def _stated(self, names: Iterable[str], row: Iterable[Any], units: Mapping[str, str]) -> Any:
        objects = [
            {key: _entry(field, name, value, units, self.typename) for key, field in self.entry}
            for name, value in zip(names, row, strict=True)
            if value is not None
        ]
        return (objects[0] if objects else None) if self.is_one else objects


class PointUnit:
    """The attribute `unit` of a point, as text."""

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        index = place.index(_property(variable, "unit"))

        def read(table: Table, _reading: Reading) -> Column:
            values = map(value_of, table.columns[index])
            return [None if value is None else str(value) for value in values]

        return read


@dataclass(frozen=True, slots=True)
class Typed:
    """An attribute as a typed field."""

    field: AttributeField
    arguments: Arguments

    def source(self, writer: Writer, place: Place, variable: str) -> Source:
        unit = self.arguments.values(writer.variables).get("unit")
        index = place.index(_property(variable, self.field.attribute))
        if self.field.form is Form.NUMBER:
            stated = place.index(units_text(variable))
            return lambda table, reading: [
                self._number(value, units, unit, reading)
                for value, units in zip(table.columns[index], table.columns[stated], strict=True)
            ]
        leaf = cast("GraphQLLeafType", get_named_type(self.arguments.field.type))
        return lambda table, _reading: [self._plain(value, leaf) for value in table.columns[index]]

    def _plain(self, stored: Any, leaf: GraphQLLeafType) -> Any:
        value = value_of(stored)
        if value is None:
            return None
        self._check(value)
        if self.field.form is Form.INTEGER:
            return leaf.coerce_output_value(float(value))
        return value

    def _number(self, stored: Any, units: str | None, unit: str | None, reading: Reading) -> float | None:
        value = value_of(stored)
        if value is None:
            return None
        self._check(value)
        target = unit or self.field.unit
        own = units_of(units).get(self.field.attribute) or self.field.unit
        if target is None or own == target:
            return float(value)
        if own is None:
            message = f"{self.field.attribute} is stated without a unit"
            raise InputError(message, code="UNIT_NEEDED", hint="leave `unit` out for what was stated")
        return float(reading.units.convert(np.array([float(value)]), own, target)[0])

    def _check(self, value: Any) -> None:
        wanted = _FITTING.get(self.field.form)
        is_truth = isinstance(value, bool) and self.field.form is not Form.BOOLEAN
        if wanted is not None and (is_truth or not isinstance(value, wanted)):
            message = f"{self.field.attribute} is of another type here than {self.field.form}"
            hint = f'ask attribute(name: "{self.field.attribute}")'
            raise InputError(message, code="VALUE_TYPE", hint=hint)


def _property(variable: str, attribute: str) -> str:
    return f"{variable}.{quoted(property_of(attribute))}"
