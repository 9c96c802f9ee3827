"""Where random choices come from: hypothesis, or a plain generator. What fails is made small either way.

Hypothesis likes the ends of ranges and variations of what it drew before; a plain generator goes further
about. A test that takes turns has both.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draw:
    """Choices. `integer(low, high)` gives both ends too; the first of a sequence counts as the simplest."""

    integer: Callable[[int, int], int]

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred cases. False is the simple case."""
        return self.integer(0, 99) >= 100 - percent

    def choice(self, items: Sequence[T]) -> T:
        return items[self.integer(0, len(items) - 1)]

    def some(self, items: Sequence[T], most: int) -> list[T]:
        """Up to `most` items; the same one may come twice."""
        return [self.choice(items) for _ in range(self.integer(0, most))] if items else []

    def weighted(self, items: Sequence[tuple[int, T]]) -> T:
        """One of (weight, item)."""
        place = self.integer(0, sum(weight for weight, _ in items) - 1)
        for weight, item in items:
            place -= weight
            if place < 0:
                return item
        raise AssertionError("the weights were summed above")


def plain_draw(rng: random.Random) -> Draw:
    return Draw(rng.randint)


def replayed(choices: Sequence[int]) -> Draw:
    """The same choices again; the lowest ones where they have come to an end."""
    left = iter(choices)
    return Draw(lambda low, high: min(max(next(left, low), low), high))


def run_plain(make: Callable[[Draw], T], check: Callable[[T], None], given_seed: int, count: int) -> None:
    """As `run_examples`, without hypothesis."""
    for number in range(count):
        choices: list[int] = []
        rng = random.Random(f"{given_seed} {number}")

        def drawn_one(low: int, high: int, rng: random.Random = rng, kept: list[int] = choices) -> int:
            kept.append(rng.randint(low, high))
            return kept[-1]

        example = make(Draw(drawn_one))
        try:
            check(example)
        except AssertionError:
            check(make(replayed(_smallest(choices, lambda tried: _fails(make, check, tried)))))
            raise


def _fails(make: Callable[[Draw], T], check: Callable[[T], None], choices: Sequence[int]) -> bool:
    try:
        check(make(replayed(choices)))
    except AssertionError:
        return True
    return False


def _smallest(choices: list[int], fails: Callable[[list[int]], bool], tries_max: int = 600) -> list[int]:
    """Fewer and lower choices that still fail."""
    found, left = list(choices), tries_max
    for size in (256, 64, 16, 4, 2, 1):
        place = 0
        while place < len(found) and left > 0:
            shorter = found[:place] + found[place + size :]
            zeros = [0] * min(size, len(found) - place)
            zeroed = found[:place] + zeros + found[place + size :]
            left -= 2
            if fails(shorter):
                found = shorter
                continue
            if zeroed != found and fails(zeroed):
                found = zeroed
            place += size
    return found


@cache
def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def drawn(make: Callable[[Draw], T]) -> st.SearchStrategy[T]:
    """The strategy of what a function makes out of choices."""

    @st.composite
    def strategy(draw: st.DrawFn) -> T:
        return make(Draw(lambda low, high: draw(_integers(low, high))))

    return strategy()


def run_examples(make: Callable[[Draw], T], check: Callable[[T], None], given_seed: int, count: int) -> None:
    """`check` on `count` examples; what it refuses is made small and raised. The seed gives them again."""

    @seed(given_seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )
    @given(drawn(make))
    def examples(example: T) -> None:
        check(example)

    examples()


def fresh_seed(name: str) -> int:
    """A new seed for each run, printed, so that a failure can be had again by TWINMESH_SEED."""
    found = int(os.environ.get("TWINMESH_SEED") or secrets.randbits(32))
    print(f"{name}: seed {found}")
    return found


def long_budget_s() -> float:
    return float(os.environ.get("TWINMESH_LONG_S") or 600)
