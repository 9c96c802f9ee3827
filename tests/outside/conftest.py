"""The small campus of `tests/api`, for programs from outside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from graph.mesh import Mesh
from ontology.schema import load_schema
from ontology.units import load_units
from tests.api.conftest import Running, fill, served


@pytest.fixture
def mesh(tmp_path: Path) -> Generator[Mesh]:
    with Mesh.open(tmp_path / "data", load_schema(), units=load_units()) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def serve() -> Callable[..., contextlib.AbstractContextManager[Running]]:
    return served
