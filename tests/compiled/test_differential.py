"""Random operations: what the engine answers (compiled where it can) is byte-equal to the resolvers' answer.

A fresh seed each time, printed; TWINMESH_SEED gives a run again. `make long` runs 20,000 and more.
"""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.compiled.composing import compose
from tests.compiled.corners import CORNERS
from tests.compiled.coverage import Coverage
from tests.compiled.drawing import fresh_seed, long_budget_s, run_examples, run_plain
from tests.compiled.operations import Operation, Shapes
from tests.compiled.oracle import compared
from tests.compiled.world import World

CHUNK = 250
SHORT_OPERATIONS = 500
LONG_OPERATIONS = 20_000


@pytest.mark.parametrize("name", CORNERS)
def test_known_corner(world: World, name: str) -> None:
    seen = list(compared(world, CORNERS[name]))
    assert all(each.started for each in seen)


def test_engine_equals_resolvers(world: World, shapes: Shapes) -> None:
    covered = run_chunks(world, shapes, fresh_seed("compiled"), SHORT_OPERATIONS, 0.0)
    assert covered.operations >= SHORT_OPERATIONS
    check_kinds_of_cases(covered)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_engine_equals_resolvers_on_many(world: World, shapes: Shapes) -> None:
    covered = run_chunks(world, shapes, fresh_seed("compiled, long"), LONG_OPERATIONS, long_budget_s())
    assert covered.operations >= LONG_OPERATIONS
    check_kinds_of_cases(covered)


def run_chunks(world: World, shapes: Shapes, seed: int, least: int, budget_s: float) -> Coverage:
    """At least so many operations, more while the budget lasts. In chunks: hypothesis keeps all of a run."""
    covered, ends = Coverage(), time.monotonic() + budget_s
    make, judge = partial(compose, shapes=shapes), partial(check, world, covered)
    chunk = 0
    while covered.operations < least or time.monotonic() < ends:
        (run_plain, run_examples)[chunk % 2](make, judge, seed + chunk, CHUNK)
        chunk += 1
    print(covered.report(shapes.schema))
    return covered


def check(world: World, covered: Coverage, operation: Operation) -> None:
    covered.add(operation, compared(world, operation))


def check_kinds_of_cases(covered: Coverage) -> None:
    """The generator makes valid documents and reaches what it is there for."""
    assert covered.codes["GRAPHQL_SYNTAX"] == 0
    assert covered.codes["QUERY_TOO_COSTLY"] < covered.executions / 50
    assert len(covered.features) > 30
