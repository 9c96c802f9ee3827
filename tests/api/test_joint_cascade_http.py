"""A cascade over servers that know each other: what `simulate` says on one folder with all their sites."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from ontology.schema import Schema
from ontology.units import Units
from tests.api.joint_pair import CAMPUS_TO_PLANT, PLANT_TO_CAMPUS, agree, cascade
from tests.api.peer_pair import Site, befriend, two_sites


@pytest.fixture
def partners(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units) as sites:
        campus, plant = befriend(sites)
        agree(campus, tmp_path, CAMPUS_TO_PLANT)
        agree(plant, tmp_path, PLANT_TO_CAMPUS)
        yield campus, plant


def test_trouble_crosses_to_a_partner(partners: tuple[Site, Site]) -> None:
    campus, _ = partners
    found = cascade(campus, {"events": [{"type": "FAIL", "twin": "CH-1", "repairHours": 5}], "runs": 3})
    print(found)
    assert found["completeness"] == "FULL"
    assert {row["localId"]: row["site"] for row in found["impacts"]["nodes"]}["LINE-1"] == "plant"
    assert found["sources"][-1] == {"site": "plant", "status": "ANSWERED", "code": None}
