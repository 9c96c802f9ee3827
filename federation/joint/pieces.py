"""Levels over time as they travel, and how two of them become one whatever the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from simulation.tracks import Track

if TYPE_CHECKING:
    from collections.abc import Callable

Pieces: TypeAlias = list[tuple[int, int]]
"""(time_us, level), ascending, neighbours differ; FULL before the first."""
Merge: TypeAlias = "Callable[[Pieces, Pieces], Pieces]"

DOWN: Pieces = [(0, 0)]
"""Nothing from hour 0 on."""
WELL: Pieces = []


def lowest(one: Pieces, other: Pieces) -> Pieces:
    """At each time the lower of both: how falling values merge."""
    return _merged(one, other, min)


def highest(one: Pieces, other: Pieces) -> Pieces:
    """At each time the higher of both: how rising values merge."""
    return _merged(one, other, max)


def _merged(one: Pieces, other: Pieces, choose: Callable[[int, int], int]) -> Pieces:
    left, right, merged = Track(pieces=one), Track(pieces=other), Track()
    for time_us in sorted({*left.times, *right.times}):
        merged.put(time_us, choose(left.within(time_us, time_us)[0], right.within(time_us, time_us)[0]))
    return merged.pieces
