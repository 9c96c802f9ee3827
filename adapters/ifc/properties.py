# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""Property sets and quantities as attributes named `{set}.{property}`: raw value, unit code, origin."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from adapters.ifc.config import PROPERTY_DEPTH_MAX
from adapters.ifc.fields import NAME
from graph.values import JSONValue, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import ifcopenshell

    from adapters.ifc.fields import Fields
    from adapters.ifc.measures import Measures

# Position of the value in every kind of IfcPhysicalSimpleQuantity, in every version.
_QUANTITY_VALUE = 3
_COMPLEX = {"IfcComplexProperty": "HasProperties", "IfcPhysicalComplexQuantity": "HasQuantities"}


class Properties:
    """The sets of one file, each read once however many elements share it."""

    def __init__(self, fields: Fields, measures: Measures, origin: str) -> None:
        self._fields = fields
        self._measures = measures
        self._origin = origin
        self._read_before: dict[int, Mapping[str, Value]] = {}  # sets and types

    def by_element(
        self, model: ifcopenshell.file, type_of: Mapping[int, ifcopenshell.entity_instance]
    ) -> dict[int, dict[str, Value]]:
        """Instance number of an object -> its attributes; a type states below what the object states.

        type_of: instance number of an object -> its type object.
        """
        found: dict[int, dict[str, Value]] = defaultdict(dict)
        for step, kind in type_of.items():
            found[step].update(self._of_type(kind))
        for relation in model.by_type("IfcRelDefinesByProperties"):
            stated = self._of_definition(self._fields.ref(relation, "RelatingPropertyDefinition"))
            for one in self._fields.refs(relation, "RelatedObjects"):
                found[one.id()].update(stated)
        return found

    def _of_type(self, kind: ifcopenshell.entity_instance) -> Mapping[str, Value]:
        step = kind.id()
        if step not in self._read_before:
            self._read_before[step] = self._of_sets(self._fields.refs(kind, "HasPropertySets"))
        return self._read_before[step]

    def _of_definition(self, definition: ifcopenshell.entity_instance | None) -> Mapping[str, Value]:
        """One set, or since IFC4 a bare list of sets."""
        if definition is None:
            return {}
        if definition.is_a() == "IfcPropertySetDefinitionSet":
            return self._of_sets(definition[0])
        return self._of_set(definition)

    def _of_sets(self, sets: Iterable[ifcopenshell.entity_instance]) -> Mapping[str, Value]:
        return {name: value for one in sets for name, value in self._of_set(one).items()}

    def _of_set(self, one: ifcopenshell.entity_instance) -> Mapping[str, Value]:
        step = one.id()
        if step not in self._read_before:
            self._read_before[step] = dict(self._read_set(one))
        return self._read_before[step]

    def _read_set(self, one: ifcopenshell.entity_instance) -> Iterator[tuple[str, Value]]:
        ifc = one.is_a()
        if ifc == "IfcPropertySet":
            yield from self._named(_name(one[NAME]) or ifc, self._fields.refs(one, "HasProperties"), 1)
        elif ifc == "IfcElementQuantity":
            yield from self._named(_name(one[NAME]) or ifc, self._fields.refs(one, "Quantities"), 1)

    def _named(
        self, path: str, items: Sequence[ifcopenshell.entity_instance], depth: int
    ) -> Iterator[tuple[str, Value]]:
        """Properties or quantities under the name of what holds them."""
        for item in items if depth <= PROPERTY_DEPTH_MAX else ():
            name = _name(item[0])
            held = _COMPLEX.get(item.is_a())
            if name and held:
                yield from self._named(f"{path}.{name}", self._fields.refs(item, held), depth + 1)
            elif name:
                value, unit = self._read(item)
                if value is not None:
                    yield f"{path}.{name}", Value(value, unit, self._origin)

    def _read(self, item: ifcopenshell.entity_instance) -> tuple[JSONValue, str | None]:
        """Value and unit code of one property or simple quantity."""
        ifc = item.is_a()
        if ifc == "IfcPropertySingleValue":
            return self._single(item)
        if ifc.startswith("IfcQuantity"):
            return _plain(item[_QUANTITY_VALUE]), self._measures.code(self._fields.ref(item, "Unit"), ifc)
        read = {
            "IfcPropertyEnumeratedValue": self._enumerated,
            "IfcPropertyListValue": self._listed,
            "IfcPropertyBoundedValue": self._bounded,
            "IfcPropertyTableValue": self._table,
            "IfcPropertyReferenceValue": self._reference,
        }.get(ifc)
        return (None, None) if read is None else read(item)

    def _single(self, item: ifcopenshell.entity_instance) -> tuple[JSONValue, str | None]:
        stated = self._fields.ref(item, "NominalValue")
        if stated is None:
            return None, None
        value = _plain(stated[0])
        if not _is_number(value):
            return value, None
        return value, self._measures.code(self._fields.ref(item, "Unit"), stated.is_a())

    def _enumerated(self, item: ifcopenshell.entity_instance) -> tuple[JSONValue, str | None]:
        values, unit = self._values(item, "EnumerationValues", None)
        return (values[0] if len(values) == 1 else values or None), unit

    def _listed(self, item: ifcopenshell.entity_instance) -> tuple[JSONValue, str | None]:
        values, unit = self._values(item, "ListValues", "Unit")
        return values or None, unit

    def _bounded(self, item: ifcopenshell.entity_instance) -> tuple[JSONValue, str | None]:
        bounds: dict[str, JSONValue] = {}
        unit: str | None = None
        for name, attribute in (
            ("lower", "LowerBoundValue"),
            ("upper", "UpperBoundValue"),
            ("setPoint", "SetPointValue"),
        ):
            stated = self._fields.ref(item, attribute)
            if stated is not None:
                bounds[name] = _plain(stated[0])
                unit = unit or self._measures.code(self._fields.ref(item, "Unit"), stated.is_a())
        return bounds or None, unit

    def _table(self, item: ifcopenshell.entity_instance) -> tuple[JSONValue, str | None]:
        """Two columns; the unit is that of the defined values, the defining unit stands beside them."""
        defining, defining_unit = self._values(item, "DefiningValues", "DefiningUnit")
        defined, unit = self._values(item, "DefinedValues", "DefinedUnit")
        table: dict[str, JSONValue] = {
            "defining": defining,
            "defined": defined,
            "definingUnit": defining_unit,
        }
        return (table if defining or defined else None), unit

    def _reference(self, item: ifcopenshell.entity_instance) -> tuple[JSONValue, str | None]:
        target = self._fields.ref(item, "PropertyReference")
        if target is None:
            return None, None
        return {"ifcClass": target.is_a(), "name": self._fields.text(target, "Name")}, None

    def _values(
        self, item: ifcopenshell.entity_instance, attribute: str, unit: str | None
    ) -> tuple[list[JSONValue], str | None]:
        stated = self._fields.refs(item, attribute)
        values = [_plain(one[0]) for one in stated]
        if not values or not _is_number(values[0]):
            return values, None
        return values, self._measures.code(self._fields.ref(item, unit) if unit else None, stated[0].is_a())


def _name(value: object) -> str | None:
    """A name exactly as stated: real files hold "Pfeil" and " Pfeil" in one set, with different values."""
    return value if isinstance(value, str) and value.strip() else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> JSONValue:
    """A stated value as JSON: aggregates as lists; numbers beyond float64 are no values."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str) else None
