"""Fixtures every suite uses: where the shared data lies, and what to do when a component is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from bench import neo4j_server
from bench.jars import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

# No test asserts how long something takes: the machine may be busy.
settings.register_profile("twinmesh", deadline=None)
settings.load_profile("twinmesh")

SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
REQUIRE_ALL = os.environ.get("TWINMESH_REQUIRE_ALL") == "1"


def missing(reason: str) -> None:
    """Skip by name, or fail where every component must be there (`TWINMESH_REQUIRE_ALL=1`)."""
    if REQUIRE_ALL:
        pytest.fail(f"required component missing: {reason}")
    pytest.skip(reason)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `long` run only for `make long`; left out, not skipped: nothing is missing."""
    if os.environ.get("TWINMESH_LONG") != "1":
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real models beside the project."""
    if not SHARED_DATA.is_dir():
        missing(f"shared data is absent: {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def mosquitto() -> str:
    """Path of the mosquitto broker program."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if not found:
        missing("mosquitto is not installed")
    return found or ""


@pytest.fixture(scope="session")
def neo4j_server_started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[neo4j_server.Server]:
    """A real Neo4j of this test process, started once."""
    try:
        neo4j_server.fetch()
    except MissingError as error:
        missing(f"Neo4j: {error}")
    with neo4j_server.running(tmp_path_factory.mktemp("neo4j") / "home") as server:
        yield server


@pytest.fixture
def neo4j(neo4j_server_started: neo4j_server.Server) -> neo4j_server.Server:
    """The same, empty."""
    neo4j_server_started.clear()
    return neo4j_server_started
