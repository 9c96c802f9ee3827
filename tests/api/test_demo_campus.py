"""The demo's building: equal bytes each time, valid IFC, and what the story of the demo relies on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import ifcopenshell
import ifcopenshell.validate
import pytest

from adapters.ifc.config import CONNECTED_TO, FEEDS, LOCATED_IN, MEMBER_OF, PART_OF
from adapters.ifc.source import read_ifc
from adapters.model import ImportRequest, Parsed
from api.demo.campus import write_campus_ifc
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from pathlib import Path

STOREYS, ROOMS = 3, 8


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("campus") / "campus.ifc"
    write_campus_ifc(path)
    return path


@pytest.fixture(scope="module")
def parsed(campus: Path) -> Parsed:
    request = ImportRequest("campus", "https://twinmesh.invalid/campus/", "campus")
    return read_ifc(campus, request, load_schema(), load_units())


def pairs(parsed: Parsed, relation: str, medium: str | None = None) -> set[tuple[str, str]]:
    local = {twin.id: twin.local_id or "" for twin in parsed.twins}
    return {
        (local[one.source], local[one.target])
        for one in parsed.relationships
        if one.relation == relation and (medium is None or one.attributes["medium"].value == medium)
    }


def test_equal_bytes_each_time(campus: Path, tmp_path: Path) -> None:
    write_campus_ifc(tmp_path / "again.ifc")
    assert (tmp_path / "again.ifc").read_bytes() == campus.read_bytes()


def test_it_is_valid_ifc(campus: Path) -> None:
    log = ifcopenshell.validate.json_logger()
    ifcopenshell.validate.validate(str(campus), log)
    assert log.statements == []


def test_what_it_holds(campus: Path, parsed: Parsed) -> None:
    model = ifcopenshell.open(str(campus))
    counts = {
        "IfcBuildingStorey": STOREYS,
        "IfcSpace": STOREYS * ROOMS,
        "IfcUnitaryEquipment": STOREYS,
        "IfcAirTerminalBox": STOREYS * ROOMS,
        "IfcAirTerminal": STOREYS * ROOMS,
        "IfcChiller": 1,
        "IfcPump": 2,
        "IfcTransformer": 1,
        "IfcElectricDistributionBoard": 1,
    }
    assert {ifc: len(model.by_type(ifc)) for ifc in counts} == counts
    tags = [one.Tag for one in model.by_type("IfcElement")]
    assert len(set(tags)) == len(tags)
    assert parsed.warnings == ()
    assert len(parsed.twins) == len(model.by_type("IfcProduct")) - len(model.by_type("IfcPort")) + 5


def test_the_names_the_demo_uses(parsed: Parsed) -> None:
    local = {twin.local_id for twin in parsed.twins}
    assert {
        "CH-1",
        "CHWP-1",
        "CHWP-2",
        "AHU-1",
        "AHU-3",
        "VAV-1.01",
        "VAV-3.08",
        "R1.01",
        "MSB-1",
        "TR-1",
    } <= local
    assert {"Level 1", "CHW", "POWER", "SA-1"} <= local


def test_what_flows(parsed: Parsed) -> None:
    handlers = [f"AHU-{storey}" for storey in (1, 2, 3)]
    pumps = ["CHWP-1", "CHWP-2"]
    water = {("CH-1", pump) for pump in pumps} | {(pump, handler) for pump in pumps for handler in handlers}
    assert pairs(parsed, FEEDS, "chilledWater") == water
    consumers = ["CH-1", *pumps, *handlers]
    assert pairs(parsed, FEEDS, "electricity") == {("TR-1", "MSB-1")} | {("MSB-1", one) for one in consumers}
    air = pairs(parsed, FEEDS, "air")
    assert ("AHU-2", "VAV-2.03") in air
    assert ("VAV-2.03", "ATD-2.03") in air
    assert len(air) == 2 * STOREYS * ROOMS
    assert not pairs(parsed, CONNECTED_TO)


def test_what_holds_what(parsed: Parsed) -> None:
    located, parts = pairs(parsed, LOCATED_IN), pairs(parsed, PART_OF)
    assert ("ATD-3.08", "R3.08") in located
    assert ("AHU-3", "Level 3") in located
    assert ("R3.08", "Level 3") in parts
    members = Counter(system for _, system in pairs(parsed, MEMBER_OF))
    assert members == {"POWER": 8, "CHW": 6, "SA-1": 17, "SA-2": 17, "SA-3": 17}


def test_units_are_those_of_the_file(parsed: Parsed) -> None:
    by_local = {twin.local_id: twin for twin in parsed.twins}
    stated = {
        ("CH-1", "Pset_ChillerTypeCommon.NominalCapacity"): (420.0, "kW"),
        ("CHWP-1", "Pset_CampusPump.MotorPower"): (7500.0, "W"),
        ("AHU-1", "Pset_CampusAirHandler.NominalAirFlow"): (0.432, "m3/s"),
        ("VAV-1.01", "Pset_AirTerminalBoxTypeCommon.AirPressureRange"): (250.0, "Pa"),  # from the type
        ("R1.01", "Qto_SpaceBaseQuantities.NetFloorArea"): (24.0, "m2"),
        ("R1.01", "Qto_SpaceBaseQuantities.Height"): (3000.0, "mm"),
        ("Level 2", "elevation"): (3600.0, "mm"),
    }
    found = {key: by_local[key[0]].attributes[key[1]] for key in stated}
    assert {key: (value.value, value.unit) for key, value in found.items()} == stated
