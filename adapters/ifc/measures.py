# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""Units of an IFC file as UCUM codes: by (prefix, name) through the unit table, never by symbol or guess.

A property's own unit wins; else the project's unit for its kind of measure; else there is none.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ontology.errors import InputError, Place, Problem

if TYPE_CHECKING:
    import ifcopenshell

    from adapters.ifc.fields import Fields
    from ontology.units import Units

# Measures are named after their unit type, with few exceptions: IfcPositiveLengthMeasure has a LENGTHUNIT.
# (A compound plane angle is degrees, minutes, seconds whatever the project's unit: it has none.)
_MEASURE = re.compile(r"Ifc(?:Positive|NonNegative)?(\w+?)Measure$")
_UNIT_TYPES = {
    "SECTIONALAREAINTEGRALUNIT": "SECTIONAREAINTEGRALUNIT",
    "THERMALCONDUCTIVITYUNIT": "THERMALCONDUCTANCEUNIT",
}
_QUANTITIES = {
    "IfcQuantityArea": "AREAUNIT",
    "IfcQuantityLength": "LENGTHUNIT",
    "IfcQuantityTime": "TIMEUNIT",
    "IfcQuantityVolume": "VOLUMEUNIT",
    "IfcQuantityWeight": "MASSUNIT",
}
# How far the factor that a file states for a conversion-based unit may lie from the unit's own: files round
# to three digits, while units that share a name (gallons, tons, ounces) differ by more than this.
_FACTOR_TOLERANCE = 1e-3


class Measures:
    """The units of one file."""

    def __init__(
        self, project: ifcopenshell.entity_instance, fields: Fields, units: Units, path: str
    ) -> None:
        self._fields = fields
        self._units = units
        self._path = path
        self._by_step: dict[int, str | None] = {}
        self._by_measure: dict[str, str | None] = {}
        self._unknown: dict[str, Problem] = {}
        self._project = self._read_project(project)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """One for each unit that has no code; its values were kept without unit."""
        return tuple(self._unknown.values())

    def code(self, unit: ifcopenshell.entity_instance | None, measure: str) -> str | None:
        """Code of a property's own unit, else of the project's for that measure (its IFC class)."""
        if unit is not None:
            return self._named(unit)
        if measure not in self._by_measure:
            self._by_measure[measure] = self._project.get(unit_type(measure))
        return self._by_measure[measure]

    def _read_project(self, project: ifcopenshell.entity_instance) -> dict[str, str | None]:
        """Unit type, such as POWERUNIT, -> code."""
        assignment = self._fields.ref(project, "UnitsInContext")
        units = self._fields.refs(assignment, "Units") if assignment is not None else []
        typed = ((self._fields.text(unit, "UnitType"), unit) for unit in units)
        return {kind: self._named(unit) for kind, unit in typed if kind and kind != "USERDEFINED"}

    def _named(self, unit: ifcopenshell.entity_instance) -> str | None:
        step = unit.id()
        if step not in self._by_step:
            self._by_step[step] = self._read(unit)
        return self._by_step[step]

    def _read(self, unit: ifcopenshell.entity_instance) -> str | None:
        ifc = unit.is_a()
        if ifc == "IfcSIUnit":
            return self._si(unit)
        if ifc.startswith("IfcConversionBasedUnit"):
            return self._conversion(unit)
        if ifc == "IfcDerivedUnit":
            return self._derived(unit)
        return None  # money and units that mean something in their context only

    def _si(self, unit: ifcopenshell.entity_instance) -> str | None:
        prefix, name = self._fields.text(unit, "Prefix"), self._fields.text(unit, "Name") or ""
        code = self._units.from_ifc(prefix, name)
        return code or self._no_code(unit, f"{prefix or ''} {name}".strip())

    def _conversion(self, unit: ifcopenshell.entity_instance) -> str | None:
        """Names are spelled freely and there are several feet and tons: the stated factor must agree."""
        name = self._fields.text(unit, "Name") or ""
        code = self._units.from_ifc(None, name)
        if code is None:
            return self._no_code(unit, name)
        stated = self._stated_factor(unit)
        if stated is None or math.isclose(stated, self._units.si_factor(code), rel_tol=_FACTOR_TOLERANCE):
            return code
        return self._no_code(unit, f"{name}, whose factor {stated:g} is not that of {code}")

    def _stated_factor(self, unit: ifcopenshell.entity_instance) -> float | None:
        factor = self._fields.ref(unit, "ConversionFactor")
        value = self._fields.ref(factor, "ValueComponent") if factor is not None else None
        base = self._fields.ref(factor, "UnitComponent") if factor is not None else None
        code = self._named(base) if base is not None else None
        number = value[0] if value is not None else None
        return (
            None
            if code is None or not isinstance(number, int | float)
            else number * self._units.si_factor(code)
        )

    def _derived(self, unit: ifcopenshell.entity_instance) -> str | None:
        factors: list[tuple[str, int]] = []
        for element in self._fields.refs(unit, "Elements"):
            part, power = self._fields.ref(element, "Unit"), self._fields.get(element, "Exponent")
            code = self._named(part) if part is not None else None
            if code is None or not isinstance(power, int):
                return self._no_code(
                    unit, f"a derived unit ({self._fields.text(unit, 'UnitType')}) of units without code"
                )
            factors.append((code, power))
        try:
            return self._units.from_factors(sorted(factors, key=lambda factor: -factor[1]))
        except InputError as error:
            return self._no_code(unit, error.message)

    def _no_code(self, unit: ifcopenshell.entity_instance, name: str) -> None:
        """Values in this unit keep their number and have no unit: said once per unit."""
        place = Place(self._path, item=f"#{unit.id()} {unit.is_a()}")
        message = f"no unit code for {name}; its values are kept without unit"
        self._unknown[name] = Problem("IFC_UNIT_UNKNOWN", message, place)


def unit_type(measure: str) -> str:
    """The IfcUnitEnum or IfcDerivedUnitEnum item of a measure or quantity class; else one no project has."""
    if measure in _QUANTITIES:
        return _QUANTITIES[measure]
    found = _MEASURE.match(measure)
    name = f"{found.group(1).upper()}UNIT" if found else ""
    return _UNIT_TYPES.get(name, name)
