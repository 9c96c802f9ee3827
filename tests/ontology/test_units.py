"""Units against published values and against what IfcOpenShell knows of IFC's units."""

from __future__ import annotations

import math

import ifcopenshell.util.unit as ifc_unit
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontology.errors import InputError
from ontology.schema import load_schema
from ontology.ucum import read_term
from ontology.units import Units, load_units
from ontology.vocabulary import DATA, rows


@pytest.fixture(scope="module")
def units() -> Units:
    return load_units()


@pytest.fixture(scope="module")
def listed() -> list[list[str]]:
    """The rows of QUDT's units."""
    return list(rows((DATA / "units.tsv").read_text(encoding="utf-8")))


# NIST SP 811 (2008) appendix B and the SI brochure (2019).
PUBLISHED = [
    (100.0, "Cel", "[degF]", 212.0, 1e-12),
    (-40.0, "[degF]", "Cel", -40.0, 1e-12),
    (0.0, "Cel", "K", 273.15, 0.0),
    (0.0, "[degF]", "K", 255.3722222222222, 1e-12),
    (1.0, "[HP]", "kW", 0.7456999, 1e-6),
    (1.0, "kW", "[HP]", 1.34102209, 1e-6),
    (3600.0, "m3/h", "m3/s", 1.0, 1e-12),
    (1.0, "m3/h", "L/s", 0.27777777777777778, 1e-12),
    (1.0, "[psi]", "Pa", 6894.757293168, 1e-10),
    (1.0, "bar", "Pa", 100000.0, 1e-12),
    (1.0, "[ft_i]", "m", 0.3048, 1e-12),
    (1.0, "[ft_i]2", "m2", 0.09290304, 1e-12),
    (1.0, "[ft_i]3/min", "m3/s", 4.719474432e-4, 1e-9),
    (1.0, "[gal_us]/min", "m3/s", 6.30902e-5, 1e-6),
    (1.0, "kW.h", "MJ", 3.6, 1e-12),
    (1.0, "[Btu_IT]/h", "W", 0.2930711, 1e-6),
    (1.0, "unit:TON_FG", "kW", 3.516853, 1e-6),
    (1.0, "[in_i'H2O]", "Pa", 249.0889, 1e-6),
    (180.0, "deg", "rad", np.pi, 1e-12),
    (60.0, "unit:REV-PER-MIN", "rad/s", 2 * np.pi, 1e-12),
    (50.0, "%", "1", 0.5, 1e-12),
    (1.0, "d", "h", 24.0, 1e-12),
    (1.0, "t", "kg", 1000.0, 1e-12),
    (1.0, "km/h", "m/s", 1 / 3.6, 1e-12),
]


@pytest.mark.parametrize(("value", "source", "target", "expected", "relative"), PUBLISHED)
def test_published_values(
    units: Units, value: float, source: str, target: str, expected: float, relative: float
) -> None:
    assert float(units.convert(value, source, target)) == pytest.approx(expected, rel=relative, abs=1e-10)


def test_temperature_differences_have_no_offset(units: Units) -> None:
    assert float(units.convert(5, "Cel", "[degF]", difference=True)) == pytest.approx(9)
    assert float(units.convert(5, "Cel", "K", difference=True)) == 5
    assert float(units.convert(5, "Cel/h", "K/h")) == 5
    assert float(units.convert(1, "W/(m2.Cel)", "W/(m2.K)")) == 1


def test_conversion_is_vectorised_and_leaves_its_input_alone(units: Units) -> None:
    values = np.array([[0.0, 100.0], [np.nan, -40.0]])
    result = units.convert(values, "Cel", "[degF]")
    np.testing.assert_allclose(result, [[32.0, 212.0], [np.nan, -40.0]], atol=1e-10)
    assert result.dtype == np.float64
    assert values[0, 0] == 0
    same = units.convert(values, "Cel", "Cel")
    assert not np.shares_memory(same, values)


LINEAR = ["kW", "W", "[HP]", "MW", "J/s", "kW.h/d", "unit:TON_FG", "[Btu_IT]/h"]


