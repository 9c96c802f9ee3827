"""Levels over time as they travel, and how two of them become one whatever the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from simulation.world import FULL

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
    merged: Pieces = []
    last = left = right = FULL
    at, beside, count, others = 0, 0, len(one), len(other)
    while at < count or beside < others:
        time_us = one[at][0] if at < count else other[beside][0]
        if beside < others and other[beside][0] < time_us:
            time_us = other[beside][0]
        if at < count and one[at][0] == time_us:
            left, at = one[at][1], at + 1
        if beside < others and other[beside][0] == time_us:
            right, beside = other[beside][1], beside + 1
        level = choose(left, right)
        if level != last:
            merged.append((time_us, level))
            last = level
    return merged
