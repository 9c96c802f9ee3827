"""Property values and units: as stated, by IfcOpenShell's own reading as oracle."""

from __future__ import annotations

import sys
from pathlib import Path

import ifcopenshell
import ifcopenshell.util.element as element_util
import ifcopenshell.util.unit as unit_util
import pytest
from ifcopenshell import ifcopenshell_wrapper

from adapters.ifc.measures import unit_type

sys.path.append(str(Path(__file__).parent))
from ifc_helpers import Model, Reader


@pytest.fixture(scope="module")
def read() -> Reader:
    return Reader()


FILES = (
    "ifc/duplex_architecture",
    "ifc/duplex_electrical",
    "ifc/large_building",
    "ifc/fzk_haus_ifc4",
    "ifc/schependomlaan_vebo",
    "ifc-synthetic/synthetic_mep_small",
)
# Attributes that do not come from property sets.
OWN = {
    "ifcClass",
    "ifcType",
    "typeName",
    "longName",
    "description",
    "medium",
    "elevation",
    "latitude",
    "longitude",
}


@pytest.mark.parametrize("name", FILES)
def test_values_equal_ifcopenshells(name: str, shared_data: Path, read: Reader) -> None:
    """Its `get_psets` too puts what the type states below what the occurrence states. It also reads sets of a
    fixed shape (door linings), which are no property sets. Names are exact: "Pfeil" is not "     Pfeil"."""
    path = shared_data / f"{name}.ifc"
    model = ifcopenshell.open(str(path))
    for twin in read(path).parsed.twins:
        stated = {key: value.value for key, value in twin.attributes.items() if key not in OWN}
        assert stated == {
            f"{pset}.{prop}": value
            for pset, properties in element_util.get_psets(model.by_guid(twin.external_ids[0].id)).items()
            if model.by_id(properties["id"]).is_a() in ("IfcPropertySet", "IfcElementQuantity")
            for prop, value in properties.items()
            if prop != "id" and value is not None
        }


@pytest.mark.parametrize("name", FILES)
def test_units_equal_ifcopenshells_arithmetic(name: str, shared_data: Path, read: Reader) -> None:
    """Our code and its unit have one size in SI, for every number; where it knows of no unit, nor do we."""
    path = shared_data / f"{name}.ifc"
    model, units, seen = ifcopenshell.open(str(path)), read.units, set[str | None]()
    for twin in read(path).parsed.twins:
        element = model.by_guid(twin.external_ids[0].id)
        for pset, properties in element_util.get_psets(element, verbose=True).items():
            for prop, stated in properties.items():
                value = twin.attributes.get(f"{pset}.{prop}")
                if value is None or isinstance(value.value, str | bool):
                    continue
                unit = unit_util.get_property_unit(model.by_id(stated["id"]), model)
                seen.add(value.unit)
                assert (value.unit is None) == (unit is None or unit.is_a("IfcMonetaryUnit")), (prop, unit)
                if value.unit:
                    scale = unit_util.get_unit_scale(unit) / 1000 ** power_of_gram(
                        unit
                    )  # its base is the gram
                    assert units.si_factor(value.unit) == pytest.approx(scale, rel=1e-3), (prop, unit)
    assert len(seen) > 1


def power_of_gram(unit: ifcopenshell.entity_instance) -> int:
    """The exponent of the gram in a unit."""
    if unit.is_a("IfcDerivedUnit"):
        return sum(one.Exponent * power_of_gram(one.Unit) for one in unit.Elements)
    return int(unit.is_a("IfcSIUnit") and unit.Name == "GRAM")


@pytest.mark.parametrize("schema", ["IFC2X3", "IFC4", "IFC4X3_ADD2"])
def test_measures_find_their_unit_type(schema: str) -> None:
    """By the enumerations of the schema: every kind of unit has its measure, and IfcOpenShell agrees."""
    declared = ifcopenshell_wrapper.schema_by_name(schema)
    kinds = {
        item
        for name in ("IfcUnitEnum", "IfcDerivedUnitEnum")
        for item in declared.declaration_by_name(name).as_enumeration_type().enumeration_items()
    }
    measures = [one.name() for one in declared.declarations() if one.name().endswith("Measure")]
    reached = {unit_type(measure) for measure in measures} & kinds
    assert kinds - reached == {"USERDEFINED"}
    for measure in measures:
        theirs = unit_util.get_measure_unit_type(measure)
        assert unit_type(measure) == theirs or theirs not in kinds or theirs == "USERDEFINED"


# --- every shape of property, with units of its own ---