@given(st.floats(-1e9, 1e9), st.sampled_from(LINEAR), st.sampled_from(LINEAR))
def test_there_and_back(value: float, one: str, other: str) -> None:
    there = UNITS.convert(value, one, other)
    assert float(UNITS.convert(there, other, one)) == pytest.approx(value, rel=1e-12, abs=1e-12)


UNITS = load_units()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kW", "kW.h"),
        ("Cel", "Pa"),
        ("EUR", "USD"),
        ("EUR/(kW.h)", "USD/(kW.h)"),
        ("unit:CCY_EUR-PER-KiloW-HR", "unit:CCY_GBP-PER-KiloW-HR"),
        ("EUR", "1"),
        ("%", "deg"),
        ("rad", "sr"),
        ("Hz", "Bq"),
        ("Hz", "unit:REV-PER-MIN"),
        ("By", "%"),
    ],
)
def test_units_that_do_not_fit_are_refused(units: Units, one: str, other: str) -> None:
    assert not units.same_dimension(one, other)
    with pytest.raises(InputError) as caught:
        units.convert(1, one, other)
    assert caught.value.code == "UNIT_MISMATCH"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kW", "[HP]"),
        ("%", "1"),
        ("%", "unit:PERCENT_RH"),
        ("m3/h", "L/s"),
        ("EUR/(kW.h)", "EUR/J"),
        ("/h", "Hz"),
    ],
)
def test_units_that_fit(units: Units, one: str, other: str) -> None:
    assert units.same_dimension(one, other)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("degC", "Cel"),
        ("°C", "Cel"),
        ("kWh", "kW.h"),
        ("psi", "[psi]"),
        ("ft", "[ft_i]"),
        ("rpm", "unit:REV-PER-MIN"),
        ("m³/h", "m3/h"),
        ("unit:FT_2", "unit:FT2"),
        ("http://qudt.org/vocab/unit/FT_2", "unit:FT2"),
        ("bananas", "UCUM"),
        ("", "UCUM"),
        ("m3//h", "UCUM"),
        ("m/bananas", "UCUM"),
        ("k?", "UCUM"),
        ("9" * 5000, "UCUM"),
        ("Gm99.Gm99", "UCUM"),
        ("0.m", "did you mean"),
    ],
)
def test_unknown_units_are_refused_with_a_hint(units: Units, code: str, hint: str) -> None:
    assert units.find(code) is None
    with pytest.raises(InputError) as caught:
        units.unit(code)
    assert caught.value.code == "UNIT_UNKNOWN"
    assert hint in (caught.value.hint or "")


def test_every_hint_leads_to_a_unit_and_none_hides_one(units: Units) -> None:
    for spelling, code, valid in rows((DATA / "unit_hints.tsv").read_text(encoding="utf-8")):
        assert units.find(code) is not None, spelling
        assert bool(valid) == (units.find(spelling) is not None), spelling


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("kW", "KiloW"),
        ("m3/h", "M3-PER-HR"),
        ("l/s", "L-PER-SEC"),
        ("1/m", "PER-M"),
        ("J/(kg.K)", "J-PER-KiloGM-K"),
        ("W/m2/K", "W-PER-M2-K"),
        ("%", "PERCENT"),
        ("m/m", "UNITLESS"),
        ("unit:PERCENT_RH", "PERCENT_RH"),
        ("KiloW", "KiloW"),
        ("http://qudt.org/vocab/unit/DEG_F", "DEG_F"),
        ("2.m", None),
    ],
)
def test_terms_find_their_qudt_name(units: Units, code: str, name: str | None) -> None:
    assert units.unit(code).name == name
    assert units.iri(code) == (None if name is None else f"http://qudt.org/vocab/unit/{name}")


