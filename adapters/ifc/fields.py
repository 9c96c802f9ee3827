# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""Attributes of IFC instances by position (by name they cost four times as much); classes above a class."""

from __future__ import annotations

from typing import Any

import ifcopenshell
from ifcopenshell import ifcopenshell_wrapper

from adapters.ifc.notices import Notice

# Positions that no version of IFC has moved.
GLOBAL_ID = 0
NAME = 2
DESCRIPTION = 3


class Fields:
    """What one schema says about its classes; remembers what it was asked.

    Files also put numbers where instances belong: `ref`, `refs` and `text` give nothing then, and keep a
    notice.
    """

    def __init__(self, schema: str) -> None:
        """`schema`: as the file names it, such as IFC4X3_ADD2."""
        self._schema = ifcopenshell_wrapper.schema_by_name(schema)
        self._positions: dict[str, dict[str, int]] = {}
        self._above: dict[str, tuple[str, ...]] = {}
        self.notices: list[Notice] = []

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

    def ref(self, entity: ifcopenshell.entity_instance, name: str) -> ifcopenshell.entity_instance | None:
        """As `get`, but only an instance (or a typed value)."""
        value = self.get(entity, name)
        if value is None or isinstance(value, ifcopenshell.entity_instance):
            return value
        self._wrong(entity, name, value)
        return None

    def refs(self, entity: ifcopenshell.entity_instance, name: str) -> list[ifcopenshell.entity_instance]:
        """As `get`, but only instances; one that stands alone is a list of one."""
        value = self.get(entity, name)
        several: tuple[Any, ...] = () if value is None else value if isinstance(value, tuple) else (value,)
        found = [one for one in several if isinstance(one, ifcopenshell.entity_instance)]
        if len(found) < len(several):
            self._wrong(entity, name, value)
        return found

    def _wrong(self, entity: ifcopenshell.entity_instance, name: str, value: object) -> None:
        message = f"{name} of #{entity.id()} {entity.is_a()} holds no instance but {str(value)[:40]!r}"
        self.notices.append(Notice("IFC_VALUE_INVALID", message, entity.id()))

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