@pytest.fixture
def shapes(read: Reader, tmp_path: Path) -> dict[str, tuple[object, str | None]]:
    """Attributes of one pump that has a property of every shape."""
    model = Model()
    make = model.make
    kilowatt = make("IfcSIUnit", UnitType="POWERUNIT", Prefix="KILO", Name="WATT")
    model.units.Units = [kilowatt, make("IfcSIUnit", UnitType="PRESSUREUNIT", Name="PASCAL")]
    watt = make("IfcSIUnit", UnitType="POWERUNIT", Name="WATT")

    def power(value: float) -> ifcopenshell.entity_instance:
        return make("IfcPowerMeasure", value)

    def label(value: str) -> ifcopenshell.entity_instance:
        return make("IfcLabel", value)

    pump = model.root("IfcPump", "P-1")
    single = make("IfcPropertySingleValue", Name="Project", NominalValue=power(7.5))
    model.define(
        pump,
        single,
        make("IfcPropertySingleValue", Name="Own", NominalValue=power(7500.0), Unit=watt),
        make("IfcPropertySingleValue", Name="NoUnit", NominalValue=make("IfcTorqueMeasure", 3.0)),
        make("IfcPropertySingleValue", Name="Ratio", NominalValue=make("IfcPositiveRatioMeasure", 0.7)),
        make("IfcPropertySingleValue", Name="Text", NominalValue=make("IfcText", " spaced ")),
        make("IfcPropertySingleValue", Name="Flag", NominalValue=make("IfcBoolean", False)),
        make("IfcPropertySingleValue", Name="Unsure", NominalValue=make("IfcLogical", "UNKNOWN")),
        make("IfcPropertySingleValue", Name="Count", NominalValue=make("IfcInteger", 4)),
        make("IfcPropertySingleValue", Name="Empty"),
        make("IfcPropertyEnumeratedValue", Name="One", EnumerationValues=[label("NEW")]),
        make("IfcPropertyEnumeratedValue", Name="Two", EnumerationValues=[label("NEW"), label("OLD")]),
        make("IfcPropertyListValue", Name="List", ListValues=[power(1.0), power(2.0)]),
        make("IfcPropertyBoundedValue", Name="Range", LowerBoundValue=power(1.0), SetPointValue=power(2.0)),
        make(
            "IfcPropertyTableValue",
            Name="Curve",
            DefiningValues=[make("IfcPressureMeasure", 10.0)],
            DefinedValues=[power(1.5)],
        ),
        make(
            "IfcPropertyReferenceValue", Name="Who", PropertyReference=make("IfcOrganization", Name="Maker")
        ),
        make("IfcComplexProperty", Name="Motor", UsageName="u", HasProperties=[single]),
    )
    attributes = read(model.write(tmp_path)).by_local["P-1"].attributes
    return {name: (value.value, value.unit) for name, value in attributes.items() if name not in OWN}


def test_every_shape_of_property(shapes: dict[str, tuple[object, str | None]]) -> None:
    assert shapes == {
        "Pset_X.Project": (7.5, "kW"),
        "Pset_X.Own": (7500.0, "W"),
        "Pset_X.NoUnit": (3.0, None),
        "Pset_X.Ratio": (0.7, None),
        "Pset_X.Text": (" spaced ", None),
        "Pset_X.Flag": (False, None),
        "Pset_X.Unsure": ("UNKNOWN", None),
        "Pset_X.Count": (4, None),
        "Pset_X.One": ("NEW", None),
        "Pset_X.Two": (["NEW", "OLD"], None),
        "Pset_X.List": ([1.0, 2.0], "kW"),
        "Pset_X.Range": ({"lower": 1.0, "setPoint": 2.0}, "kW"),
        "Pset_X.Curve": ({"defining": [10.0], "defined": [1.5], "definingUnit": "Pa"}, "kW"),
        "Pset_X.Who": ({"ifcClass": "IfcOrganization", "name": "Maker"}, None),
        "Pset_X.Motor.Project": (7.5, "kW"),
    }


def test_the_occurrence_overrides_its_type(read: Reader, tmp_path: Path) -> None:
    model = Model()
    pumps = [model.root("IfcPump", name) for name in ("P-1", "P-2")]

    def stated(name: str, value: str) -> ifcopenshell.entity_instance:
        return model.make("IfcPropertySingleValue", Name=name, NominalValue=model.make("IfcLabel", value))

    shared = model.root(
        "IfcPropertySet", "Pset_X", HasProperties=[stated("Maker", "type"), stated("Model", "type")]
    )
    kind = model.root("IfcPumpType", "Pump 40", HasPropertySets=[shared], PredefinedType="CIRCULATOR")
    model.relate("IfcRelDefinesByType", RelatingType=kind, RelatedObjects=pumps)
    model.define(pumps[0], stated("Model", "own"))
    imported = read(model.write(tmp_path))
    values = {
        name: [imported.by_local[name].attributes[f"Pset_X.{prop}"].value for prop in ("Maker", "Model")]
        for name in ("P-1", "P-2")
    }
    assert values == {"P-1": ["type", "own"], "P-2": ["type", "type"]}
    assert imported.by_local["P-2"].attributes["typeName"].value == "Pump 40"
    assert imported.by_local["P-2"].attributes["ifcType"].value == "CIRCULATOR"