def test_terms_agree_with_the_units_that_qudt_lists(units: Units, listed: list[list[str]]) -> None:
    """The factor of a term, multiplied from its parts, equals QUDT's own: checks parser and table."""
    checked = 0
    for name, codes, *_ in listed:
        for code in codes.split():
            if not any(sign in code for sign in "./") or "{" in code or units.unit(code).name != name:
                continue
            parts = read_term(code)
            if all(part.isdigit() or units.find(part) for part in parts):
                factors = [(float(p) if p.isdigit() else units.si_factor(p)) ** n for p, n in parts.items()]
                assert math.prod(factors) == pytest.approx(units.si_factor(code), rel=2e-4), code
                checked += 1
    assert checked > 1500


def test_every_unit_reads_back_by_its_code(units: Units, listed: list[list[str]]) -> None:
    for name, *_ in listed:
        assert units.unit(units.unit(f"unit:{name}").code).name == name


def test_ifc_units_equal_what_ifcopenshell_knows(units: Units) -> None:
    """Dimensions and prefix factors of every SI unit that IFC names, from an independent table."""
    for name, exponents in ifc_unit.si_dimensions.items():
        if name == "OTHERWISE":
            continue
        code = units.from_ifc(None, name)
        assert code is not None, name
        length, mass, time, current, temperature, amount, light = exponents
        expected = {
            "L": length,
            "M": mass,
            "T": time,
            "E": current,
            "H": temperature,
            "A": amount,
            "I": light,
        }
        assert units.unit(code).dimension == frozenset((b, float(p)) for b, p in expected.items() if p), name
        for prefix in ("KILO", "MILLI", "CENTI", "MEGA"):
            prefixed = units.from_ifc(prefix, name)
            if prefixed is not None:
                power = {"SQUARE_METRE": 2, "CUBIC_METRE": 3}.get(name, 1)
                ratio = units.si_factor(prefixed) / units.si_factor(code)
                assert ratio == pytest.approx(ifc_unit.prefixes[prefix] ** power, rel=1e-12), (prefix, name)


def test_usual_ifc_units(units: Units) -> None:
    assert units.from_ifc("KILO", "WATT") == "kW"
    assert units.from_ifc("MILLI", "METRE") == "mm"
    assert units.from_ifc("MILLI", "SQUARE_METRE") == "mm2"
    assert units.from_ifc("KILO", "GRAM") == "kg"
    assert units.from_ifc(None, "DEGREE_CELSIUS") == "Cel"
    assert units.from_ifc(None, "FARAD") == "F"  # the mapping's own row would be a charge
    assert units.si_factor("F") == 1
    assert units.from_ifc("KILO", "DEGREE_CELSIUS") is None
    assert units.from_ifc(None, "FURLONG") is None


def test_ifc_conversion_based_names_have_the_factor_that_files_state(units: Units) -> None:
    rough = {
        "yard",
        "mile",
        "square mile",
        "cubic yard",
        "cubic mile",
        "pound",
        "ounce",
    }  # rounded over there
    for name, factor in ifc_unit.si_conversions.items():
        code = units.from_ifc(None, name)
        if code is not None and name != "fahrenheit":
            assert units.si_factor(code) == pytest.approx(factor, rel=3e-3 if name in rough else 1e-3), name
    assert units.from_ifc(None, "DEGREE") == "deg"


def test_derived_units_are_spelt(units: Units) -> None:
    assert units.from_factors([("m", 3), ("s", -1)]) == "m3/s"
    assert units.from_factors([("W", 1), ("m", -2), ("K", -1)]) == "W/m2/K"
    assert units.from_factors([("s", -1)]) == "1/s"
    assert units.from_factors([("m3", -1), ("kg", 1)]) == "kg/m3"
    assert units.from_factors([("m2", 2)]) == "m2.m2"
    assert units.from_factors([]) is None


def test_ifc_measures_have_quantity_kinds(units: Units) -> None:
    assert units.ifc_quantity("IfcPowerMeasure") == "http://qudt.org/vocab/quantitykind/Power"
    assert units.ifc_quantity("IfcAreaMeasure") == "http://qudt.org/vocab/quantitykind/Area"
    assert units.ifc_quantity("IfcLabel") is None


def test_declared_attributes_have_known_units(units: Units) -> None:
    for attribute in load_schema().attributes.values():
        assert attribute.unit is None or units.find(attribute.unit) is not None, attribute.name
