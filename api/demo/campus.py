# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""The demo's building as an IFC 4 file, written with IfcOpenShell: equal bytes each time.

One building of three storeys with eight rooms each. A transformer feeds a switchboard, the switchboard the
chiller, two pumps and three air handlers; the chiller gives chilled water over both pumps to the air
handlers; each air handler gives air over a box per room to an air terminal in that room. Only the supply
side is drawn.

| what | names (equipment: equal to the tags) |
|---|---|
| storeys, rooms | Level 1 .. Level 3, R1.01 .. R3.08 |
| power | TR-1, MSB-1 |
| chilled water | CH-1, CHWP-1, CHWP-2 |
| air | AHU-1 .. AHU-3, VAV-1.01 .. VAV-3.08, ATD-1.01 .. ATD-3.08 |
| systems | POWER, CHW, SA-1 .. SA-3 |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import ifcopenshell
from ifcopenshell import guid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

STOREYS = (1, 2, 3)
WRITTEN = "2026-01-01T00:00:00"
_NAMESPACE = uuid5(NAMESPACE_URL, "https://twinmesh.dev/demo/campus")
_STOREY_HEIGHT_MM = 3600.0
_MAKER = "twinmesh demo"

# The rooms of each storey: what for, how many square metres.
_ROOMS = (
    ("Office", 24.0),
    ("Office", 24.0),
    ("Office", 36.0),
    ("Meeting", 36.0),
    ("Laboratory", 48.0),
    ("Server room", 18.0),
    ("Open office", 72.0),
    ("Kitchen", 30.0),
)


class _Carrier(NamedTuple):
    """What flows between two ports: items of IfcDistributionSystemEnum and IfcDistributionPortTypeEnum."""

    system: str
    port: str


_WATER = _Carrier("CHILLEDWATER", "PIPE")
_AIR = _Carrier("AIRCONDITIONING", "DUCT")
_POWER = _Carrier("ELECTRICAL", "CABLE")


class _Stated(NamedTuple):
    """One property: IFC measure, number, and its own unit where it is not the project's."""

    name: str
    measure: str
    value: float
    unit: str | None = None


def write_campus_ifc(path: Path) -> None:
    """Write the building to `path`. Nothing in it depends on the time, the machine or chance."""
    campus = _Campus()
    campus.build()
    header = campus.model.header
    header.file_description.description = ("ViewDefinition [ReferenceView]",)
    header.file_name.name = "campus.ifc"
    header.file_name.time_stamp = WRITTEN
    header.file_name.author = (_MAKER,)
    header.file_name.organization = (_MAKER,)
    header.file_name.preprocessor_version = _MAKER
    header.file_name.originating_system = _MAKER
    header.file_name.authorization = ""
    campus.model.write(str(path))