def test_a_complex_property_that_holds_itself_ends(read: Reader, tmp_path: Path) -> None:
    model = Model()
    pump = model.root("IfcPump", "P-1")
    leaf = model.make("IfcPropertySingleValue", Name="V", NominalValue=model.make("IfcReal", 1.0))
    loop = model.make("IfcComplexProperty", Name="C", UsageName="u", HasProperties=[leaf])
    loop.HasProperties = [leaf, loop]
    model.define(pump, loop)
    names = [n for n in read(model.write(tmp_path)).by_local["P-1"].attributes if n.endswith(".V")]
    assert names[0] == "Pset_X.C.V"
    assert len(names) < 10


# --- units that files spell in their own way ---


def unit_of(
    read: Reader, model: Model, unit: ifcopenshell.entity_instance, folder: Path
) -> tuple[str | None, list[str]]:
    """Code of a length stated in this unit, and the codes of the warnings."""
    pump = model.root("IfcPump", "P-1")
    value = model.make("IfcLengthMeasure", 1.0)
    model.define(pump, model.make("IfcPropertySingleValue", Name="V", NominalValue=value, Unit=unit))
    imported = read(model.write(folder))
    warnings = [warning.code for warning in imported.parsed.warnings]
    return imported.by_local["P-1"].attributes["Pset_X.V"].unit, warnings


def conversion(model: Model, name: str, factor: float) -> ifcopenshell.entity_instance:
    make = model.make
    metre = make("IfcSIUnit", UnitType="LENGTHUNIT", Name="METRE")
    measure = make("IfcMeasureWithUnit", ValueComponent=make("IfcLengthMeasure", factor), UnitComponent=metre)
    nothing = make("IfcDimensionalExponents", 1, 0, 0, 0, 0, 0, 0)
    return make("IfcConversionBasedUnit", nothing, "LENGTHUNIT", name, measure)


@pytest.mark.parametrize(
    ("name", "factor", "code", "warnings"),
    [
        ("FOOT", 0.3048, "[ft_i]", []),
        ("foot", 0.305, "[ft_i]", []),  # rounded
        ("INCH", 0.0254, "[in_i]", []),
        ("INCH", 0.3048, None, ["IFC_UNIT_UNKNOWN"]),  # the name of one unit, the size of another
        ("furlong", 201.168, None, ["IFC_UNIT_UNKNOWN"]),
    ],
)
def test_conversion_units_by_name_and_factor(
    name: str, factor: float, code: str | None, warnings: list[str], read: Reader, tmp_path: Path
) -> None:
    model = Model()
    assert unit_of(read, model, conversion(model, name, factor), tmp_path) == (code, warnings)


@pytest.mark.parametrize(
    ("factors", "code"),
    [
        ([("CUBIC_METRE", None, 1), ("SECOND", None, -1)], "m3/s"),
        ([("WATT", None, 1), ("SQUARE_METRE", None, -1), ("KELVIN", None, -1)], "W/m2/K"),
        ([("SECOND", None, -1), ("GRAM", "KILO", 1)], "kg/s"),
        ([("METRE", "MILLI", 3)], "mm3"),
    ],
)
def test_derived_units(
    factors: list[tuple[str, str | None, int]], code: str, read: Reader, tmp_path: Path
) -> None:
    model = Model()
    elements = [
        model.make(
            "IfcDerivedUnitElement",
            Unit=model.make("IfcSIUnit", UnitType="USERDEFINED", Prefix=prefix, Name=name),
            Exponent=power,
        )
        for name, prefix, power in factors
    ]
    unit = model.make("IfcDerivedUnit", Elements=elements, UnitType="USERDEFINED")
    found, warnings = unit_of(read, model, unit, tmp_path)
    assert warnings == []
    assert found
    assert read.units.unit(found) == read.units.unit(code) or read.units.same_dimension(found, code)
    assert read.units.si_factor(found) == pytest.approx(read.units.si_factor(code))


def test_places_have_elevation_and_coordinates(read: Reader, tmp_path: Path) -> None:
    model = Model()
    length = model.make("IfcSIUnit", UnitType="LENGTHUNIT", Prefix="MILLI", Name="METRE")
    model.units.Units = [length]
    model.storey.Elevation = 3600.0
    site = model.root("IfcSite", "S", RefLatitude=(52, 31, 12, 500000), RefLongitude=(-13, -24, -18))
    model.relate("IfcRelAggregates", RelatingObject=model.project, RelatedObjects=[site])
    imported = read(model.write(tmp_path))
    level = imported.by_local["L"].attributes["elevation"]
    assert (level.value, level.unit) == (3600.0, "mm")
    found = imported.by_local["S"].attributes
    assert found["latitude"].value == pytest.approx(52 + 31 / 60 + 12.5 / 3600)
    assert found["longitude"].value == pytest.approx(-(13 + 24 / 60 + 18 / 3600))
    assert found["latitude"].unit == "deg"
