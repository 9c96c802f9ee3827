"""Which kind was meant, on names found in real files."""

from __future__ import annotations

import pytest

from ontology.schema import Schema, load_schema
from ontology.suggest import kinds_meant


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema()


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("ahu", ["brick:AHU"]),
        ("Electric_Meter", ["brick:Electrical_Meter"]),
        ("Building_Electric_Meter", ["brick:Building_Electrical_Meter"]),
        ("Chilled_Water_Supply_Temperature_Setpoint", ["brick:Leaving_Chilled_Water_Temperature_Setpoint"]),
        ("Outside_Air_Damper_Command", ["brick:Damper_Command"]),
        ("Hot_Water_Valve_Command", ["brick:Valve_Command"]),
        ("Apartment", ["rec:Apartment"]),
        ("Nonsense", []),
        ("", []),
    ],
)
def test_guesses(schema: Schema, stated: str, meant: list[str]) -> None:
    assert kinds_meant(stated, schema.kinds)[: len(meant) or None] == meant


def test_guesses_are_few_and_never_deprecated(schema: Schema) -> None:
    for name in ("Supply_Air_flow", "Temperature", "Heating_On_Off_Status", "Room", "Sensor"):
        guesses = kinds_meant(name, schema.kinds)
        assert len(guesses) <= 3
        assert not any(schema.kind(guess).deprecated for guess in guesses), guesses