@dataclass(slots=True)
class _Campus:
    """The model while it is written. GlobalIds derive from class and name, which are unique together."""

    model: ifcopenshell.file = field(default_factory=lambda: ifcopenshell.file(schema="IFC4"))
    units: dict[str, ifcopenshell.entity_instance] = field(
        default_factory=dict[str, ifcopenshell.entity_instance]
    )
    ports: dict[ifcopenshell.entity_instance, list[ifcopenshell.entity_instance]] = field(
        default_factory=dict[ifcopenshell.entity_instance, list[ifcopenshell.entity_instance]]
    )

    def build(self) -> None:
        project = self._project()
        site = self._root("IfcSite", "Campus", RefLatitude=(52, 31, 12), RefLongitude=(13, 24, 18))
        building = self._root("IfcBuilding", "Building C")
        self._aggregate(project, [site])
        self._aggregate(site, [building])
        storeys = [self._storey(number) for number in STOREYS]
        self._aggregate(building, [storey for storey, _ in storeys])
        self._plant(storeys[0][0], [handler for _, handler in storeys])
        for element, ports in self.ports.items():
            self._relate("IfcRelNests", element.Name, RelatingObject=element, RelatedObjects=ports)

    # --- project and units: millimetres, kilowatts, cubic metres a second ---

    def _project(self) -> ifcopenshell.entity_instance:
        cubic, second = self._si("CUBIC_METRE", "VOLUMEUNIT"), self._si("SECOND", "TIMEUNIT")
        self.units["W"] = self._si("WATT", "POWERUNIT")
        assigned = [
            cubic,
            second,
            self._si("METRE", "LENGTHUNIT", "MILLI"),
            self._si("SQUARE_METRE", "AREAUNIT"),
            self._si("WATT", "POWERUNIT", "KILO"),
            self._si("PASCAL", "PRESSUREUNIT"),
            self._si("VOLT", "ELECTRICVOLTAGEUNIT"),
            self._si("DEGREE_CELSIUS", "THERMODYNAMICTEMPERATUREUNIT"),
            self._derived("VOLUMETRICFLOWRATEUNIT", [(cubic, 1), (second, -1)]),
        ]
        units = self.model.create_entity("IfcUnitAssignment", Units=assigned)
        return self._root("IfcProject", "Campus model", UnitsInContext=units)

    def _si(self, name: str, kind: str, prefix: str | None = None) -> ifcopenshell.entity_instance:
        return self.model.create_entity("IfcSIUnit", UnitType=kind, Prefix=prefix, Name=name)

    def _derived(
        self, kind: str, parts: Iterable[tuple[ifcopenshell.entity_instance, int]]
    ) -> ifcopenshell.entity_instance:
        make = self.model.create_entity
        elements = [make("IfcDerivedUnitElement", Unit=unit, Exponent=power) for unit, power in parts]
        return make("IfcDerivedUnit", Elements=elements, UnitType=kind)

    # --- one storey ---

    def _storey(self, number: int) -> tuple[ifcopenshell.entity_instance, ifcopenshell.entity_instance]:
        """A storey and its air handler."""
        elevation = (number - 1) * _STOREY_HEIGHT_MM
        storey = self._root("IfcBuildingStorey", f"Level {number}", Elevation=elevation)
        handler = self._handler(number)
        names = [f"{number}.{room:02}" for room in range(1, len(_ROOMS) + 1)]
        rooms = [self._room(name, *use) for name, use in zip(names, _ROOMS, strict=True)]
        boxes = [self._box(name, area) for name, (_, area) in zip(names, _ROOMS, strict=True)]
        terminals = [self._element("IfcAirTerminal", f"ATD-{name}", "DIFFUSER") for name in names]
        self._aggregate(storey, rooms)
        self._contain(storey, [handler, *boxes])
        for room, box, terminal in zip(rooms, boxes, terminals, strict=True):
            self._contain(room, [terminal])
            self._connect(handler, box, _AIR)
            self._connect(box, terminal, _AIR)
        kind = "VARIABLEFLOWPRESSUREINDEPENDANT"
        self._type("IfcAirTerminalBoxType", f"Box of level {number}", kind, boxes)
        self._system(f"SA-{number}", "AIRCONDITIONING", [handler, *boxes, *terminals])
        return storey, handler

    def _room(self, name: str, use: str, area_m2: float) -> ifcopenshell.entity_instance:
        attributes = {"LongName": f"Room {name}", "ObjectType": use, "PredefinedType": "INTERNAL"}
        room = self._root("IfcSpace", f"R{name}", **attributes)
        make = self.model.create_entity
        area = make("IfcQuantityArea", Name="NetFloorArea", AreaValue=area_m2)
        height = make("IfcQuantityLength", Name="Height", LengthValue=_STOREY_HEIGHT_MM - 600.0)
        volume = make("IfcQuantityVolume", Name="NetVolume", VolumeValue=round(area_m2 * 3.0, 3))
        quantities = self._root(
            "IfcElementQuantity", "Qto_SpaceBaseQuantities", of=room.Name, Quantities=[area, height, volume]
        )
        self._define(quantities, [room], room.Name)
        return room

    def _handler(self, number: int) -> ifcopenshell.entity_instance:
        handler = self._element("IfcUnitaryEquipment", f"AHU-{number}", "AIRHANDLER")
        flow_m3_per_s = round(sum(area for _, area in _ROOMS) * 0.0015, 4)
        self._properties(
            handler,
            "Pset_CampusAirHandler",
            _Stated("NominalAirFlow", "IfcVolumetricFlowRateMeasure", flow_m3_per_s),
            _Stated("CoolingCapacity", "IfcPowerMeasure", 110.0),
            _Stated("FanPower", "IfcPowerMeasure", 5500.0, "W"),
        )
        return handler

    def _box(self, name: str, area_m2: float) -> ifcopenshell.entity_instance:
        box = self._element("IfcAirTerminalBox", f"VAV-{name}", None)
        flow_m3_per_s = round(area_m2 * 0.0015, 4)
        stated = _Stated("NominalAirFlowRate", "IfcVolumetricFlowRateMeasure", flow_m3_per_s)
        self._properties(box, "Pset_AirTerminalBoxTypeCommon", stated)
        return box

    # --- the plant room ---

    def _plant(
        self, storey: ifcopenshell.entity_instance, handlers: Sequence[ifcopenshell.entity_instance]
    ) -> None:
        chiller = self._element("IfcChiller", "CH-1", "WATERCOOLED")
        pumps = [self._element("IfcPump", f"CHWP-{number}", "CIRCULATOR") for number in (1, 2)]
        transformer = self._element("IfcTransformer", "TR-1", "VOLTAGE")
        board = self._element("IfcElectricDistributionBoard", "MSB-1", "SWITCHBOARD")
        self._rate(chiller, pumps, transformer)
        for pump in pumps:
            self._connect(chiller, pump, _WATER)
            for handler in handlers:
                self._connect(pump, handler, _WATER)
        self._connect(transformer, board, _POWER)
        consumers = [chiller, *pumps, *handlers]
        for consumer in consumers:
            self._connect(board, consumer, _POWER)
        self._contain(storey, [chiller, *pumps, transformer, board])
        self._system("CHW", "CHILLEDWATER", [chiller, *pumps, *handlers])
        self._system("POWER", "ELECTRICAL", [transformer, board, *consumers])

    def _rate(
        self,
        chiller: ifcopenshell.entity_instance,
        pumps: Iterable[ifcopenshell.entity_instance],
        transformer: ifcopenshell.entity_instance,
    ) -> None:
        """What the machines can do."""
        self._properties(
            chiller,
            "Pset_ChillerTypeCommon",
            _Stated("NominalCapacity", "IfcPowerMeasure", 420.0),
            _Stated("NominalPowerConsumption", "IfcPowerMeasure", 95.0),
            _Stated("NominalEfficiency", "IfcPositiveRatioMeasure", 4.4),
        )
        for pump in pumps:
            self._properties(
                pump,
                "Pset_CampusPump",
                _Stated("FlowRate", "IfcVolumetricFlowRateMeasure", 0.0095),
                _Stated("PressureRise", "IfcPressureMeasure", 180000.0),
                _Stated("MotorPower", "IfcPowerMeasure", 7500.0, "W"),
            )
        self._properties(
            transformer,
            "Pset_TransformerTypeCommon",
            _Stated("PrimaryVoltage", "IfcElectricVoltageMeasure", 10000.0),
            _Stated("SecondaryVoltage", "IfcElectricVoltageMeasure", 400.0),
            _Stated("MaximumApparentPower", "IfcPowerMeasure", 630.0),
        )

    # --- what every building is made of ---

    def _root(self, ifc: str, name: str, of: str = "", **attributes: Any) -> ifcopenshell.entity_instance:
        """An instance with a GlobalId of its own. of: what tells it from others of its class and name."""
        identity = guid.compress(uuid5(_NAMESPACE, f"{ifc}/{of}/{name}").hex)
        return self.model.create_entity(ifc, GlobalId=identity, Name=name, **attributes)

    def _element(self, ifc: str, tag: str, kind: str | None) -> ifcopenshell.entity_instance:
        return self._root(ifc, tag, Tag=tag, PredefinedType=kind)

    def _relate(self, ifc: str, of: str, **ends: Any) -> None:
        identity = guid.compress(uuid5(_NAMESPACE, f"{ifc}/{of}").hex)
        self.model.create_entity(ifc, GlobalId=identity, **ends)

    def _aggregate(
        self, whole: ifcopenshell.entity_instance, parts: Sequence[ifcopenshell.entity_instance]
    ) -> None:
        self._relate("IfcRelAggregates", whole.Name, RelatingObject=whole, RelatedObjects=parts)

    def _contain(
        self, place: ifcopenshell.entity_instance, elements: Sequence[ifcopenshell.entity_instance]
    ) -> None:
        self._relate(
            "IfcRelContainedInSpatialStructure",
            f"{place.Name}/{elements[0].Name}",
            RelatingStructure=place,
            RelatedElements=elements,
        )

    def _system(self, name: str, kind: str, members: Sequence[ifcopenshell.entity_instance]) -> None:
        system = self._root("IfcDistributionSystem", name, PredefinedType=kind)
        self._relate("IfcRelAssignsToGroup", name, RelatingGroup=system, RelatedObjects=members)

    def _type(
        self, ifc: str, name: str, kind: str, occurrences: Sequence[ifcopenshell.entity_instance]
    ) -> None:
        stated = _Stated("AirPressureRange", "IfcPressureMeasure", 250.0)
        sets = [self._set("Pset_AirTerminalBoxTypeCommon", name, [stated])]
        made = self._root(ifc, name, PredefinedType=kind, HasPropertySets=sets)
        self._relate("IfcRelDefinesByType", name, RelatingType=made, RelatedObjects=occurrences)

    def _properties(self, element: ifcopenshell.entity_instance, name: str, *stated: _Stated) -> None:
        self._define(self._set(name, element.Name, stated), [element], f"{element.Name}/{name}")

    def _set(self, name: str, of: str, stated: Iterable[_Stated]) -> ifcopenshell.entity_instance:
        return self._root(
            "IfcPropertySet", name, of=of, HasProperties=[self._property(one) for one in stated]
        )

    def _property(self, stated: _Stated) -> ifcopenshell.entity_instance:
        value = self.model.create_entity(stated.measure, stated.value)
        unit = self.units[stated.unit] if stated.unit else None
        return self.model.create_entity(
            "IfcPropertySingleValue", Name=stated.name, NominalValue=value, Unit=unit
        )

    def _define(
        self,
        definition: ifcopenshell.entity_instance,
        objects: Sequence[ifcopenshell.entity_instance],
        of: str,
    ) -> None:
        self._relate(
            "IfcRelDefinesByProperties", of, RelatedObjects=objects, RelatingPropertyDefinition=definition
        )

    def _connect(
        self, giver: ifcopenshell.entity_instance, taker: ifcopenshell.entity_instance, carrier: _Carrier
    ) -> None:
        """A SOURCE port on the giver, a SINK port on the taker, joined."""
        pair = f"{giver.Name}>{taker.Name}"
        source = self._port(giver, f"{pair} out", "SOURCE", carrier)
        sink = self._port(taker, f"{pair} in", "SINK", carrier)
        self._relate("IfcRelConnectsPorts", f"{carrier.system}/{pair}", RelatingPort=source, RelatedPort=sink)

    def _port(
        self, element: ifcopenshell.entity_instance, name: str, direction: str, carrier: _Carrier
    ) -> ifcopenshell.entity_instance:
        port = self._root(
            "IfcDistributionPort",
            name,
            of=carrier.system,
            FlowDirection=direction,
            PredefinedType=carrier.port,
            SystemType=carrier.system,
        )
        self.ports.setdefault(element, []).append(port)
        return port
