"""One world for the tests that only read it, and new ones for those that write."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.compiled.operations import Shapes
from tests.compiled.world import World, opened_world, vocabulary_of


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """Read only."""
    with opened_world(tmp_path_factory.mktemp("compiled")) as opened:
        yield opened


@pytest.fixture(scope="session")
def shapes(world: World) -> Shapes:
    return Shapes(world.engines["wide"].current_schema(), vocabulary_of(world.mesh))
