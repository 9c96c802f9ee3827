"""The comparison finds faults: servers with defects on purpose, asked what the test asks."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from api.compiled.compiler import Compiled
from api.operation import Request
from api.policy import Principal
from graph.view import Budget
from tests.compiled.compiled_defects import COMPILED_DEFECTS
from tests.compiled.composing import compose
from tests.compiled.corners import CORNERS
from tests.compiled.defects import DEFECTS, Defect, defective
from tests.compiled.drawing import fresh_seed, plain_draw
from tests.compiled.operations import Operation, Shapes
from tests.compiled.oracle import Different, body_of, compared, resolved, rounds
from tests.compiled.world import World

OPERATIONS_MAX = 6_000


@dataclass(frozen=True)
class Case:
    request: Request
    principal: Principal
    limits: str
    expected: bytes


class Cases:
    """Random requests with the resolvers' answers; made once, whichever defect asks first."""

    def __init__(self, world: World, shapes: Shapes, corners: Sequence[Operation], seed: int) -> None:
        self.seed = seed
        self._known: list[Case] = []
        self._more = self._made(world, shapes, corners)

    def __iter__(self) -> Iterator[Case]:
        place = 0
        while True:
            if place == len(self._known):
                self._known.append(next(self._more))
            yield self._known[place]
            place += 1

    def _made(self, world: World, shapes: Shapes, corners: Sequence[Operation]) -> Iterator[Case]:
        for operation in itertools.chain(corners, drawn(shapes, self.seed)):
            for request, principal in rounds(world, operation):
                result = resolved(world, request, principal, operation.limits)
                yield Case(request, principal, operation.limits, body_of(result, None))


def drawn(shapes: Shapes, seed: int) -> Iterator[Operation]:
    for index in range(OPERATIONS_MAX):
        yield compose(plain_draw(random.Random(f"{seed} {index}")), shapes)


@pytest.fixture(
    scope="module",
    params=[tuple(CORNERS.values()), pytest.param((), marks=pytest.mark.long)],
    ids=["corners first", "generator alone"],
)
def corners(request: pytest.FixtureRequest) -> Sequence[Operation]:
    """What is asked first: rare cases, so that a short run is short. The long one shows what chance finds."""
    return request.param


@pytest.fixture(scope="module")
def cases(world: World, shapes: Shapes, corners: Sequence[Operation]) -> Cases:
    return Cases(world, shapes, corners, fresh_seed("planted"))


def test_without_a_defect_nothing_is_found(world: World, cases: Cases) -> None:
    assert found_after(world, cases, Defect(), 150) is None


@pytest.mark.parametrize("name", DEFECTS)
def test_defect_is_found(world: World, cases: Cases, name: str) -> None:
    after = found_after(world, cases, DEFECTS[name], OPERATIONS_MAX)
    assert after is not None, f"seed {cases.seed}"
    print(f"{name}: found after {after} requests")


@pytest.mark.parametrize("name", COMPILED_DEFECTS)
def test_defect_of_a_plan_is_found(
    world: World, shapes: Shapes, corners: Sequence[Operation], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(Compiled, "run", COMPILED_DEFECTS[name](Compiled.run))
    seed = fresh_seed(name)
    assert differs_after(world, itertools.chain(corners, drawn(shapes, seed)), name) is not None


def test_a_budget_that_is_not_given_back_is_found(
    world: World, shapes: Shapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that gives up leaves the resolvers less than they would have had alone."""
    monkeypatch.setattr(Budget, "refill", lambda _: None)
    asked = (replace(each, limits="tight") for each in drawn(shapes, fresh_seed("budget")))
    assert differs_after(world, asked, "budget") is not None


def differs_after(world: World, operations: Iterable[Operation], name: str) -> int | None:
    """How many operations it takes until engine and resolvers differ."""
    for count, operation in enumerate(operations, 1):
        try:
            list(compared(world, operation))
        except Different:
            print(f"{name}: found after {count} operations")
            return count
    return None


def found_after(world: World, cases: Cases, defect: Defect, most: int) -> int | None:
    """How many requests it takes until the bytes differ."""
    for count, case in zip(range(1, most + 1), cases, strict=False):
        body = defective(world, case.request, case.principal, case.limits, defect)
        if body != case.expected:
            return count
    return None
