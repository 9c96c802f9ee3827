"""Readings as they come in: which are kept, and what their words mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.values import Readings

if TYPE_CHECKING:
    from graph.state import State


def living(state: State, readings: Readings) -> Readings:
    """The readings whose points are living twins."""
    points = readings.points
    known = (points >= 0) & (points < state.twins.size)
    known[known] = state.twins.alive.take(points[known])
    if known.all():
        return readings
    return Readings(points[known], readings.times_ns[known], readings.words[known], readings.quality[known])


def texts_of(state: State, readings: Readings) -> list[str | None]:
    """What the words of code and text points mean; empty where no point is one."""
    coded = state.coded_points(readings.points)
    if not coded.any():
        return []
    value = state.pools.texts.value
    words = readings.words.tolist()
    return [value(word) if is_code else None for word, is_code in zip(words, coded.tolist(), strict=True)]
