"""What the tests of the graph share: one schema, one table of units, and twins in temporary folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from graph.twin import Twin
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ontology.schema import Schema
    from ontology.units import Units


@pytest.fixture(scope="session")
def schema() -> Schema:
    return load_schema()


@pytest.fixture(scope="session")
def units() -> Units:
    return load_units()


@pytest.fixture
def open_twin(tmp_path: Path, schema: Schema, units: Units) -> Iterator[Callable[..., Twin]]:
    """Opens a site of this test's folder; closes whatever is left open."""
    opened: list[Twin] = []

    def open_one(site: str = "campus", **options: object) -> Twin:
        twin = Twin.open(tmp_path / "sites" / site, schema, site=site, units=units, **options)
        opened.append(twin)
        return twin

    yield open_one
    for twin in opened:
        twin.close()


@pytest.fixture
def twin(open_twin: Callable[..., Twin]) -> Twin:
    return open_twin()
