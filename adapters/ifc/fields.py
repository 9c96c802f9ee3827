# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""Attributes of IFC instances by position (by name they cost four times as much); classes above a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ifcopenshell import ifcopenshell_wrapper

if TYPE_CHECKING:
    import ifcopenshell

# Positions that no version of IFC has moved.
GLOBAL_ID = 0
NAME = 2
DESCRIPTION = 3


class Fields:
    """What one schema says about its classes; remembers what it was asked."""

    def __init__(self, schema: str) -> None:
        """`schema`: as the file names it, such as IFC4X3_ADD2."""
        self._schema = ifcopenshell_wrapper.schema_by_name(schema)
        self._positions: dict[str, dict[str, int]] = {}
        self._above: dict[str, tuple[str, ...]] = {}

    def get(self, entity: ifcopenshell.entity_instance, name: str) -> Any:
        """The value of an attribute; None where it is empty or the class has none of that name."""
        ifc = entity.is_a()
        positions = self._positions.get(ifc)
        if positions is None:
            positions = self._positions[ifc] = self._read_positions(ifc)
        position = positions.get(name)
        return None if position is None else entity[position]

    def text(self, entity: ifcopenshell.entity_instance, name: str) -> str | None:
        """As `get`, but only a text with something in it."""
        return text_of(self.get(entity, name))

    def classes(self, ifc: str) -> tuple[str, ...]:
        """The class and all above it, nearest first; empty if the schema has no such class."""
        if ifc not in self._above:
            self._above[ifc] = self._read_above(ifc)
        return self._above[ifc]

    def is_a(self, ifc: str, ancestor: str) -> bool:
        return ancestor in self.classes(ifc)

    def _read_positions(self, ifc: str) -> dict[str, int]:
        entity = self._entity(ifc)
        return {} if entity is None else {a.name(): i for i, a in enumerate(entity.all_attributes())}

    def _read_above(self, ifc: str) -> tuple[str, ...]:
        names: list[str] = []
        entity = self._entity(ifc)
        while entity is not None:
            names.append(entity.name())
            entity = entity.supertype()
        return tuple(names)

    def _entity(self, ifc: str) -> Any:
        try:
            return self._schema.declaration_by_name(ifc).as_entity()
        except RuntimeError:  # "Entity with name ... not found"
            return None


def text_of(value: object) -> str | None:
    """A text that says something, trimmed; files also put numbers where texts belong."""
    text = value.strip() if isinstance(value, str) else ""
    return text or None
