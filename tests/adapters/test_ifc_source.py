"""IFC import against what the files are known to hold (`.truth.json`) and IfcOpenShell's own counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ifcopenshell
import ifcopenshell.util.element as element_util
import pytest

from adapters.ifc.config import CONNECTED_TO, FEEDS, LOCATED_IN, MEMBER_OF, PART_OF
from adapters.ifc.source import read_ifc
from adapters.model import ImportRequest
from adapters.sandbox import run_limited
from ontology.errors import InputError

sys.path.append(str(Path(__file__).parent))
from ifc_helpers import BASE, Reader

if TYPE_CHECKING:
    from ontology.schema import Schema


@pytest.fixture(scope="module")
def read() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def schema(read: Reader) -> Schema:
    return read.schema


def truth_of(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".truth.json").read_text())


SYNTHETIC = ("synthetic_mep_small", "synthetic_mep_defects", "synthetic_mep_medium")


@pytest.mark.parametrize("name", SYNTHETIC)
def test_flows_equal_the_truth(name: str, shared_data: Path, read: Reader) -> None:
    path = shared_data / "ifc-synthetic" / f"{name}.ifc"
    imported, truth = read(path), truth_of(path)
    found = sorted(
        (imported.local[one.source], imported.local[one.target], one.attributes["ifcSystemType"].value, how)
        for relation, how in ((FEEDS, "directed"), (CONNECTED_TO, "unknown"))
        for one in imported.of(relation)
        if one.attributes["direction"].value == how
    )
    assert found == sorted(tuple(edge) for edge in truth["edges"])
    media = {(o.attributes["ifcSystemType"].value, o.attributes["medium"].value) for o in imported.of(FEEDS)}
    assert media == {("CHILLEDWATER", "chilledWater"), ("AIRCONDITIONING", "air")}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_containment_and_systems_equal_the_truth(name: str, shared_data: Path, read: Reader) -> None:
    path = shared_data / "ifc-synthetic" / f"{name}.ifc"
    imported, truth = read(path), truth_of(path)
    assert imported.children(LOCATED_IN) == {place: set(names) for place, names in truth["contained"].items()}
    assert imported.children(MEMBER_OF) == {system: set(names) for system, names in truth["systems"].items()}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_the_tree_equals_ifcopenshells(name: str, shared_data: Path, read: Reader) -> None:
    path = shared_data / "ifc-synthetic" / f"{name}.ifc"
    model = ifcopenshell.open(str(path))
    places = [*model.by_type("IfcSpace"), *model.by_type("IfcBuildingStorey"), *model.by_type("IfcBuilding")]
    expected = {(one.GlobalId, element_util.get_aggregate(one).GlobalId) for one in places}
    parsed = read(path).parsed
    guid = {twin.id: twin.external_ids[0].id for twin in parsed.twins}
    assert {
        (guid[o.source], guid[o.target]) for o in parsed.relationships if o.relation == PART_OF
    } == expected


@pytest.mark.parametrize("name", SYNTHETIC)
def test_properties_equal_the_truth(name: str, shared_data: Path, read: Reader) -> None:
    path = shared_data / "ifc-synthetic" / f"{name}.ifc"
    imported, truth = read(path), truth_of(path)
    # What the generator set as the project's units: kW, m3/s, Pa; none for a frequency of rotation.
    project = {
        "IfcPowerMeasure": "kW",
        "IfcVolumetricFlowRateMeasure": "m3/s",
        "IfcPressureMeasure": "Pa",
        "IfcRotationalFrequencyMeasure": None,
        "IfcAreaMeasure": "m2",
        "IfcBoolean": None,
    }
    for element, properties in truth["psets"].items():
        attributes = imported.by_local[element.removeprefix("space ")].attributes
        for prop, (value, measure, own) in properties.items():
            (stated,) = [v for attribute, v in attributes.items() if attribute.split(".")[-1] == prop]
            assert (stated.value, stated.unit) == (value, "W" if own == "WATT" else project[measure]), prop
            assert stated.origin == "f"


def test_seeded_defects_are_warnings_and_nothing_else_is(shared_data: Path, read: Reader) -> None:
    folder = shared_data / "ifc-synthetic"
    found = [
        (w.code, w.place.item, w.place.line)
        for w in read(folder / "synthetic_mep_defects.ifc").parsed.warnings
    ]
    assert found == [
        ("IFC_FLOW_UNKNOWN", "D-0", 78),
        ("IFC_PORT_DANGLING", "VAV-0.2", 131),
        ("IFC_FLOW_REVERSED", "VAV-0.1", 100),
    ]
    assert "VAV-0.0" in read(folder / "synthetic_mep_defects.ifc").parsed.warnings[0].message
    assert read(folder / "synthetic_mep_small.ifc").parsed.warnings == ()
    assert read(folder / "synthetic_mep_medium.ifc").parsed.warnings == ()


@pytest.mark.parametrize(
    "name",
    ["duplex_architecture", "duplex_electrical", "fzk_haus_ifc4", "large_building", "schependomlaan_vebo"],
)
def test_counts_equal_ifcopenshells(name: str, shared_data: Path, read: Reader, schema: Schema) -> None:
    path = shared_data / "ifc" / f"{name}.ifc"
    model, imported = ifcopenshell.open(str(path)), read(path)
    products = {one.GlobalId for one in model.by_type("IfcProduct") if not one.is_a("IfcPort")}
    assert {twin.external_ids[0].id for twin in imported.parsed.twins} == products
    for ifc, kind in (
        ("IfcSite", "rec:Site"),
        ("IfcBuilding", "rec:Building"),
        ("IfcBuildingStorey", "rec:Level"),
        ("IfcSpace", "rec:Room"),
        ("IfcWall", "rec:Wall"),
        ("IfcWindow", "rec:Window"),
        ("IfcDoor", "rec:Door"),
        ("IfcFurnishingElement", "rec:Furniture"),
    ):
        assert imported.count(schema, kind) == len(model.by_type(ifc)), kind


@pytest.mark.parametrize("name", ["duplex_architecture", "fzk_haus_ifc4", "large_building"])
def test_places_equal_ifcopenshells_containers(name: str, shared_data: Path, read: Reader) -> None:
    path = shared_data / "ifc" / f"{name}.ifc"
    model, parsed = ifcopenshell.open(str(path)), read(path).parsed
    guid = {twin.id: twin.external_ids[0].id for twin in parsed.twins}
    found = {(guid[o.source], guid[o.target]) for o in parsed.relationships if o.relation == LOCATED_IN}
    direct = {
        (one.GlobalId, element_util.get_container(one, should_get_direct=True))
        for one in model.by_type("IfcProduct")
    }
    assert found == {(one, place.GlobalId) for one, place in direct if place is not None}


def test_ids_names_and_kinds(shared_data: Path, read: Reader, schema: Schema) -> None:
    twin = read(shared_data / "ifc-synthetic" / "synthetic_mep_small.ifc", "mep").by_local["CH-1"]
    guid = twin.external_ids[0].id
    assert (twin.id, twin.name, twin.origin) == (f"{BASE}ifc/mep/{guid}", "CH-1", "mep")
    assert [schema.kind(kind).name for kind in twin.kinds] == ["brick:Chiller"]
    assert (twin.external_ids[0].system, len(guid)) == ("ifc", 22)
    assert {name: twin.attributes[name].value for name in ("ifcClass", "ifcType")} == {
        "ifcClass": "IfcChiller",
        "ifcType": "WATERCOOLED",
    }


@pytest.mark.parametrize(
    ("local_id", "kind"),
    [
        ("AHU-0", "brick:AHU"),
        ("VAV-0.0", "brick:VAV"),
        ("P-1", "brick:Pump"),
        ("T-0.0", "brick:Air_Diffuser"),
        ("TS-0.0", "brick:Temperature_Sensor"),
        ("D-0", "brick:HVAC_Equipment"),
        ("CHW", "brick:Chilled_Water_System"),
        ("SA-0", "brick:Air_System"),
        ("0.000", "rec:Room"),
    ],
)
def test_kinds_by_class_and_type(
    local_id: str, kind: str, shared_data: Path, read: Reader, schema: Schema
) -> None:
    imported = read(shared_data / "ifc-synthetic" / "synthetic_mep_small.ifc")
    assert schema.kind(imported.by_local[local_id].kinds[0]).name == kind


def test_in_ifc2x3_the_type_object_tells_the_kind(shared_data: Path, read: Reader, schema: Schema) -> None:
    """Boilers, fans, lamps stand in the file as IfcEnergyConversionDevice, IfcFlowTerminal and so on."""
    path = shared_data / "ifc" / "duplex_electrical.ifc"
    model, imported = ifcopenshell.open(str(path)), read(path)
    for ifc, kind in (
        ("IfcBoilerType", "brick:Boiler"),
        ("IfcFanType", "brick:Fan"),
        ("IfcPumpType", "brick:Pump"),
        ("IfcLightFixtureType", "brick:Luminaire"),
        ("IfcControllerType", "brick:Controller"),
    ):
        made = [
            relation for relation in model.by_type("IfcRelDefinesByType") if relation.RelatingType.is_a(ifc)
        ]
        assert imported.count(schema, kind) == sum(len(relation.RelatedObjects) for relation in made) > 0


def test_two_imports_are_equal(shared_data: Path, read: Reader) -> None:
    path = shared_data / "ifc-synthetic" / "synthetic_mep_small.ifc"
    one, other = read(path).parsed, read(path).parsed
    assert (one.twins, one.relationships, one.warnings) == (other.twins, other.relationships, other.warnings)


def test_every_end_is_a_twin_of_the_file(shared_data: Path, read: Reader) -> None:
    for path in (
        shared_data / "ifc" / "large_building.ifc",
        shared_data / "ifc-synthetic" / "synthetic_mep_small.ifc",
    ):
        parsed = read(path).parsed
        ids = {twin.id for twin in parsed.twins}
        assert len(ids) == len(parsed.twins)
        assert {end for one in parsed.relationships for end in (one.source, one.target)} <= ids
        keys = [(one.source, one.relation, one.target, one.group) for one in parsed.relationships]
        assert len(set(keys)) == len(keys)


def test_a_zip_holds_the_same(shared_data: Path, read: Reader, tmp_path: Path) -> None:
    packed = shared_data / "ifc" / "schependomlaan_staal.ifczip"
    parsed = read(packed).parsed
    model = ifcopenshell.open(str(packed))
    assert len(parsed.twins) == len(model.by_type("IfcProduct")) == 85


def test_the_sandbox_gives_the_same(shared_data: Path, read: Reader) -> None:
    path = shared_data / "ifc-synthetic" / "synthetic_mep_defects.ifc"
    request = ImportRequest("campus", BASE, "f")
    there = run_limited(read_ifc, path, request, read.schema, read.units)
    here = read(path).parsed
    assert (there.twins, there.relationships, there.warnings) == (
        here.twins,
        here.relationships,
        here.warnings,
    )


def test_the_sandbox_passes_refusals_on(shared_data: Path, read: Reader) -> None:
    path = shared_data / "ifc" / "malformed" / "dup_guid.ifc"
    with pytest.raises(InputError) as caught:
        run_limited(read_ifc, path, ImportRequest("campus", BASE, "f"), read.schema, read.units)
    assert (caught.value.code, caught.value.place.line) == ("IFC_DUPLICATE_GUID", 161)
