"""Reading IFC files for the tests, and small IFC 4 models to read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import ifcopenshell

from adapters.ifc.source import read_ifc
from adapters.model import ImportRequest, Parsed
from ontology.schema import Schema, load_schema
from ontology.units import Units, load_units

if TYPE_CHECKING:
    from pathlib import Path

    from graph.values import RelationshipRecord, TwinRecord

BASE = "https://twinmesh.invalid/campus/"


@dataclass(frozen=True)
class Imported:
    """A parsed file, by local ids."""

    parsed: Parsed

    @cached_property
    def local(self) -> dict[str, str]:
        return {twin.id: twin.local_id or "" for twin in self.parsed.twins}

    @cached_property
    def by_local(self) -> dict[str, TwinRecord]:
        return {twin.local_id or "": twin for twin in self.parsed.twins}

    def of(self, relation: str) -> list[RelationshipRecord]:
        return [one for one in self.parsed.relationships if one.relation == relation]

    def pairs(self, relation: str) -> list[tuple[str, str]]:
        return [(self.local[one.source], self.local[one.target]) for one in self.of(relation)]

    def children(self, relation: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for child, parent in self.pairs(relation):
            found[parent].add(child)
        return dict(found)

    def count(self, schema: Schema, kind: str) -> int:
        wanted = schema.kind(kind).index
        kinds = [schema.kind(twin.kinds[0]).index for twin in self.parsed.twins]
        return sum(schema.is_a(one, wanted) for one in kinds)


@dataclass(frozen=True)
class Reader:
    """`read_ifc` with the shipped vocabulary and units."""

    schema: Schema = field(default_factory=load_schema)
    units: Units = field(default_factory=load_units)

    def __call__(self, path: Path, source: str = "f") -> Imported:
        return Imported(read_ifc(path, ImportRequest("campus", BASE, source), self.schema, self.units))


class Model:
    """A small IFC model under construction: a project, one storey, and what a test adds."""

    def __init__(self, schema: str = "IFC4") -> None:
        self.file = ifcopenshell.file(schema=schema)
        self.units = self.make("IfcUnitAssignment", Units=[])
        self.project = self.root("IfcProject", "P", UnitsInContext=self.units)
        self.storey = self.root("IfcBuildingStorey", "L")
        self.relate("IfcRelAggregates", RelatingObject=self.project, RelatedObjects=[self.storey])

    def make(self, ifc: str, *values: object, **attributes: object) -> ifcopenshell.entity_instance:
        return self.file.create_entity(ifc, *values, **attributes)

    def root(self, ifc: str, name: str | None, **attributes: object) -> ifcopenshell.entity_instance:
        return self.make(ifc, GlobalId=ifcopenshell.guid.new(), Name=name, **attributes)

    def relate(self, ifc: str, **ends: object) -> ifcopenshell.entity_instance:
        return self.make(ifc, GlobalId=ifcopenshell.guid.new(), **ends)

    def port(
        self, element: ifcopenshell.entity_instance, direction: str | None, system: str | None = None
    ) -> ifcopenshell.entity_instance:
        port = self.root("IfcDistributionPort", None, FlowDirection=direction)
        if self.file.schema == "IFC2X3":
            self.relate("IfcRelConnectsPortToElement", RelatingPort=port, RelatedElement=element)
            return port
        port.SystemType = system
        self.relate("IfcRelNests", RelatingObject=element, RelatedObjects=[port])
        return port

    def join(
        self,
        one: ifcopenshell.entity_instance,
        other: ifcopenshell.entity_instance,
        directions: tuple[str | None, str | None],
        system: str | None = None,
        **more: object,
    ) -> None:
        """Connect two elements by new ports; the first is the RelatingPort."""
        ends = [
            self.port(element, way, system) for element, way in zip((one, other), directions, strict=True)
        ]
        self.relate("IfcRelConnectsPorts", RelatingPort=ends[0], RelatedPort=ends[1], **more)

    def define(
        self, element: ifcopenshell.entity_instance, *properties: object, name: str = "Pset_X"
    ) -> None:
        made = self.root("IfcPropertySet", name, HasProperties=list(properties))
        self.relate("IfcRelDefinesByProperties", RelatedObjects=[element], RelatingPropertyDefinition=made)

    def write(self, folder: Path) -> Path:
        path = folder / "model.ifc"
        self.file.write(str(path))
        return path
