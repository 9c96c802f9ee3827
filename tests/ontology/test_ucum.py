"""UCUM terms: products, quotients, exponents, brackets, notes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontology.ucum import UcumError, read_term


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("kW", {"kW": 1}),
        ("m3/h", {"m": 3, "h": -1}),
        ("m3.h-1", {"m": 3, "h": -1}),
        ("m+3", {"m": 3}),
        ("/h", {"h": -1}),
        ("1/h", {"h": -1}),
        ("EUR/kW.h", {"EUR": 1, "kW": -1, "h": 1}),  # a slash divides by the next part only
        ("EUR/(kW.h)", {"EUR": 1, "kW": -1, "h": -1}),
        ("a/(b/(c.d))", {"a": 1, "b": -1, "c": 1, "d": 1}),
        ("[ft_i]3/min", {"[ft_i]": 3, "min": -1}),
        ("[in_i'H2O]", {"[in_i'H2O]": 1}),
        ("mm[Hg]", {"mm[Hg]": 1}),
        ("100.m", {"100": 1, "m": 1}),
        ("{people}/m2", {"m": -2}),
        ("kg{dry}/h", {"kg": 1, "h": -1}),
        ("m/m", {}),
        ("1", {}),
    ],
)
def test_terms(text: str, factors: dict[str, int]) -> None:
    assert read_term(text) == factors


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m//h",
        "m.",
        ".m",
        "(m",
        "m)",
        "m h",
        "m(h)",
        "{a",
        "m/",
        "[ft_i",
        "m-",
        "(" * 300,
        "m" * 300,
    ],
)
def test_what_is_no_term(text: str) -> None:
    with pytest.raises(UcumError):
        read_term(text)


@given(st.text(alphabet="mkgWh[]{}()./-+0123 #'", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        factors = read_term(text)
    except UcumError:
        return
    assert all(power for power in factors.values())
