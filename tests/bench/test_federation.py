"""The bench of federated queries: its worlds are what it says, and it tells what it could not measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench.federation import PEERS
from bench.federation_sites.measuring import QUESTIONS, Fleet, measure
from bench.federation_sites.worlds import make_world
from bench.stores.process import ROOT


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    made = Fleet(make_world(folder, 2, 100))
    with ExitStack() as stack:
        made.start(stack, folder)
        yield made


@pytest.mark.long
@pytest.mark.parametrize("name", QUESTIONS)
def test_answers_are_those_of_one_folder(fleet: Fleet, name: str) -> None:
    found = measure(fleet, name, 1)
    assert found.agrees
    assert found.federated_ms > 0 and found.slowest_ms > 0


@pytest.mark.long
def test_the_bench_runs_and_tells(tmp_path: Path) -> None:
    environment = {**os.environ, "TWINMESH_BENCH_QUICK": "1", "TWINMESH_BENCH_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "bench.federation", "queries", "--json"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert {"machine", "versions", "rows", "aims", "missing"} <= result.keys()
    assert [(row["question"], row["peers"], row["agree"]) for row in result["rows"]] == [
        (name, PEERS, True) for name in QUESTIONS
    ]
    assert len(result["aims"]) == len(QUESTIONS) + 1
    assert result["missing"] == {}
    assert list(tmp_path.iterdir()) == []
