"""The 201 files of the IFC validation service: each is read or refused for a stated reason, none crashes."""

from __future__ import annotations

import sys
from pathlib import Path

import ifcopenshell
import pytest

from adapters.ifc.config import load_kind_table
from ontology.errors import InputError

sys.path.append(str(Path(__file__).parent))
from ifc_helpers import Imported, Reader


@pytest.fixture(scope="module")
def outcomes(shared_data: Path) -> dict[str, Imported | InputError]:
    read = Reader()
    found: dict[str, Imported | InputError] = {}
    for path in sorted((shared_data / "ifc" / "rules").glob("*.ifc")):
        try:
            found[path.stem] = read(path)
        except InputError as error:
            found[path.stem] = error
    return found


def test_each_is_read_or_refused_with_code_place_and_hint(outcomes: dict[str, Imported | InputError]) -> None:
    assert len(outcomes) == 201
    refused = {name: error for name, error in outcomes.items() if isinstance(error, InputError)}
    for error in refused.values():
        assert error.code.startswith("IFC_")
        assert error.place.path
        assert error.hint
    # All have a reason that can be seen in the file: no project, objects without GlobalId, references into
    # nothing, a schema that does not exist, parts in a circle.
    assert {error.code for error in refused.values()} == {
        "IFC_NO_PROJECT",
        "IFC_GUID_MISSING",
        "IFC_DAMAGED",
        "IFC_SCHEMA_UNKNOWN",
        "IFC_PART_CYCLE",
    }
    assert len(refused) < 70


def test_products_equal_ifcopenshells(outcomes: dict[str, Imported | InputError], shared_data: Path) -> None:
    for name, outcome in outcomes.items():
        if isinstance(outcome, Imported):
            model = ifcopenshell.open(str(shared_data / "ifc" / "rules" / f"{name}.ifc"))
            things = [*model.by_type("IfcProduct"), *model.by_type("IfcGroup")]
            expected = {one.GlobalId for one in things if not one.is_a("IfcPort")}
            assert {twin.external_ids[0].id for twin in outcome.parsed.twins} == expected, name


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("na-pjs000-project_absent", "IFC_NO_PROJECT"),
        ("fail-ifc101-IFC4X3_ADD1", "IFC_SCHEMA_UNKNOWN"),
        ("pass-asm000-activated_assembly_present", "IFC_DAMAGED"),
    ],
)
def test_refused_for_what_is_wrong(name: str, code: str, outcomes: dict[str, Imported | InputError]) -> None:
    outcome = outcomes[name]
    assert isinstance(outcome, InputError)
    assert outcome.code == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fail-pjs003-invalid_length_ifcrelnests", None),  # a relationship's id identifies nothing here
        ("fail-pjs003-invalid_characters_ifcproject", None),
        ("fail-pjs001-scenario01-degree_ifc2x3", "IFC_UNIT_UNKNOWN"),  # a degree that is half a radian
        ("pass-ifc101-IFC2X3", "IFC_VALUE_INVALID"),
    ],
)
def test_read_with_the_right_warning(
    name: str, code: str | None, outcomes: dict[str, Imported | InputError]
) -> None:
    outcome = outcomes[name]
    assert isinstance(outcome, Imported)
    codes = {warning.code for warning in outcome.parsed.warnings}
    assert codes == set() if code is None else code in codes


def test_every_kind_of_the_table_is_current() -> None:
    schema = Reader().schema
    for row in load_kind_table().rows.values():
        kind = schema.kind(row.kind)
        assert not kind.deprecated, row
        assert schema.is_a(kind.index, schema.twin_kind), row


def test_every_class_of_every_schema_has_a_kind(tmp_path: Path) -> None:
    """Also in schemas to come: the classes above a class decide, and everything is at least an IfcObject."""
    table = load_kind_table()
    for name in ("IFC2X3", "IFC4", "IFC4X3_ADD2"):
        schema = ifcopenshell.schema_by_name(name)
        for entity in schema.entities():
            above: list[str] = []
            one = entity
            while one is not None:
                above.append(one.name())
                one = one.supertype()
            if "IfcProduct" in above or "IfcGroup" in above:
                assert table.find(above, ()), entity.name()
