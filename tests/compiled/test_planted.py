"""The comparison finds faults: servers with defects on purpose, asked what the test asks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from api.operation import Request
from api.policy import Principal
from tests.compiled.composing import Shapes, compose
from tests.compiled.defects import DEFECTS, Defect, defective
from tests.compiled.drawing import fresh_seed, plain_draw
from tests.compiled.oracle import body_of, resolved, rounds
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

    def __init__(self, world: World, shapes: Shapes, seed: int) -> None:
        self.seed = seed
        self._known: list[Case] = []
        self._more = self._made(world, shapes)

    def __iter__(self) -> Iterator[Case]:
        place = 0
        while True:
            if place == len(self._known):
                self._known.append(next(self._more))
            yield self._known[place]
            place += 1

    def _made(self, world: World, shapes: Shapes) -> Iterator[Case]:
        for index in range(OPERATIONS_MAX):
            operation = compose(plain_draw(random.Random(f"{self.seed} {index}")), shapes)
            for request, principal in rounds(world, operation):
                result = resolved(world, request, principal, operation.limits)
                yield Case(request, principal, operation.limits, body_of(result, None))


@pytest.fixture(scope="module")
def cases(world: World, shapes: Shapes) -> Cases:
    return Cases(world, shapes, fresh_seed("planted"))


def test_without_a_defect_nothing_is_found(world: World, cases: Cases) -> None:
    assert found_after(world, cases, Defect(), 150) is None


@pytest.mark.parametrize("name", DEFECTS)
def test_defect_is_found(world: World, cases: Cases, name: str) -> None:
    after = found_after(world, cases, DEFECTS[name], OPERATIONS_MAX)
    assert after is not None, f"seed {cases.seed}"
    print(f"{name}: found after {after} requests")


def found_after(world: World, cases: Cases, defect: Defect, most: int) -> int | None:
    """How many requests it takes until the bytes differ."""
    for count, case in zip(range(1, most + 1), cases, strict=False):
        body = defective(world, case.request, case.principal, case.limits, defect)
        if body != case.expected:
            return count
    return None
